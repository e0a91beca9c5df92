"""A small contract, network and class score, for the examples of this package."""

import ecglib._keras  # noqa: F401

from collections.abc import Sequence

import keras
import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.experiment.contract import Contract, Processing
from ecglib.explain.run_scores import build_signal_scores
from ecglib.explain.scores import ClassScore
from ecglib.models import ModelSpec, build_model
from ecglib.models.end_to_end import build_processing


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
