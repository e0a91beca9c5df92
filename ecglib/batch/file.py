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

The controls are made of the single branches that may be the best on the validation split
(`ecglib.batch.controls`), so they run last.

With the parameter ``n_folds: 5``, or ``--set n_folds=5`` for any batch file, each run is carried
out once for each fold of a cross-validation, which does not use the test split
(`ecglib.splits.cross_validation`).
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from ecglib.errors import BatchError, RunError, did_you_mean
from ecglib.evaluation.verdict import ComparisonSettings

REQUIRED_KEYS = ("notebook", "dataset", "grid")
OPTIONAL_KEYS = ("parameters", "ensembles", "same_size_branch", "metric", "margin", "time_limit_s")
KEYS = REQUIRED_KEYS + OPTIONAL_KEYS
MAX_INTEGER = 2**53  # beyond it a float is not exact
MAX_FOLDS = 1000
MAX_SHOWN = 300  # characters of a wrong value, or of an error of the YAML reader
MAX_VALUES = 100_000  # of a file once its aliases are expanded, and runs of a grid


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

    @classmethod
    def read(cls, path: str | Path, /, **override: Any) -> Self:
        """Read a batch file.

        Parameters
        ----------
        path : str or Path
            The file.
        **override
            Parameters of all runs. They replace those of the file, in the grid as well: the axis
            `seed` becomes the one given seed.

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
            grid=_override_grid(values["grid"], override),
            ensemble_sizes=values["ensembles"],
            widened_branch=values["same_size_branch"],
            comparison=_read_comparison(path, values),
            time_limit_s=float(values["time_limit_s"]),
        )

    def list_parameters(self) -> list[dict[str, Any]]:
        """List the parameters of each run of the grid, with folds those of each fold.

        Returns
        -------
        list of dict
            Every combination of one entry of each axis, joined with the parameters of all runs.

        Raises
        ------
        BatchError
            If there are more than `MAX_VALUES`.
        """
        axes = [_list_entries(name, entries) for name, entries in self.grid.items()]
        n_runs = math.prod(map(len, axes))
        if n_runs > MAX_VALUES:
            raise BatchError(
                f"{self.path}: the grid has {n_runs:,} runs, at most {MAX_VALUES:,} are accepted. "
                f"Give its axes fewer entries."
            )
        combinations = []
        for entries in itertools.product(*axes):
            parameters = dict(self.parameters)
            for entry in entries:
                parameters |= entry
            combinations += _list_folds(parameters)
        return combinations


def _list_entries(name: str, entries: list) -> list[dict[str, Any]]:
    """List the parameters of each entry of an axis."""
    return [entry if isinstance(entry, dict) else {name: entry} for entry in entries]


def _override_grid(grid: dict[str, list], override: Mapping[str, Any]) -> dict[str, list]:
    """Replace given parameters in every entry; entries that are then equal remain once."""
    overridden: dict[str, list] = {}
    for name, entries in grid.items():
        listed = _list_entries(name, entries)
        replaced = [
            {key: override.get(key, value) for key, value in entry.items()} for entry in listed
        ]
        if replaced != listed:
            entries = [entry for i, entry in enumerate(replaced) if entry not in replaced[:i]]
        overridden[name] = entries
    return overridden


def _read_mapping(path: Path) -> dict[str, Any]:
    """Read and check the file, and fill in what it may leave out."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise BatchError(
            f"The batch file {path} cannot be read: {str(error)[:MAX_SHOWN]}. Give a YAML file "
            f"with the keys {list(KEYS)}."
        ) from None
    if not _has_bounded_size(values):
        raise BatchError(
            f"The batch file {path} holds more than {MAX_VALUES:,} values once its aliases are "
            f"expanded. Write fewer, or shorter lists."
        )
    if not isinstance(values, dict):
        raise BatchError(
            f"The batch file {path} holds {type(values).__name__}, expected a YAML mapping with "
            f"the keys {list(KEYS)}."
        )
    if unknown := [key for key in values if key not in KEYS]:
        hint = did_you_mean(unknown[0], KEYS)
        raise BatchError(
            f"The batch file {path} has the unknown keys {_show(unknown)}; it may have "
            f"{list(KEYS)}.{hint}"
        )
    if missing := [key for key in REQUIRED_KEYS if key not in values]:
        raise BatchError(f"The batch file {path} lacks the keys {missing}; add them.")
    values.setdefault("parameters", {})
    values.setdefault("ensembles", [])
    values.setdefault("same_size_branch", False)
    values.setdefault("time_limit_s", 0)
    _check_types(path, values)
    return values


