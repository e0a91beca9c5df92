"""A batch file (YAML): which notebook runs over which parameters, and with which controls::

    notebook: ../03_train.ipynb      # paths are relative to the batch file
    dataset: synthetic
    parameters: {task: superdiagnostic, epochs: 15}
    grid:                            # every combination of one entry of each axis
      model:                         # an entry is a dict of parameters ...
        - {branches: {time: cnn}, fusion: none}
        - {branches: {time: cnn, frequency: cnn}, fusion: early_concat}
      seed: [0, 1]                   # ... or a value of the parameter that names the axis
    ensembles: [2]                   # first control: the size of each ensemble of a branch
    same_size_branch: true           # second control: one branch with as many parameters
    metric: auroc                    # what decides, chosen before the batch runs
    margin: 0.01                     # the smallest gain worth having

The controls are made of the single branches that may be the best on the validation split
(`ecglib.batch.controls`), so they run last.

With the parameter ``n_folds: 5``, or ``--set n_folds=5`` for any batch file, each run is carried
out once for each fold of a cross-validation, which does not use the test split
(`ecglib.splits.cross_validation`).
"""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from ecglib.errors import BatchError, RunError, did_you_mean
from ecglib.evaluation.verdict import ComparisonSettings

REQUIRED_KEYS = ("notebook", "dataset", "grid")
OPTIONAL_KEYS = ("parameters", "ensembles", "same_size_branch", "metric", "margin")
KEYS = REQUIRED_KEYS + OPTIONAL_KEYS


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchFile:
    """The checked contents of a batch file; the module describes the format.

    Parameters
    ----------
    path : Path
        The batch file.
    notebook : Path
        The notebook that carries out one run.
    dataset : str
        Name of the dataset, or path of a store.
    parameters : dict of str to object
        Parameters of all runs.
    grid : dict of str to list
        Axis -> its entries, each a dict of parameters or a value of the parameter that names the
        axis.
    ensemble_sizes : list of int
        Sizes of the ensembles of the single branches that may be the best.
    widened_branch : bool
        Whether these branches are also widened to the size of the fusions.
    comparison : ComparisonSettings
        Metric and margin that decide; by default macro AUROC and 0.01.

    Examples
    --------
    >>> import tempfile
    >>> text = '''
    ... notebook: train.ipynb
    ... dataset: synthetic
    ... grid: {seed: [0, 1]}
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "train.ipynb").touch()
    ...     path = Path(folder) / "seeds.yaml"
    ...     _ = path.write_text(text)
    ...     file = BatchFile.read(path, epochs=3)
    >>> file.list_parameters()
    [{'epochs': 3, 'seed': 0}, {'epochs': 3, 'seed': 1}]
    """

    path: Path
    notebook: Path
    dataset: str
    parameters: dict[str, Any]
    grid: dict[str, list]
    ensemble_sizes: list[int]
    widened_branch: bool
    comparison: ComparisonSettings = dataclasses.field(default_factory=ComparisonSettings)

    @classmethod
    def read(cls, path: str | Path, **override: Any) -> Self:
        """Read a batch file.

        Parameters
        ----------
        path : str or Path
            The file.
        **override
            Parameters of all runs that replace those of the file.

        Returns
        -------
        BatchFile
            Its contents.

        Raises
        ------
        BatchError
            If the file is missing, is not a YAML mapping, has an unknown key or lacks one, names
            a notebook that does not exist, or a value has the wrong type.
        """
        path = Path(path)
        values = _read_mapping(path)
        return cls(
            path=path,
            notebook=_find_notebook(path, values["notebook"]),
            dataset=values["dataset"],
            parameters=values["parameters"] | override,
            grid=values["grid"],
            ensemble_sizes=values["ensembles"],
            widened_branch=values["same_size_branch"],
            comparison=_read_comparison(path, values),
        )

    def list_parameters(self) -> list[dict[str, Any]]:
        """List the parameters of each run of the grid, with folds those of each fold.

        Returns
        -------
        list of dict
            Every combination of one entry of each axis, joined with the parameters of all runs.
        """
        axes = [
            [entry if isinstance(entry, dict) else {name: entry} for entry in entries]
            for name, entries in self.grid.items()
        ]
        combinations = []
        for entries in itertools.product(*axes):
            parameters = dict(self.parameters)
            for entry in entries:
                parameters |= entry
            combinations += _list_folds(parameters)
        return combinations


def _read_mapping(path: Path) -> dict[str, Any]:
    """Read and check the file, and fill in what it may leave out."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BatchError(f"The batch file {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise BatchError(
            f"The batch file {path} holds {type(values).__name__}, expected a YAML mapping with "
            f"the keys {list(KEYS)}."
        )
    if unknown := [key for key in values if key not in KEYS]:
        hint = did_you_mean(unknown[0], KEYS)
        raise BatchError(
            f"The batch file {path} has the unknown keys {unknown}; it may have {list(KEYS)}.{hint}"
        )
    if missing := [key for key in REQUIRED_KEYS if key not in values]:
        raise BatchError(f"The batch file {path} lacks the keys {missing}; add them.")
    values.setdefault("parameters", {})
    values.setdefault("ensembles", [])
    values.setdefault("same_size_branch", False)
    _check_types(path, values)
    return values


def _check_types(path: Path, values: Mapping[str, Any]) -> None:
    for key in ("notebook", "dataset"):
        if not isinstance(values[key], str):
            raise BatchError(f"{path}: {key} must be text, found {values[key]!r}.")
    parameters, grid = values["parameters"], values["grid"]
    if not isinstance(parameters, dict):
        raise BatchError(f"{path}: parameters must map names to values, found {parameters!r}.")
    is_mapping = isinstance(grid, dict) and bool(grid)
    if not is_mapping or not all(isinstance(axis, list) and axis for axis in grid.values()):
        raise BatchError(
            f"{path}: grid must map each axis to a list of values or of dicts of parameters, for "
            f"example `seed: [0, 1]`; found {grid!r}."
        )
    sizes = values["ensembles"]
    if not isinstance(sizes, list) or not all(isinstance(n, int) and n > 1 for n in sizes):
        raise BatchError(
            f"{path}: ensembles must list ensemble sizes of at least 2, for example "
            f"[3]; found {sizes!r}."
        )
    widened = values["same_size_branch"]
    if not isinstance(widened, bool):
        raise BatchError(f"{path}: same_size_branch must be true or false, found {widened!r}.")


def _read_comparison(path: Path, values: Mapping[str, Any]) -> ComparisonSettings:
    given = {name: values[name] for name in ("metric", "margin") if name in values}
    for name, kind in (("metric", str), ("margin", int | float)):
        if name in given and not isinstance(given[name], kind):
            raise BatchError(f"{path}: {name} is {given[name]!r}; give for example `margin: 0.01`.")
    try:
        return ComparisonSettings(**given)
    except RunError as error:
        raise BatchError(f"{path}: {error}") from None


def _list_folds(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """List the parameters for each fold; just them without folds, or if they name a fold."""
    n_folds = parameters.get("n_folds", 0)
    if not isinstance(n_folds, int) or n_folds < 1 or "fold" in parameters:
        return [parameters]
    return [parameters | {"fold": fold} for fold in range(1, n_folds + 1)]


def _find_notebook(batch_file: Path, name: str) -> Path:
    path = (batch_file.parent / name).resolve()
    if not path.is_file():
        raise BatchError(
            f"The batch file {batch_file} names the notebook {name}, but {path} does not exist."
        )
    return path
