"""The representations of a window, as Keras layers without weights."""

from ecglib.representations.build import VIEWS, build_view, build_views
from ecglib.representations.frequency import FrequencyView
from ecglib.representations.scalogram import ScalogramView
from ecglib.representations.spectrogram import SpectrogramView
from ecglib.representations.tabular import TabularView
from ecglib.representations.time import TimeView

__all__ = [
    "VIEWS",
    "FrequencyView",
    "ScalogramView",
    "SpectrogramView",
    "TabularView",
    "TimeView",
    "build_view",
    "build_views",
]
