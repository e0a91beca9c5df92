"""Resampling against sines whose samples are known at every rate."""

import numpy as np
import pytest

from ecglib.datasets.units import find_mv_per_unit, resample
from ecglib.errors import DatasetError


def make_sines(rate_hz: float, seconds: float = 10.0) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.stack([np.sin(2 * np.pi * 1.3 * t), 0.5 * np.cos(2 * np.pi * 17 * t)], axis=1)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(500, 100), (360, 100), (360, 128), (257, 500), (100.0, 250.0), (250, 1)]
)
def test_the_length_follows_the_rate_and_the_type_is_float64(from_hz, to_hz):
    out = resample(make_sines(from_hz).astype(np.float32), from_hz, to_hz)
    assert out.dtype == np.float64
    assert out.shape == (10 * to_hz, 2)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(500, 100), (360, 100), (360, 128), (100, 250)])
def test_sines_below_both_nyquist_frequencies_stay(from_hz, to_hz):
    out = resample(make_sines(from_hz), from_hz, to_hz)
    expected = make_sines(to_hz)
    inside = slice(to_hz, -to_hz)
    np.testing.assert_allclose(out[inside], expected[inside], atol=5e-3)


def test_frequencies_that_would_alias_are_removed():
    t = np.arange(5000) / 500
    out = resample(np.sin(2 * np.pi * 80 * t), 500, 100)
    assert np.abs(out[100:-100]).max() < 2e-3


def test_an_offset_and_a_slope_leave_no_edge():
    ramp = np.linspace(3.0, 5.0, 3601)[:, None]
    out = resample(ramp, 360, 100)
    np.testing.assert_allclose(out[:, 0], 3 + np.arange(len(out)) / 100 / 5, atol=2e-3)


def test_the_same_rate_gives_a_copy():
    signal = make_sines(100)
    out = resample(signal, 100, 100.0)
    np.testing.assert_array_equal(out, signal)
    out[0] = 9
    assert signal[0, 0] == 0


@pytest.mark.parametrize(("from_hz", "to_hz"), [(360, 100.0317), (100, 250_000), (359.987654, 100)])
def test_an_unusable_ratio_is_refused_with_a_rate_that_works(from_hz, to_hz):
    with pytest.raises(DatasetError, match="cannot be resampled") as error:
        resample(make_sines(100), from_hz, to_hz)
    suggestion = float(str(error.value).split("such as ")[1].split(" Hz")[0])
    assert len(resample(make_sines(100, 1.0), from_hz, suggestion)) > 0


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 100), (360, -1), (float("nan"), 100)])
def test_rates_must_be_above_zero(from_hz, to_hz):
    with pytest.raises(DatasetError, match="above 0 Hz"):
        resample(make_sines(100), from_hz, to_hz)


@pytest.mark.parametrize("shape", [(0, 2), (2, 3, 4)])
def test_signals_of_another_shape_are_refused(shape):
    with pytest.raises(DatasetError, match="n_samples, n_leads"):
        resample(np.zeros(shape), 360, 100)


def test_a_unit_that_is_not_a_voltage_is_refused_with_the_choices():
    assert [find_mv_per_unit(unit) for unit in ("mV", "uv", "V")] == [1.0, 1e-3, 1e3]
    with pytest.raises(
        DatasetError, match=r"Unit 'bpm' is not a voltage; expected mV, uV, V or nV"
    ):
        find_mv_per_unit("bpm")
