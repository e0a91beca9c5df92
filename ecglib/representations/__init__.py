"""The representations of a window, as Keras layers without weights."""

from ecglib.representations.build import (
    REPRESENTATION_LAYERS,
    build_representation,
    build_representations,
)
from ecglib.representations.frequency import FrequencySpectrum
from ecglib.representations.scalogram import Scalogram
from ecglib.representations.spectrogram import Spectrogram
from ecglib.representations.tabular import TabularValues
from ecglib.representations.time import TimeSeries

__all__ = [
    "REPRESENTATION_LAYERS",
    "FrequencySpectrum",
    "Scalogram",
    "Spectrogram",
    "TabularValues",
    "TimeSeries",
    "build_representation",
    "build_representations",
]
