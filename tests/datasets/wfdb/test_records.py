"""WFDB records against wfdb, against bytes packed by the manual, and against damaged files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wfdb
from helpers import find_shared_data

from ecglib.datasets.units import INVALID, to_steps
from ecglib.datasets.wfdb import samples as samples_module
from ecglib.datasets.wfdb.headers import GAP, read_header
from ecglib.datasets.wfdb.records import SegmentedRecord, read_record
from ecglib.errors import RecordError

# wfdb raises it while it writes a header
pytestmark = pytest.mark.filterwarnings("ignore:.*inplace keyword in DataFrame.drop")
SAMPLED = {  # every n-th record of those that match
    "ptbxl": [("records100/*/*.hea", 10), ("records500/*/*.hea", 20)],
    "ptbxl_z100": [("records100/*/*.hea", 100)],
    "mitdb": [("*.hea", 5)],
    "cinc2017": [("*.hea", 10)],
}
LOWEST = {
    "8": -30000,
    "80": -128,
    "310": -512,
    "311": -512,
    "212": -2048,
    "24": -(2**23),
    "32": -(2**31),
    "508": -128,
    "516": -(2**15),
    "524": -(2**23),
}
DIFFERENT_FIRST_SAMPLE = (
    "A00013 A00044 A00047 A00066 A00080 A00097 A00117 A00131 A00150 A00158 A00159 A00186 A00189 "
    "A00192 A00206 A00225"
).split()


def draw_samples(fmt="16", shape=(1000, 3), seed=0):
    """Digital samples over the whole range of a format, except its lowest (not measured)."""
    lowest = LOWEST.get(fmt, -(2**15))
    rng = np.random.default_rng(seed)
    digital = rng.integers(lowest + 1, -lowest, shape)
    digital[:2] = [[lowest + 1], [-lowest - 1]]
    return digital


def write(folder, digital, fmt="16", gain=1000.0, baseline=0, units="mV", name="made"):
    """Write a record with wfdb; each option is a value or a list of one per lead."""
    n = digital.shape[1]

    def repeat(value):
        return value if isinstance(value, list) else [value] * n

    wfdb.wrsamp(
        name,
        250,
        repeat(units),
        ["I", "II", "V1", "V2"][:n],
        d_signal=digital.astype(np.int64),
        fmt=repeat(fmt),
        adc_gain=repeat(gain),
        baseline=repeat(baseline),
        write_dir=str(folder),
    )
    return folder / name


def write_bytes(folder, content, *signals, record="made {n} 250 {n_samples}", n_samples=1000):
    """Write a record from the bytes of made.dat and the rest of its signal lines."""
    (folder / "made.dat").write_bytes(bytes(content))
    lines = [record.format(n=len(signals), n_samples=n_samples)]
    (folder / "made.hea").write_text("\n".join(lines + [f"made.dat {line}" for line in signals]))
    return folder / "made"


def edit(path, old, new):
    """Replace text that occurs once in a header."""
    header = path.with_suffix(".hea")
    text = header.read_text()
    assert text.count(old) == 1
    header.write_text(text.replace(old, new))
    return path


def read_all_steps(record):
    return record.to_steps(range(len(record.leads)))


def read_all_mv(record):
    return record.to_mv(range(len(record.leads)))


def check_steps(record):
    """Steps are the rounded signal in mV, or refused where it is beyond what a store holds."""
    signal_mv = read_all_mv(record)
    if np.nanmax(np.abs(signal_mv)) < 32.7675:
        expected = np.where(np.isnan(signal_mv), INVALID, np.rint(signal_mv * 1000))
        np.testing.assert_array_equal(
            read_all_steps(record), expected.astype(np.int16), strict=True
        )
    else:
        assert catch_error(record, read_all_steps)[0] == "out_of_range"


def catch_error(path, read=read_record):
    with pytest.raises(RecordError) as error:
        read(path)
    return error.value.kind, str(error.value)


def prepare_for_wfdb(path, folder):
    """Path of a record for wfdb, which fails at the dates in the headers of cinc2017."""
    header, n = re.subn(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", path.read_text())
    if n == 0:
        return str(path.with_suffix(""))
    (folder / path.name).write_text(header)
    (folder / f"{path.stem}.mat").write_bytes(path.with_suffix(".mat").read_bytes())
    return str(folder / path.stem)


@pytest.mark.parametrize("dataset", SAMPLED)
def test_real_records_equal_those_that_wfdb_reads(dataset, tmp_path):
    folder = find_shared_data(dataset)
    paths = [p for pattern, step in SAMPLED[dataset] for p in sorted(folder.glob(pattern))[::step]]
    for path in paths:
        ours = read_record(path)
        theirs = wfdb.rdrecord(prepare_for_wfdb(path, tmp_path), physical=False, return_res=16)
        np.testing.assert_array_equal(ours.digital, theirs.d_signal, strict=True)
        expected_mv = theirs.dac()
        np.testing.assert_allclose(read_all_mv(ours), expected_mv, rtol=0, atol=1e-9)
        assert np.abs(read_all_steps(ours) / 1000 - expected_mv).max() <= 0.0005 + 1e-9
        assert (ours.leads, ours.sampling_rate_hz) == (tuple(theirs.sig_name), theirs.fs)


@pytest.mark.parametrize("dataset", SAMPLED)
def test_headers_are_parsed_as_wfdb_parses_them(dataset, tmp_path):
    pattern, step = SAMPLED[dataset][0]
    for path in sorted(find_shared_data(dataset).glob(pattern))[:: 2 * step]:
        ours, theirs = read_header(path), wfdb.rdheader(prepare_for_wfdb(path, tmp_path))
        assert (ours.name, ours.sampling_rate_hz) == (theirs.record_name, theirs.fs)
        assert (ours.n_samples, list(ours.comments)) == (theirs.sig_len, theirs.comments)
        assert list(zip(*ours.signals, strict=True)) == [
            tuple(theirs.file_name),
            tuple(int(code) for code in theirs.fmt),
            tuple(theirs.samps_per_frame),
            tuple(skew or 0 for skew in theirs.skew),
            tuple(offset or 0 for offset in theirs.byte_offset),
            tuple(theirs.adc_gain),
            tuple(theirs.baseline),
            tuple(theirs.units),
            tuple(theirs.init_value),
            tuple(theirs.checksum),
            tuple(theirs.sig_name),
        ]


def test_microvolt_samples_are_steps_without_a_copy():
    record = read_record(next(find_shared_data("ptbxl").glob("records100/*/*.hea")))
    assert read_all_steps(record) is record.digital
    assert not record.digital.flags.writeable
    for columns in ([7, 0], list(range(12))[::-1], np.arange(5)):
        chosen = record.to_steps(columns)
        np.testing.assert_array_equal(chosen, record.digital[:, columns], strict=True)
    assert record.to_steps([]).shape == (1000, 0)


def test_records_whose_first_sample_differs_from_the_header_are_found():
    folder = find_shared_data("cinc2017")
    found = [p.stem for p in sorted(folder.glob("*.hea")) if read_record(p).first_sample_differs]
    assert found == DIFFERENT_FIRST_SAMPLE
    assert not read_record(find_shared_data("mitdb") / "100").first_sample_differs


@pytest.mark.parametrize("fmt", ["80", "212", "16", "24", "32", "508", "516", "524"])
@pytest.mark.parametrize("shape", [(1000, 3), (997, 1), (5, 2), (333, 4)])
def test_every_format_that_wfdb_writes_is_read(tmp_path, fmt, shape):
    digital = draw_samples(fmt, shape)
    gain, baseline = [200.0, 1234.5, 3e-2, 7.0][: shape[1]], [0, -5, 1024, 100_000][: shape[1]]
    record = read_record(write(tmp_path, digital, fmt, gain, baseline))
    np.testing.assert_array_equal(record.digital, digital)
    assert record.digital.dtype == (np.int32 if fmt in ("24", "32", "524") else np.int16)
    signal_mv = (digital - baseline) / gain
    np.testing.assert_allclose(read_all_mv(record), signal_mv, rtol=1e-12)
    check_steps(record)
    np.testing.assert_array_equal(record.to_mv([0]), read_all_mv(record)[:, :1])


def test_every_value_of_twelve_bits_is_decoded_at_both_places_in_three_bytes(tmp_path):
    every = np.arange(4096)
    first, second = np.concatenate([every, every[::-1]]), np.concatenate([every, every])
    content = np.stack([first & 255, first >> 8 | second >> 8 << 4, second & 255], axis=1)
    path = write_bytes(tmp_path, content.astype(np.uint8).tobytes(), "212", "212", n_samples=8192)
    expected = np.stack([first, second], axis=1)
    expected[expected > 2047] -= 4096
    np.testing.assert_array_equal(read_record(path).digital, expected)


def test_formats_that_wfdb_cannot_write_are_read(tmp_path):
    """Packed by signal(5) of the WFDB Applications Guide."""
    ten, sixteen = draw_samples("310", (999, 1))[:, 0], draw_samples("16", (1000, 1))[:, 0]
    a, b, c = (ten[i::3] & 1023 for i in range(3))
    pairs = np.stack([a << 1 | (c & 31) << 11, b << 1 | c >> 5 << 11], axis=1).astype("<u2")
    slow = np.cumsum(np.random.default_rng(0).integers(-128, 128, 1000))
    for code, values, content in [
        ("310", ten, pairs.tobytes()),
        ("311", ten, (a | b << 10 | c << 20).astype("<u4").tobytes()),
        ("61", sixteen, sixteen.astype(">i2").tobytes()),
        ("160", sixteen, (sixteen + 32768).astype("<u2").tobytes()),
        ("8", slow + 500, np.diff(slow, prepend=0).astype(np.int8).tobytes()),
    ]:
        initial = 500 if code == "8" else values[0]
        signal = f"{code} 100/mV 16 0 {initial} {values.sum() % 65536} 0 I"
        record = read_record(write_bytes(tmp_path, content, signal, n_samples=len(values)))
        np.testing.assert_array_equal(record.digital[:, 0], values)
        np.testing.assert_allclose(record.to_mv([0])[:, 0], values / 100)


def test_several_formats_and_files_in_one_record_are_read(tmp_path):
    fmt = ["16", "16", "212", "24"]
    digital = np.concatenate([draw_samples(f, (501, 1), i) for i, f in enumerate(fmt)], axis=1)
    plain = read_record(write(tmp_path, digital[:, :3], fmt[:3], [1000.0, 1000.0, 10.0]))
    assert len({signal.file for signal in plain.header.signals}) == 2
    np.testing.assert_array_equal(plain.digital, digital[:, :3])
    mixed = read_record(write(tmp_path, digital, fmt, name="mixed"))
    np.testing.assert_array_equal(mixed.digital, digital)
    # `digital` is int32 here, but the leads of format 16 are steps already.
    np.testing.assert_array_equal(mixed.to_steps([1, 0]), digital[:, [1, 0]].astype(np.int16))
    assert mixed.to_steps([1]).dtype == np.int16


@pytest.mark.parametrize("fmt", ["80", "212", "16", "24", "32", "508", "516", "524"])
def test_samples_that_were_not_measured_are_kept_as_such(tmp_path, fmt):
    digital = draw_samples(fmt, (100, 2))
    digital[10:20, 0] = digital[99] = LOWEST.get(fmt, -(2**15))
    gain = 1000.0 if fmt in ("80", "212", "16", "508", "516") else 1e8
    path = write(tmp_path, digital, fmt, gain)
    record, theirs = read_record(path), wfdb.rdrecord(str(path))
    missing = np.isnan(theirs.p_signal)
    assert missing.sum() == 12
    np.testing.assert_array_equal(np.isnan(read_all_mv(record)), missing)
    np.testing.assert_array_equal(read_all_steps(record) == INVALID, missing)


@pytest.mark.parametrize(
    ("units", "gain"), [("uV", 1.0), ("µV", 1.0), ("V", 1e6), ("mV", 1000.0), ("nV", 1e-3)]
)
def test_units_of_voltage_become_millivolt(tmp_path, units, gain):
    digital = draw_samples()
    path = write(tmp_path, digital, gain=[gain, 1000.0, 1000.0])
    header = path.with_suffix(".hea")
    lines = header.read_text().splitlines()
    lines[1] = lines[1].replace("/mV", f"/{units}")
    header.write_bytes("\n".join(lines).encode("latin-1" if units == "µV" else "utf-8"))
    record = read_record(path)
    assert record.header.signals[0].unit == units
    np.testing.assert_allclose(read_all_mv(record), digital / 1000, rtol=1e-12)
    np.testing.assert_array_equal(read_all_steps(record), digital)


def test_another_unit_is_refused_only_if_its_lead_is_chosen(tmp_path):
    record = read_record(write(tmp_path, draw_samples(), units=["mV", "mmHg", "mV"]))
    np.testing.assert_array_equal(record.to_steps([2, 0]), record.digital[:, [2, 0]])
    for read in (record.to_steps, record.to_mv):
        kind, message = catch_error([0, 1], read)
        assert kind == "unknown_unit"
        assert "'II'" in message
        assert "mmHg" in message


def test_steps_are_never_clipped(tmp_path):
    digital = np.array([[32_767], [-32_767], [5]])
    record = read_record(write(tmp_path, digital, "24"))
    assert read_all_steps(record)[:, 0].tolist() == [32_767, -32_767, 5]
    for beyond in (-32_768, 40_000):
        path = write(tmp_path, np.array([[0], [beyond]]), "24")
        assert catch_error(read_record(path), read_all_steps)[0] == "out_of_range"


@pytest.mark.parametrize(
    ("signal", "gain", "baseline", "unit"),
    [
        ("16", 200.0, 0, "mV"),
        ("16 0", 200.0, 0, "mV"),
        ("16 0/uV", 200.0, 0, "uV"),
        ("16 100 11 1024", 100.0, 1024, "mV"),
        ("16 100(-7)/V 11 1024", 100.0, -7, "V"),
        ("16 1.5e3/mV", 1500.0, 0, "mV"),
    ],
)
def test_fields_missing_in_a_header_have_defaults(tmp_path, signal, gain, baseline, unit):
    path = write_bytes(tmp_path, draw_samples().astype("<i2").tobytes(), signal, signal, signal)
    theirs, record = wfdb.rdrecord(str(path)), read_record(path)
    second = record.header.signals[1]
    assert (second.gain, second.baseline, second.unit) == (gain, baseline, unit)
    assert (second.initial, second.checksum, second.lead) == (None, None, "")
    assert not record.first_sample_differs
    per_mv = {"mV": 1, "uV": 1e3, "V": 1e-3}[unit]
    np.testing.assert_allclose(read_all_mv(record) * per_mv, theirs.p_signal, rtol=1e-9)


@pytest.mark.parametrize("record", ["made {n}", "made {n} 360/100(5)", "made {n} 1e2 0 10:00:00"])
def test_without_a_number_of_samples_the_file_size_decides_and_checksums_are_ignored(
    tmp_path, record
):
    digital = draw_samples()
    signals = [f"16+4 1000 16 0 0 {checksum} 0 I" for checksum in (1, 2, 3)]
    content = b"skip" + digital.astype("<i2").tobytes() + b"half"
    record = read_record(write_bytes(tmp_path, content, *signals, record=record))
    np.testing.assert_array_equal(record.digital, digital)
    assert record.header.n_samples is None
    assert record.sampling_rate_hz in (250, 360, 100)


@pytest.mark.parametrize(
    "line",
    [
        "made.dat 16 999.0(0)/mV 16 0 {first} {sum} 0 V1",
        "made.dat 16 1000.0(1)/mV 16 0 {first} {sum} 0 V1",
        "made.dat 16 1000.0(0)/uV 16 0 {first} {sum} 0 V1",
        "made.dat 16:3 1000.0(0)/mV 16 0 {first} {sum} 0 V1",
        "made.dat 16 1000.0(0)/mV 16 0 {first} {sum} 0 V1 of 9",
        "made.dat 16 1000.0(0)/mV 16 0 {first} {sum}",
        "made.dat 16 1000.0(0)/mV 16 0",
        "last.dat 16 1000.0(0)/mV 16 0 {wrong} {sum} 0 V1",
    ],
)
def test_one_lead_may_differ_from_the_rest(tmp_path, line):
    """Headers with equal lines for all leads are read faster."""
    digital = draw_samples()
    path = write(tmp_path, digital)
    usual = read_all_mv(read_record(path))
    first = digital[0, 2]
    line = line.format(first=first, wrong=first + 1, sum=digital[:, 2].sum() % 65536)
    lines = path.with_suffix(".hea").read_text().splitlines()
    path.with_suffix(".hea").write_text("\n".join([*lines[:3], line]))
    if line.startswith("last"):
        (tmp_path / "last.dat").write_bytes(digital[:, 2].astype("<i2").tobytes())
        (tmp_path / "made.dat").write_bytes(digital[:, :2].astype("<i2").tobytes())
    record, theirs = read_record(path), wfdb.rdrecord(str(path))
    np.testing.assert_array_equal(read_all_mv(record)[:, :2], usual[:, :2])
    per_mv = [1, 1, 1000 if "/uV" in line else 1]
    np.testing.assert_allclose(read_all_mv(record) * per_mv, theirs.p_signal, rtol=1e-12)
    check_steps(record)
    assert record.leads == tuple(name or "" for name in theirs.sig_name)
    assert record.first_sample_differs == line.startswith("last")


def test_files_are_found_in_the_folder_of_the_header_and_below(tmp_path):
    path = write(tmp_path, draw_samples())
    (tmp_path / "files").mkdir()
    path.with_suffix(".dat").rename(tmp_path / "files/made.dat")
    edited = path.with_suffix(".hea").read_text().replace("made.dat", "files/made.dat")
    path.with_suffix(".hea").write_text(edited)
    np.testing.assert_array_equal(read_record(path).digital, draw_samples())
    (tmp_path / "made.dat").symlink_to("files/made.dat")
    path.with_suffix(".hea").write_text(edited.replace("files/made.dat", "made.dat"))
    np.testing.assert_array_equal(read_record(path).digital, draw_samples())


def test_a_folder_of_links_to_records_is_read(tmp_path):
    path = write(tmp_path, draw_samples())
    (tmp_path / "chosen").mkdir()
    for suffix in (".hea", ".dat"):
        (tmp_path / f"chosen/made{suffix}").symlink_to(path.with_suffix(suffix))
    np.testing.assert_array_equal(read_record(tmp_path / "chosen/made").digital, draw_samples())


@pytest.mark.parametrize("place", ["absolute", "parent", "link", "linked folder", "header"])
def test_files_outside_the_folder_of_the_header_are_refused(tmp_path, place):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    header = write(outside, draw_samples()).with_suffix(".hea").read_text()
    name = {"absolute": f"{outside}/made.dat", "parent": "../outside/made.dat"}.get(place, place)
    if place == "link":
        (inside / "link").symlink_to(outside / "made.dat")
    elif place == "linked folder":
        (inside / "folder").symlink_to(outside)
        name = "folder/made.dat"
    (inside / "made.hea").write_text(header.replace("made.dat", name))
    if place == "header":
        (inside / "made.hea").write_text("made/1 3 250 1000\n../outside/made 1000\n")
    kind, message = catch_error(inside / "made")
    assert kind == "bad_header"
    assert "outside its folder" in message


def test_only_regular_files_are_read(tmp_path):
    path = write(tmp_path, draw_samples())
    os.remove(f"{path}.dat")
    os.mkfifo(f"{path}.dat")
    assert "not a regular file" in catch_error(path)[1]
    os.remove(f"{path}.hea")
    os.mkfifo(f"{path}.hea")
    assert "not a regular file" in catch_error(path)[1]


def test_file_names_in_capitals_are_found(tmp_path):
    path = write(tmp_path, draw_samples())
    path.with_suffix(".dat").rename(tmp_path / "MADE.DAT")
    path.with_suffix(".hea").rename(tmp_path / "MADE.HEA")
    for name in ("made", "MADE", "MADE.HEA"):
        np.testing.assert_array_equal(read_record(tmp_path / name).digital, draw_samples())


@pytest.mark.parametrize("fmt", ["16", "212", "61"])
def test_a_file_that_is_read_in_pieces_is_complete(tmp_path, monkeypatch, fmt):
    """As are files above 2 GB, and files on systems without os.readv."""
    signals = [f"{fmt}+3 1000", f"{fmt}+3 1000"]
    path = write_bytes(tmp_path, np.random.default_rng(0).bytes(403), *signals, n_samples=99)
    whole = read_record(path).digital
    portable = samples_module._readv_portable

    def read_seven_bytes(file, arrays):
        return portable(file, [arrays[0].reshape(-1).view(np.uint8)[:7]])

    for readv in (portable, read_seven_bytes):
        monkeypatch.setattr(samples_module, "_readv", readv)
        np.testing.assert_array_equal(read_record(path).digital, whole)
    monkeypatch.setattr(samples_module, "_readv", lambda file, arrays: 0)
    kind, message = catch_error(path)
    assert kind == "truncated"
    assert "made.dat became shorter" in message


def test_a_header_of_any_length_is_read_whole(tmp_path):
    path = write(tmp_path, draw_samples())
    with open(path.with_suffix(".hea"), "a") as file:
        file.writelines(f"# comment {i}\n" for i in range(20_000))
    assert read_header(path).comments[-1] == "comment 19999"


def test_comments_empty_lines_and_line_ends_of_other_systems_are_accepted(tmp_path):
    path = write(tmp_path, draw_samples())
    header = path.with_suffix(".hea")
    lines = ["# before", "", *header.read_text().splitlines(), "  ", "#Age: 60", "# Sex: F  "]
    header.write_bytes("\r\n".join(lines).encode())
    assert read_header(path).comments == ("before", "Age: 60", "Sex: F")
    np.testing.assert_array_equal(read_record(f"{path}.hea").digital, draw_samples())


def write_frames(folder, signals, samps_per_frame, name="made", rate_hz=125):
    """Write a record of signals with one or several samples in a frame, all in format 16."""
    n = len(signals)
    wfdb.wrsamp(
        name,
        rate_hz,
        ["mV"] * n,
        ["I", "ABP", "II"][:n],
        e_d_signal=signals,
        samps_per_frame=samps_per_frame,
        fmt=["16"] * n,
        adc_gain=[1000.0] * n,
        baseline=[0] * n,
        write_dir=str(folder),
    )
    return folder / name


def test_frames_of_several_samples_are_read_sample_by_sample_as_wfdb_does(tmp_path):
    signals = [draw_samples("16", (n, 1), n)[:, 0] for n in (4000, 1000, 2000)]
    record = read_record(write_frames(tmp_path, signals, [4, 1, 2]))
    assert record.sampling_rates_hz == (500, 125, 250)
    theirs = wfdb.rdrecord(str(tmp_path / "made"), smooth_frames=False)
    for column, signal in enumerate(theirs.e_p_signal):
        np.testing.assert_allclose(record.to_mv([column])[:, 0], signal, rtol=1e-12)
    assert not record.first_sample_differs
    old, new = "made.dat 16x2 1000.0(0)/mV 16 0 -32767 ", "made.dat 16x2 1000.0(0)/mV 16 0 7 "
    assert read_record(edit(tmp_path / "made", old, new)).first_sample_differs


def test_not_measured_and_skewed_samples_of_frames_are_those_of_wfdb(tmp_path):
    fast, slow = draw_samples("16", (4000, 1), 1)[:, 0], draw_samples("16", (1000, 1), 2)[:, 0]
    fast[41] = -(2**15)
    content = np.concatenate([fast.reshape(-1, 4), slow[:, None]], axis=1).astype("<i2").tobytes()
    record = read_record(write_bytes(tmp_path, content, "16x4:3 1000", "16 1000"))
    theirs = wfdb.rdrecord(str(tmp_path / "made"), smooth_frames=False)
    missing = [29, *range(3988, 4000)]  # frames 3 earlier, and the last 3 of the skewed signal
    assert np.flatnonzero(np.isnan(record.to_mv([0]))).tolist() == missing
    # wfdb fills the end with the digital value 0 and marks 3 samples instead of 3 frames.
    np.testing.assert_allclose(record.to_mv([0])[:3988, 0], theirs.e_p_signal[0][:3988])
    np.testing.assert_allclose(record.to_mv([1])[:, 0], theirs.e_p_signal[1])


def test_segments_of_frames_with_several_samples_are_joined(tmp_path):
    pieces = [[draw_samples("16", (n, 1), n + k)[:, 0] for n in (400, 100)] for k in range(2)]
    for name, signals in zip(("one", "two"), pieces, strict=True):
        write_frames(tmp_path, signals, [4, 1], name)
    (tmp_path / "all.hea").write_text("all/3 2 125 250\none 100\n~ 50\ntwo 100\n")
    record = read_record(tmp_path / "all")
    assert record.sampling_rates_hz == (500, 125)
    for column, n in ((0, 200), (1, 50)):
        gap = np.full(n, np.nan)
        expected = [pieces[0][column] / 1000, gap, pieces[1][column] / 1000]
        np.testing.assert_allclose(record.to_mv([column])[:, 0], np.concatenate(expected))


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_a_skewed_signal_is_moved_and_its_checksum_covers_all_samples(tmp_path, fmt):
    digital = draw_samples(fmt, (100, 2))
    path = write(tmp_path, digital, fmt)
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(f".dat {fmt} ", f".dat {fmt}:7 ", 1))
    record = read_record(path)
    np.testing.assert_array_equal(record.digital[:93, 0], digital[7:, 0])
    np.testing.assert_array_equal(record.digital[:, 1], digital[:, 1])
    np.testing.assert_allclose(read_all_mv(record), wfdb.rdsamp(str(path))[0], rtol=1e-12)
    assert not record.first_sample_differs


@pytest.fixture
def pieces(tmp_path):
    """Records of 100 samples: two of leads I, II and one of lead II with another gain."""
    for name, seed in (("one", 1), ("two", 2)):
        write(tmp_path, draw_samples("16", (100, 2), seed), name=name)
    wfdb.wrsamp(
        "three",
        250,
        ["uV"],
        ["II"],
        d_signal=draw_samples("212", (100, 1), 3),
        fmt=["212"],
        adc_gain=[2.0],
        baseline=[1024],
        write_dir=str(tmp_path),
    )
    (tmp_path / "layout.hea").write_text(
        "layout 2 250 0\n~ 0 200 16 0 0 0 0 I\n~ 0 200 16 0 0 0 0 II"
    )
    return tmp_path


def write_segmented(folder, *segments, n_samples=None, n_leads=2):
    lines = [f"{name} {n}" for name, n in segments]
    n_samples = sum(n for _, n in segments) if n_samples is None else n_samples
    (folder / "all.hea").write_text(
        "\n".join([f"all/{len(segments)} {n_leads} 250 {n_samples}", *lines, "# of several"])
    )
    return folder / "all"


def test_segments_with_the_same_leads_are_joined(pieces):
    path = write_segmented(pieces, ("one", 100), ("two", 100), ("one", 100))
    record = read_record(path)
    assert isinstance(record, SegmentedRecord)
    assert (record.leads, record.sampling_rate_hz, record.n_samples) == (("I", "II"), 250, 300)
    assert record.header.comments == ("of several",)
    np.testing.assert_allclose(read_all_mv(record), wfdb.rdsamp(str(path))[0], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(
        read_all_steps(record), to_steps(read_all_mv(record)), strict=True
    )
    np.testing.assert_array_equal(record.to_steps([1]), read_all_steps(record)[:, 1:])


def test_gaps_and_missing_leads_of_segments_are_not_measured(pieces):
    segments = [("layout", 0), ("one", 100), (GAP, 50), ("three", 100), ("two", 100)]
    path = write_segmented(pieces, *segments)
    record, theirs = read_record(path), wfdb.rdsamp(str(path))[0]
    theirs[150:250] /= 1000  # wfdb leaves the unit of the third piece as it is: uV
    np.testing.assert_allclose(read_all_mv(record), theirs, rtol=0, atol=1e-9)
    assert np.isnan(theirs).sum() == 2 * 50 + 100
    np.testing.assert_array_equal(read_all_steps(record) == INVALID, np.isnan(theirs))


def test_a_gap_between_segments_of_the_same_leads(pieces):
    """wfdb cannot read this one."""
    record = read_record(write_segmented(pieces, (GAP, 10), ("one", 100), (GAP, 20), ("two", 100)))
    gap = np.full((20, 2), INVALID)
    expected = [
        gap[:10],
        draw_samples(shape=(100, 2), seed=1),
        gap,
        draw_samples(shape=(100, 2), seed=2),
    ]
    np.testing.assert_array_equal(read_all_steps(record), np.concatenate(expected))


@pytest.mark.parametrize(
    ("segments", "n_samples", "message"),
    [
        ([("one", 100), ("two", 99)], None, "'samples': 99"),
        ([("one", 100), ("two", 100)], 300, "promises 300 samples; its segments have 200"),
        ([("one", 100), ("three", 100)], None, r"has .* leads \['II'\];"),
        ([("layout", 0), ("other", 100)], None, "some of the leads"),
        ([("layout", 0), ("faster", 100)], None, "'Hz': 500.0"),
        ([("one", 100), ("all", 200)], None, "'segments': 2"),
        ([(GAP, 100)], None, "no segment with leads"),
        ([("one", -1)], 100, "line 2 is not a valid segment line"),
    ],
)
def test_segments_that_do_not_fit_are_refused(pieces, segments, n_samples, message):
    for name, rate_hz, lead in (("other", 250, "aVR"), ("faster", 500, "II")):
        header = f"{name} 1 {rate_hz} 100\n{name}.dat 16 1000/mV 16 0 0 0 0 {lead}"
        (pieces / f"{name}.hea").write_text(header)
    path = write_segmented(pieces, *segments, n_samples=n_samples)
    with pytest.raises(RecordError, match=message) as error:
        read_record(path)
    assert error.value.kind == "bad_header"


def test_a_record_of_segments_that_is_too_large_is_refused(pieces):
    kind, message = catch_error(write_segmented(pieces, ("one", 100), (GAP, 10**11)))
    assert kind == "too_large"
    assert "1e+11 samples" in message


def test_leads_of_one_name_in_segments_are_kept_apart_by_their_order(pieces):
    for name in ("one", "two"):
        edit(pieces / name, " II", " I")
    record = read_record(write_segmented(pieces, ("one", 100), ("two", 100)))
    assert record.leads == ("I", "I")
    expected = np.concatenate([draw_samples(shape=(100, 2), seed=seed) for seed in (1, 2)])
    np.testing.assert_array_equal(read_all_steps(record), expected)


def test_a_lead_that_occurs_twice_in_one_segment_is_refused_only_if_it_is_chosen(pieces):
    edit(pieces / "two", " I\n", " II\n")
    record = read_record(write_segmented(pieces, ("layout", 0), ("one", 100), ("two", 100)))
    expected = np.append(draw_samples(shape=(100, 2), seed=1)[:, 0], [INVALID] * 100)
    np.testing.assert_array_equal(record.to_steps([0])[:, 0], expected)
    kind, message = catch_error([1], record.to_steps)
    assert kind == "ambiguous_lead"
    assert "two.hea has 2 leads 'II'" in message


def test_what_a_header_does_not_say_is_flagged(tmp_path):
    content = draw_samples().astype("<i2").tobytes()
    first, second, _ = draw_samples()[0]
    signals = [f"16 1000/mV 16 0 {first} 0 0 I", f"16 0 16 0 {second} 0 0 II", "16"]
    record = read_record(write_bytes(tmp_path, content, *signals))
    assert not list(record.find_problems("made", [0]))
    (problem,) = record.find_problems("made", [0, 1, 2])
    assert (problem.kind, problem.detail) == (
        "assumed",
        "No gain for ['II', '']: 200 steps per mV.",
    )
    record = read_record(write_bytes(tmp_path, content, *signals, record="made {n}"))
    (problem,) = record.find_problems("made", [0])
    assert (problem.kind, problem.detail) == ("assumed", "No sampling rate: 250 Hz.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" 250 ", " 1e-308 "),
        (" 250 ", " 1e300 "),
        ("(0)/mV", f"({'9' * 400})/mV"),
        (" 1000\n", f" {10**18}\n"),
        ("made.dat 16 ", "made.dat 16x99999999999 "),
        ("made.dat 16 ", "made.dat 16+99999999999999999 "),
    ],
)
def test_numbers_that_no_recording_has_are_refused(tmp_path, old, new):
    path = write(tmp_path, draw_samples(shape=(1000, 1)))
    assert catch_error(edit(path, old, new))[0] == "bad_header"


def test_damage_in_a_segment_is_damage_of_the_record(pieces):
    path = write_segmented(pieces, ("one", 100), ("two", 100))
    content = bytearray((pieces / "two.dat").read_bytes())
    content[50] ^= 1
    (pieces / "two.dat").write_bytes(content)
    assert catch_error(path)[0] == "wrong_checksum"
    read_record(path, verify=False)
    (pieces / "two.hea").unlink()
    assert catch_error(path)[0] == "missing_file"


@pytest.mark.parametrize("fmt", ["16", "212", "24", "516"])
def test_a_wrong_checksum_names_lead_and_both_sums(tmp_path, fmt):
    digital = draw_samples(fmt)
    path = write(tmp_path, digital, fmt)
    found = digital[:, 1].sum() % 65536
    edit(path, f" {found} 0 II", f" {(found + 1) % 65536} 0 II")
    kind, message = catch_error(path)
    assert kind == "wrong_checksum"
    for part in ("'II'", f"checksum {found}", f"expected {(found + 1) % 65536}"):
        assert part in message
    np.testing.assert_array_equal(read_record(path, verify=False).digital, digital)


def test_one_changed_byte_is_found_in_real_records(tmp_path):
    for source in (
        find_shared_data("ptbxl") / "records100/00000/00001_lr",
        find_shared_data("mitdb") / "100",
    ):
        content = bytearray(source.with_suffix(".dat").read_bytes())
        content[len(content) // 2] ^= 4
        (tmp_path / f"{source.name}.dat").write_bytes(content)
        header = source.with_suffix(".hea").read_bytes()
        (tmp_path / f"{source.name}.hea").write_bytes(header)
        assert catch_error(tmp_path / source.name)[0] == "wrong_checksum"


def test_checksums_are_verified_unless_all_are_0_or_missing(tmp_path):
    digital = draw_samples()
    sums = (digital.sum(axis=0) % 65536).tolist()
    signed = [total - 65536 if total > 32767 else total for total in sums]

    def write_checksums(*checksums):
        content = digital.astype("<i2").tobytes()
        return write_bytes(tmp_path, content, *[f"16 1 16 0 0 {c}".strip() for c in checksums])

    for right in (sums, signed, (0, 0, 0), ("", "", ""), ("", 0, 0), (sums[0], "", sums[2])):
        read_record(write_checksums(*right))
    for wrong in ((sums[0], 0, sums[2]), ("", sums[0], 0), (sums[0] + 1, "", "")):
        assert catch_error(write_checksums(*wrong))[0] == "wrong_checksum"
    assert catch_error(write_checksums(sums[0] ^ 32768, "", ""))[0] == "wrong_checksum"


@pytest.mark.parametrize("n", [1, 2, 64, 65, 66, 97, 1000, 4097, 70_000])
@pytest.mark.parametrize("n_leads", [1, 2, 12])
def test_sums_of_any_length_are_verified(tmp_path, n, n_leads):
    digital = draw_samples("16", (n + 2, n_leads), n)[2:]
    sums = digital.sum(axis=0) % 65536
    signals = [f"16 1000 16 0 0 {total} 0 {i}" for i, total in enumerate(sums)]
    path = write_bytes(tmp_path, digital.astype("<i2").tobytes(), *signals, n_samples=n)
    read_record(path)
    edit(path, f" {sums[-1]} 0 {n_leads - 1}", f" {sums[-1] + 1} 0 {n_leads - 1}")
    assert catch_error(path)[0] == "wrong_checksum"


@pytest.mark.parametrize("fmt", ["80", "212", "16", "24", "32"])
def test_the_error_of_a_truncated_file_names_both_lengths(tmp_path, fmt):
    path = write(tmp_path, draw_samples(fmt, (333, 3)), fmt)
    content = path.with_suffix(".dat").read_bytes()
    for length in (0, 1, len(content) - 1):
        path.with_suffix(".dat").write_bytes(content[:length])
        kind, message = catch_error(path)
        assert kind == "truncated"
        assert f"holds {length} bytes, expected {len(content)}" in message


def test_a_truncated_compressed_file_cannot_be_read(tmp_path):
    path = write(tmp_path, draw_samples("516"), "516")
    content = path.with_suffix(".dat").read_bytes()
    path.with_suffix(".dat").write_bytes(content[: len(content) // 2])
    kind, message = catch_error(path)
    assert kind == "unreadable"
    assert message.startswith("wfdb ")


def test_missing_files_are_named(tmp_path):
    path = write(tmp_path, draw_samples())
    path.with_suffix(".dat").unlink()
    for missing in ("made.dat", "made.hea"):
        kind, message = catch_error(path)
        assert kind == "missing_file"
        assert f"{tmp_path / missing} does not exist" in message
        path.with_suffix(".hea").unlink(missing_ok=True)
    path.with_suffix(".hea").mkdir()
    assert catch_error(path)[0] == "unreadable"
    path.with_suffix(".hea").rmdir()
    (tmp_path / "one.dat").mkdir()
    path.with_suffix(".hea").write_text("one 1 250 1\none.dat 16")
    assert catch_error(path)[0] == "unreadable"


def test_files_of_different_length_are_refused_where_the_header_gives_none(tmp_path):
    path = write(tmp_path, draw_samples("212"), ["16", "212", "212"])
    edit(path, "made 3 250 1000", "made 3 250")
    np.testing.assert_array_equal(read_record(path).digital.shape, (1000, 3))
    with open(tmp_path / "made_1.dat", "ab") as file:
        file.write(b"more")
    assert catch_error(path)[0] == "bad_header"
    for name in ("made_1.dat", "made_2.dat"):
        (tmp_path / name).write_bytes(b"1")
    assert catch_error(path)[0] == "truncated"
    path = edit(write(tmp_path, draw_samples(), "516"), "made 3 250 1000", "made 3 250")
    assert catch_error(path)[0] == "bad_header"


GOOD = "made 2 250 10\nmade.dat 16 1000 16 0 0 0 0 I\nmade.dat 16 1000 16 0 0 0 0 II\n"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (GOOD, "# only a comment", "no record line"),
        ("made 2 250 10", "made", "line 1"),
        ("made 2 250 10", "made two 250 10", "line 1"),
        ("made 2 250 10", "# by hand\n\nmade two 250 10", "line 3"),
        (
            " I\nmade.dat 16 1000",
            " I\n\n# by hand\nmade.dat 16 mV",
            "line 5 is not a valid signal line",
        ),
        ("made 2 250 10", "made 2 0 10", "line 1"),
        ("made 2 250 10", "made 2 nan 10", "line 1"),
        ("made 2 250 10", "made 2 250 ten", "line 1"),
        ("made 2 250 10", "made 2 250 -1", "line 1"),
        ("made 2 250 10", "made/0 2 250 10", "line 1"),
        ("made 2 250 10", "made 3 250 10", "promises 3 signals"),
        ("made 2 250 10", "made 1 250 10", "promises 1 signals"),
        ("made 2 250 10", "made/1 2 250 10", "promises 1 segments"),
        ("made.dat 16 1000 16 0 0 0 0 II", "%PDF-1.4", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16x0", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16,2", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16 1e999", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16 1000(0.5)/mV", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16 1000 II", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16 1000 16 II", "line 3"),
        ("made.dat 16 1000 16 0 0 0 0 II", "made.dat 16 1000 16 0 0 0 II", "line 3"),
        (
            "made.dat 16 1000 16 0 0 0 0 II",
            "made.dat 212 1000 16 0 0 0 0 II",
            "[(16, 0), (212, 0)]",
        ),
        (
            "made.dat 16 1000 16 0 0 0 0 II",
            "made.dat 16+2 1000 16 0 0 0 0 II",
            "[(16, 0), (16, 2)]",
        ),
        (GOOD, "made 3\nmade.dat 16\nx.dat 16\nmade.dat 16", "must follow each other"),
        (GOOD, "made 0 250 10", "no signals"),
    ],
)
def test_the_error_of_a_bad_header_names_the_line(tmp_path, old, new, line):
    path = tmp_path / "made"
    path.with_suffix(".hea").write_text(GOOD.replace(old, new))
    for name in ("made.dat", "x.dat"):
        (tmp_path / name).write_bytes(bytes(40))
    kind, message = catch_error(path)
    assert kind == "bad_header"
    assert line in message
    assert str(path.with_suffix(".hea")) in message


def test_an_unknown_format_cannot_be_read(tmp_path):
    kind, message = catch_error(write_bytes(tmp_path, bytes(2000), "17"))
    assert kind == "unreadable"
    assert "17" in message


def test_wfdb_is_not_imported_for_the_formats_of_large_datasets():
    path = find_shared_data("mitdb") / "100"
    script = (
        "import sys\n"
        "from ecglib.datasets.wfdb.records import read_record\n"
        f"print(read_record({str(path)!r}).digital.shape, 'wfdb' in sys.modules)"
    )
    folder = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=True
    )
    assert run.stdout.strip() == "(650000, 2) False"
