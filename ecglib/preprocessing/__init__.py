"""Filters as Keras layers, so that the pipeline and an exported model do the same."""

from ecglib.preprocessing.filters import LONGEST_MATRIX, BandPass, Notch
from ecglib.preprocessing.signal_layer import SignalLayer, number, quantiles_over_time
from ecglib.preprocessing.wavelet import WaveletDenoise

__all__ = [
    "LONGEST_MATRIX",
    "BandPass",
    "Notch",
    "SignalLayer",
    "WaveletDenoise",
    "number",
    "quantiles_over_time",
]
