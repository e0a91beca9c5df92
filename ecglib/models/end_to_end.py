"""One model from millivolts to calibrated probabilities; what is exported is what was trained.

It joins crops, filters and representations, the model, the aggregation of crops and calibration.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import RunError, require_one_of
from ecglib.evaluation.calibration import PROBABILITY_ROUNDING
from ecglib.experiment.contract import Contract, Processing
from ecglib.experiment.registry import CROP_AGGREGATIONS, TABULAR
from ecglib.models.compilation import COMPILES
from ecglib.models.layers import Shape
from ecglib.representations import build_representations


@keras.saving.register_keras_serializable(package="ecglib")
class EmbedContract(keras.layers.Layer):
    """Pass the signal on, and carry the contract inside the model.

    Input shape
        (n_windows, n_samples, n_leads) in the contract's unit.

    Output shape
        The same.

    Parameters
    ----------
    contract : dict
        As in the run's ``contract.json``: plain values only.

    Raises
    ------
    RunError
        If the windows have other samples or leads than the contract.

    Examples
    --------
    >>> layer = EmbedContract({"signal": {"n_samples": 4, "leads": ["I"]}})
    >>> layer(np.ones((2, 4, 1))).shape
    TensorShape([2, 4, 1])
    """

    def __init__(self, contract: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.contract = contract

    def build(self, input_shape: Shape) -> None:
        signal = self.contract["signal"]
        expected = (signal["n_samples"], len(signal["leads"]))
        if tuple(input_shape[1:]) != expected:
            raise RunError(
                f"Windows of shape {tuple(input_shape[1:])} do not fit the contract, which has "
                f"{expected}: n_samples and the leads {signal['leads']}. Build the input from the "
                f"contract."
            )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "contract": self.contract}


@keras.saving.register_keras_serializable(package="ecglib")
class Crops(keras.layers.Layer):
    """Cut each window into sliding crops; the last one ends with the window.

    Input shape
        (n_windows, n_samples, n_leads), with a known n_samples of at least `length`.

    Output shape
        (n_windows * n_crops, length, n_leads), the crops of one window after each other.

    Parameters
    ----------
    length, hop : int
        Samples in a crop, and from the start of one to the start of the next.

    Examples
    --------
    >>> window = np.arange(5.0).reshape(1, 5, 1)
    >>> np.asarray(Crops(length=3, hop=2)(window))[..., 0].tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """

    def __init__(self, length: int, hop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.length, self.hop = length, hop

    def starts(self, n_samples: int) -> list[int]:
        """List the first sample of each crop of a window."""
        last = n_samples - self.length
        return [*range(0, last, self.hop), last]

    def call(self, inputs: Tensor) -> Tensor:
        starts = self.starts(inputs.shape[1])
        crops = ops.stack([inputs[:, s : s + self.length] for s in starts], axis=1)
        return ops.reshape(crops, (-1, self.length, inputs.shape[2]))

    def compute_output_shape(self, input_shape: tuple[int | None, int, int]) -> Shape:
        n_windows, n_samples, n_leads = input_shape
        n_crops = len(self.starts(n_samples))
        return (None if n_windows is None else n_windows * n_crops, self.length, n_leads)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length, "hop": self.hop}


@keras.saving.register_keras_serializable(package="ecglib")
class AggregateCrops(keras.layers.Layer):
    """Join the probabilities of the crops of each window.

    A crop that is 0 mV in all leads, as padding is, does not count, unless all are.

    Input shape
        A list: probabilities (n_windows * n_crops, ..., n_classes) and the crops in mV,
        (n_windows * n_crops, length, n_leads), as `Crops` orders them.

    Output shape
        (n_windows, ..., n_classes).

    Parameters
    ----------
    n_crops : int
        Crops of a window.
    aggregation : {"mean", "max"}
        What is taken of the crops.
    normalize : bool
        Whether to scale the probabilities to the sum 1 again, for classes that exclude each other.

    Examples
    --------
    >>> p, crops = np.array([[0.2], [0.6]]), np.ones((2, 3, 1))
    >>> round(float(AggregateCrops(2, "mean", normalize=False)([p, crops])[0, 0]), 3)
    0.4
    """

    def __init__(self, n_crops: int, aggregation: str, normalize: bool, **kwargs: Any):
        super().__init__(**kwargs)
        require_one_of("aggregation", aggregation, CROP_AGGREGATIONS)
        self.n_crops, self.aggregation, self.normalize = n_crops, aggregation, normalize

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        p, crops = inputs
        p = ops.reshape(p, (-1, self.n_crops, *p.shape[1:]))
        measured = ops.cast(ops.max(ops.abs(crops), axis=(1, 2)) > 0, p.dtype)
        measured = ops.reshape(measured, (-1, self.n_crops))
        measured = ops.maximum(measured, 1 - ops.max(measured, axis=1, keepdims=True))
        counts = ops.reshape(measured, (-1, self.n_crops, *[1] * (len(p.shape) - 2)))
        if self.aggregation == "mean":
            return ops.sum(p * counts, axis=1) / ops.sum(counts, axis=1)
        p = ops.max(p * counts, axis=1)
        return p / ops.sum(p, axis=-1, keepdims=True) if self.normalize else p

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        (n, *rest), _ = input_shape
        return (None if n is None else n // self.n_crops, *rest)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "n_crops": self.n_crops,
            "aggregation": self.aggregation,
            "normalize": self.normalize,
        }


@keras.saving.register_keras_serializable(package="ecglib")
class Calibrate(keras.layers.Layer):
    """Calibrate probabilities as `ecglib.evaluation.calibration.Calibration` does.

    Input shape
        (n_windows, n_classes).

    Output shape
        The same.

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent or exclude each other.
    scale, bias : sequence of float
        One a class.

    Examples
    --------
    >>> p = Calibrate("multi_class", scale=[1.0, 1.0], bias=[0.0, 0.0])(np.array([[0.2, 0.8]]))
    >>> np.round(p, 3).tolist()
    [[0.20000000298023224, 0.800000011920929]]
    """

    def __init__(self, kind: str, scale: Sequence[float], bias: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.kind, self.scale, self.bias = kind, list(scale), list(bias)

    def call(self, inputs: Tensor) -> Tensor:
        scale, bias = (np.asarray(values, self.compute_dtype) for values in (self.scale, self.bias))
        evidence = ops.log(inputs + PROBABILITY_ROUNDING[self.kind])
        if self.kind == "multi_class":
            return ops.softmax(evidence * scale + bias)
        return ops.sigmoid(
            (evidence - ops.log(1 - inputs + PROBABILITY_ROUNDING[self.kind])) * scale + bias
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "scale": self.scale,
            "bias": self.bias,
        }


@keras.saving.register_keras_serializable(package="ecglib")
class RepeatForCrops(keras.layers.Layer):
    """Repeat the values of a window for each of its crops.

    Input shape
        (n_windows, n_columns).

    Output shape
        (n_windows * n_crops, n_columns), in the order of `Crops`.

    Parameters
    ----------
    n_crops : int
        Crops of a window.

    Examples
    --------
    >>> np.asarray(RepeatForCrops(2)(np.array([[63.0], [40.0]]))).tolist()
    [[63.0], [63.0], [40.0], [40.0]]
    """

    def __init__(self, n_crops: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.n_crops = n_crops

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(ops.stack([inputs] * self.n_crops, axis=1), (-1, inputs.shape[1]))

    def compute_output_shape(self, input_shape: tuple[int | None, int]) -> Shape:
        n_windows, n_columns = input_shape
        return (None if n_windows is None else n_windows * self.n_crops, n_columns)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_crops": self.n_crops}


def describe_crops(signal: SignalSpec, crop_s: float) -> SignalSpec:
    """Return what the crops of windows are.

    Parameters
    ----------
    signal : SignalSpec
        Of the whole windows.
    crop_s : float
        Length of a crop, in s; 0 for the windows themselves.

    Examples
    --------
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II"))
    >>> describe_crops(signal, 2.5).n_samples
    250
    """
    if not crop_s:
        return signal
    return dataclasses.replace(signal, n_samples=round(crop_s * signal.sampling_rate_hz))


def build_processing(signal: SignalSpec, processing: Processing) -> keras.Model:
    """Build the filters and representations of crops or whole windows.

    Parameters
    ----------
    signal : SignalSpec
        Of the whole windows.
    processing : Processing
        What happens to a window before the model.

    Returns
    -------
    keras.Model
        See `ecglib.representations.build_representations`.

    Examples
    --------
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II"))
    >>> processing = Processing(
    ...     band_hz=(0.5, 40.0),
    ...     notch_hz=0.0,
    ...     denoise=False,
    ...     representations=("time",),
    ...     representation_options={},
    ...     crop_s=2.5,
    ...     crop_hop_s=0.0,
    ...     crop_aggregation="mean",
    ... )
    >>> build_processing(signal, processing).output["time"].shape
    (None, 250, 2)
    """
    return build_representations(
        describe_crops(signal, processing.crop_s),
        list(processing.representations),
        processing.band_hz,
        processing.representation_options,
        notch_hz=processing.notch_hz,
        denoise=processing.denoise,
    )


def build_crop_model(
    signal: SignalSpec, representations: keras.Model, model: keras.Model
) -> keras.Model:
    """Join representations and model: what is trained, on crops or on whole windows.

    Parameters
    ----------
    signal : SignalSpec
        Of the crops or windows.
    representations : keras.Model
        From these in mV, and tabular values, to the representations (`build_processing`).
    model : keras.Model
        From the representations to probabilities, (n_windows, ..., n_classes).

    Returns
    -------
    keras.Model
        From "signal", (n_windows, n_samples, n_leads) in mV, to "probabilities",
        (n_windows, ..., n_classes). With the representation "tabular" it has a second input of
        that name, (n_windows, n_columns), NaN where a value is missing.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II"))
    >>> representations = build_representations(signal, ["time"])
    >>> spec = ModelSpec(branches={"time": "cnn"}, fusion="none", n_classes=5, kind="multi_label")
    >>> model = build_model({"time": (1000, 2)}, spec)
    >>> build_crop_model(signal, representations, model).output_shape
    (None, 5)
    """
    window = _window_input(signal)
    values = _tabular_inputs(representations)
    p = _apply_model(representations, model, window, values)
    return _finish(window, values, p)


def build_window_model(
    signal: SignalSpec,
    representations: keras.Model,
    model: keras.Model,
    processing: Processing,
    kind: str,
) -> keras.Model:
    """Join crops, representations and model: what predicts whole windows while training.

    Parameters
    ----------
    signal : SignalSpec
        Of the whole windows.
    representations, model : keras.Model
        As for `build_crop_model`.
    processing : Processing
        Says how windows are cropped and how the probabilities of the crops are joined.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    keras.Model
        As `build_crop_model` returns it, for whole windows.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II"))
    >>> processing = Processing(
    ...     band_hz=(0.5, 40.0),
    ...     notch_hz=0.0,
    ...     denoise=False,
    ...     representations=("time",),
    ...     representation_options={},
    ...     crop_s=2.5,
    ...     crop_hop_s=0.0,
    ...     crop_aggregation="mean",
    ... )
    >>> representations = build_processing(signal, processing)
    >>> spec = ModelSpec(branches={"time": "cnn"}, fusion="none", n_classes=5, kind="multi_label")
    >>> model = build_model({"time": (250, 2)}, spec)
    >>> build_window_model(signal, representations, model, processing, "multi_label").input_shape
    (None, 1000, 2)
    """
    window = _window_input(signal)
    values = _tabular_inputs(representations)
    join = _WindowJoin(signal=signal, processing=processing, kind=kind)
    return _finish(window, values, join(representations, model, window, values))


def build_end_to_end(contract: Contract, model: keras.Model) -> keras.Model:
    """Join everything from mV to calibrated probabilities: what is exported.

    Parameters
    ----------
    contract : Contract
        Of the run.
    model : keras.Model
        From the representations to probabilities, (n_windows, n_classes).

    Returns
    -------
    keras.Model
        As `build_window_model` returns it, calibrated. Its layer "contract" holds the contract.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> processing = Processing(
    ...     band_hz=(0.5, 40.0),
    ...     notch_hz=0.0,
    ...     denoise=False,
    ...     representations=("time",),
    ...     representation_options={},
    ...     crop_s=2.5,
    ...     crop_hop_s=0.0,
    ...     crop_aggregation="mean",
    ... )
    >>> contract = Contract(
    ...     dataset="synthetic",
    ...     fingerprint="0123",
    ...     task="rhythm",
    ...     kind="multi_class",
    ...     classes=("N", "AF"),
    ...     part_column="part",
    ...     signal=SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II")),
    ...     processing=processing,
    ...     calibration_scale=(1.0, 1.0),
    ...     calibration_bias=(0.0, 0.0),
    ...     thresholds=(0.5, 0.5),
    ...     caveats=("synthetic data",),
    ... )
    >>> spec = ModelSpec(branches={"time": "cnn"}, fusion="none", n_classes=2, kind="multi_class")
    >>> model = build_model({"time": (250, 2)}, spec)
    >>> build_end_to_end(contract, model).get_layer("contract").contract["classes"]
    ('N', 'AF')
    """
    signal = contract.signal
    representations = build_processing(signal, contract.processing)
    window = _window_input(signal)
    values = _tabular_inputs(representations)
    x = EmbedContract(contract.to_dict(), name="contract")(window)
    join = _WindowJoin(signal=signal, processing=contract.processing, kind=contract.kind)
    p = join(representations, model, x, values)
    calibrate = Calibrate(
        contract.kind,
        contract.calibration_scale,
        contract.calibration_bias,
        name="calibrate",
        dtype="float32",
    )
    return _finish(window, values, calibrate(p))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _WindowJoin:
    """Cuts windows into crops, applies the model and joins the probabilities of the crops."""

    signal: SignalSpec
    processing: Processing
    kind: str

    def __call__(
        self,
        representations: keras.Model,
        model: keras.Model,
        window: Tensor,
        values: list[Tensor],
    ) -> Tensor:
        processing = self.processing
        if not processing.crop_s:
            return _apply_model(representations, model, window, values)
        length = describe_crops(self.signal, processing.crop_s).n_samples
        hop = max(1, length // 2)
        if processing.crop_hop_s:
            hop = round(processing.crop_hop_s * self.signal.sampling_rate_hz)
        cut = Crops(length, hop, name="crops")
        n_crops = len(cut.starts(self.signal.n_samples))
        crops = cut(window)
        repeated = [RepeatForCrops(n_crops, name="repeat_for_crops")(x) for x in values]
        p = _apply_model(representations, model, crops, repeated)
        aggregate = AggregateCrops(
            n_crops,
            processing.crop_aggregation,
            self.kind == "multi_class",
            name="aggregate_crops",
            dtype="float32",
        )
        return aggregate([p, crops])


def _window_input(signal: SignalSpec) -> Tensor:
    return keras.Input((signal.n_samples, len(signal.leads)), name="signal")


def _tabular_inputs(representations: keras.Model) -> list[Tensor]:
    return [keras.Input(x.shape[1:], name=TABULAR) for x in representations.inputs[1:]]


def _apply_model(
    representations: keras.Model, model: keras.Model, window: Tensor, values: list[Tensor]
) -> Tensor:
    computed = representations([window, *values] if values else window)
    # In a list, by name: Keras sorts the keys of a dict and would mix the inputs up.
    return model([computed[x.name] for x in model.inputs])


def _finish(window: Tensor, values: list[Tensor], p: Tensor) -> keras.Model:
    p = keras.layers.Identity(name="probabilities", dtype="float32")(p)
    # A SavedModel would ask for a list of one input as a list.
    joined = keras.Model(
        [window, *values] if values else window, p, name="millivolt_to_probability"
    )
    joined.jit_compile = COMPILES
    return joined
