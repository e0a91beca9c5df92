"""EDF and BDF files against edfio and wfdb, and headers that only look right."""

import numpy as np
import pytest

from ecglib.datasets.formats import FileOptions, convert_record, open_record
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.units import resample, to_steps
from ecglib.errors import RecordError

edfio = pytest.importorskip("edfio")
SIGNAL = SignalSpec(100.0, 100, ("I", "II"))
# Place and width of the fields of the first signal, by the EDF specification, in a header of two.
FIELDS = {
    "unit": (256 + 2 * 96, 8),
    "physical_min": (256 + 2 * 104, 8),
    "physical_max": (256 + 2 * 112, 8),
    "digital_min": (256 + 2 * 120, 8),
    "digital_max": (256 + 2 * 128, 8),
}


def make_signals(seconds=4, rates_hz=(100, 100)):
    rng = np.random.default_rng(0)
    return [rng.normal(size=round(seconds * rate)).round(2) for rate in rates_hz]


def write(path, signals, rates_hz=(100, 100), kind="Edf", unit="mV"):
    make = getattr(edfio, f"{kind}Signal")
    leads = [
        make(signal, rate, label=name, physical_dimension=unit, physical_range=(-8, 8))
        for signal, rate, name in zip(signals, rates_hz, SIGNAL.leads, strict=True)
    ]
    getattr(edfio, kind)(leads, data_record_duration=1).write(path)
    return path


def overwrite(path, field, text):
    start, width = FIELDS[field]
    content = bytearray(path.read_bytes())
    content[start : start + width] = text.encode("latin-1").ljust(width)
    path.write_bytes(content)
    return path


def catch_error(path):
    with pytest.raises(RecordError) as error:
        convert_record("a", open_record(path), SIGNAL)
    return error.value.kind, str(error.value)


@pytest.mark.parametrize("kind", ["Edf", "Bdf"])
@pytest.mark.parametrize("ending", ["edf", "bdf", "EDF"])
def test_the_content_decides_between_edf_and_bdf(tmp_path, kind, ending):
    signals = make_signals()
    path = write(tmp_path / f"a.{ending}", signals, kind=kind)
    steps = convert_record("a", open_record(path), SIGNAL).steps
    assert np.abs(steps - 1000 * np.stack(signals, axis=1)).max() <= 1  # 16 bits over 16 mV


def test_leads_of_different_rates_are_resampled_to_the_working_rate(tmp_path):
    rates_hz = (500, 250)
    signals = make_signals(rates_hz=rates_hz)
    record = open_record(write(tmp_path / "a.edf", signals, rates_hz))
    assert record.sampling_rates_hz == rates_hz
    steps = convert_record("a", record, SIGNAL).steps
    for column, (signal, rate_hz) in enumerate(zip(signals, rates_hz, strict=True)):
        expected = to_steps(resample(signal, rate_hz, 100))
        assert np.abs(steps[:, column] - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("physical_min", "8"),
        ("digital_min", "32767"),
        ("physical_max", "eight"),
        ("physical_max", ""),
        ("physical_max", "nan"),
        ("digital_max", "x"),
    ],
)
def test_signals_that_are_not_calibrated_are_refused_if_they_are_asked_for(tmp_path, field, text):
    path = overwrite(write(tmp_path / "a.edf", make_signals()), field, text)
    kind, message = catch_error(path)
    assert kind == "unknown_unit"
    assert "'I'" in message
    assert "not calibrated" in message
    assert len(convert_record("a", open_record(path), SignalSpec(100.0, 100, ("II",))).steps)


@pytest.mark.parametrize("n_bytes", [1, 101, 400, 1000])
def test_a_file_cut_short_is_refused(tmp_path, n_bytes):
    path = write(tmp_path / "a.edf", make_signals())
    path.write_bytes(path.read_bytes()[:-n_bytes])
    assert catch_error(path)[0] == "truncated"


@pytest.mark.parametrize("content", [b"", b"no EDF", b"0       ", b"\xffBIOSEMI"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.edf").write_bytes(content)
    assert catch_error(tmp_path / "a.edf")[0] in ("unreadable", "truncated")


@pytest.mark.parametrize("unit", ["\xb5V", "\xc2\xb5V", "uV"])
def test_microvolt_is_read_in_every_encoding(tmp_path, unit):
    signals = make_signals()
    path = write(tmp_path / "a.edf", signals)
    for field, text in (("unit", unit), ("physical_min", "-8000"), ("physical_max", "8000")):
        overwrite(path, field, text)
    steps = convert_record("a", open_record(path), SIGNAL).steps
    assert np.abs(steps[:, 0] - 1000 * signals[0]).max() <= 1


def test_a_given_unit_serves_where_the_file_names_none_and_is_flagged_where_it_names_another(
    tmp_path,
):
    path = write(tmp_path / "a.edf", make_signals())
    for given, kinds in (("mV", []), ("uV", ["ignored_option"])):
        converted = convert_record("a", open_record(path, FileOptions(unit=given)), SIGNAL)
        assert [problem.kind for problem in converted.problems] == kinds
    overwrite(path, "unit", "?")
    assert catch_error(path)[0] == "unknown_unit"
    with_unit = convert_record("a", open_record(path, FileOptions(unit="mV")), SIGNAL)
    assert np.array_equal(with_unit.steps, converted.steps)
    assert not with_unit.problems
