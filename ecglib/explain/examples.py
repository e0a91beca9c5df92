"""A small contract, network, class score and explanation, for examples."""

import ecglib._keras  # noqa: F401

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.experiment.contract import Contract, Processing
from ecglib.explain.attribution import Attribution, attribute_by_integrated_gradients
from ecglib.explain.checks import SanityCheck
from ecglib.explain.explanation import ExplainedInput, Explanation
from ecglib.explain.run_scores import build_representation_scores, build_signal_scores
from ecglib.explain.scores import ClassScore
from ecglib.explain.targets import make_representation_target, make_signal_target
from ecglib.inference import Window
from ecglib.models import ModelSpec, build_model
from ecglib.models.end_to_end import build_processing

PASSED = SanityCheck(name="deletion", figure=0.05, min_accepted=0.0, max_accepted=0.05)


def make_contract(representations: Sequence[str]) -> Contract:
    """Make the contract of a run on windows of 2 s with two leads, and the classes MI and CD.

    Parameters
    ----------
    representations : sequence of str
        What the network takes.

    Returns
    -------
    Contract
        Of a multi-label task.

    Examples
    --------
    >>> make_contract(["time"]).signal.n_samples
    200
    """
    return Contract(
        dataset="synthetic",
        fingerprint="0123",
        task="superdiagnostic",
        kind="multi_label",
        classes=("MI", "CD"),
        part_column="part",
        signal=SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=("I", "II")),
        processing=Processing(
            band_hz=(0.5, 40.0),
            notch_hz=0.0,
            denoise=False,
            representations=tuple(representations),
            representation_options={},
            crop_s=0.0,
            crop_hop_s=0.0,
            crop_aggregation="mean",
        ),
        calibration_scale=(1.0, 1.0),
        calibration_bias=(0.0, 0.0),
        thresholds=(0.5, 0.5),
        caveats=("synthetic data",),
    )


def make_network(contract: Contract) -> keras.Model:
    """Make an untrained network for a contract: a small CNN for each of its representations.

    Parameters
    ----------
    contract : Contract
        Of `make_contract`.

    Returns
    -------
    keras.Model
        From the representations to probabilities.

    Examples
    --------
    >>> make_network(make_contract(["time"])).output_shape
    (None, 2)
    """
    names = contract.processing.representations
    shapes = build_processing(contract.signal, contract.processing).output
    encoders = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d", "scalogram": "cnn2d"}
    spec = ModelSpec(
        branches={name: encoders[name] for name in names},
        fusion="none" if len(names) == 1 else "intermediate_concat",
        n_classes=len(contract.classes),
        kind=contract.kind,
        width=4,
        feature_dim=8,
    )
    return build_model({name: x.shape[1:] for name, x in shapes.items()}, spec)


def make_class_score() -> ClassScore:
    """Make the score of the class MI for two windows of noise, by an untrained time branch.

    Returns
    -------
    ClassScore
        As a function of the signal in mV.

    Examples
    --------
    >>> make_class_score().windows
    ('first', 'second')
    """
    contract = make_contract(["time"])
    signals = 0.2 * np.random.default_rng(0).standard_normal((2, 200, 2))
    return ClassScore(
        scores=build_signal_scores(contract, make_network(contract)),
        inputs={"signal": signals.astype(np.float32)},
        class_name="MI",
        windows=("first", "second"),
    )


def make_explanation(caveats: Sequence[str] = ("synthetic data",)) -> Explanation:
    """Make the explanation of a window of noise by an untrained model of spectrum and spectrogram.

    Parameters
    ----------
    caveats : sequence of str, default ("synthetic data",)
        Of the run.

    Returns
    -------
    Explanation
        By integrated gradients, without a check that failed.

    Examples
    --------
    >>> make_explanation().failed
    ()
    """
    keras.utils.set_random_seed(0)
    contract = make_contract(["frequency", "spectrogram"])
    contract = dataclasses.replace(contract, caveats=tuple(caveats))
    network = make_network(contract)
    steps = (200 * np.random.default_rng(0).standard_normal((200, 2))).astype(np.int16)
    window = Window(record="r1 <b>", start_s=2.5, steps=steps)
    processing = build_processing(contract.signal, contract.processing)
    signal_scores = build_signal_scores(contract, network, processing)
    signal = make_signal_target(contract, signal_scores, window, "MI")
    scores = build_representation_scores(contract, network, processing)
    representations, _ = make_representation_target(
        contract, processing, scores, signal_scores, signal
    )
    (of_signal,), of_representations = (
        explain_inputs(target, attribute_by_integrated_gradients(target, n_steps=4))
        for target in (signal, representations)
    )
    return Explanation(
        run_name="a run",
        model_name="a model",
        contract=contract,
        fold="fold 2 of 5",
        window=window,
        split="test",
        labels=("CD",),
        p=np.array([0.7, 0.2]),
        decisions=("MI",),
        class_name="MI",
        method="integrated_gradients",
        signal=of_signal,
        representations=of_representations,
        crop_start_s=0.0,
        branches=None,
        branch_checks=(),
        branch_weights=None,
        branches_note="",
        seeds_note="Agreement between seeds was not checked.",
    )


def explain_inputs(
    target: ClassScore, attributions: Mapping[str, Attribution]
) -> tuple[ExplainedInput, ...]:
    """Describe attributions as inputs that were explained, with a check that passed.

    Parameters
    ----------
    target : ClassScore
        Of one window or more, of which the first is shown.
    attributions : mapping of str to Attribution
        Of its inputs.

    Returns
    -------
    tuple of ExplainedInput
        In the order of the attributions.

    Examples
    --------
    >>> from ecglib.explain import attribute_by_gradient
    >>> target = make_class_score()
    >>> explain_inputs(target, attribute_by_gradient(target))[0].failed
    ()
    """
    return tuple(
        ExplainedInput(
            values=target.inputs[name][0],
            unit=target.scores.inputs[name].unit,
            attribution=attribution,
            checks=(PASSED,),
        )
        for name, attribution in attributions.items()
    )
