"""What is explained: the score of a class as a function of a model's inputs, with their axes."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.errors import EcgError, require_one_of
from ecglib.evaluation.calibration import PROBABILITY_ROUNDING
from ecglib.models.layers import Shape

LEAD = "lead"
WAVE = "wave"
EXCLUDED = -1e9  # a logit without any probability


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Axis:
    """One axis of an input or of an attribution.

    Parameters
    ----------
    name : {"time", "frequency", "lead", "column", "wave"}
        What varies along it.
    unit : str
        "s" or "Hz", and "" for names.
    values : array of shape (n,)
        Times from the start of the window, frequencies, or names.

    Examples
    --------
    >>> Axis(name="time", unit="s", values=np.arange(3) / 100).values.tolist()
    [0.0, 0.01, 0.02]
    """

    name: str
    unit: str
    values: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ModelInput:
    """What an explanation has to know of one input of a model.

    Parameters
    ----------
    axes : tuple of Axis
        The axes of one window.
    unit : str
        Unit of the values.
    baseline : array of the shape of one window
        Values without evidence: 0 mV, or what a representation makes of 0 mV.

    Raises
    ------
    EcgError
        If the shape of the baseline is not that of the axes.

    Examples
    --------
    >>> lead = Axis(name="lead", unit="", values=np.array(["I", "II"]))
    >>> ModelInput(axes=(lead,), unit="mV", baseline=np.zeros(2)).shape
    (2,)
    """

    axes: tuple[Axis, ...]
    unit: str
    baseline: np.ndarray

    def __post_init__(self) -> None:
        if self.baseline.shape != self.shape:
            raise EcgError(
                f"The baseline has shape {self.baseline.shape}, and the axes have {self.shape}. "
                f"Give one value for each entry of a window."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one window."""
        return tuple(len(axis.values) for axis in self.axes)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ScoreModel:
    """A model whose outputs are scores that can be explained, and the axes of its inputs.

    Parameters
    ----------
    model : keras.Model
        From its inputs to logits, (n_windows, n_classes); see `build_score_model`.
    classes : tuple of str
        Names of the classes.
    inputs : mapping of str to ModelInput
        Name of an input -> its axes, unit and baseline.

    Raises
    ------
    EcgError
        If the names or shapes of the inputs are not those of the model.

    Examples
    --------
    >>> inputs = keras.Input((2,), name="leads")
    >>> p = keras.layers.Dense(1, activation="sigmoid")(inputs)
    >>> lead = Axis(name="lead", unit="", values=np.array(["I", "II"]))
    >>> scores = ScoreModel(
    ...     model=build_score_model(keras.Model(inputs, p), "multi_label"),
    ...     classes=("AF",),
    ...     inputs={"leads": ModelInput(axes=(lead,), unit="mV", baseline=np.zeros(2))},
    ... )
    >>> list(scores.inputs)
    ['leads']
    """

    model: keras.Model
    classes: tuple[str, ...]
    inputs: Mapping[str, ModelInput]

    def __post_init__(self) -> None:
        shapes = {x.name: tuple(x.shape[1:]) for x in self.model.inputs}
        given = {name: one.shape for name, one in self.inputs.items()}
        if shapes != given:
            raise EcgError(
                f"The inputs are described as {given}, and the model has {shapes}. Describe each "
                f"input of the model."
            )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ClassScore:
    """The score of one class for a batch of windows: what a method explains.

    Parameters
    ----------
    scores : ScoreModel
        The model.
    inputs : mapping of str to array of shape (n_windows, ...)
        One array for each input of the model.
    class_name : str
        The class.
    windows : tuple of str
        Name of each window.

    Raises
    ------
    EcgError
        If an input is missing, has another shape, or there is not one name for each window.
    ExperimentError
        If the model has no such class.

    Examples
    --------
    >>> inputs = keras.Input((2,), name="leads")
    >>> p = keras.layers.Dense(1, activation="sigmoid")(inputs)
    >>> lead = Axis(name="lead", unit="", values=np.array(["I", "II"]))
    >>> scores = ScoreModel(
    ...     model=build_score_model(keras.Model(inputs, p), "multi_label"),
    ...     classes=("AF",),
    ...     inputs={"leads": ModelInput(axes=(lead,), unit="mV", baseline=np.zeros(2))},
    ... )
    >>> target = ClassScore(
    ...     scores=scores,
    ...     inputs={"leads": np.ones((1, 2))},
    ...     class_name="AF",
    ...     windows=("record 100",),
    ... )
    >>> target.class_index
    0
    """

    scores: ScoreModel
    inputs: Mapping[str, np.ndarray]
    class_name: str
    windows: tuple[str, ...]

    def __post_init__(self) -> None:
        require_one_of("class_name", self.class_name, self.scores.classes)
        expected = {name: (len(self.windows), *x.shape) for name, x in self.scores.inputs.items()}
        given = {name: np.shape(x) for name, x in self.inputs.items()}
        if given != expected:
            raise EcgError(
                f"The inputs have shapes {given}, expected {expected} for {len(self.windows)} "
                f"named windows. Give each input of the model, and a name for each window."
            )

    @property
    def model(self) -> keras.Model:
        """The model of the scores."""
        return self.scores.model

    @property
    def class_index(self) -> int:
        """The place of the class in the output of the model."""
        return self.scores.classes.index(self.class_name)

    def make_baselines(self) -> dict[str, np.ndarray]:
        """Return the baseline of each input, (n_windows, ...), NaN where a value is missing."""
        return {
            name: np.where(np.isnan(x), x, self.scores.inputs[name].baseline)
            for name, x in self.inputs.items()
        }


