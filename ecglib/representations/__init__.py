"""The representations of a window, as Keras layers without weights."""

from ecglib.representations.bands import FrequencyBandLayer
from ecglib.representations.build import (
    build_representation,
    build_representations,
    find_representation,
)
from ecglib.representations.frequency import FrequencySpectrum
from ecglib.representations.scalogram import Scalogram
from ecglib.representations.spectrogram import Spectrogram
from ecglib.representations.tabular import TabularValues
from ecglib.representations.time import TimeSeries

__all__ = [
    "FrequencyBandLayer",
    "FrequencySpectrum",
    "Scalogram",
    "Spectrogram",
    "TabularValues",
    "TimeSeries",
    "build_representation",
    "build_representations",
    "find_representation",
]
