"""Build the representations of a window from the values of an experiment.

Each representation is a Keras layer without weights. It takes windows in mV, and knows its output
shape, its axes in s and Hz and its unit before any data is read. `tabular` takes values as well.
"""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.registry import REPRESENTATIONS, TABULAR
from ecglib.preprocessing import BandPass, Notch, WaveletDenoise

if TYPE_CHECKING:
    from ecglib.datasets.schema import SignalSpec

Options = Mapping[str, Any]


def find_representation(name: str) -> type[keras.layers.Layer]:
    """Find the layer of a representation by its name in an experiment.

    Parameters
    ----------
    name : str
        A key of `ecglib.experiment.registry.REPRESENTATIONS`.

    Returns
    -------
    type
        The layer's class.

    Raises
    ------
    ExperimentError
        If there is no representation of this name.

    Examples
    --------
    >>> find_representation("frequency").__name__
    'FrequencySpectrum'
    """
    require_one_of("representation", name, REPRESENTATIONS)
    module, _, layer = REPRESENTATIONS[name].layer.rpartition(".")
    return getattr(importlib.import_module(f"ecglib.representations.{module}"), layer)


def build_representation(
    signal: SignalSpec, representation: str, band_hz: tuple[float, float], options: Options
) -> keras.layers.Layer:
    """Build the layer of one representation.

    It covers the band of the filter unless the options say otherwise. If its windows or wavelets
    are too short for the lower edge of the filter, it starts at its first bin.

    Parameters
    ----------
    signal : SignalSpec
        Signal spec of the windows; its sampling rate and samples are read.
    representation : str
        A key of `ecglib.experiment.registry.REPRESENTATIONS`.
    band_hz : tuple of float
        Edges of the band-pass filter in Hz; 0 leaves the band open.
    options : mapping
        Arguments of the layer, such as ``{"window_s": 0.64}``.

    Returns
    -------
    keras.layers.Layer
        Its name is that of the representation.

    Raises
    ------
    ExperimentError
        If the representation or an option is unknown, or if an option does not fit the windows.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(100.0, 1000, ("I", "II"))
    >>> layer = build_representation(signal, "frequency", (0.5, 30.0), {"high_hz": 20.0})
    >>> layer.low_hz, layer.high_hz
    (0.5, 20.0)
    """
    layer_class = find_representation(representation)
    parameters = inspect.signature(layer_class).parameters
    known = [name for name in parameters if name not in ("sampling_rate", "kwargs")]
    for option in options:
        if option not in known:
            raise ExperimentError(
                f"The representation {representation!r} has no option {option!r}. Its options: "
                f"{', '.join(known)}."
            )
    if representation == TABULAR:
        return layer_class(name=representation, **options)
    arguments = dict(options)
    if "high_hz" in known:
        arguments.setdefault("high_hz", band_hz[1])
    if "low_hz" in known and "low_hz" not in arguments:
        arguments["low_hz"] = 0.0
        min_low_hz = layer_class(signal.sampling_rate_hz, **arguments).find_min_low_hz(
            signal.n_samples
        )
        if band_hz[0] >= min_low_hz - 1e-9:
            arguments["low_hz"] = band_hz[0]
    return layer_class(signal.sampling_rate_hz, name=representation, **arguments)


def build_representations(
    signal: SignalSpec,
    representations: Sequence[str],
    band_hz: tuple[float, float] = (0.5, 40.0),
    options: Mapping[str, Options] | None = None,
    *,
    notch_hz: float = 0.0,
    denoise: bool = False,
) -> keras.Model:
    """Build the model that turns windows into their representations.

    Parameters
    ----------
    signal : SignalSpec
        Signal spec of the windows; its sampling rate, samples and leads are read.
    representations : sequence of str
        Keys of `ecglib.experiment.registry.REPRESENTATIONS`, each once.
    band_hz : tuple of float, default (0.5, 40.0)
        Edges in Hz of the band-pass filter before all representations; 0 leaves the band open.
    options : mapping of str to mapping, optional
        Arguments by representation, such as ``{"spectrogram": {"window_s": 0.64}}``. "tabular"
        needs its ``columns``. Options of representations that are not used are checked and
        otherwise ignored.
    notch_hz : float, default 0.0
        Mains frequency in Hz that a notch filter removes before the band-pass; 0 for no notch.
    denoise : bool, default False
        Whether to apply wavelet denoising after the filters.

    Returns
    -------
    keras.Model
        From an input "signal" of shape (n_windows, n_samples, n_leads) in mV to a dict
        ``{representation: array}``. With "tabular" it has a second input, "values", of shape
        (n_windows, n_columns). The model has no weights. The layer of each representation has the
        representation's name, and knows its axes and unit.

    Raises
    ------
    ExperimentError
        If a representation or option is unknown, if a representation is given twice, or if an
        option does not fit the sampling rate or the length of the windows.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(100.0, 1000, ("I", "II"))
    >>> model = build_representations(signal, ["time", "spectrogram"])
    >>> {name: output.shape for name, output in model.output.items()}
    {'time': (None, 1000, 2), 'spectrogram': (None, 59, 25, 2)}
    >>> model.get_layer("spectrogram").unit
    'dB re 1 mV²/Hz'
    """
    options = options or {}
    if not representations or len(set(representations)) != len(representations):
        raise ExperimentError(
            f"`representations={list(representations)}` must name at least one representation, and "
            "each once."
        )
    for name in options:
        build_representation(signal, name, band_hz, options[name])
    window = filtered = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
    rate_hz = signal.sampling_rate_hz
    if notch_hz:
        filtered = Notch(rate_hz, notch_hz, name="notch")(filtered)
    low_hz, high_hz = band_hz
    filtered = BandPass(rate_hz, low_hz, high_hz, name="band_pass")(filtered)
    if denoise:
        filtered = WaveletDenoise(rate_hz, name="denoise")(filtered)
    layers = {
        name: build_representation(signal, name, band_hz, options.get(name, {}))
        for name in representations
    }
    outputs = {name: layer(filtered) for name, layer in layers.items() if name != TABULAR}
    if TABULAR not in representations:
        return keras.Model(window, outputs, name="representations")
    values = keras.Input((len(layers[TABULAR].columns),), name="values")
    outputs[TABULAR] = layers[TABULAR]([window, values])
    return keras.Model([window, values], outputs, name="representations")
