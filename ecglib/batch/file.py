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
    time_limit_s: 7200               # ends a run that takes longer; by default none is
    use: [aami_beats]                # named groups of parameters (`ecglib.batch.groups`)
    exclude:                         # runs of the grid that have all these values are left out
      - {fusion: early_concat, seed: 1}
    include:                         # further grids
      - {model: [{branches: {time: s4d}, fusion: none}], seed: [0]}

The controls are made of the single branches that may be the best on the validation split
(`ecglib.batch.controls`), so they run last.

With the parameter ``n_folds: 5``, or ``--set n_folds=5`` for any batch file, each run is carried
out once for each fold of a cross-validation, which does not use the test split
(`ecglib.splits.cross_validation`).
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ecglib.batch.grid import (
    count_combinations,
    exclude_combinations,
    list_combinations,
    override_combinations,
)
from ecglib.batch.groups import read_groups
from ecglib.batch.loading import MAX_VALUES, read_mapping, show
from ecglib.errors import BatchError, RunError, did_you_mean
from ecglib.evaluation.verdict import ComparisonSettings

REQUIRED_KEYS = ("notebook", "dataset", "grid")
DEFAULTS: dict[str, Any] = {
    "use": [],
    "parameters": {},
    "include": [],
    "exclude": [],
    "ensembles": [],
    "same_size_branch": False,
    "time_limit_s": 0,
}
OPTIONAL_KEYS = (*DEFAULTS, "metric", "margin")
KEYS = REQUIRED_KEYS + OPTIONAL_KEYS
MAX_INTEGER = 2**53  # beyond it a float is not exact
MAX_FOLDS = 1000
MAX_RUNS = MAX_VALUES  # of a grid


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
    time_limit_s : float
        Time after which a run is ended; 0 for no limit.
    include : list of dict of str to list
        Further grids, whose runs are added.
    exclude : list of dict of str to object
        Runs of `grid` that have all values of one of these are left out.
    override : dict of str to object
        Parameters that replace those of the grids.

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
    time_limit_s: float = 0.0
    include: list[dict[str, list]] = dataclasses.field(default_factory=list)
    exclude: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    override: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, /, **override: Any) -> Self:
        """Read a batch file.

        Parameters
        ----------
        path : str or Path
            The file.
        **override
            Parameters of all runs. They replace those of the file, in the grid as well: the axis
            `seed` becomes the one given seed, or the given list of seeds.

        Returns
        -------
        BatchFile
            Its contents.

        Raises
        ------
        BatchError
            If the file is missing, is not a YAML mapping, has an unknown key or lacks one, names
            a notebook or a group that does not exist, or a value has the wrong type.
        """
        path = Path(path)
        values = _read_mapping(path)
        return cls(
            path=path,
            notebook=_find_notebook(path, values["notebook"]),
            dataset=values["dataset"],
            parameters=read_groups(path.parent, values["use"]) | values["parameters"] | override,
            grid=values["grid"],
            ensemble_sizes=values["ensembles"],
            widened_branch=values["same_size_branch"],
            comparison=_read_comparison(path, values),
            time_limit_s=float(values["time_limit_s"]),
            include=values["include"],
            exclude=values["exclude"],
            override=override,
        )

    def list_parameters(self) -> list[dict[str, Any]]:
        """List the parameters of each run of the grid, with folds those of each fold.

        Returns
        -------
        list of dict
            Every combination of one entry of each axis, joined with the parameters of all runs,
            without those that are excluded, then those of the included grids.

        Raises
        ------
        BatchError
            If there are more than `MAX_RUNS`, or an exclusion fits no run.
        """
        n_runs = sum(map(count_combinations, (self.grid, *self.include)))
        if n_runs > MAX_RUNS:
            raise BatchError(
                f"{self.path}: the grid has {n_runs:,} runs, at most {MAX_RUNS:,} are accepted. "
                f"Give its axes fewer entries."
            )
        try:
            combinations = exclude_combinations(list_combinations(self.grid), self.exclude)
        except BatchError as error:
            raise BatchError(f"{self.path}: {error}") from None
        for grid in self.include:
            combinations += list_combinations(grid)
        return [
            parameters
            for combination in override_combinations(combinations, self.override)
            for parameters in _list_folds(self.parameters | combination)
        ]


def _read_mapping(path: Path) -> dict[str, Any]:
    """Read and check the file, and fill in what it may leave out."""
    values = read_mapping(path, "batch file", f"the keys {list(KEYS)}")
    if unknown := [key for key in values if key not in KEYS]:
        hint = did_you_mean(unknown[0], KEYS)
        raise BatchError(
            f"The batch file {path} has the unknown keys {show(unknown)}; it may have "
            f"{list(KEYS)}.{hint}"
        )
    if missing := [key for key in REQUIRED_KEYS if key not in values]:
        raise BatchError(f"The batch file {path} lacks the keys {missing}; add them.")
    values = DEFAULTS | values
    _check_types(path, values)
    return values


