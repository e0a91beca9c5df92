"""Mean beats of a run: where in P, QRS and T it looks for a class."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

from collections.abc import Callable

from ecglib.datasets.store import Dataset
from ecglib.errors import EcgError
from ecglib.experiment.registry import TABULAR
from ecglib.explain.attribution import Attribution, attribute_by_integrated_gradients
from ecglib.explain.beats import BeatAverage, BeatWindows, average_beats
from ecglib.explain.found_windows import find_windows
from ecglib.explain.run_scores import SIGNAL, build_signal_scores
from ecglib.explain.scores import ClassScore
from ecglib.runs import Run

Method = Callable[[ClassScore], dict[str, Attribution]]


def average_run_beats(
    run: Run,
    dataset: Dataset,
    class_name: str,
    method: Method = attribute_by_integrated_gradients,
    max_windows: int = 100,
) -> BeatAverage:
    """Average the beats of test windows in which a run finds a class, with their attribution.

    Parameters
    ----------
    run : Run
        The run.
    dataset : Dataset
        The store that it was trained on.
    class_name : str
        The class.
    method : callable, default attribute_by_integrated_gradients
        From a `ClassScore` to an attribution of the signal, on time and leads. Integrated
        gradients are larger where the signal is; the gradient and SmoothGrad are not.
    max_windows : int, default 100
        Maximum number of windows; patients take turns.

    Returns
    -------
    BeatAverage
        Of the windows that have the class and are predicted to have it.

    Raises
    ------
    RunError
        If the run was trained on another dataset.
    EcgError
        If there is no such window, or none with beats.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> average = average_run_beats(open_run(), open_dataset("mitdb"), "V")  # doctest: +SKIP
    >>> average.to_table()  # doctest: +SKIP
    """
    found = find_windows(run, dataset, class_name, max_windows)
    if not len(found.rows):
        raise EcgError(
            f"{run.path.name} finds {class_name} in no test window that has it. Give another class."
        )
    signal_mv = dataset.read(found.rows)
    inputs = {SIGNAL: signal_mv}
    if columns := run.contract.processing.tabular_columns:
        inputs[TABULAR] = dataset.read_tabular(found.rows, columns)
    target = ClassScore(
        scores=build_signal_scores(run.contract, run.load_network()),
        inputs=inputs,
        class_name=class_name,
        windows=tuple(str(record) for record in found.records),
    )
    windows = BeatWindows(signal_mv=signal_mv, signal=dataset.signal, patients=found.patients)
    return average_beats(method(target)[SIGNAL], windows)
