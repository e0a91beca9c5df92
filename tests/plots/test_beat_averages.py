"""The figure of a mean beat."""

import numpy as np
import pytest

from ecglib.errors import ExperimentError
from ecglib.explain.beats import BeatAverage, WaveFraction
from ecglib.explain.patient_means import PatientMean
from ecglib.plots.beat_averages import plot_beat_average

TIME_S = np.linspace(-0.4, 0.6, 101)


@pytest.fixture
def average():
    signal = np.stack([np.sin(TIME_S), np.cos(TIME_S)], axis=1)
    mean = PatientMean(signal, signal - 0.1, signal + 0.1)
    attribution = PatientMean(np.abs(signal), 0.9 * np.abs(signal), 1.1 * np.abs(signal))
    fractions = tuple(
        WaveFraction(
            wave=wave,
            attribution=value,
            attribution_low=value - 0.05,
            attribution_high=value + 0.05,
            time=0.25,
            difference=value - 0.25,
            difference_low=value - 0.3,
            difference_high=value - 0.2,
        )
        for wave, value in {"P": 0.1, "QRS": 0.6, "T": 0.2, "other": 0.1}.items()
    )
    return BeatAverage(
        class_name="V",
        method="gradient",
        leads=("MLII", "V5"),
        time_s=TIME_S,
        signal_mv=mean,
        attribution=attribution,
        waves_s={"P": (-0.24, -0.08), "QRS": (-0.08, 0.1), "T": (0.1, 0.35)},
        fractions=fractions,
        n_windows=20,
        n_beats=20,
        n_patients=5,
    )


def get_texts(fig):
    return [text.get_text() for text in fig.findobj(lambda one: hasattr(one, "get_text"))]


def test_the_figure_has_units_leads_counts_and_the_caveat(average):
    fig = plot_beat_average(average, caveat="synthetic data")

    texts = get_texts(fig)
    for expected in ("mV", "s from the R peak", "MLII", "V5", "synthetic data"):
        assert expected in texts
    assert "V, gradient\n20 beats, 20 windows, 5 patients" in texts


def test_the_bars_are_the_fractions_of_attribution_and_of_time(average):
    fig = plot_beat_average(average)

    (bars,) = [ax for ax in fig.axes if ax.get_xlabel() == "fraction of the window"]
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [0.1, 0.6, 0.2, 0.1, 0.25, 0.25, 0.25, 0.25]


def test_leads_can_be_chosen(average):
    fig = plot_beat_average(average, leads=["V5"])

    assert [ax.get_title() for ax in fig.axes if ax.get_ylabel() == "mV"] == ["V5"]
    with pytest.raises(ExperimentError, match="leads='V6'"):
        plot_beat_average(average, leads=["V6"])
