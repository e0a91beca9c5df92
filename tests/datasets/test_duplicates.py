from functools import cache

import numpy as np
import pytest
from helpers import find_shared_data
from scipy.signal import butter, resample_poly, sosfilt, sosfiltfilt

from ecglib.datasets import duplicates
from ecglib.datasets.duplicates import Signatures
from ecglib.datasets.units import INVALID, to_steps
from ecglib.errors import DatasetError

RATE_HZ = 100
DROPPED = [(137, 138), (143, 144), (145, 463), (456, 457), (459, 460)]


@pytest.fixture
def find_pairs(tmp_path):
    """Finds pairs among blocks of records, each an array in mV or in steps, with its rate."""

    def find_pairs(*blocks, rate_hz=RATE_HZ):
        signatures = Signatures(tmp_path)
        for block in blocks:
            signal, rate = block if isinstance(block, tuple) else (block, rate_hz)
            signatures.add(signal if signal.dtype == np.int16 else to_steps(signal), rate)
        return signatures.find_pairs()

    return find_pairs


def ecg_like(rng, n=1000, n_leads=2):
    """Spikes at irregular times with a wave after each, seen by some leads, in mV."""
    signal = np.zeros((n, n_leads))
    seen = np.array([1.0, -0.6, 0.4, 0.8])[:n_leads]
    beat = rng.integers(10, 40)
    while beat < n - 40:
        width = np.arange(-10, 40)
        shape = np.exp(-((width / 2) ** 2)) + 0.3 * np.exp(-(((width - 25) / 6) ** 2))
        signal[beat - 10 : beat + 40] += np.outer(shape, seen)
        beat += rng.integers(55, 110)
    return signal + 0.02 * rng.standard_normal(signal.shape)


@cache
def read_folder(name, rate_hz=100):
    """The ecg_ids and the records of a folder in PTB-XL's layout, int16 in 0.001 mV."""
    paths = sorted((find_shared_data(name) / f"records{rate_hz}").rglob("*.dat"))
    records = [np.fromfile(path, "<i2").reshape(-1, 12) for path in paths]
    return np.array([int(path.stem[:5]) for path in paths]), np.stack(records)


def add_wander(x):
    return x + np.sin(2 * np.pi * 0.3 * np.arange(x.shape[1]) / RATE_HZ)[:, None]


def design_band_filter(low_hz, high_hz, order=3):
    return butter(order, [low_hz, high_hz], "band", fs=RATE_HZ, output="sos")


def add_noise(x):
    noise = np.random.default_rng(7).standard_normal(x.shape)
    return x + 0.1 * x.std(axis=1, keepdims=True) * noise


GAINS = np.array([1.7, 0.3, 2.2, 0.8, 1.1, 0.5] * 2)
# From records of 10 s at 100 Hz, in mV, to copies at some rate.
COPIES = {
    "gain of each lead and offset": lambda x: GAINS[: x.shape[2]] * x + 0.3,
    "z-scored": lambda x: (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True),
    "0.07 s later": lambda x: x[:, 7:],
    "1 s later": lambda x: x[:, 100:],
    "8 s from the middle": lambda x: x[:, 100:900],
    "noise at 20 dB": add_noise,
    "0.5-40 Hz both ways": lambda x: sosfiltfilt(design_band_filter(0.5, 40), x, axis=1),
    "1-30 Hz both ways": lambda x: sosfiltfilt(design_band_filter(1, 30), x, axis=1),
    "0.5-40 Hz forwards": lambda x: sosfilt(design_band_filter(0.5, 40, 2), x, axis=1),
    "wander": add_wander,
    "steps of 0.05 mV": lambda x: np.round(x / 0.05) * 0.05,
    "at 360 Hz": lambda x: (resample_poly(x, 18, 5, axis=1, padtype="line"), 360),
    "filtered, noisy, later and rounded": lambda x: (
        np.round(20 * add_noise(sosfiltfilt(design_band_filter(0.5, 40), x, axis=1))[:, 50:]) / 20
    ),
}


