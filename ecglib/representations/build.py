"""The views of a window: time series, frequency spectrum, spectrogram, scalogram, and its values.

Each view is a Keras layer without weights that takes windows in mV and knows its output shape,
its axes in s and Hz and its unit before any data is read. `TabularValues` takes values as well.
"""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import inspect
from typing import TYPE_CHECKING

import keras

from ecglib.errors import ExperimentError
from ecglib.preprocessing import BandPass, Notch, SignalLayer, WaveletDenoise
from ecglib.representations.frequency import FrequencySpectrum
from ecglib.representations.scalogram import Scalogram
from ecglib.representations.spectrogram import Spectrogram
from ecglib.representations.tabular import TabularValues
from ecglib.representations.time import TimeSeries

if TYPE_CHECKING:
    from ecglib.datasets.schema import SignalSpec

REPRESENTATION_LAYERS = {
    "time": TimeSeries,
    "frequency": FrequencySpectrum,
    "spectrogram": Spectrogram,
    "scalogram": Scalogram,
}


def build_representation(
    signal: SignalSpec, representation: str, band_hz: tuple[float, float], options: dict
) -> SignalLayer:
    """Give the view layer of one representation.

    It covers the band of the filter unless ``options`` say otherwise, and starts at its first
    bin where its windows or wavelets are too short for the filter's lower edge.

    Parameters
    ----------
    signal : SignalSpec
        Of the windows: ``sampling_rate_hz`` and ``n_samples`` are read.
    representation : str
        A key of ``REPRESENTATION_LAYERS``.
    band_hz : tuple of float
        Edges of the band-pass filter, in Hz; 0 leaves the band open.
    options : dict
        Arguments of the view, such as ``{"window_s": 0.64}``.

    Raises
    ------
    ExperimentError
        If the representation or an option is unknown, or if the view cannot hold.
    """
    if representation not in REPRESENTATION_LAYERS:
        raise ExperimentError(
            f"Unknown representation {representation!r}. Choose from: {', '.join(REPRESENTATION_LAYERS)}."
        )
    view = REPRESENTATION_LAYERS[representation]
    known = [
        name
        for name in inspect.signature(view).parameters
        if name not in ("sampling_rate", "kwargs")
    ]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ExperimentError(
            f"The representation {representation!r} has no option {unknown[0]!r}. "
            f"Its options: {', '.join(known) or 'none'}."
        )
    settings = dict(options)
    if "high_hz" in known:
        settings.setdefault("high_hz", band_hz[1])
    if "low_hz" not in settings and "low_hz" in known:
        settings["low_hz"] = 0.0
        layer = view(signal.sampling_rate_hz, **settings)
        if band_hz[0] >= layer.lowest_hz(signal.n_samples) - 1e-9:
            settings["low_hz"] = band_hz[0]
    return view(signal.sampling_rate_hz, name=representation, **settings)


def build_representations(
    signal: SignalSpec,
    representations: list[str],
    band_hz: tuple[float, float] = (0.5, 40.0),
    options: dict[str, dict] | None = None,
    *,
    notch_hz: float = 0.0,
    denoise: bool = False,
) -> keras.Model:
    """Build the model that turns windows into their representations.

    Parameters
    ----------
    signal : SignalSpec
        Of the windows: ``sampling_rate_hz``, ``n_samples`` and ``leads`` are read.
    representations : list of str
        Keys of ``REPRESENTATION_LAYERS`` or "tabular", each once.
    band_hz : tuple of float
        Edges in Hz of the band-pass filter that stands before all views; 0 leaves the band open.
    options : dict of dict
        Arguments by representation, such as ``{"spectrogram": {"window_s": 0.64}}``; "tabular"
        needs its ``columns``. Those of a representation that is not asked for are checked and not
        used.
    notch_hz : float
        Frequency of the mains, in Hz, that a notch filter takes out before the band-pass; 0 for
        no notch.
    denoise : bool
        Whether noise is taken off in a wavelet transform after the filters.

    Returns
    -------
    keras.Model
        From an input "signal" of shape (n_windows, n_samples, n_leads) in mV, and with "tabular"
        a second one, "values", of shape (n_windows, n_columns), to a dict ``{representation:
        array}``. It has no weights; the layer of each view has the name of its representation,
        and the axes and the unit of it.

    Raises
    ------
    ExperimentError
        If a representation or option is unknown or given twice, or if a setting does not fit the
        sampling rate or the length of the windows.
    """
    options = options or {}
    if not representations or len(set(representations)) != len(representations):
        raise ExperimentError(
            f"Give at least one representation, and each once. Received: {representations}."
        )
    for name in options:
        if name != "tabular":
            build_representation(signal, name, band_hz, options[name])
    if unknown := set(options.get("tabular", {})) - {"columns"}:
        raise ExperimentError(
            f"The representation 'tabular' has no option {sorted(unknown)[0]!r}. Its options: "
            f"columns."
        )
    window = keras.Input((signal.n_samples, len(signal.leads)), name="signal")
    rate_hz = signal.sampling_rate_hz
    filtered = Notch(rate_hz, notch_hz, name="notch")(window) if notch_hz else window
    filtered = BandPass(rate_hz, *band_hz, name="band_pass")(filtered)
    if denoise:
        filtered = WaveletDenoise(rate_hz, name="denoise")(filtered)
    views = {
        name: build_representation(signal, name, band_hz, options.get(name, {}))(filtered)
        for name in representations
        if name != "tabular"
    }
    if "tabular" not in representations:
        return keras.Model(window, views, name="views")
    tabular = TabularValues(options.get("tabular", {}).get("columns", ()), name="tabular")
    values = keras.Input((len(tabular.columns),), name="values")
    views["tabular"] = tabular([window, values])
    return keras.Model([window, values], views, name="views")
