"""One graph from millivolts to calibrated probabilities, trained as exported.

Crops, filters and views, model, joining of the crops, calibration: all that a contract says.
"""

import ecglib._keras  # noqa: F401

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import RunError, require_one_of
from ecglib.evaluation.calibration import ROUNDING
from ecglib.experiment.config import AGGREGATIONS
from ecglib.representations import build_representations


@keras.saving.register_keras_serializable(package="ecglib")
class Contract(keras.layers.Layer):
    """Hands the signal on, and carries the contract inside the model.

    Parameters
    ----------
    contract : dict
        As in the run's ``contract.json``: plain values only.

    Input shape
        (n_windows, n_samples, n_leads) in the contract's unit.

    Output shape
        The same.
    """

    def __init__(self, contract: dict, **kwargs):
        super().__init__(**kwargs)
        self.contract = contract

    def build(self, input_shape):
        expected = (self.contract["n_samples"], len(self.contract["leads"]))
        if tuple(input_shape[1:]) != expected:
            raise RunError(
                f"The model takes windows of shape {expected}, n_samples and the leads "
                f"{self.contract['leads']}. Received: {tuple(input_shape[1:])}."
            )
        self.built = True

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "contract": self.contract}


@keras.saving.register_keras_serializable(package="ecglib")
class Crops(keras.layers.Layer):
    """Cuts each window into sliding crops; the last one ends with the window.

    Parameters
    ----------
    length, hop : int
        Samples in a crop, and from the start of one to the start of the next.

    Input shape
        (n_windows, n_samples, n_leads), with a known n_samples of at least `length`.

    Output shape
        (n_windows * n_crops, length, n_leads), the crops of one window after each other.
    """

    def __init__(self, length: int, hop: int, **kwargs):
        super().__init__(**kwargs)
        self.length, self.hop = length, hop

    def starts(self, n_samples: int) -> list[int]:
        """The first sample of each crop of a window."""
        last = n_samples - self.length
        return [*range(0, last, self.hop), last]

    def call(self, inputs):
        starts = self.starts(inputs.shape[1])
        crops = ops.stack([inputs[:, s : s + self.length] for s in starts], axis=1)
        return ops.reshape(crops, (-1, self.length, inputs.shape[2]))

    def compute_output_shape(self, input_shape):
        n_windows, n_samples, n_leads = input_shape
        n_crops = len(self.starts(n_samples))
        return (None if n_windows is None else n_windows * n_crops, self.length, n_leads)

    def get_config(self):
        return {**super().get_config(), "length": self.length, "hop": self.hop}


@keras.saving.register_keras_serializable(package="ecglib")
class JoinCrops(keras.layers.Layer):
    """Aggregates the probabilities of the crops of each window.

    A crop that is 0 mV in all leads, as padding is, does not count, unless all are.

    Parameters
    ----------
    n_crops : int
        Crops of a window.
    how : {"mean", "max"}
        What is taken of the crops.
    to_one : bool
        The classes exclude each other: their probabilities are brought to the sum 1 again.

    Input shape
        A list: probabilities (n_windows * n_crops, ..., n_classes) and the crops in mV,
        (n_windows * n_crops, length, n_leads), as `Crops` orders them.

    Output shape
        (n_windows, ..., n_classes).
    """

    def __init__(self, n_crops: int, how: str, to_one: bool, **kwargs):
        super().__init__(**kwargs)
        require_one_of("how", how, AGGREGATIONS)
        self.n_crops, self.how, self.to_one = n_crops, how, to_one

    def call(self, inputs):
        p, crops = inputs
        p = ops.reshape(p, (-1, self.n_crops, *p.shape[1:]))
        measured = ops.cast(ops.max(ops.abs(crops), axis=(1, 2)) > 0, p.dtype)
        measured = ops.reshape(measured, (-1, self.n_crops))
        measured = ops.maximum(measured, 1 - ops.max(measured, axis=1, keepdims=True))
        counts = ops.reshape(measured, (-1, self.n_crops, *[1] * (len(p.shape) - 2)))
        if self.how == "mean":
            return ops.sum(p * counts, axis=1) / ops.sum(counts, axis=1)
        p = ops.max(p * counts, axis=1)
        return p / ops.sum(p, axis=-1, keepdims=True) if self.to_one else p

    def compute_output_shape(self, input_shape):
        (n, *rest), _ = input_shape
        return (None if n is None else n // self.n_crops, *rest)

    def get_config(self):
        own = {"n_crops": self.n_crops, "how": self.how, "to_one": self.to_one}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="ecglib")
