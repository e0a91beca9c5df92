"""A batch file (YAML): which notebook runs over which parameters, and with which controls::

    notebook: ../03_train.ipynb      # paths are relative to the batch file
    compare: ../04_compare.ipynb
    dataset: synthetic
    parameters: {task: superdiagnostic, epochs: 15}
    grid:                            # every combination of one entry of each axis
      model:                         # an entry is a dict of parameters ...
        - {branches: {time: cnn}, fusion: none}
        - {branches: {time: cnn, frequency: cnn}, fusion: early_concat}
      seed: [0, 1]                   # ... or a value of the parameter that names the axis
    ensembles_of_best_branch: [2]    # the one control: members of each ensemble
    widened_best_branch: true        # the other: one model with as many parameters as a fusion

The controls are made of the single branch that scores best on the validation part, and run last.
There is one widened model for all fusions of about one size (`ecglib.experiment.registry.SAME_SIZE_RATIO`), as
large as the largest of them: one a fusion would double the batch, and ways of joining the same
branches differ little in size. None is made for fusions about as large as the branch itself.

With the parameter ``folds: 5``, or ``--set n_folds=5`` for any batch file, each run is made once for
each fold of a cross-validation, in which the test part is not looked at
(`ecglib.splits.cross_validation`).
"""

import dataclasses
import itertools
from pathlib import Path

import yaml

from ecglib.errors import BatchError

KEYS = {
    *("notebook", "compare", "dataset", "parameters", "grid"),
    *("ensembles_of_best_branch", "widened_best_branch"),
}
NEEDED = {"notebook", "compare", "dataset", "grid"}


@dataclasses.dataclass(frozen=True)
class BatchFile:
    """A batch file, read and checked; see the module for its form."""

    path: Path
    notebook: Path
    compare: Path
    dataset: str
    parameters: dict
    grid: dict
    ensembles: list
    widened: bool

    @classmethod
    def read(cls, path: str | Path, **override) -> "BatchFile":
        """Read a batch file; `override` replaces common parameters.

        Raises
        ------
        BatchError
            the file is missing, is no YAML mapping or has an unknown key.
        """
        path = Path(path)
        try:
            values = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise BatchError(f"The batch file {path} cannot be read: {error}") from None
        if not isinstance(values, dict):
            raise BatchError(f"The batch file {path} is no mapping; expected {sorted(KEYS)}.")
        if unknown := set(values) - KEYS:
            raise BatchError(
                f"{path} has the unknown keys {sorted(unknown)}; known: {sorted(KEYS)}."
            )
        if missing := NEEDED - set(values):
            raise BatchError(f"{path} lacks {sorted(missing)}.")
        parameters = values.get("parameters", {})
        ensembles = values.get("ensembles_of_best_branch", [])
        widened = values.get("widened_best_branch", False)
        _check_types(path, parameters, values["grid"], ensembles, widened)
        return cls(
            path=path,
            notebook=_notebook(path, values["notebook"]),
            compare=_notebook(path, values["compare"]),
            dataset=values["dataset"],
            parameters=parameters | override,
            grid=values["grid"],
            ensembles=ensembles,
            widened=widened,
        )

    def combinations(self) -> list[dict]:
        """The parameters of each run of the grid; where there are folds, of each fold."""
        axes = [
            [entry if isinstance(entry, dict) else {name: entry} for entry in entries]
            for name, entries in self.grid.items()
        ]
        own = [
            dict(item for values in (self.parameters, *entries) for item in values.items())
            for entries in itertools.product(*axes)
        ]
        return [of_fold for combination in own for of_fold in _each_fold(combination)]


def _each_fold(parameters: dict) -> list[dict]:
    """The parameters for each fold, or as they are without folds, or where they name one."""
    folds = parameters.get("n_folds", 0)
    if not isinstance(folds, int) or folds < 1 or "fold" in parameters:
        return [parameters]
    return [parameters | {"fold": fold} for fold in range(1, folds + 1)]


def _check_types(path: Path, parameters, grid, ensembles, widened) -> None:
    if not isinstance(parameters, dict):
        raise BatchError(f"{path}: parameters must map names to values, found {parameters!r}.")
    lists = isinstance(grid, dict) and all(
        isinstance(axis, list) and axis for axis in grid.values()
    )
    if not grid or not lists:
        raise BatchError(
            f"{path}: grid must map each axis to a list of values or of dicts of parameters, as in "
            f"`seed: [0, 1]`; found {grid!r}."
        )
    if not isinstance(ensembles, list) or not all(isinstance(n, int) and n > 1 for n in ensembles):
        raise BatchError(
            f"{path}: ensembles_of_best_branch must list numbers of members above 1, as in [3]; "
            f"found {ensembles!r}."
        )
    if not isinstance(widened, bool):
        raise BatchError(f"{path}: widened_best_branch must be true or false, found {widened!r}.")


def _notebook(batch_file: Path, given: str) -> Path:
    path = (batch_file.parent / given).resolve()
    if not path.is_file():
        raise BatchError(f"{batch_file} names the notebook {given}, but {path} is not there.")
    return path