def _check_types(path: Path, values: Mapping[str, Any]) -> None:
    for key in ("notebook", "dataset"):
        if not isinstance(values[key], str):
            raise BatchError(f"{path}: {key} must be text, found {_show(values[key])}.")
    parameters, grid = values["parameters"], values["grid"]
    if not isinstance(parameters, dict):
        raise BatchError(f"{path}: parameters must map names to values, found {_show(parameters)}.")
    names = [parameters, *_list_mappings(grid)]
    is_mapping = isinstance(grid, dict) and bool(grid)
    if not is_mapping or not all(isinstance(axis, list) and axis for axis in grid.values()):
        raise BatchError(
            f"{path}: grid must map each axis to a list of values or of dicts of parameters, for "
            f"example `seed: [0, 1]`; found {_show(grid)}."
        )
    if wrong := [key for mapping in names for key in mapping if not isinstance(key, str)]:
        raise BatchError(
            f"{path}: {_show(wrong[0])} is no name of a parameter or an axis, which is text. "
            f"Write it in quotes, or remove it."
        )
    sizes = values["ensembles"]
    if not isinstance(sizes, list) or not all(type(n) is int and n > 1 for n in sizes):
        raise BatchError(
            f"{path}: ensembles must list ensemble sizes of at least 2, for example "
            f"[3]; found {_show(sizes)}."
        )
    widened = values["same_size_branch"]
    if not isinstance(widened, bool):
        raise BatchError(f"{path}: same_size_branch must be true or false, found {_show(widened)}.")
    limit_s = values["time_limit_s"]
    if not _is_number(limit_s) or not 0 <= limit_s < math.inf:
        raise BatchError(
            f"{path}: time_limit_s must be a number of seconds, or 0 for no limit; found "
            f"{_show(limit_s)}."
        )


def _list_mappings(grid: Any) -> list[dict]:
    """List the grid and the entries of its axes that are mappings."""
    if not isinstance(grid, dict):
        return []
    axes = [axis for axis in grid.values() if isinstance(axis, list)]
    return [grid, *(entry for axis in axes for entry in axis if isinstance(entry, dict))]


def _show(value: Any) -> str:
    """Write a value as Python does, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (isinstance(value, float) or abs(value) <= MAX_INTEGER)


def _has_bounded_size(values: Any) -> bool:
    """Whether a file holds at most `MAX_VALUES` values: aliases can make few lines endless."""
    waiting, n_values = [values], 0
    while waiting:
        value = waiting.pop()
        n_values += 1
        if n_values > MAX_VALUES:
            return False
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
    return True


def _read_comparison(path: Path, values: Mapping[str, Any]) -> ComparisonSettings:
    given = {name: values[name] for name in ("metric", "margin") if name in values}
    if "metric" in given and not isinstance(given["metric"], str):
        found = _show(given["metric"])
        raise BatchError(f"{path}: metric is {found}; give for example `metric: auroc`.")
    if "margin" in given and not (_is_number(given["margin"]) and math.isfinite(given["margin"])):
        found = _show(given["margin"])
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
            f"The batch file {batch_file} names the notebook {_show(name)}, but "
            f"{_show(str(path))} does not exist. Paths are relative to the batch file."
        )
    return path
