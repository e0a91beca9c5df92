"""Records of any format as a signal spec wants them."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from ecglib.datasets.formats import ColumnRecord, convert_record
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.units import INVALID
from ecglib.errors import RecordError


def make_record(*leads, rates_hz=None):
    names = ("I", "II", "V1")[: len(leads)]
    return ColumnRecord(
        leads=names,
        units=("mV",) * len(leads),
        sampling_rates_hz=rates_hz or (100.0,) * len(leads),
        read_column=lambda column: np.asarray(leads[column], float),
    )


def make_waves(n_samples=400):
    return np.sin(np.arange(n_samples) / 7).round(3)


@pytest.mark.parametrize("to_hz", [100.0, 50.0])
def test_an_offset_beyond_the_range_is_the_median_and_flagged(to_hz):
    waves = make_waves()
    record = make_record(waves + 5, waves - 1000)
    converted = convert_record("r", record, SignalSpec(to_hz, 100, ("I", "II")))
    unmoved = convert_record(
        "r", make_record(waves + 5, waves), SignalSpec(to_hz, 100, ("I", "II"))
    )
    (problem,) = converted.problems
    assert (problem.record, problem.kind) == ("r", "offset")
    median = np.median(waves - 1000)
    assert problem.detail == f"II {median:.6g} mV"
    # A lead within the range keeps its offset.
    assert np.array_equal(converted.steps[:, 0], unmoved.steps[:, 0])
    moved_by = 1000 * (-1000 - median)
    assert np.abs(converted.steps[:, 1] - unmoved.steps[:, 1] - moved_by).max() <= 1


@pytest.mark.parametrize("beyond", [-9999.0, 33.0, 1e30])
def test_amplitudes_that_no_offset_explains_are_refused_with_their_lead(beyond):
    waves = make_waves()
    waves[17] = beyond
    with pytest.raises(
        RecordError, match=f"Lead 'II' spans .*{beyond:.6g}".replace("+", r"\+")
    ) as error:
        convert_record("r", make_record(make_waves(), waves), SignalSpec(100.0, 100, ("I", "II")))
    assert error.value.kind == "out_of_range"


def test_samples_that_were_not_measured_do_not_count_for_the_offset():
    waves = make_waves() + 40
    waves[:300] = np.nan
    converted = convert_record("r", make_record(waves), SignalSpec(100.0, 100, ("I",)))
    assert (converted.steps[:300] == INVALID).all()
    assert np.abs(np.median(converted.steps[300:])) <= 1


def test_leads_of_several_rates_end_with_the_shortest():
    fast, slow = np.sin(np.arange(2000) / 60), np.sin(np.arange(390) / 11)
    record = make_record(fast, slow, rates_hz=(500.0, 100.0))
    converted = convert_record("r", record, SignalSpec(100.0, 100, ("II", "I")))
    assert converted.steps.shape == (390, 2)
    expected = resample_poly(fast, 1, 5, padtype="line")[:390]
    assert np.abs(converted.steps[:, 1] - 1000 * expected).max() <= 0.5
    assert np.abs(converted.steps[:, 0] - 1000 * slow).max() <= 0.5


def test_a_record_without_samples_is_refused():
    for rate_hz in (100.0, 250.0):
        with pytest.raises(RecordError, match="no sample") as error:
            convert_record("r", make_record([], rates_hz=(rate_hz,)), SignalSpec(100.0, 9, ("I",)))
        assert error.value.kind == "too_short"