class Calibrate(keras.layers.Layer):
    """Calibrates probabilities as `ecglib.evaluation.calibration.Calibration` does.

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent or exclude each other.
    scale, bias : sequence of float
        One a class.

    Input shape
        (n_windows, n_classes).

    Output shape
        The same.
    """

    def __init__(self, kind: str, scale: Sequence[float], bias: Sequence[float], **kwargs):
        super().__init__(**kwargs)
        self.kind, self.scale, self.bias = kind, list(scale), list(bias)

    def call(self, inputs):
        scale, bias = (np.asarray(values, self.compute_dtype) for values in (self.scale, self.bias))
        evidence = ops.log(inputs + ROUNDING[self.kind])
        if self.kind == "multi_class":
            return ops.softmax(evidence * scale + bias)
        return ops.sigmoid((evidence - ops.log(1 - inputs + ROUNDING[self.kind])) * scale + bias)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = {"kind": self.kind, "scale": self.scale, "bias": self.bias}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="ecglib")
class ForEachCrop(keras.layers.Layer):
    """Repeats what belongs to a window for each of its crops.

    Parameters
    ----------
    n_crops : int
        Crops of a window.

    Input shape
        (n_windows, n_columns).

    Output shape
        (n_windows * n_crops, n_columns), in the order of `Crops`.
    """

    def __init__(self, n_crops: int, **kwargs):
        super().__init__(**kwargs)
        self.n_crops = n_crops

    def call(self, inputs):
        return ops.reshape(ops.stack([inputs] * self.n_crops, axis=1), (-1, inputs.shape[1]))

    def compute_output_shape(self, input_shape):
        n_windows, n_columns = input_shape
        return (None if n_windows is None else n_windows * self.n_crops, n_columns)

    def get_config(self):
        return {**super().get_config(), "n_crops": self.n_crops}


def of_crops(signal: SignalSpec, crop_s: float) -> SignalSpec:
    """What the crops of windows are, `crop_s` in s; with 0 the windows themselves."""
    if not crop_s:
        return signal
    return dataclasses.replace(signal, n_samples=round(crop_s * signal.sampling_rate_hz))


def views_of(signal: SignalSpec, contract: Mapping) -> keras.Model:
    """The filters and views that a contract describes, of its crops or whole windows.

    Parameters
    ----------
    signal
        of the whole windows.
    contract
        band_hz, notch_hz, denoise, representations, representation_options and crop_s.
    """
    return build_representations(
        of_crops(signal, contract.get("crop_s", 0)),  # runs of earlier versions know of no crops,
        contract["representations"],
        tuple(contract["band_hz"]),
        contract["representation_options"],
        notch_hz=contract.get("notch_hz", 0),  # no notch
        denoise=contract.get("denoise", False),  # and no denoising
    )


def window_graph(
    signal: SignalSpec, views: keras.Model, model: keras.Model, contract: Mapping
) -> keras.Model:
    """Crops, views, model and calibration: what predicts while training is what is exported.

    Parameters
    ----------
    signal
        of the whole windows.
    views
        from crops (or windows) in mV, and tabular values, to the representations.
    model
        from the representations to probabilities, (n_windows, ..., n_classes).
    contract
        of the run. Of a run that is being made: kind, crop_s, crop_hop_s, aggregation and, once
        it is known, calibration.

    Returns
    -------
    keras.Model
        From "signal", (n_windows, n_samples, n_leads) in mV, to "probabilities",
        (n_windows, ..., n_classes). With the representation "tabular" it has a second input of
        that name, (n_windows, n_columns), NaN where a value is missing. Its layer "contract" holds
        the contract, if it is whole.
    """
    window = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
    x = Contract(contract, name="contract")(window) if "leads" in contract else window
    inputs = [window, *(keras.Input(x.shape[1:], name="tabular") for x in views.inputs[1:])]
    values = inputs[1:]
    crop_s = contract.get("crop_s", 0)
    if crop_s:
        length = of_crops(signal, crop_s).n_samples
        hop_s = contract["crop_hop_s"]
        hop = round(hop_s * signal.sampling_rate_hz) if hop_s else max(1, length // 2)
        cut = Crops(length, hop, name="crops")
        n_crops = len(cut.starts(signal.n_samples))
        x, values = cut(x), [ForEachCrop(n_crops, name="for_each_crop")(own) for own in values]
    of_view = views([x, *values] if values else x)
    # In a list, by name: Keras sorts the keys of a dict and would mix the inputs up.
    p = model([of_view[own.name] for own in model.inputs])
    if crop_s:
        to_one = contract["kind"] == "multi_class"
        p = JoinCrops(
            n_crops, contract["crop_aggregation"], to_one, name="joined", dtype="float32"
        )([p, x])
    if calibration := contract.get("calibration"):
        p = Calibrate(contract["kind"], **calibration, name="calibrate", dtype="float32")(p)
    p = keras.layers.Identity(name="probabilities", dtype="float32")(p)
    # A list of one input would be asked for as a list by a SavedModel.
    graph = keras.Model(inputs if values else window, p, name="millivolt_to_probability")
    # XLA takes seconds to compile and gives other bits than training did.
    graph.jit_compile = False
    return graph
