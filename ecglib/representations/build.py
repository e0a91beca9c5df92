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

from ecglib.errors import ExperimentError
from ecglib.experiment.branches import describe_kind
from ecglib.experiment.registry import LAYER, TABULAR
from ecglib.preprocessing import BandPass, Notch, WaveletDenoise
from ecglib.representations.bands import FrequencyBandLayer
from ecglib.representations.imported import check_imported_layer, import_layer_class

if TYPE_CHECKING:
    from ecglib.datasets.schema import SignalSpec

Options = Mapping[str, Any]


def find_representation(name: str) -> type[keras.layers.Layer]:
    """Find the layer of a representation by its name in an experiment.

    Parameters
    ----------
    name : str
        A key of `ecglib.experiment.registry.REPRESENTATIONS`, or one followed by a word.

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
    module, _, layer = describe_kind(name).layer.rpartition(".")
    return getattr(importlib.import_module(f"ecglib.representations.{module}"), layer)


def build_representation(
    signal: SignalSpec, representation: str, band_hz: tuple[float, float], options: Options
) -> keras.layers.Layer:
    """Build the layer of one representation.

    If it has a frequency axis, it covers the band of the filter unless the options say otherwise.
    If its windows or wavelets are too short for the lower edge of the filter, it starts at its
    first bin.

    Parameters
    ----------
    signal : SignalSpec
        Signal spec of the windows; its sampling rate and samples are read.
    representation : str
        A key of `ecglib.experiment.registry.REPRESENTATIONS`, or one followed by a word.
    band_hz : tuple of float
        Edges of the band-pass filter in Hz; 0 leaves the band open.
    options : mapping
        Arguments of the layer, such as ``{"window_s": 0.64}``. "layer" is the import path of a
        layer of another package that computes it (`ecglib.representations.imported`).

    Returns
    -------
    keras.layers.Layer
        Its name is that of the representation.

    Raises
    ------
    ExperimentError
        If the representation or an option is unknown, if an option does not fit the windows, or if
        a layer of another package is none, cannot be imported or has other axes.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(100.0, 1000, ("I", "II"))
    >>> layer = build_representation(signal, "frequency", (0.5, 30.0), {"high_hz": 20.0})
    >>> layer.low_hz, layer.high_hz
    (0.5, 20.0)
    """
    layer_class = find_representation(representation)
    arguments = dict(options)
    path = arguments.pop(LAYER, "")
    if path:
        layer_class = import_layer_class(path)
    _check_options(representation, layer_class, arguments)
    if representation == TABULAR:
        return layer_class(name=representation, **arguments)
    if issubclass(layer_class, FrequencyBandLayer):
        arguments = _choose_band(signal, layer_class, band_hz, arguments)
    layer = layer_class(signal.sampling_rate_hz, name=representation, **arguments)
    if path:
        check_imported_layer(layer, path, representation, signal)
    return layer


def _check_options(
    representation: str, layer_class: type[keras.layers.Layer], options: Options
) -> None:
    """Refuse options that the layer does not have."""
    parameters = inspect.signature(layer_class).parameters
    known = [name for name in parameters if name not in ("sampling_rate", "kwargs")]
    for option in options:
        if option not in known:
            raise ExperimentError(
                f"The representation {representation!r}, a {layer_class.__name__}, has no option "
                f"{option!r}. Its options: {', '.join(known) or 'none'}."
            )


def _choose_band(
    signal: SignalSpec,
    layer_class: type[FrequencyBandLayer],
    band_hz: tuple[float, float],
    options: Options,
) -> dict[str, Any]:
    """Add the edges of the filter's band to the options, where these name none."""
    chosen = {"high_hz": band_hz[1]} | dict(options)
    if "low_hz" not in chosen:
        chosen["low_hz"] = 0.0
        layer = layer_class(signal.sampling_rate_hz, **chosen)
        if band_hz[0] >= layer.find_min_low_hz(signal.n_samples) - 1e-9:
            chosen["low_hz"] = band_hz[0]
    return chosen


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
        Keys of `ecglib.experiment.registry.REPRESENTATIONS`, also followed by a word, each once.
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
    layers = {
        name: build_representation(signal, name, band_hz, options.get(name, {}))
        for name in dict.fromkeys([*representations, *options])
    }
    window = filtered = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
    rate_hz = signal.sampling_rate_hz
    if notch_hz:
        filtered = Notch(rate_hz, notch_hz, name="notch")(filtered)
    low_hz, high_hz = band_hz
    filtered = BandPass(rate_hz, low_hz, high_hz, name="band_pass")(filtered)
    if denoise:
        filtered = WaveletDenoise(rate_hz, name="denoise")(filtered)
    outputs = {name: layers[name](filtered) for name in representations if name != TABULAR}
    if TABULAR not in representations:
        return keras.Model(window, outputs, name="representations")
    values = keras.Input((len(layers[TABULAR].columns),), name="values")
    outputs[TABULAR] = layers[TABULAR]([window, values])
    return keras.Model([window, values], outputs, name="representations")
