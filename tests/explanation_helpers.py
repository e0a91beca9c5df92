"""A small explanation for the tests of its page."""

import dataclasses

import keras
import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.explain import (
    BeatWindows,
    ExplainedInput,
    Explanation,
    SanityCheck,
    attribute_by_gradient,
    attribute_by_integrated_gradients,
    average_beats,
    build_representation_scores,
    build_signal_scores,
)
from ecglib.explain.examples import make_class_score, make_contract, make_network
from ecglib.explain.targets import make_representation_target, make_signal_target
from ecglib.inference import Window

PASSED = SanityCheck(name="deletion", figure=0.05, min_accepted=0.0, max_accepted=0.05)


def make_explanation(caveats=("synthetic data",)):
    """Integrated gradients of an untrained model of spectrum and spectrogram, without failures."""
    keras.utils.set_random_seed(0)
    contract = dataclasses.replace(make_contract(["frequency", "spectrogram"]), caveats=caveats)
    network = make_network(contract)
    rng = np.random.default_rng(0)
    steps = (200 * rng.standard_normal((200, 2))).astype(np.int16)
    window = Window(record="r1 <b>", start_s=2.5, steps=steps)
    signal_scores = build_signal_scores(contract, network)
    signal = make_signal_target(contract, signal_scores, window, "MI")
    scores = build_representation_scores(contract, network)
    representations, _ = make_representation_target(contract, scores, signal_scores, signal)
    found = [
        explain_inputs(target, attribute_by_integrated_gradients(target, n_steps=4))
        for target in (signal, representations)
    ]
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
        signal=found[0][0],
        representations=found[1],
        crop_start_s=0.0,
        branches=None,
        branch_checks=(),
        branch_weights=None,
    )


def make_beat_average():
    """The gradient of an untrained model, averaged over one beat of each of two windows."""
    target = make_class_score()
    windows = BeatWindows(
        signal_mv=target.inputs["signal"],
        signal=SignalSpec(100.0, 200, ("I", "II"), around_beats=True, beat_s=1.0),
        patients=np.array(["a", "b"]),
    )
    return average_beats(attribute_by_gradient(target)["signal"], windows)


def explain_inputs(target, attributions):
    return tuple(
        ExplainedInput(
            values=target.inputs[name][0],
            unit=target.scores.inputs[name].unit,
            attribution=attribution,
            checks=(PASSED,),
        )
        for name, attribution in attributions.items()
    )