@pytest.mark.parametrize("copy", COPIES)
def test_planted_copies_are_found_and_no_others(copy, find_pairs):
    rng = np.random.default_rng(1)
    records = np.stack([ecg_like(rng) for _ in range(60)])
    originals = [3, 17, 41]
    pairs = find_pairs(records, COPIES[copy](records[originals]))
    assert [pair[:2] for pair in pairs] == [(3, 60), (17, 61), (41, 62)]
    assert all(0.95 <= correlation <= 1.0001 for *_, correlation in pairs)


@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_real_records_are_found(copy, find_pairs):
    records = read_folder("ptbxl")[1] / 1000
    found = {(i, j) for i, j, _ in find_pairs(records, COPIES[copy](records))}
    fraction = np.mean([(i, 500 + i) in found for i in range(500)])
    assert fraction >= (0.98 if any(word in copy for word in ("nois", "steps")) else 0.996)


def test_real_duplicates_of_ptbxl_are_found(find_pairs):
    """Each of these pairs holds one of the twelve records that version 1.0.3 dropped."""
    ids, records = read_folder("ptbxl")
    pairs = find_pairs(records)
    assert [(ids[i], ids[j]) for i, j, _ in pairs] == DROPPED


def test_raw_records_and_their_filtered_scaled_copies_are_found_and_no_others(find_pairs):
    (raw_ids, raw), (ids, scaled) = read_folder("ptbxl"), read_folder("ptbxl_z100")
    both = np.concatenate([raw_ids, ids])
    found = {(both[i], both[j]) for i, j, _ in find_pairs(raw, scaled)}
    shared = np.intersect1d(raw_ids, ids)
    assert len(shared) == 488
    assert np.mean([(i, i) in found for i in shared]) >= 0.99
    assert {tuple(sorted(pair)) for pair in found if pair[0] != pair[1]} == set(DROPPED)


def test_other_rates_of_real_records_are_found(find_pairs):
    _, at_100_hz = read_folder("ptbxl")
    _, at_500_hz = read_folder("ptbxl", 500)
    found = {(i, j) for i, j, _ in find_pairs((at_100_hz, 100), (at_500_hz, 500))}
    assert all((i, 500 + i) in found for i in range(500))


@pytest.mark.parametrize("leads", [slice(None), [0, 1], [0, 11], [1], [0]], ids=str)
def test_different_people_are_not_paired(leads, find_pairs):
    _, records = read_folder("ptbxl_z100")
    assert find_pairs(records[:, :, leads]) == []


def test_later_pieces_of_one_half_hour_are_rarely_paired(find_pairs):
    """The hardest that is no copy: the same beats at the same rate."""
    import wfdb

    folder = find_shared_data("mitdb")
    records = [wfdb.rdrecord(str(folder / name)).p_signal for name in ("100", "107", "122")]
    pieces = np.concatenate([x[:648_000].reshape(180, 3600, 2) for x in records])
    assert len(find_pairs(pieces, rate_hz=360)) <= 1  # of 3 * 180 * 179 / 2


def test_the_search_agrees_with_a_direct_comparison_of_all_pairs(find_pairs):
    ids, raw = read_folder("ptbxl")
    scaled_ids, scaled = read_folder("ptbxl_z100")
    blocks = raw[130:170], scaled[np.isin(scaled_ids, ids[150:160])], raw[160:170, 80:]
    correlation = compare_directly([record for block in blocks for record in block])
    above = {(i, j) for i, j in zip(*np.nonzero(correlation > 0.95), strict=True)}
    assert len(above) == 2 + 2 * 10
    assert {(i, j) for i, j, _ in find_pairs(*blocks)} == above
    assert not np.any((correlation > 0.9) & (correlation < 0.97))  # no close call


def compare_directly(records):
    """Compute the largest correlation over starts within 1 s, of records i < j; other leads."""
    leads = [1, 5, 6, 9]
    n = max(len(record) for record in records)
    x, there = np.zeros((2, len(records), n, len(leads)))
    for k, record in enumerate(records):
        inner = slice(50, len(record) - 50)
        x[k, inner] = sosfiltfilt(design_band_filter(5, 15), record[:, leads], axis=0)[inner]
        there[k, inner] = 1
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    largest = np.full((len(records), len(records)), -1.0)
    for shift in range(-100, 101, 2):
        here = slice(max(0, shift), n + min(0, shift))
        other = slice(max(0, -shift), n + min(0, -shift))
        a, b, a_there, b_there = (
            y[:, part].reshape(len(records), -1)
            for y, part in ((x, here), (x, other), (there, here), (there, other))
        )
        power = (a**2 @ b_there.T) * (a_there @ (b**2).T)
        largest = np.maximum(largest, a @ b.T / np.sqrt(power))
    return np.triu(largest, 1)


