"""Records in CSV files against pandas, and files that would be read wrongly without a word."""

import numpy as np
import pandas as pd
import pytest

from ecglib.datasets.formats import FileOptions, convert_record, open_record
from ecglib.datasets.schema import SignalSpec
from ecglib.errors import RecordError

OPTIONS = FileOptions(sampling_rate_hz=100.0, unit="mV")
SIGNAL = SignalSpec(100.0, 2, ("I", "II"))


def read(folder, text, options=OPTIONS):
    path = folder / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return open_record(path, options)


def read_leads(folder, text):
    return convert_record("a", read(folder, text), SIGNAL).steps.tolist()


def catch_error(folder, text, options=OPTIONS):
    with pytest.raises(RecordError) as error:
        convert_record("a", read(folder, text, options), SIGNAL)
    return error.value.kind, str(error.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("index", [True, False])
def test_what_pandas_writes_is_read(tmp_path, separator, index):
    signal = np.random.default_rng(0).normal(size=(50, 2)).round(3)
    frame = pd.DataFrame(signal, columns=["I", "II"]).assign(note="x")
    record = read(tmp_path, frame.to_csv(sep=separator, index=index))
    steps = convert_record("a", record, SIGNAL).steps
    assert np.array_equal(steps, np.rint(signal * 1000))


@pytest.mark.parametrize(
    "text",
    [
        "I,II\n1,2,\n3,4,\n",
        "I,II,\n1,2,\n3,4,\n",
        "I,II,\n1,2\n3,4\n",
        "I;II\n1;2;;\n3;4;;\n",
        "\ufeffI,II\r\n1,2,\r\n3,4,\r\n",
    ],
)
def test_a_separator_at_the_end_of_some_lines_moves_no_lead(tmp_path, text):
    assert read_leads(tmp_path, text) == [[1000, 2000], [3000, 4000]]


def test_more_values_than_names_are_refused(tmp_path):
    kind, message = catch_error(tmp_path, "I,II\n0,1,2\n1,3,4\n")
    assert kind == "unreadable"
    assert "2 names in its first line, but lines of 3 values" in message


def test_equal_column_names_are_ambiguous_only_if_they_are_wanted(tmp_path):
    kind, message = catch_error(tmp_path, "I,II,II\n1,2,3\n4,5,6\n")
    assert kind == "ambiguous_lead"
    assert "2 columns match lead 'II'" in message
    assert read_leads(tmp_path, "V1,V1,I,II\n9,9,1,2\n9,9,3,4\n") == [[1000, 2000], [3000, 4000]]


def test_the_code_for_not_measured_is_no_amplitude(tmp_path):
    uv = FileOptions(sampling_rate_hz=100.0, unit="uV")
    record = read(tmp_path, "I,II\n-32768,5\n7,\n", uv)
    expected = [[np.nan, 0.005], [0.007, np.nan]]
    np.testing.assert_allclose(record.to_mv([0, 1]), expected)


@pytest.mark.parametrize(
    ("name", "format_time", "rate_hz"),
    [
        ("time", lambda t: f"{t:.2f}", 100),
        ("time", lambda t: f"{1000 * t:.0f}", 100),
        ("Time (ms)", lambda t: f"{1000 * t:.0f}", 500),
        ("t", lambda t: f"{t:.3f}", 360),
        ("time", lambda t: f"0:00:{t:06.3f}", 100),
        ("Elapsed time", lambda t: f"'0:{t:06.3f}'", 250),
    ],
)
def test_a_column_of_times_must_agree_with_the_rate(tmp_path, name, format_time, rate_hz):
    rows = "".join(f"{format_time(i / rate_hz)},1,2\n" for i in range(200))
    text = f"{name},I,II\n{rows}"
    assert read(tmp_path, text, FileOptions(sampling_rate_hz=rate_hz, unit="mV")).leads[0] == name
    for wrong_hz in (rate_hz / 2, rate_hz * 1.02, 7 * rate_hz):
        options = FileOptions(sampling_rate_hz=wrong_hz, unit="mV")
        kind, message = catch_error(tmp_path, text, options)
        assert kind == "wrong_rate"
        assert f"{name!r}" in message


def test_numbers_of_samples_say_nothing_of_the_rate(tmp_path):
    assert read_leads(tmp_path, "time,I,II\n0,1,2\n1,3,4\n") == [[1000, 2000], [3000, 4000]]


@pytest.mark.parametrize("text", ["", "I,II\n", "\n", "I,II\n\n\n"])
def test_a_file_without_rows_is_refused(tmp_path, text):
    assert catch_error(tmp_path, text)[0] in ("too_short", "missing_lead")
