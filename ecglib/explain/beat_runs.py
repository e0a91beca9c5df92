"""Where in P, QRS and T a run looks for a class: mean beats, and scores without a wave."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

from collections.abc import Callable

import pandas as pd

from ecglib.datasets.store import Dataset
from ecglib.errors import EcgError
from ecglib.experiment.registry import TABULAR
from ecglib.explain.attribution import Attribution, attribute_by_integrated_gradients
from ecglib.explain.beats import BeatAverage, BeatWindows, average_beats
from ecglib.explain.found_windows import FoundWindows, find_windows
from ecglib.explain.occlusion import occlude_waves
from ecglib.explain.patient_means import average_over_patients
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
    target = _make_target(run, dataset, class_name, found)
    windows = BeatWindows(
        signal_mv=target.inputs[SIGNAL], signal=dataset.signal, patients=found.patients
    )
    return average_beats(method(target)[SIGNAL], windows)


def measure_run_waves(
    run: Run, dataset: Dataset, class_name: str, max_windows: int = 100
) -> pd.DataFrame:
    """Measure how much the score of a class falls without one wave of all beats in one lead.

    Parameters
    ----------
    run : Run
        The run.
    dataset : Dataset
        The store that it was trained on.
    class_name : str
        The class.
    max_windows : int, default 100
        Maximum number of windows; patients take turns.

    Returns
    -------
    DataFrame
        One row for each wave and lead, the largest fall first: ``wave``, ``lead``, and ``fall``
        with its 95 % interval over patients, ``low`` and ``high``, in logits. Of the test windows
        that have the class and are predicted to have it.

    Raises
    ------
    RunError
        If the run was trained on another dataset.
    EcgError
        If there is no such window.

    Notes
    -----
    The wave is replaced by a straight line (`ecglib.explain.occlude_waves`). The intervals are
    those of each row alone.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> measure_run_waves(open_run(), open_dataset("mitdb"), "V").head()  # doctest: +SKIP
    """
    found = find_windows(run, dataset, class_name, max_windows)
    target = _make_target(run, dataset, class_name, found)
    falls = occlude_waves(target, dataset.signal)[SIGNAL]
    mean = average_over_patients(falls.values, found.patients)
    waves, leads = (axis.values for axis in falls.axes)
    rows = [
        {
            "wave": wave,
            "lead": lead,
            "fall": mean.estimate[i, j],
            "low": mean.low[i, j],
            "high": mean.high[i, j],
        }
        for i, wave in enumerate(waves)
        for j, lead in enumerate(leads)
    ]
    return pd.DataFrame(rows).sort_values("fall", ascending=False, ignore_index=True)


def _make_target(run: Run, dataset: Dataset, class_name: str, found: FoundWindows) -> ClassScore:
    """Make the score of a class for windows in which a run finds it."""
    if not len(found.rows):
        raise EcgError(
            f"{run.path.name} finds {class_name} in no test window that has it. Give another class."
        )
    inputs = {SIGNAL: dataset.read(found.rows)}
    if columns := run.contract.processing.tabular_columns:
        inputs[TABULAR] = dataset.read_tabular(found.rows, columns)
    return ClassScore(
        scores=build_signal_scores(run.contract, run.load_network()),
        inputs=inputs,
        class_name=class_name,
        windows=tuple(str(record) for record in found.records),
    )