def test_blocks_and_tiles_do_not_matter(find_pairs, monkeypatch):
    _, raw = read_folder("ptbxl")
    _, scaled = read_folder("ptbxl_z100")
    expected = find_pairs(raw, scaled[:700])
    assert len(expected) > 300
    assert find_pairs(raw, scaled[:700]) == expected
    together = np.concatenate([raw, scaled[:700]])
    cut = find_pairs(*np.array_split(together, 17))
    monkeypatch.setattr(duplicates, "ROWS", 96)
    monkeypatch.setattr(duplicates, "COLUMNS", 32)
    for other in (cut, find_pairs(together)):
        assert [pair[:2] for pair in other] == [pair[:2] for pair in expected]
        np.testing.assert_allclose([c for *_, c in other], [c for *_, c in expected], atol=2e-3)


@pytest.mark.parametrize("n_leads", [1, 2, 3, 4])
@pytest.mark.parametrize("seconds", [6, 8, 30])
def test_few_leads_and_other_lengths(n_leads, seconds, find_pairs):
    rng = np.random.default_rng(2)
    records = np.stack([ecg_like(rng, seconds * RATE_HZ, n_leads) for _ in range(20)])
    assert find_pairs(records, 0.5 * records[[4]]) == [(4, 20, pytest.approx(1, abs=0.01))]


def test_records_of_a_few_beats_are_not_compared(find_pairs):
    rng = np.random.default_rng(2)
    short = np.stack([ecg_like(rng, 300) for _ in range(3)])
    assert find_pairs(short, short, np.zeros((2, 3, 2))) == []


def test_flat_records_are_never_paired(find_pairs):
    rng = np.random.default_rng(3)
    records = np.stack([ecg_like(rng) for _ in range(5)])
    flat = np.full((4, 1000, 2), 0.25)
    unmeasured = np.full((3, 1000, 2), INVALID, np.int16)
    nearly = 0.001 * rng.integers(0, 2, (1, 1000, 2))
    assert find_pairs(flat, records, flat[:, :777], unmeasured, nearly, nearly) == []


def test_a_flat_lead_does_not_hide_a_copy(find_pairs):
    rng = np.random.default_rng(3)
    records = np.stack([ecg_like(rng, n_leads=3) for _ in range(5)])
    records[:, :, 1] = 0.4
    assert [pair[:2] for pair in find_pairs(records, records[[2]] * 1.5)] == [(2, 5)]


def test_samples_that_were_not_measured_count_as_none(find_pairs):
    rng = np.random.default_rng(4)
    records = to_steps(np.stack([ecg_like(rng) for _ in range(10)]) + 5.0)
    copies = records[[1, 6]]
    copies[:, 400:430] = INVALID
    copies[0, :60, 1] = INVALID
    assert [pair[:2] for pair in find_pairs(records, copies)] == [(1, 10), (6, 11)]


def test_one_spike_in_common_is_no_copy(find_pairs):
    rng = np.random.default_rng(5)
    records = np.stack([ecg_like(rng) for _ in range(20)])
    records[:, 500:503] += 30.0
    assert find_pairs(records) == []


def test_without_records_there_are_no_pairs(find_pairs):
    rng = np.random.default_rng(6)
    assert (
        find_pairs() == find_pairs(np.zeros((0, 1000, 2))) == find_pairs(ecg_like(rng)[None]) == []
    )


def test_other_leads_are_refused(find_pairs):
    with pytest.raises(DatasetError, match=r"3 leads .* 2 leads added before"):
        find_pairs(np.zeros((1, 1000, 2)), np.zeros((1, 1000, 3)))


def test_a_signature_takes_one_and_a_half_kilobytes(tmp_path):
    Signatures(tmp_path).add(np.zeros((50, 5000, 12), np.int16), 500.0)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 50 * 1500
