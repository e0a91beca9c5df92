"""Layers that change training windows in mV, before the views: all views see the same signal.

Each is active only with ``training=True``, draws anew for every window, and draws the same bits
for the same seed. Samples that are 0 mV in all leads are taken for padding and stay 0 mV.
"""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import inspect
import math
from typing import TYPE_CHECKING

import keras
from keras import ops, random

from ecglib.errors import ExperimentError, require_one_of
from ecglib.preprocessing import SignalLayer, number

if TYPE_CHECKING:
    from ecglib.datasets.schema import SignalSpec

SEED_STEP = 101  # between the layers: equal seeds would draw equal numbers


class Augmentation(SignalLayer):
    """What the layers share; a subclass gives `augment`.

    Parameters
    ----------
    sampling_rate : float
        In Hz.
    share : float
        Share of the windows that are changed, from 0 to 1.
    seed : int
        Decides what is drawn.

    Input shape
        (n_windows, n_samples, n_leads) in mV.

    Output shape
        The same, in mV.

    Raises
    ------
    ExperimentError
        If an argument is out of its range.
    """

    def __init__(self, sampling_rate: float, share: float = 1.0, seed: int = 0, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.share = share_of("share", share)
        self.seed = seed
        self.seeds = random.SeedGenerator(seed)

    def augment(self, x):
        """Give the changed windows."""
        raise NotImplementedError

    def uniform(self, shape: tuple, low: float = 0.0, high: float = 1.0):
        """Draw from ``low`` to ``high``."""
        return random.uniform(shape, low, high, dtype=self.compute_dtype, seed=self.seeds)

    def call(self, inputs, training=False):
        if not training or not self.share:
            return inputs
        changed = self.augment(inputs)
        if self.share == 1:
            return changed
        return ops.where(self.uniform((ops.shape(inputs)[0], 1, 1)) < self.share, changed, inputs)

    def compute_output_shape(self, input_shape):
        self.n_samples_of(input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "share": self.share, "seed": self.seed}


def share_of(name: str, value: float) -> float:
    """Give ``value`` as a float, or say that it is no share from 0 to 1."""
    value = number(name, value, "(a share)")
    if value > 1:
        raise ExperimentError(f"{name}={value:g} is no share. Give a number from 0 to 1.")
    return value


def measured(x):
    """Give 1 where a sample differs from 0 mV in any lead, else 0: (n_windows, n_samples, 1)."""
    return ops.cast(ops.max(ops.abs(x), axis=-1, keepdims=True) > 0, x.dtype)


@keras.saving.register_keras_serializable(package="ecglib")
class Shift(Augmentation):
    """Shifts a window in time, all leads alike; at the open end its last sample is held.

    Parameters
    ----------
    max_s : float
        The largest shift to either side, in s.
    """

    def __init__(self, sampling_rate: float, max_s: float = 0.1, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.max_s = number("max_s", max_s, "s")

    def augment(self, x):
        most = round(self.max_s * self.sampling_rate)
        n_samples = x.shape[1]
        by = random.randint((ops.shape(x)[0], 1), -most, most + 1, dtype="int32", seed=self.seeds)
        at = ops.clip(ops.arange(n_samples, dtype="int32")[None] - by, 0, n_samples - 1)
        return ops.take_along_axis(x, at[:, :, None], axis=1)

    def get_config(self):
        return {**super().get_config(), "max_s": self.max_s}


@keras.saving.register_keras_serializable(package="ecglib")
class Gain(Augmentation):
    """Amplifies a window by one factor: one for all leads, or I + III = II would not hold.

    Parameters
    ----------
    max_db : float
        The factor is drawn between -`max_db` and `max_db`, in dB of the amplitude.
    """

    def __init__(self, sampling_rate: float, max_db: float = 3.0, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.max_db = number("max_db", max_db, "dB")

    def augment(self, x):
        db = self.uniform((ops.shape(x)[0], 1, 1), -self.max_db, self.max_db)
        return x * ops.exp(db * (math.log(10) / 20))

    def get_config(self):
        return {**super().get_config(), "max_db": self.max_db}


@keras.saving.register_keras_serializable(package="ecglib")
class BaselineWander(Augmentation):
    """Adds a slow sine: breathing, of one frequency and phase, stronger in one lead than another.

    Parameters
    ----------
    max_mv : float
        The amplitude of each lead is drawn between -`max_mv` and `max_mv`, in mV.
    low_hz, high_hz : float
        The frequency is drawn between these, in Hz.
    """

    def __init__(
        self,
        sampling_rate: float,
        max_mv: float = 0.3,
        low_hz: float = 0.1,
        high_hz: float = 0.5,
        **kwargs,
    ):
        super().__init__(sampling_rate, **kwargs)
        self.max_mv = number("max_mv", max_mv, "mV")
        self.low_hz = number("low_hz", low_hz, "Hz")
        self.high_hz = number("high_hz", high_hz, "Hz")
        if not self.low_hz <= self.high_hz < self.sampling_rate / 2:
            raise ExperimentError(
                f"low_hz={self.low_hz:g} and high_hz={self.high_hz:g}, expected rising and below "
                f"the Nyquist frequency of {self.sampling_rate / 2:g} Hz."
            )

    def augment(self, x):
        n_windows = ops.shape(x)[0]
        frequency_hz = self.uniform((n_windows, 1, 1), self.low_hz, self.high_hz)
        phase = self.uniform((n_windows, 1, 1), 0.0, 2 * math.pi)
        amplitude_mv = self.uniform((n_windows, 1, x.shape[2]), -self.max_mv, self.max_mv)
        time_s = ops.arange(x.shape[1], dtype=x.dtype)[None, :, None] / self.sampling_rate
        wave = ops.sin(2 * math.pi * frequency_hz * time_s + phase)
        return x + amplitude_mv * wave * measured(x)

    def get_config(self):
        own = {"max_mv": self.max_mv, "low_hz": self.low_hz, "high_hz": self.high_hz}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="ecglib")
class Noise(Augmentation):
    """Adds white noise to each lead, so strong that the lead has a given signal-to-noise ratio.

    Parameters
    ----------
    snr_db : float
        Variance of the lead over variance of the noise, in dB; may be negative.
    """

    def __init__(self, sampling_rate: float, snr_db: float = 20.0, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.snr_db = number("snr_db", snr_db, "dB", minimum=-100.0)

    def augment(self, x):
        own = measured(x)
        n_own = ops.maximum(ops.sum(own, axis=1, keepdims=True), 1.0)
        off = (x - ops.sum(x * own, axis=1, keepdims=True) / n_own) * own
        deviation = ops.sqrt(ops.sum(ops.square(off), axis=1, keepdims=True) / n_own)
        noise = random.normal(ops.shape(x), dtype=self.compute_dtype, seed=self.seeds)
        return x + noise * own * deviation * 10 ** (-self.snr_db / 20)

    def get_config(self):
        return {**super().get_config(), "snr_db": self.snr_db}


@keras.saving.register_keras_serializable(package="ecglib")
class TimeMask(Augmentation):
    """Sets one stretch of a window to 0 mV, in all leads at once.

    Parameters
    ----------
    max_s : float
        The stretch is drawn up to this length, in s.
    """

    def __init__(self, sampling_rate: float, max_s: float = 0.5, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.max_s = number("max_s", max_s, "s")

    def augment(self, x):
        n_windows, n_samples = ops.shape(x)[0], x.shape[1]
        most = min(self.max_s * self.sampling_rate, n_samples)
        length = self.uniform((n_windows, 1, 1), 0.0, most)
        start = self.uniform((n_windows, 1, 1)) * (n_samples - length)
        at = ops.arange(n_samples, dtype=x.dtype)[None, :, None]
        return ops.where((at >= start) & (at < start + length), ops.zeros_like(x), x)

    def get_config(self):
        return {**super().get_config(), "max_s": self.max_s}


@keras.saving.register_keras_serializable(package="ecglib")
class LeadDropout(Augmentation):
    """Sets leads to 0 mV, as if their electrodes were off; one lead always stays.

    Parameters
    ----------
    rate : float
        Share of the leads that are lost, from 0 to 1.
    """

    def __init__(self, sampling_rate: float, rate: float = 0.1, **kwargs):
        super().__init__(sampling_rate, **kwargs)
        self.rate = share_of("rate", rate)

    def augment(self, x):
        drawn = self.uniform((ops.shape(x)[0], 1, x.shape[2]))
        kept = (drawn >= self.rate) | (drawn >= ops.max(drawn, axis=-1, keepdims=True))
        return x * ops.cast(kept, x.dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


AUGMENTATIONS = {
    "shift": Shift,
    "gain": Gain,
    "baseline_wander": BaselineWander,
    "noise": Noise,
    "time_mask": TimeMask,
    "lead_dropout": LeadDropout,
}


def build_augmentation(
    signal: SignalSpec, augment: dict[str, dict], seed: int
) -> keras.Model | None:
    """Build the model that changes training windows.

    Parameters
    ----------
    signal : SignalSpec
        Of the windows or crops: ``sampling_rate_hz``, ``n_samples`` and ``leads`` are read.
    augment : dict of dict
        Options by augmentation, such as ``{"noise": {"snr_db": 20}}``. They are applied in the
        order of ``AUGMENTATIONS``.
    seed : int
        Decides what is drawn.

    Returns
    -------
    keras.Model or None
        From mV to mV, (n_windows, n_samples, n_leads), to be called with ``training=True``;
        None if there is nothing to do.

    Raises
    ------
    ExperimentError
        If an augmentation or an option is unknown or out of its range.
    """
    for name in augment:
        require_one_of("an augmentation in augment", name, AUGMENTATIONS)
    if not augment:
        return None
    # The pipeline runs on the CPU, and the state of what is drawn has to be where it is used.
    with keras.device("cpu"):
        window = x = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
        for place, (name, layer) in enumerate(AUGMENTATIONS.items()):
            if name in augment:
                own = {"name": name, "seed": seed + SEED_STEP * place}
                x = layer(signal.sampling_rate_hz, **_known(name, augment[name]), **own)(x)
        return keras.Model(window, x, name="augmentation")


def _known(name: str, options: dict) -> dict:
    own = inspect.signature(AUGMENTATIONS[name]).parameters
    known = [option for option in own if option not in ("sampling_rate", "kwargs")] + ["share"]
    if unknown := [option for option in options if option not in known]:
        raise ExperimentError(
            f"The augmentation {name!r} has no option {unknown[0]!r}. Its options: "
            f"{', '.join(known)}."
        )
    return options
