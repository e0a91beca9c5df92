"""Checks entered predictions against the windows and classes of a batch's runs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecglib.batch.entering.files import EXPECTED, MAX_SHOWN, PredictionTable
from ecglib.datasets.split_files import SPLIT_COLUMNS
from ecglib.errors import EntryError, did_you_mean
from ecglib.evaluation.predictions import Predictions
from ecglib.paths import neutralize_formula

MAX_WINDOW = 2**53  # up to which whole numbers are exact
MAX_SUM_ERROR = 1e-3  # of the probabilities of a window: files round them
WAY_OUT = {
    "multi_label": "apply the sigmoid to logits",
    "multi_class": "apply the softmax to logits",
}


def arrange_predictions(
    given: PredictionTable, expected: Mapping[str, Predictions]
) -> dict[str, Predictions]:
    """Check predictions, and arrange them in the order of the windows of each split.

    Parameters
    ----------
    given : PredictionTable
        What was given.
    expected : mapping of str to Predictions
        The validation and the test split, of a run of the batch: windows and labels.

    Returns
    -------
    dict of str to Predictions
        The same windows and labels with the probabilities that were given, in float32.

    Raises
    ------
    EntryError
        If a window is missing, given twice or of no split, a class is missing or unknown, a record,
        patient or split is another than that of the batch, a value is no probability, or the
        probabilities of a window of a multi-class task do not sum to 1.

    Examples
    --------
    >>> one = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.array([7, 8]),
    ...     records=np.array(["r1", "r2"]),
    ...     patients=np.array(["p1", "p2"]),
    ...     y=np.array([[1], [0]]),
    ...     p=np.array([[0.5], [0.5]]),
    ... )
    >>> import dataclasses
    >>> other = dataclasses.replace(one, rows=np.array([1, 2]))
    >>> table = pd.DataFrame({"window": [8, 2, 7, 1], "AF": [0.1, 0.2, 0.9, 0.8]})
    >>> given = PredictionTable(source="", table=table, unit="row")
    >>> arranged = arrange_predictions(given, {"validation": other, "test": one})
    >>> arranged["test"].p.round(1).tolist()
    [[0.8999999761581421], [0.10000000149011612]]
    """
    first = expected["validation"]
    check_columns(given, first.classes)
    places = _find_places(given, expected)
    for split, one in expected.items():
        _check_texts(given, places[split], one, split)
    p = _read_probabilities(given, first.classes)
    _check_probabilities(given, p, first)
    arranged = {
        split: one.replace_probabilities(p[places[split]].astype(np.float32))
        for split, one in expected.items()
    }
    if all(np.array_equal(one.p, one.y) for one in arranged.values()):
        raise EntryError(
            f"{given.name} holds the labels themselves, not predictions. Replace the columns of "
            f"the classes with the probabilities that the model gives."
        )
    return arranged


def check_columns(given: PredictionTable, classes: Sequence[str]) -> None:
    """Check that a table has a column for each window and class, and no other class.

    Parameters
    ----------
    given : PredictionTable
        What was given.
    classes : sequence of str
        Names of the classes.

    Raises
    ------
    EntryError
        If a column is missing or unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"window": [7], "AFF": [0.5]})
    >>> check_columns(PredictionTable(source="", table=table, unit="row"), ["N", "AF"])
    Traceback (most recent call last):
    ...
    ecglib.errors.EntryError: The table has no column N, AF and an unknown column 'AFF'. ...
    """
    columns = list(given.table)
    accepted = {neutralize_formula(name) for name in classes} | {*classes, *SPLIT_COLUMNS}
    missing = [] if "window" in columns else ["window"]
    missing += [one for one in classes if not {one, neutralize_formula(one)} & set(columns)]
    unknown = [name for name in columns if name not in accepted]
    faults = [f"no column {', '.join(missing)}"] if missing else []
    faults += [f"an unknown column {unknown[0]!r}"] if unknown else []
    if faults:
        hint = did_you_mean(unknown[0], missing or classes) if unknown else ""
        raise EntryError(
            f"{given.name} has {' and '.join(faults)}. {EXPECTED}; the classes are "
            f"{', '.join(classes)}.{hint}"
        )


def _find_places(
    given: PredictionTable, expected: Mapping[str, Predictions]
) -> dict[str, np.ndarray]:
    """Find the row of each expected window in the table."""
    windows = _read_windows(given)
    repeated = pd.Series(windows).duplicated(keep=False).to_numpy()
    if repeated.any():
        raise EntryError(
            f"{given.name} has {len(np.unique(windows[repeated]))} windows more than once, first "
            f"window {windows[repeated][0]} in {given.name_rows(windows == windows[repeated][0])}. "
            f"Give each window once."
        )
    known = np.isin(windows, np.concatenate([one.rows for one in expected.values()]))
    if not known.all():
        raise EntryError(
            f"{given.name} has {(~known).sum()} windows that are neither in the validation nor in "
            f"the test split of the batch, first in {given.name_rows(~known)}: window "
            f"{windows[~known][0]}. Give the windows of these splits only; training windows are "
            f"not scored. `ecglib split` writes which split a window is in."
        )
    lacking = {split: one.rows[~np.isin(one.rows, windows)] for split, one in expected.items()}
    if any(map(len, lacking.values())):
        counts = " and ".join(
            f"{len(rows)} of {expected[split].n_windows} {split} windows"
            for split, rows in lacking.items()
        )
        first = ", ".join(map(str, np.concatenate(list(lacking.values()))[:MAX_SHOWN]))
        raise EntryError(
            f"{given.name} lacks {counts}, first the windows {first}. Predict every window of "
            f"both splits: calibration and thresholds are fitted on the validation split."
        )
    order = np.argsort(windows)
    return {
        split: order[np.searchsorted(windows, one.rows, sorter=order)]
        for split, one in expected.items()
    }


def _read_windows(given: PredictionTable) -> np.ndarray:
    values = pd.to_numeric(given.table["window"], errors="coerce").to_numpy(np.float64)
    wrong = ~((np.abs(values) < MAX_WINDOW) & (values == np.round(values)))
    if not len(values):
        raise EntryError(f"{given.name} has no rows. Give one for each window.")
    if wrong.any():
        value = given.table["window"].to_numpy()[wrong][0]
        raise EntryError(
            f"{given.name} has {wrong.sum()} values in the column window that are no whole "
            f"numbers, first in {given.name_rows(wrong)}: {value!r}. Give the numbers that "
            f"`ecglib split` wrote in this column."
        )
    return values.astype(np.int64)


def _check_texts(
    given: PredictionTable, places: np.ndarray, expected: Predictions, split: str
) -> None:
    """Check record, patient and split of each window, where they are given."""
    columns = {
        "record": expected.records.astype(str),
        "patient": expected.patients.astype(str),
        "part": np.full(len(places), split),
    }
    for name, texts in columns.items():
        if name not in given.table:
            continue
        found = given.table[name].astype(str).to_numpy(str)[places]
        wrong = found != texts
        wrong &= found != np.array([neutralize_formula(one) for one in texts])
        if wrong.any():
            at = np.zeros(len(given.table), bool)
            at[places[wrong]] = True
            k = int(places[wrong].argmin())
            raise EntryError(
                f"{given.name} has another {name} than the runs of the batch for {wrong.sum()} "
                f"{split} windows, first in {given.name_rows(at)}: {str(found[wrong][k])!r}, not "
                f"{str(texts[wrong][k])!r}. The predictions are of other windows: write the "
                f"split of the batch's store again (`ecglib split`), and predict that."
            )


def _read_probabilities(given: PredictionTable, classes: Sequence[str]) -> np.ndarray:
    """Read the probabilities of each row; what is no number becomes nan."""
    columns = []
    for name in classes:
        column = given.table[name if name in given.table else neutralize_formula(name)]
        try:
            columns.append(column.to_numpy(object).astype(np.float64))
        except (TypeError, ValueError):
            columns.append(np.array([_convert(one) for one in column]))
    return np.stack(columns, axis=1)


def _convert(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _check_probabilities(given: PredictionTable, p: np.ndarray, expected: Predictions) -> None:
    classes, kind = expected.classes, expected.kind
    missing = np.isnan(p)
    if missing.any():
        row, k = np.argwhere(missing)[0]
        raise EntryError(
            f"{given.name} has {missing.sum()} values that are no numbers, first {classes[k]} in "
            f"{given.name_rows(missing.any(axis=1))}: {_show(given, classes[k], row)}. Give a "
            f"probability for each window and class."
        )
    outside = (p < 0) | (p > 1)
    if outside.any():
        row, k = np.argwhere(outside)[0]
        raise EntryError(
            f"{given.name} has {outside.sum()} values that are not between 0 and 1, first "
            f"{classes[k]} in {given.name_rows(outside.any(axis=1))}: "
            f"{_show(given, classes[k], row)}. Give probabilities; {WAY_OUT[kind]}."
        )
    if kind == "multi_class":
        sums = p.sum(axis=1)
        wrong = np.abs(sums - 1) > MAX_SUM_ERROR
        if wrong.any():
            raise EntryError(
                f"{given.name} has {wrong.sum()} windows whose probabilities do not sum to 1, "
                f"first in {given.name_rows(wrong)}: {sums[wrong][0]:.4g}. A window of this task "
                f"has exactly one class; {WAY_OUT[kind]}."
            )


def _show(given: PredictionTable, name: str, row: int) -> str:
    column = given.table[name if name in given.table else neutralize_formula(name)]
    value = column.iloc[row]
    is_number = not isinstance(value, str) and (value is not None)
    return repr(_convert(value) if is_number else value)[:50]
