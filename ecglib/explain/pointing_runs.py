"""The pointing test of runs on simulated datasets: all methods, classes and inputs."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from ecglib.datasets.sources.synthetic import SimulatedSource
from ecglib.datasets.store import Dataset
from ecglib.explain.attribution import (
    Attribution,
    attribute_by_gradient,
    attribute_by_integrated_gradients,
    attribute_by_smoothgrad,
)
from ecglib.explain.found_windows import find_windows
from ecglib.explain.gradcam import compute_grad_cam
from ecglib.explain.gradients import compute_scores
from ecglib.explain.occlusion import (
    occlude_bands,
    occlude_leads,
    occlude_segments,
    occlude_waves,
)
from ecglib.explain.patient_means import PatientMean, average_over_patients
from ecglib.explain.pointing import Evidence, score_pointing
from ecglib.explain.run_scores import SIGNAL, build_representation_scores, build_signal_scores
from ecglib.explain.scores import ClassScore
from ecglib.explain.targets import compute_representations
from ecglib.models.end_to_end import build_processing
from ecglib.models.fusion.branches import find_branches
from ecglib.runs import Run
from ecglib.runs.contestants import name_contestants

MAX_WINDOWS = 50
N_SAMPLES, N_STEPS = 16, 32  # of SmoothGrad and integrated gradients
MAX_CHANCE = 0.35  # evidence that covers more of an axis is at no place of it
USED_LOGIT = 1.0  # evidence without which the logit falls by more is used
Method = Callable[[ClassScore], dict[str, Attribution]]
#: Methods of the signal and of spectra; Grad-CAM is computed of each branch.
METHODS: tuple[Method, ...] = (
    attribute_by_gradient,
    functools.partial(attribute_by_smoothgrad, n_samples=N_SAMPLES),
    functools.partial(attribute_by_integrated_gradients, n_steps=N_STEPS),
    occlude_leads,
    occlude_bands,
)
#: Methods of inputs that have a time axis.
TIME_METHODS: tuple[Method, ...] = (occlude_segments,)


def measure_pointing(
    runs: Sequence[Run],
    dataset: Dataset,
    source: SimulatedSource,
    max_windows: int = MAX_WINDOWS,
    classes: Sequence[str] = (),
) -> pd.DataFrame:
    """Measure how often each method points at the evidence that the simulation put there.

    Parameters
    ----------
    runs : sequence of Run
        Runs on the dataset; of several seeds of a model, the windows are scored together.
    dataset : Dataset
        The store that they were trained on.
    source : SimulatedSource
        What made the store.
    max_windows : int, default 50
        Number of windows of each run and class that are explained: of the test split, with the
        class, and predicted to have it.
    classes : sequence of str, default ()
        The classes; empty for all.

    Returns
    -------
    DataFrame
        One row for each model, class, input, method and axis, with the columns of `PointingScore`,
        ``model``, ``seeds``, ``seeds_using``, and ``fall``, ``fall_low`` and ``fall_high``: how
        much the logit falls in the windows of all seeds when the evidence is removed. A network
        for which it does not fall by more than 1 uses something else, and no attribution can be
        right; the methods are scored on the seeds that use the evidence, if there are any. There is
        no row for an axis of which the evidence covers more than a third, such as the time axis of
        a tremor.

    Raises
    ------
    RunError
        If a run was trained on another dataset.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> from ecglib.datasets.sources.synthetic_pointing import SyntheticPointingSource
    >>> dataset = open_dataset("synthetic_pointing")  # doctest: +SKIP
    >>> measure_pointing([open_run()], dataset, SyntheticPointingSource())  # doctest: +SKIP
    """
    rows: list[dict[str, object]] = []
    for model_hash, name in name_contestants(runs).items():
        seeds = [run for run in runs if run.model_hash == model_hash]
        for class_name in classes or source.task.classes:
            found = [explain_class(run, dataset, source, class_name, max_windows) for run in seeds]
            if explained := [one for one in found if one is not None]:
                rows += [{"model": name, **one} for one in _score_explained(explained)]
    return pd.DataFrame(rows)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedClass:
    """The explanations of one class in some windows, and its evidence there.

    Parameters
    ----------
    attributions : list of Attribution
        By several methods, of several inputs.
    evidence : Evidence
        Of the same windows.
    fall : array of shape (n_windows,)
        How much the logit falls without the evidence.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> evidence = Evidence(
    ...     signal_mv=np.zeros((1, 100, 1)),
    ...     without_mv=np.zeros((1, 100, 1)),
    ...     signal=SignalSpec(100.0, 100, ("I",)),
    ...     patients=np.array(["a"]),
    ... )
    >>> one = ExplainedClass(attributions=[], evidence=evidence, fall=np.array([1.5]))
    >>> one.fall.tolist()
    [1.5]
    """

    attributions: list[Attribution]
    evidence: Evidence
    fall: np.ndarray


def explain_class(
    run: Run, dataset: Dataset, source: SimulatedSource, class_name: str, max_windows: int
) -> ExplainedClass | None:
    """Explain a class in the test windows that have it and are predicted to have it.

    Parameters
    ----------
    run : Run
        The run.
    dataset : Dataset
        The store that it was trained on.
    source : SimulatedSource
        What made the store.
    class_name : str
        The class.
    max_windows : int
        Maximum number of windows.

    Returns
    -------
    ExplainedClass or None
        None if there is no such window, or the evidence is at no place of the signal.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> from ecglib.datasets.sources.synthetic_pointing import SyntheticPointingSource
    >>> dataset = open_dataset("synthetic_pointing")  # doctest: +SKIP
    >>> source = SyntheticPointingSource()  # doctest: +SKIP
    >>> explain_class(open_run(), dataset, source, "T", 10)  # doctest: +SKIP
    """
    found = find_windows(run, dataset, class_name, max_windows)
    records = [str(record) for record in found.records]
    simulated = [source.simulate_evidence(record, class_name) for record in records]
    evidence_mv = [one for one in simulated if one is not None]
    if not evidence_mv:
        return None
    signal_mv = dataset.read(found.rows)
    evidence = Evidence(
        signal_mv=signal_mv,
        without_mv=(signal_mv - np.stack(evidence_mv)).astype(np.float32),
        signal=dataset.signal,
        patients=found.patients,
    )
    k = run.contract.classes.index(class_name)
    network = run.load_network()
    processing = build_processing(run.contract.signal, run.contract.processing)
    of_signal = ClassScore(
        scores=build_signal_scores(run.contract, network, processing),
        inputs={SIGNAL: signal_mv},
        class_name=class_name,
        windows=tuple(records),
    )
    without = {SIGNAL: evidence.without_mv}
    fall = compute_scores(of_signal.model, of_signal.inputs, k) - compute_scores(
        of_signal.model, without, k
    )
    of_representations = ClassScore(
        scores=build_representation_scores(run.contract, network, processing),
        inputs=compute_representations(processing, {SIGNAL: signal_mv}),
        class_name=class_name,
        windows=tuple(records),
    )
    attributions = [
        *_attribute(of_signal),
        *occlude_waves(of_signal, dataset.signal).values(),
        *(_attribute(of_representations) if _has_spectra(of_representations) else ()),
        *(
            compute_grad_cam(of_representations, branch)
            for branch in find_branches(of_representations.model)
        ),
    ]
    return ExplainedClass(attributions=attributions, evidence=evidence, fall=fall)


def join_explained(explained: Sequence[ExplainedClass]) -> ExplainedClass:
    """Join the explanations of several seeds of a model, one after the other.

    Parameters
    ----------
    explained : sequence of ExplainedClass
        With the same methods and inputs.

    Returns
    -------
    ExplainedClass
        Of the windows of all.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> evidence = Evidence(
    ...     signal_mv=np.zeros((1, 100, 1)),
    ...     without_mv=np.zeros((1, 100, 1)),
    ...     signal=SignalSpec(100.0, 100, ("I",)),
    ...     patients=np.array(["a"]),
    ... )
    >>> one = ExplainedClass(attributions=[], evidence=evidence, fall=np.array([1.5]))
    >>> join_explained([one, one]).fall.tolist()
    [1.5, 1.5]
    """
    first = explained[0]
    evidences = [one.evidence for one in explained]
    return ExplainedClass(
        attributions=[
            dataclasses.replace(
                same[0],
                values=np.concatenate([one.values for one in same]),
                windows=tuple(name for one in same for name in one.windows),
            )
            for same in zip(*(one.attributions for one in explained), strict=True)
        ],
        evidence=dataclasses.replace(
            first.evidence,
            signal_mv=np.concatenate([one.signal_mv for one in evidences]),
            without_mv=np.concatenate([one.without_mv for one in evidences]),
            patients=np.concatenate([one.patients for one in evidences]),
        ),
        fall=np.concatenate([one.fall for one in explained]),
    )


def _attribute(target: ClassScore) -> Iterator[Attribution]:
    """Attribute by each method that the inputs have the axes for."""
    for method in METHODS:
        yield from method(target).values()
    if any(axis.name == "time" for one in target.scores.inputs.values() for axis in one.axes):
        for method in TIME_METHODS:
            yield from method(target).values()


def _has_spectra(target: ClassScore) -> bool:
    """Tell whether an input has a frequency axis.

    The representation in time shows nothing that the signal does not.
    """
    inputs = target.scores.inputs.values()
    return any(axis.name == "frequency" for one in inputs for axis in one.axes)


def _average_fall(explained: ExplainedClass) -> PatientMean:
    return average_over_patients(explained.fall, explained.evidence.patients)


def _score_explained(explained: Sequence[ExplainedClass]) -> Iterator[dict[str, object]]:
    """Score the methods on the seeds that use the evidence, or on all if none does."""
    using = [one for one in explained if _average_fall(one).low > USED_LOGIT]
    fall = _average_fall(join_explained(explained))
    values = {
        "seeds": len(explained),
        "seeds_using": len(using),
        "fall": float(fall.estimate),
        "fall_low": float(fall.low),
        "fall_high": float(fall.high),
    }
    scored = join_explained(using or explained)
    for attribution in scored.attributions:
        for score in score_pointing(attribution, scored.evidence):
            if score.hits_chance <= MAX_CHANCE:
                yield {**dataclasses.asdict(score), **values}
