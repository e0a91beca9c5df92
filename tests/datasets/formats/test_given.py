"""What the user says of a file that says it itself."""

import numpy as np
import pytest
import wfdb

from ecglib.datasets.formats import FileOptions, convert_record, open_record
from ecglib.datasets.schema import SignalSpec

SIGNAL = SignalSpec(250.0, 500, ("II",))


@pytest.fixture
def path(tmp_path):
    """A record of 500 samples in microvolts at 250 Hz."""
    wfdb.wrsamp(
        "r1",
        fs=250,
        units=["uV"],
        sig_name=["II"],
        p_signal=np.linspace(-1000, 1000, 500)[:, None],
        fmt=["16"],
        write_dir=str(tmp_path),
    )
    return tmp_path / "r1.hea"


@pytest.mark.parametrize(
    ("given", "n_problems"),
    [
        ({}, 0),
        ({"unit": "uV", "sampling_rate_hz": 250.0}, 0),
        ({"unit": "mV"}, 1),
        ({"sampling_rate_hz": 500.0}, 1),
        ({"unit": "mV", "sampling_rate_hz": 500.0}, 2),
    ],
)
def test_a_rate_and_a_unit_that_a_header_contradicts_are_ignored_and_flagged(
    path, given, n_problems
):
    converted = convert_record("r1", open_record(path, FileOptions(**given)), SIGNAL)
    assert [one.kind for one in converted.problems] == ["ignored_option"] * n_problems
    microvolts = wfdb.rdrecord(str(path.with_suffix(""))).p_signal
    assert np.abs(converted.steps - microvolts).max() <= 0.5


def test_segments_are_compared_with_what_is_given_as_well(path):
    path.with_name("all.hea").write_text("all/2 1 250 600\nr1 500\n~ 100\n")
    record = open_record(path.with_name("all.hea"), FileOptions(unit="mV", sampling_rate_hz=125.0))
    details = [problem.detail for problem in convert_record("all", record, SIGNAL).problems]
    assert details == ["Unit mV given, the file says uV.", "125 Hz given, the file says 250 Hz."]
