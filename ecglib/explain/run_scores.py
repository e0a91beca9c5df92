"""The scores of a run, as a function of the signal in mV or of the representations."""

import ecglib._keras  # noqa: F401

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from ecglib.datasets.schema import SignalSpec
from ecglib.experiment.contract import Contract
from ecglib.experiment.registry import TABULAR
from ecglib.explain.gradients import compute_outputs
from ecglib.explain.scores import LEAD, Axis, ModelInput, ScoreModel, build_score_model
from ecglib.models.end_to_end import (
    build_crop_model,
    build_processing,
    build_window_model,
    describe_crops,
)

SIGNAL = "signal"
# Key of `compute_axes` of a representation -> name and unit of the axis.
AXES = {"time_s": ("time", "s"), "frequency_hz": ("frequency", "Hz"), "column": ("column", "")}


def describe_signal(signal: SignalSpec) -> ModelInput:
    """Describe the input of windows in mV.

    Parameters
    ----------
    signal : SignalSpec
        Of the windows.

    Returns
    -------
    ModelInput
        With the axes time and lead, and the baseline 0 mV.

    Examples
    --------
    >>> described = describe_signal(SignalSpec(100.0, 1000, ("I", "II")))
    >>> [axis.name for axis in described.axes], described.shape
    (['time', 'lead'], (1000, 2))
    """
    time_s = np.arange(signal.n_samples) / signal.sampling_rate_hz
    return ModelInput(
        axes=(Axis(name="time", unit="s", values=time_s), _describe_leads(signal.leads)),
        unit=signal.unit,
        baseline=np.zeros((signal.n_samples, len(signal.leads)), np.float32),
    )


def build_signal_scores(
    contract: Contract, network: keras.Model, processing: keras.Model | None = None
) -> ScoreModel:
    """Build the scores of a run as a function of the signal in mV, through its representations.

    All branches are explained on the samples of the signal, so they can be compared.

    Parameters
    ----------
    contract : Contract
        Of the run.
    network : keras.Model
        Of the run, from the representations to probabilities.
    processing : keras.Model, optional
        Of `ecglib.models.end_to_end.build_processing`, if it is built already.

    Returns
    -------
    ScoreModel
        From "signal", (n_windows, n_samples, n_leads) in mV, and "tabular" if the network takes it.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> contract = make_contract(["frequency"])
    >>> build_signal_scores(contract, make_network(contract)).inputs["signal"].shape
    (200, 2)
    """
    signal, settings = contract.signal, contract.processing
    representations = processing or build_processing(signal, settings)
    if settings.crop_s:
        window = build_window_model(signal, representations, network, settings, contract.kind)
        model = build_score_model(window, contract.kind)
    else:
        scores = build_score_model(network, contract.kind)
        model = build_crop_model(signal, representations, scores)
    inputs = {SIGNAL: describe_signal(signal)}
    if TABULAR in settings.representations:
        inputs[TABULAR] = _describe_tabular(contract, network)
    return ScoreModel(model=model, classes=contract.classes, inputs=inputs)


def build_representation_scores(
    contract: Contract, network: keras.Model, processing: keras.Model | None = None
) -> ScoreModel:
    """Build the scores of a run as a function of the representations that its network takes.

    Parameters
    ----------
    contract : Contract
        Of the run.
    network : keras.Model
        Of the run, from the representations to probabilities.
    processing : keras.Model, optional
        Of `ecglib.models.end_to_end.build_processing`, if it is built already.

    Returns
    -------
    ScoreModel
        From the representations of a window, or of a crop if the run has crops. `compute_outputs`
        computes them with the model of `ecglib.models.end_to_end.build_processing`. The baseline
        of each is what it makes of 0 mV, and that of tabular values their mean in training.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> contract = make_contract(["time", "spectrogram"])
    >>> scores = build_representation_scores(contract, make_network(contract))
    >>> [axis.name for axis in scores.inputs["spectrogram"].axes]
    ['time', 'frequency', 'lead']
    """
    signal = describe_crops(contract.signal, contract.processing.crop_s)
    representations = processing or build_processing(contract.signal, contract.processing)
    of_silence = compute_outputs(
        representations, {x.name: np.zeros((1, *x.shape[1:])) for x in representations.inputs}
    )
    inputs = {}
    for name in (x.name for x in network.inputs):
        if name == TABULAR:
            inputs[name] = _describe_tabular(contract, network)
            continue
        layer = representations.get_layer(name)
        baseline = of_silence[name][0]
        axes = [
            Axis(name=AXES[key][0], unit=AXES[key][1], values=np.asarray(values))
            for key, values in layer.compute_axes(signal.n_samples).items()
        ]
        inputs[name] = ModelInput(
            axes=(*axes, _describe_leads(layer.name_channels(signal.leads))),
            unit=layer.unit,
            baseline=baseline,
        )
    model = build_score_model(network, contract.kind)
    return ScoreModel(model=model, classes=contract.classes, inputs=inputs)


def _describe_leads(names: Sequence[str]) -> Axis:
    return Axis(name=LEAD, unit="", values=np.array(names))


def _describe_tabular(contract: Contract, network: keras.Model) -> ModelInput:
    columns = np.array(contract.processing.tabular_columns)
    mean = ops.convert_to_numpy(network.get_layer(f"{TABULAR}_scaling").mean)
    return ModelInput(
        axes=(Axis(name="column", unit="", values=columns),),
        unit="as the column says",
        baseline=mean.reshape(len(columns)),
    )