def _check_types(path: Path, values: Mapping[str, Any]) -> None:
    for key in ("notebook", "dataset"):
        if not isinstance(values[key], str):
            raise BatchError(f"{path}: {key} must be text, found {show(values[key])}.")
    parameters, grid = values["parameters"], values["grid"]
    if not isinstance(parameters, dict):
        raise BatchError(f"{path}: parameters must map names to values, found {show(parameters)}.")
    _check_names(path, parameters)
    _check_grid(path, "grid", grid)
    if not _is_list_of(values["use"], str):
        raise BatchError(
            f"{path}: use must list names of groups, for example [aami_beats]; found "
            f"{show(values['use'])}."
        )
    for key in ("include", "exclude"):
        if not _is_list_of(values[key], dict) or not all(values[key]):
            what = "grids" if key == "include" else "mappings of parameters"
            raise BatchError(f"{path}: {key} must list {what}, found {show(values[key])}.")
    for included in values["include"]:
        _check_grid(path, "include", included)
    for excluded in values["exclude"]:
        _check_names(path, excluded)
    sizes = values["ensembles"]
    if not isinstance(sizes, list) or not all(type(n) is int and n > 1 for n in sizes):
        raise BatchError(
            f"{path}: ensembles must list ensemble sizes of at least 2, for example "
            f"[3]; found {show(sizes)}."
        )
    widened = values["same_size_branch"]
    if not isinstance(widened, bool):
        raise BatchError(f"{path}: same_size_branch must be true or false, found {show(widened)}.")
    limit_s = values["time_limit_s"]
    if not _is_number(limit_s) or not 0 <= limit_s < math.inf:
        raise BatchError(
            f"{path}: time_limit_s must be a number of seconds, or 0 for no limit; found "
            f"{show(limit_s)}."
        )


def _check_grid(path: Path, key: str, grid: Any) -> None:
    is_mapping = isinstance(grid, dict) and bool(grid)
    if not is_mapping or not all(isinstance(axis, list) and axis for axis in grid.values()):
        raise BatchError(
            f"{path}: {key} must map each axis to a list of values or of dicts of parameters, for "
            f"example `seed: [0, 1]`; found {show(grid)}."
        )
    entries = [entry for axis in grid.values() for entry in axis if isinstance(entry, dict)]
    for mapping in (grid, *entries):
        _check_names(path, mapping)


def _check_names(path: Path, mapping: Mapping[Any, Any]) -> None:
    if wrong := [key for key in mapping if not isinstance(key, str)]:
        raise BatchError(
            f"{path}: {show(wrong[0])} is no name of a parameter or an axis, which is text. "
            f"Write it in quotes, or remove it."
        )


def _is_list_of(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (isinstance(value, float) or abs(value) <= MAX_INTEGER)


def _read_comparison(path: Path, values: Mapping[str, Any]) -> ComparisonSettings:
    given = {name: values[name] for name in ("metric", "margin") if name in values}
    if "metric" in given and not isinstance(given["metric"], str):
        found = show(given["metric"])
        raise BatchError(f"{path}: metric is {found}; give for example `metric: auroc`.")
    if "margin" in given and not (_is_number(given["margin"]) and math.isfinite(given["margin"])):
        found = show(given["margin"])
        raise BatchError(f"{path}: margin is {found}; give for example `margin: 0.01`.")
    try:
        return ComparisonSettings(**given)
    except RunError as error:
        raise BatchError(f"{path}: {error}") from None


def _list_folds(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """List the parameters for each fold; just them without folds, or if they name a fold."""
    n_folds = parameters.get("n_folds", 0)
    if not isinstance(n_folds, int) or n_folds < 1 or "fold" in parameters:
        return [parameters]
    if n_folds > MAX_FOLDS:
        raise BatchError(f"n_folds={n_folds}: at most {MAX_FOLDS} folds are accepted. Use fewer.")
    return [parameters | {"fold": fold} for fold in range(1, n_folds + 1)]


def _find_notebook(batch_file: Path, name: str) -> Path:
    path = batch_file.parent / name
    try:
        path = path.resolve()
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, links in a circle
        is_file = False
    if not is_file:
        raise BatchError(
            f"The batch file {batch_file} names the notebook {show(name)}, but "
            f"{show(str(path))} does not exist. Paths are relative to the batch file."
        )
    return path
