"""Filters and denoising as Keras layers, so that training and an exported model do the same."""

from ecglib.preprocessing.filters import MAX_MATRIX_SAMPLES, BandPass, Notch
from ecglib.preprocessing.signal_layer import (
    SignalLayer,
    check_number,
    compute_quantiles_over_time,
)
from ecglib.preprocessing.wavelet import WaveletDenoise

__all__ = [
    "MAX_MATRIX_SAMPLES",
    "BandPass",
    "Notch",
    "SignalLayer",
    "WaveletDenoise",
    "check_number",
    "compute_quantiles_over_time",
]
