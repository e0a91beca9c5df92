"""Enters predictions of another framework into a batch."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.batch.entering.checks import arrange_predictions
from ecglib.batch.entering.files import PredictionTable, read_predictions
from ecglib.errors import EntryError
from ecglib.evaluation.summary import Evaluated, evaluate
from ecglib.paths import find_batch_dir
from ecglib.runs import SPLITS, Entry, EntryDetails, Run, find_runs, run_exists, write_entry

MAX_NAME = 60  # characters


def enter(
    batch: str | Path,
    predictions: str | Path | pd.DataFrame,
    *,
    name: str,
    parameters: int,
    seed: int = 0,
) -> Entry:
    """Enter predictions of another framework into the comparison of a batch.

    The probabilities are calibrated and thresholds are chosen on the validation split, and the
    test split is scored, as for a run. Labels, patients and splits are those of the runs of the
    batch. The comparison then compares the model with each other one, and says everywhere that it
    was not trained here: which data, splits and settings it was trained with cannot be known.

    Parameters
    ----------
    batch : str or Path
        Name of the batch, below the default folder of runs (`ecglib.paths.runs_dir`), or the path
        of its folder. It needs at least one run.
    predictions : str, Path or DataFrame
        Probabilities of every window of the validation and the test split, in any order: a CSV
        file or table with the column ``window`` and one for each class, or an NPZ file with the
        arrays ``window``, ``p`` and ``classes``. ``ecglib split`` writes the windows. Its other
        columns need not be given; those that are given are compared with the runs.
    name : str
        Name of the model, the same for all its seeds.
    parameters : int
        Number of parameters of the model.
    seed : int, default 0
        Seed of the training. Enter one file for each seed.

    Returns
    -------
    Entry
        The entry. One that exists is opened if it holds the same predictions.

    Raises
    ------
    EntryError
        If the predictions are not those of the windows and classes of the batch
        (`ecglib.batch.entering.checks`), if the batch has several tasks, stores or folds and the
        columns store, task and fold do not say which is meant, if the name or a number is wrong,
        or if other predictions were entered with this name and seed.
    RunError
        If the batch has no run, or a file cannot be written.

    Examples
    --------
    >>> enter("fusion", "predictions.csv", name="resnet", parameters=1_200_000)  # doctest: +SKIP
    Entry(resnet (not trained here): macro AUROC 0.912 [...] on the test split; ...)
    >>> enter("fusion", "predictions.csv", name="resnet", parameters=-1)
    Traceback (most recent call last):
    ...
    ecglib.errors.EntryError: parameters=-1, expected a whole number of at least 0. ...
    """
    _check_name(name)
    _check_number("parameters", parameters)
    _check_number("seed", seed)
    folder = find_batch_dir(batch)
    given = read_predictions(predictions)
    runs = _choose_runs(folder, given)
    evaluated = evaluate(
        arrange_predictions(given, {split: runs[0].predictions(split) for split in SPLITS})
    )
    details = EntryDetails(
        name=name,
        seed=seed,
        parameters=parameters,
        source=given.source,
        data=runs[0].data,
        kind=runs[0].kind,
        classes=runs[0].classes,
        calibration_scale=tuple(map(float, evaluated.calibration.scale)),
        calibration_bias=tuple(map(float, evaluated.calibration.bias)),
        thresholds=tuple(map(float, evaluated.thresholds)),
        # A caveat of one model, such as a column that reveals the label, is not one of the data.
        caveats=tuple(one for one in runs[0].caveats if all(one in run.caveats for run in runs)),
    )
    if run_exists(folder / details.folder_name):
        return _open_existing(folder / details.folder_name, details, evaluated)
    return write_entry(folder, details, evaluated)


def _check_name(name: object) -> None:
    is_text = isinstance(name, str) and name == name.strip() and name.isprintable()
    if not is_text or not 0 < len(str(name)) <= MAX_NAME:
        raise EntryError(
            f"name={name!r}, expected a text of 1 to {MAX_NAME} printable characters without "
            f"blanks at its ends. Give the model a name, such as 'resnet'."
        )


def _check_number(what: str, value: object) -> None:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < 0:  # type: ignore[operator]
        raise EntryError(
            f"{what}={value!r}, expected a whole number of at least 0. Give the "
            f"{'number of parameters' if what == 'parameters' else 'seed'} of the model."
        )


def _choose_runs(folder: Path, given: PredictionTable) -> list[Run]:
    """Choose the runs of the store, task and fold that the predictions are of."""
    groups: dict[tuple[str, str, int, int], list[Run]] = {}
    for run in find_runs(folder):
        if isinstance(run, Run):
            data = run.data
            key = (f"{data.dataset}-{data.fingerprint}", data.task, data.n_folds, data.fold)
            groups.setdefault(key, []).append(run)
    if not groups:
        raise EntryError(
            f"{folder} has no run that was trained here, so labels and splits are not known. Carry "
            f"out at least one run of the batch first (`ecglib batch`)."
        )
    found = groups
    for place, what in enumerate(("store", "task")):
        if value := _read_single(given, what):
            known = ", ".join(sorted({str(key[place]) for key in found}))
            found = {key: one for key, one in found.items() if key[place] == value}
            if not found:
                raise _report_other(given, f"the {what} {value!r}", f"the {what} {known}")
    fold = _read_single(given, "fold")
    fold = "" if fold == "0" else fold
    folds = sorted({f"fold {key[3]} of {key[2]}" if key[3] else "no fold" for key in found})
    of_fold = {key: one for key, one in found.items() if (str(key[3]) if key[3] else "") == fold}
    if not of_fold:
        raise _report_other(given, f"fold {fold!r}" if fold else "no fold", ", ".join(folds))
    if len(of_fold) > 1:  # of one task alone the classes may fit
        columns = set(given.table)
        fitting = {key: one for key, one in of_fold.items() if set(one[0].classes) <= columns}
        of_fold = fitting if len(fitting) == 1 else of_fold
    if len(of_fold) > 1:
        listed = "; ".join(f"{store} {task}" for store, task, *_ in of_fold)
        raise EntryError(
            f"{folder} has runs of {len(of_fold)} tasks, stores or cross-validations: {listed}. "
            f"Say in the columns store, task and fold which the predictions are of, as `ecglib "
            f"split` writes them."
        )
    return next(iter(of_fold.values()))


def _report_other(given: PredictionTable, found: str, expected: str) -> EntryError:
    return EntryError(
        f"{given.name} is of {found}, but the runs of the batch are of {expected}. Predict the "
        f"windows of the batch; the columns store, task and fold, as `ecglib split` writes them, "
        f"say which they are."
    )


def _read_single(given: PredictionTable, column: str) -> str:
    """Read a column that has one value in all rows; "" if there is none."""
    if column not in given.table:
        return ""
    values = given.table[column].astype(str).unique()
    if len(values) > 1:
        raise EntryError(
            f"{given.name} has {len(values)} values in the column {column}: "
            f"{', '.join(values[:3])}. Expected one: enter one file for each {column}."
        )
    return str(values[0]) if len(values) else ""


def _open_existing(path: Path, details: EntryDetails, evaluated: Evaluated) -> Entry:
    """Open an entry that exists, if it is the same."""
    entry = Entry(path)
    is_same = entry.parameters == details.parameters and all(
        np.array_equal(entry.predictions(split).p, evaluated.predictions[split].p)
        for split in SPLITS
    )
    if not is_same:
        raise EntryError(
            f"{details.name} has other predictions for the seed {details.seed} already. Give "
            f"another name or seed, or remove {path}."
        )
    return entry
