"""Resampling against sines whose samples are known at every rate."""

from fractions import Fraction

import numpy as np
import pytest

from ecglib.datasets.units import (
    _find_ratio,
    check_size,
    find_mv_per_unit,
    mask_code,
    resample,
    to_steps,
)
from ecglib.errors import DatasetError, RecordError


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


@pytest.mark.parametrize(("from_hz", "to_hz"), [(360, 0.01), (1, 250_000), (1e-300, 100)])
def test_an_unusable_ratio_is_refused_with_a_rate_that_works(from_hz, to_hz):
    with pytest.raises(DatasetError, match="cannot be resampled") as error:
        resample(make_sines(100), from_hz, to_hz)
    suggestion = float(str(error.value).split("such as ")[1].split(" Hz")[0])
    assert len(resample(make_sines(100, 1.0), from_hz, suggestion)) > 0


@pytest.mark.parametrize("seconds", [10, 600])
@pytest.mark.parametrize("rate_hz", [499.98, 359.987654])
def test_a_measured_rate_is_resampled_without_drift(rate_hz, seconds):
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    out = resample(np.sin(2 * np.pi * 1.3 * t), rate_hz, 100)
    expected = np.sin(2 * np.pi * 1.3 * np.arange(len(out)) / 100)
    # A tenth of a sample at 100 Hz is 1 ms, by which a sine of 1.3 Hz changes by 0.008 at most.
    np.testing.assert_allclose(out[100:-100], expected[100:-100], atol=0.01)
    assert len(out) == pytest.approx(100 * seconds, abs=1)


def test_an_irrational_ratio_of_a_long_recording_is_refused():
    assert _find_ratio(10**6, 100 * np.pi, 100) == Fraction(1 / np.pi).limit_denominator(30_000)
    with pytest.raises(DatasetError, match="cannot be resampled"):
        _find_ratio(10**9, 100 * np.pi, 100)


def test_samples_beyond_what_a_store_holds_are_refused_not_clipped():
    assert to_steps(np.array([32.767, -32.767])).tolist() == [32767, -32767]
    for beyond in (32.768, -32.768, 40.0, 9999.0):
        with pytest.raises(RecordError, match=r"32.767") as error:
            to_steps(np.array([0.0, np.nan, beyond]))
        assert error.value.kind == "out_of_range"


def test_the_code_for_not_measured_is_recognized_in_whole_numbers_of_any_type():
    samples = [4, -32768, -5]
    for dtype in (np.int16, np.int32, np.int64, np.float32):
        assert np.array_equal(mask_code(np.array(samples, dtype)), [4, np.nan, -5], equal_nan=True)
    for others in ([0.5, -32768, 2], [-40000, -32768, 2]):
        assert mask_code(np.array(others)).tolist() == others


def test_a_record_that_is_too_large_is_refused_before_memory_is_asked_for():
    with pytest.raises(RecordError, match=r"1e\+11 samples of 12 leads") as error:
        check_size(10**11, 12)
    assert error.value.kind == "too_large"
    with pytest.raises(RecordError, match="divide the record"):
        resample(np.broadcast_to(0.0, (10**6, 1)), 0.1, 3000)


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