class _Logits(keras.layers.Layer):
    """Compute the logits of the probabilities of a dense layer, with its weights."""

    def __init__(self, probabilities: keras.layers.Dense, **kwargs: Any):
        super().__init__(**kwargs)
        self.probabilities = probabilities

    def call(self, x: Tensor) -> Tensor:
        z = ops.matmul(x, self.probabilities.kernel)
        if self.probabilities.use_bias:
            z = z + self.probabilities.bias
        if self.probabilities.activation is keras.activations.sigmoid:
            return z
        n_classes = z.shape[-1]
        others = z[:, None, :] + EXCLUDED * ops.eye(n_classes, dtype=z.dtype)
        return z - ops.logsumexp(others, axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.probabilities.units)


def build_score_model(model: keras.Model, kind: str) -> keras.Model:
    """Build the model whose output is the logit of each probability, log(p / (1 - p)).

    The score is uncalibrated. It is not the probability, because that of a confident model hardly
    changes with its input.

    Parameters
    ----------
    model : keras.Model
        From its inputs to probabilities, (n_windows, n_classes).
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    keras.Model
        With the inputs, layers and weights of `model`.

    Raises
    ------
    ExperimentError
        If the kind is unknown.

    Notes
    -----
    Where the model ends with a dense layer of the activation sigmoid or softmax, the logit is
    computed from that layer's input: exact however confident the model is. Otherwise (a late
    fusion, joined crops) it is computed from the probability, to which, and to one minus it, the
    rounding of calibration is added (`ecglib.evaluation.calibration.PROBABILITY_ROUNDING`).

    Examples
    --------
    >>> inputs = keras.Input((2,), name="leads")
    >>> p = keras.layers.Dense(1, activation="sigmoid", bias_initializer="ones")(inputs)
    >>> model = build_score_model(keras.Model(inputs, p), "multi_label")
    >>> float(model(np.zeros((1, 2)))[0, 0])
    1.0
    """
    require_one_of("kind", kind, PROBABILITY_ROUNDING)
    (p,) = model.outputs
    last = model.layers[-1]
    exact = (keras.activations.sigmoid, keras.activations.softmax)
    if isinstance(last, keras.layers.Dense) and last.activation in exact and last.output is p:
        logits = _Logits(last, name="logits", dtype="float32")(last.input)
    else:
        rounding = PROBABILITY_ROUNDING[kind]
        logits = ops.log(p + rounding) - ops.log(1 - p + rounding)
    return keras.Model(model.input, logits, name="scores")
