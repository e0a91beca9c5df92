"""Against the annotations of MIT-BIH, the detector of wfdb and beats at known times."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import find_shared_data
from scipy.signal import resample_poly

from ecglib.datasets.schema import SignalSpec, Task
from ecglib.datasets.sources.arrays import ArraysSource, Recordings
from ecglib.datasets.sources.mitdb import BEATS
from ecglib.datasets.sources.synthetic import SyntheticSource
from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular import heart_rate
from ecglib.datasets.tabular.heart_rate import (
    FILE_NAME,
    HEART_RATE,
    compute_heart_rate,
    compute_rr_statistics,
    find_r_peaks,
    load_or_compute_heart_rate,
)
from ecglib.datasets.writer import write_store

LEADS = ("I", "II", "V1")
NOISE_MV = 0.01
HEIGHTS_MV = (0.6, 1.2, -0.8)


def read_heart_rate(store):
    return load_or_compute_heart_rate(
        store.path, store.fingerprint, store.signal, len(store.windows), store.read
    )


def signal_spec(rate_hz=100.0, n_samples=1000, leads=LEADS):
    return SignalSpec(rate_hz, n_samples, leads)


def ecg(times_s, rate_hz=100.0, length_s=10.0, heights_mv=HEIGHTS_MV, noise_mv=NOISE_MV):
    """Three leads with a QRS complex at each time, T waves after them and a little noise."""
    t = np.arange(round(length_s * rate_hz))[:, None] / rate_hz
    times_s = np.asarray(times_s)
    one = np.exp(-(((t - times_s) / 0.02) ** 2)).sum(axis=1)
    one += 0.2 * np.exp(-(((t - times_s - 0.28) / 0.06) ** 2)).sum(axis=1)
    noise = np.random.default_rng(0).standard_normal((len(t), 3))
    return one[:, None] * heights_mv + noise_mv * noise


TIMES_S = 0.473 + np.cumsum([0, 0.81, 0.83, 0.79, 0.9, 0.86, 0.8, 0.78, 0.84, 0.88, 0.81])


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 120.0, 500.0])
def test_beats_are_found_at_their_times_between_samples_too(rate_hz):
    found = find_r_peaks(ecg(TIMES_S, rate_hz), signal_spec(rate_hz)) / rate_hz
    assert len(found) == len(TIMES_S)
    assert np.abs(found - TIMES_S).max() < 0.003


def test_the_lead_may_point_down():
    found = find_r_peaks(ecg(TIMES_S, heights_mv=(-0.6, -1.2, 0.8)), signal_spec()) / 100
    assert np.abs(found - TIMES_S).max() < 0.003


def test_in_a_pause_no_t_wave_counts_as_a_beat():
    times_s = [0.5, 1.3, 2.1, 2.9, 6.4, 7.2, 8.0, 8.8]
    found = find_r_peaks(ecg(times_s), signal_spec()) / 100
    assert np.abs(found - times_s).max() < 0.003


@pytest.mark.parametrize("bad", ["flat", "off after 4 s", "noise", "silent"])
def test_another_lead_is_used_where_lead_ii_is_bad(bad):
    signal_mv = ecg(TIMES_S)
    noise = np.random.default_rng(1).standard_normal(1000)
    signal_mv[:, 0] += 0.2 * noise
    if bad == "off after 4 s":
        signal_mv[400:, 1] = 0.3
    else:
        signal_mv[:, 1] = {"flat": 0.7, "noise": 0.8 * noise, "silent": 0.002 * noise}[bad]
    found = find_r_peaks(signal_mv, signal_spec()) / 100
    assert len(found) == len(TIMES_S)
    assert np.abs(found - TIMES_S).max() < 0.003


def test_lead_ii_and_mlii_come_first_where_they_are_clear():
    """The others have half of the beats, larger and without noise."""
    fewer = ecg(TIMES_S[::2], noise_mv=0)[:, :1] * 3
    signal_mv = np.hstack([fewer, ecg(TIMES_S)[:, 1:2], fewer])
    for leads in (LEADS, ("V1", "MLII", "V5"), ("V1", "Lead II", "V5")):
        assert len(find_r_peaks(signal_mv, signal_spec(leads=leads))) == len(TIMES_S)


def test_beats_are_not_searched_before_a_lead_begins():
    signal_mv = ecg(TIMES_S)
    signal_mv[:300] = 0.2
    found = find_r_peaks(signal_mv, signal_spec()) / 100
    assert found == pytest.approx(TIMES_S[TIMES_S > 3], abs=0.003)


def silence(kind):
    rng = np.random.default_rng(2)
    step = np.zeros((1000, 3))
    step[-5:] = 0.5
    return {
        "zero": np.zeros((1000, 3)),
        "offset": np.full((1000, 3), 0.4),
        "noise": 0.3 * rng.standard_normal((1000, 3)),
        "a step at the end": step,
        "no sample": np.zeros((0, 3)),
        "half a second": ecg(TIMES_S)[:50],
    }[kind]


@pytest.mark.parametrize(
    "kind", ["zero", "offset", "noise", "a step at the end", "no sample", "half a second"]
)
def test_without_beats_every_value_is_missing(kind):
    values = compute_heart_rate(silence(kind), signal_spec())
    assert values.dtype == np.float32
    assert values.shape == (len(HEART_RATE),)
    assert np.isnan(values).all()


def test_noise_has_no_heart_rate():
    noise_mv = 0.3 * np.random.default_rng(3).standard_normal((40, 5000, 12))
    signal = signal_spec(500.0, 5000, tuple(f"V{i}" for i in range(12)))
    assert np.isnan([compute_heart_rate(window_mv, signal) for window_mv in noise_mv]).all()


def test_with_too_few_beats_only_the_values_that_need_more_are_missing():
    assert np.isnan(compute_heart_rate(ecg([5.0]), signal_spec())).all()
    values = dict(zip(HEART_RATE, compute_rr_statistics(np.array([100, 200]), 100.0), strict=True))
    assert values["heart_rate_bpm"] == 60
    assert values["rr_min_s"] == values["rr_max_s"] == 1
    assert np.isnan([values["rr_sd_s"], values["rr_rmssd_s"], values["rr_change_s"]]).all()


def test_the_padded_end_of_a_short_record_does_not_count():
    short = ecg(TIMES_S[:5], length_s=4.3) + 0.7
    padded = np.pad(short, ((0, 570), (0, 0)))
    assert np.array_equal(find_r_peaks(padded, signal_spec()), find_r_peaks(short, signal_spec()))
    assert len(find_r_peaks(padded, signal_spec())) == 5


def test_statistics_agree_with_the_textbook():
    """RR of 0.8 and 1.0 s in turn, four of each: mean 0.9, every change 0.2."""
    peaks = np.cumsum([0, *[80, 100] * 4])
    values = dict(zip(HEART_RATE, compute_rr_statistics(peaks, 100.0), strict=True))
    assert values["heart_rate_bpm"] == pytest.approx(60 / 0.9)
    assert values["rr_sd_s"] == pytest.approx(0.1 * np.sqrt(8 / 7))
    assert values["rr_rmssd_s"] == pytest.approx(0.2)
    assert values["rr_change_s"] == pytest.approx(0.2)
    assert (values["rr_min_s"], values["rr_max_s"]) == pytest.approx((0.8, 1.0))


def test_one_missed_beat_hardly_moves_the_robust_values():
    whole = compute_rr_statistics(TIMES_S * 100, 100.0)
    missed = compute_rr_statistics(np.delete(TIMES_S, 4) * 100, 100.0)
    robust = [HEART_RATE.index(n) for n in ("heart_rate_bpm", "rr_change_s", "rr_min_s")]
    assert missed[robust] == pytest.approx(whole[robust], rel=0.02, abs=0.02)


def test_the_heart_rate_of_synthetic_patients_is_the_simulated_one():
    source = SyntheticSource(n_patients=60)
    found, simulated = [], []
    for record, visit in zip(source.read_records(), source._visits, strict=True):
        rhythm = visit.description.rhythm
        if not (rhythm.fibrillation_mv or rhythm.ventricular or rhythm.atrial):
            found.append(compute_heart_rate(record.signal_mv, source.signal)[0])
            simulated.append(rhythm.rate_bpm)
    assert len(simulated) > 40
    assert np.abs(np.array(found) / simulated - 1).max() < 0.08


# Sinus rhythm, artefacts, leads swapped, bigeminy, fibrillation, low voltage, pauses.
RECORDS = ("100", "105", "114", "119", "201", "213", "222", "223", "231", "232")


def test_r_peaks_are_the_annotated_beats_of_mitdb():
    """Sensitivity and positive predictive value within 150 ms (ANSI/AAMI EC57), windows of 10 s."""
    import wfdb
    from wfdb.processing import compare_annotations

    reached = {}
    for name in RECORDS:
        path = str(find_shared_data("mitdb") / name)
        record = wfdb.rdrecord(path, sampto=360 * 600)
        annotations = wfdb.rdann(path, "atr")
        signal_mv = resample_poly(record.p_signal, 1, 3, axis=0, padtype="line")
        signal = signal_spec(120.0, 1200, tuple(record.sig_name))
        starts = range(0, len(signal_mv), 1200)
        found = [find_r_peaks(signal_mv[s : s + 1200], signal) + s for s in starts]
        found = np.rint(np.concatenate(found)).astype(int)
        beats = np.rint(annotations.sample[np.isin(annotations.symbol, list(BEATS))] / 3).astype(
            int
        )
        beats = beats[beats < len(signal_mv)]
        # A beat at an edge of a window cannot be expected.
        inner_found, inner_beats = (x[(x % 1200 >= 18) & (x % 1200 < 1182)] for x in (found, beats))
        reached[name] = (
            1 - compare_annotations(inner_beats, found, 18).fn / len(inner_beats),
            1 - compare_annotations(beats, inner_found, 18).fp / len(inner_found),
        )
    for name, minimum in {"201": 0.97, "232": 0.92}.items():
        assert min(reached.pop(name)) >= minimum, name
    assert min(min(rates) for rates in reached.values()) >= 0.98, reached


def test_the_heart_rate_of_ptbxl_agrees_with_another_detector():
    """XQRS of wfdb in lead II at 500 Hz, this one at 100 Hz."""
    import wfdb
    from wfdb.processing import xqrs_detect

    folder = find_shared_data("ptbxl")
    table = pd.read_csv(folder / "ptbxl_database.csv", index_col=0).iloc[::70]
    for names in zip(table["filename_lr"], table["filename_hr"], strict=True):
        low, high = (wfdb.rdrecord(str(folder / name)) for name in names)
        peaks = xqrs_detect(high.p_signal[:, 1], 500, verbose=False)
        found = compute_heart_rate(low.p_signal, signal_spec(leads=tuple(low.sig_name)))
        expected = 60 / np.median(np.diff(peaks) / 500)
        assert found[0] == pytest.approx(expected, rel=0.02), names


@pytest.fixture
def store(tmp_path):
    return write_store(beats_source(), tmp_path, progress=False)


def beats_source(n=12):
    """Record i has 60 + i beats a minute; the last one is half as long as the others."""
    lengths = [10.0] * (n - 1) + [5.0]
    signals = [ecg(np.arange(0.4, s, 60 / (60 + i)), length_s=s) for i, s in enumerate(lengths)]
    names = [f"r{i}" for i in range(n)]
    parts = (["train", "validation", "test"] * n)[:n]
    table = pd.DataFrame({"record": names, "patient": names, "labels": [["A"]] * n, "part": parts})
    recordings = Recordings(
        signals=signals, names=names, sampling_rate_hz=100.0, leads=LEADS, unit="mV"
    )
    return ArraysSource("beats", recordings, table, Task("a", "multi_label", {"A": ["A"]}))


def test_a_table_holds_every_window_and_is_computed_once(store, monkeypatch):
    values = read_heart_rate(store)
    assert values.dtype == np.float32
    assert values[:, 0] == pytest.approx(60 + np.arange(12), rel=0.01)
    assert values[:, 1:4].max() < 0.01
    assert sorted(p.name for p in store.path.glob("*heart_rate*")) == [FILE_NAME]
    monkeypatch.setattr(heart_rate, "_compute_windows", None)
    assert np.array_equal(read_heart_rate(Dataset(store.path)), values)


@pytest.mark.parametrize(
    "change", ["version", "sleepecg", "cut short", "another", "rows", "store", "values"]
)
def test_a_table_of_another_version_or_a_broken_one_is_computed_again(store, change):
    values, path = read_heart_rate(store), store.path / FILE_NAME
    if change == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif change == "another":
        pd.DataFrame({"x": [1]}).to_parquet(path)
    elif change == "values":
        table = pq.read_table(path)
        changed = table.set_column(0, HEART_RATE[0], [np.ones(12, np.float32)])
        assert changed.schema.metadata == table.schema.metadata
        pq.write_table(changed, path)
    else:
        provenance = {
            "store": store.fingerprint,
            "version": heart_rate.VERSION,
            "sleepecg": heart_rate.version("sleepecg"),
        }
        provenance |= {change: "0"} if change != "rows" else {}
        heart_rate._write_table(
            path, provenance, np.zeros_like(values)[: -1 if change == "rows" else None]
        )
    assert np.array_equal(read_heart_rate(store), values)
    assert np.array_equal(pq.read_table(path)[HEART_RATE[0]].to_numpy(), values[:, 0])


def test_where_nothing_can_be_written_the_values_are_kept_in_memory(store, monkeypatch):
    (store.path / FILE_NAME).mkdir()
    values = store.read_tabular(np.arange(12), HEART_RATE)
    assert values[:, 0] == pytest.approx(60 + np.arange(12), rel=0.01)
    assert not list(store.path.glob(".*"))
    monkeypatch.setattr(heart_rate, "_compute_windows", None)
    assert np.array_equal(store.read_tabular(np.arange(12), HEART_RATE), values)


def test_two_processes_that_compute_it_at_once_do_not_interfere(store, monkeypatch):
    both, compute = threading.Barrier(2, timeout=60), heart_rate._compute_windows

    def compute_at_once(*arguments):
        both.wait()
        return compute(*arguments)

    monkeypatch.setattr(heart_rate, "_compute_windows", compute_at_once)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(read_heart_rate, [Dataset(store.path), Dataset(store.path)])
    assert np.array_equal(first, second)
    assert sorted(p.name for p in store.path.glob("*heart_rate*")) == [FILE_NAME]
    assert np.array_equal(read_heart_rate(store), first)
