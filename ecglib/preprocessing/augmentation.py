"""Layers that change training windows in mV, before any representation is computed from them.

All representations therefore see the same signal. Each layer only acts with ``training=True``,
draws new values for every window, and draws the same bits for the same seed. Samples that are
0 mV in all leads count as padding and stay 0 mV.
"""

from __future__ import annotations

from ecglib._keras import Tensor

import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops, random

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.registry import AUGMENTATIONS
from ecglib.preprocessing import SignalLayer, check_number

if TYPE_CHECKING:
    from ecglib.datasets.schema import SignalSpec

SEED_STEP = 101  # between two layers: with equal seeds they would draw equal numbers


class Augmentation(SignalLayer):
    """Base of the augmentation layers; a subclass implements `augment`.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    probability : float, default 1.0
        Probability that a window is augmented, from 0 to 1.
    seed : int, default 0
        Seed of the random draws.
    **kwargs
        Arguments of `keras.layers.Layer`.

    Raises
    ------
    ExperimentError
        If an argument is out of its range.

    Examples
    --------
    >>> class Flip(Augmentation):
    ...     def augment(self, x):
    ...         return -x
    >>> x = ops.ones((1, 3, 1))
    >>> layer = Flip(100)
    >>> ops.convert_to_numpy(layer(x, training=True)).ravel().tolist()
    [-1.0, -1.0, -1.0]
    >>> ops.convert_to_numpy(layer(x)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(
        self, sampling_rate: float, probability: float = 1.0, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.probability = check_fraction("probability", probability)
        self.seed = seed
        self.seeds = random.SeedGenerator(seed)

    def augment(self, x: Tensor) -> Tensor:
        """Return the augmented windows, of the same shape as `x`."""
        raise NotImplementedError

    def draw_uniform(self, shape: tuple, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw uniformly distributed values from `low` to `high`."""
        return random.uniform(shape, low, high, dtype=self.compute_dtype, seed=self.seeds)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or not self.probability:
            return inputs
        augmented = self.augment(inputs)
        if self.probability == 1:
            return augmented
        chosen = self.draw_uniform((ops.shape(inputs)[0], 1, 1)) < self.probability
        return ops.where(chosen, augmented, inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        self.get_n_samples(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "probability": self.probability, "seed": self.seed}


def check_fraction(name: str, value: float) -> float:
    """Check that an argument is a number from 0 to 1, and return it as a float.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : float
        The argument as it was given.

    Returns
    -------
    float
        `value`.

    Raises
    ------
    ExperimentError
        If `value` is not a number from 0 to 1.

    Examples
    --------
    >>> check_fraction("probability", 1)
    1.0
    >>> check_fraction("probability", 1.4)
    Traceback (most recent call last):
    ecglib.errors.ExperimentError: `probability=1.4` must be between 0 and 1.
    """
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ExperimentError(f"`{name}={value!r}` must be between 0 and 1.")
    return float(value)


def compute_signal_mask(x: Tensor) -> Tensor:
    """Compute which samples are signal rather than padding.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Windows in mV.

    Returns
    -------
    tensor of shape (n_windows, n_samples, 1)
        1 where a sample differs from 0 mV in any lead, otherwise 0; of the type of `x`.

    Examples
    --------
    >>> x = ops.convert_to_tensor([[[0.2, 0.0], [0.0, 0.0]]])
    >>> ops.convert_to_numpy(compute_signal_mask(x)).ravel().tolist()
    [1.0, 0.0]
    """
    return ops.cast(ops.max(ops.abs(x), axis=-1, keepdims=True) > 0, x.dtype)


@keras.saving.register_keras_serializable(package="ecglib")
class Shift(Augmentation):
    """Shift a window in time, all leads alike, and repeat its last sample at the open end.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    max_s : float, default 0.1
        Maximum shift to either side in s.
    **kwargs
        Arguments of `Augmentation`.

    Examples
    --------
    >>> x = ops.reshape(ops.arange(5, dtype="float32"), (1, 5, 1))
    >>> shifted = Shift(100, max_s=0.02, seed=1)(x, training=True)
    >>> tuple(shifted.shape)
    (1, 5, 1)
    """

    def __init__(self, sampling_rate: float, max_s: float = 0.1, **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.max_s = check_number("max_s", max_s, "s")

    def augment(self, x: Tensor) -> Tensor:
        max_shift = round(self.max_s * self.sampling_rate)
        n_windows, n_samples = ops.shape(x)[0], x.shape[1]
        shifts = random.randint(
            (n_windows, 1), -max_shift, max_shift + 1, dtype="int32", seed=self.seeds
        )
        at = ops.clip(ops.arange(n_samples, dtype="int32")[None] - shifts, 0, n_samples - 1)
        return ops.take_along_axis(x, at[:, :, None], axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_s": self.max_s}


@keras.saving.register_keras_serializable(package="ecglib")
class Gain(Augmentation):
    """Multiply a window by one factor for all leads, so that lead I + lead III = lead II holds.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    max_db : float, default 3.0
        The factor is drawn between -`max_db` and `max_db`, in dB of the amplitude.
    **kwargs
        Arguments of `Augmentation`.

    Examples
    --------
    >>> y = Gain(100, max_db=6.0)(ops.ones((1, 3, 2)), training=True)
    >>> bool(ops.max(y) == ops.min(y)), bool(0.5 < y[0, 0, 0] < 2.0)
    (True, True)
    """

    def __init__(self, sampling_rate: float, max_db: float = 3.0, **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.max_db = check_number("max_db", max_db, "dB")

    def augment(self, x: Tensor) -> Tensor:
        gain_db = self.draw_uniform((ops.shape(x)[0], 1, 1), -self.max_db, self.max_db)
        return x * ops.exp(gain_db * (math.log(10) / 20))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_db": self.max_db}


@keras.saving.register_keras_serializable(package="ecglib")
class BaselineWander(Augmentation):
    """Add a slow sine, as breathing does: one frequency and phase, another amplitude in each lead.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    max_mv : float, default 0.3
        The amplitude in each lead is drawn between -`max_mv` and `max_mv`, in mV.
    low_hz, high_hz : float, default 0.1 and 0.5
        The frequency is drawn between these, in Hz.
    **kwargs
        Arguments of `Augmentation`.

    Raises
    ------
    ExperimentError
        If `low_hz` is above `high_hz`, or `high_hz` is not below the Nyquist frequency.

    Examples
    --------
    >>> x = ops.ones((1, 500, 2))
    >>> wander = BaselineWander(100, max_mv=0.3)(x, training=True) - x
    >>> bool(ops.max(ops.abs(wander)) <= 0.3)
    True
    """

    def __init__(
        self,
        sampling_rate: float,
        max_mv: float = 0.3,
        low_hz: float = 0.1,
        high_hz: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.max_mv = check_number("max_mv", max_mv, "mV")
        self.low_hz = check_number("low_hz", low_hz, "Hz")
        self.high_hz = check_number("high_hz", high_hz, "Hz")
        nyquist_hz = self.sampling_rate / 2
        if not self.low_hz <= self.high_hz < nyquist_hz:
            raise ExperimentError(
                f"`low_hz={self.low_hz:g}` must not be above `high_hz={self.high_hz:g}`, and both "
                f"must be below the Nyquist frequency of {nyquist_hz:g} Hz."
            )

    def augment(self, x: Tensor) -> Tensor:
        n_windows = ops.shape(x)[0]
        frequency_hz = self.draw_uniform((n_windows, 1, 1), self.low_hz, self.high_hz)
        phase = self.draw_uniform((n_windows, 1, 1), 0.0, 2 * math.pi)
        amplitude_mv = self.draw_uniform((n_windows, 1, x.shape[2]), -self.max_mv, self.max_mv)
        time_s = ops.arange(x.shape[1], dtype=x.dtype)[None, :, None] / self.sampling_rate
        wave = ops.sin(2 * math.pi * frequency_hz * time_s + phase)
        return x + amplitude_mv * wave * compute_signal_mask(x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_mv": self.max_mv,
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
        }


@keras.saving.register_keras_serializable(package="ecglib")
class Noise(Augmentation):
    """Add white noise to each lead, at a given signal-to-noise ratio of that lead.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    snr_db : float, default 20.0
        Variance of the lead over variance of the noise, in dB; may be negative.
    **kwargs
        Arguments of `Augmentation`.

    Examples
    --------
    >>> x = ops.sin(ops.reshape(ops.arange(1000, dtype="float32"), (1, 1000, 1)))
    >>> noise = Noise(100, snr_db=20.0)(x, training=True) - x
    >>> round(float(ops.var(x) / ops.var(noise)), -1)
    100.0
    """

    def __init__(self, sampling_rate: float, snr_db: float = 20.0, **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.snr_db = check_number("snr_db", snr_db, "dB", minimum=-100.0)

    def augment(self, x: Tensor) -> Tensor:
        mask = compute_signal_mask(x)
        n_signal = ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)
        centered = (x - ops.sum(x * mask, axis=1, keepdims=True) / n_signal) * mask
        deviation = ops.sqrt(ops.sum(ops.square(centered), axis=1, keepdims=True) / n_signal)
        noise = random.normal(ops.shape(x), dtype=self.compute_dtype, seed=self.seeds)
        return x + noise * mask * deviation * 10 ** (-self.snr_db / 20)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "snr_db": self.snr_db}


@keras.saving.register_keras_serializable(package="ecglib")
class TimeMask(Augmentation):
    """Set one stretch of a window to 0 mV, in all leads at once.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    max_s : float, default 0.5
        Maximum length of the stretch in s.
    **kwargs
        Arguments of `Augmentation`.

    Examples
    --------
    >>> masked = TimeMask(100, max_s=0.5)(ops.ones((1, 1000, 2)), training=True)
    >>> n_masked = int(ops.sum(masked[0, :, 0] == 0))
    >>> n_masked <= 50, n_masked == int(ops.sum(masked[0, :, 1] == 0))
    (True, True)
    """

    def __init__(self, sampling_rate: float, max_s: float = 0.5, **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.max_s = check_number("max_s", max_s, "s")

    def augment(self, x: Tensor) -> Tensor:
        n_windows, n_samples = ops.shape(x)[0], x.shape[1]
        max_length = min(self.max_s * self.sampling_rate, n_samples)
        length = self.draw_uniform((n_windows, 1, 1), 0.0, max_length)
        start = self.draw_uniform((n_windows, 1, 1)) * (n_samples - length)
        at = ops.arange(n_samples, dtype=x.dtype)[None, :, None]
        return ops.where((at >= start) & (at < start + length), ops.zeros_like(x), x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_s": self.max_s}


@keras.saving.register_keras_serializable(package="ecglib")
class LeadDropout(Augmentation):
    """Set leads to 0 mV, as if their electrodes were off; at least one lead stays.

    Parameters
    ----------
    sampling_rate : float
        Sampling rate of the windows in Hz.
    rate : float, default 0.1
        Probability that a lead is lost, from 0 to 1.
    **kwargs
        Arguments of `Augmentation`.

    Examples
    --------
    >>> x = ops.ones((1, 4, 12))
    >>> lost = LeadDropout(100, rate=1.0)(x, training=True)
    >>> float(ops.sum(lost[0, 0]))  # one lead of 1 mV stays
    1.0
    """

    def __init__(self, sampling_rate: float, rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(sampling_rate, **kwargs)
        self.rate = check_fraction("rate", rate)

    def augment(self, x: Tensor) -> Tensor:
        draws = self.draw_uniform((ops.shape(x)[0], 1, x.shape[2]))
        stays = (draws >= self.rate) | (draws >= ops.max(draws, axis=-1, keepdims=True))
        return x * ops.cast(stays, x.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


def find_augmentation(name: str) -> type[Augmentation]:
    """Find the layer of an augmentation by its name in an experiment.

    Parameters
    ----------
    name : str
        A key of `ecglib.experiment.registry.AUGMENTATIONS`.

    Returns
    -------
    type
        The layer's class.

    Raises
    ------
    ExperimentError
        If there is no augmentation of this name.

    Examples
    --------
    >>> find_augmentation("baseline_wander").__name__
    'BaselineWander'
    """
    require_one_of("an augmentation in augment", name, AUGMENTATIONS)
    return globals()[AUGMENTATIONS[name]]


def build_augmentation(
    signal: SignalSpec, augment: Mapping[str, Mapping[str, Any]], seed: int
) -> keras.Model | None:
    """Build the model that augments training windows.

    Parameters
    ----------
    signal : SignalSpec
        Signal spec of the windows or crops; its sampling rate, samples and leads are read.
    augment : mapping of str to mapping
        Options by augmentation, such as ``{"noise": {"snr_db": 20}}``. Augmentations are applied
        in the order of `ecglib.experiment.registry.AUGMENTATIONS`.
    seed : int
        Seed of the random draws.

    Returns
    -------
    keras.Model or None
        From mV to mV, (n_windows, n_samples, n_leads), to be called with ``training=True``; None
        if `augment` is empty.

    Raises
    ------
    ExperimentError
        If an augmentation or an option is unknown, or an option is out of its range.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(100.0, 500, ("I", "II"))
    >>> model = build_augmentation(signal, {"noise": {"snr_db": 20}, "shift": {}}, seed=0)
    >>> [layer.name for layer in model.layers]
    ['signal', 'shift', 'noise']
    >>> build_augmentation(signal, {}, seed=0) is None
    True
    """
    for name in augment:
        find_augmentation(name)
    if not augment:
        return None
    window = x = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
    for place, name in enumerate(AUGMENTATIONS):
        if name in augment:
            layer_class = find_augmentation(name)
            _check_options(name, layer_class, augment[name])
            layer = layer_class(
                signal.sampling_rate_hz,
                name=name,
                seed=seed + SEED_STEP * place,
                **augment[name],
            )
            x = layer(x)
    return keras.Model(window, x, name="augmentation")


def _check_options(name: str, layer_class: type[Augmentation], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(layer_class).parameters
    known = [option for option in parameters if option not in ("sampling_rate", "kwargs")]
    known.append("probability")
    for option in options:
        if option not in known:
            raise ExperimentError(
                f"The augmentation {name!r} has no option {option!r}. Its options: "
                f"{', '.join(known)}."
            )
