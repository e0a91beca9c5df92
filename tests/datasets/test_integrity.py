import numpy as np
import pytest
from made import shared_data
from scipy.signal import butter, sosfiltfilt

from ecglib.datasets.integrity import SignalNotes, Signatures, signal_hash

RATE_HZ = 100


def ecg_like(rng, n=1000):
    """Spikes at irregular times with a wave after each, seen by two leads."""
    signal = np.zeros((n, 2))
    beat = rng.integers(10, 40)
    while beat < n - 40:
        width = np.arange(-10, 40)
        shape = np.exp(-((width / 2) ** 2)) + 0.3 * np.exp(-(((width - 25) / 6) ** 2))
        if beat >= 10:
            signal[beat - 10 : beat + 40] += np.outer(shape, [1.0, -0.6])
        beat += rng.integers(55, 110)
    return signal + 0.02 * rng.standard_normal((n, 2))


BAND = butter(3, [0.5, 40], "band", fs=RATE_HZ, output="sos")
COPIES = {
    "gain and offset": lambda x, rng: 1.7 * x + 0.3,
    "shift": lambda x, rng: np.roll(x, 23, axis=0),
    "noise at 20 dB": lambda x, rng: x + 0.1 * x.std(axis=0) * rng.standard_normal(x.shape),
    "filtered": lambda x, rng: sosfiltfilt(BAND, x, axis=0),
    "wander": lambda x, rng: x + np.sin(2 * np.pi * 0.3 * np.arange(len(x)) / RATE_HZ)[:, None],
    "rounded": lambda x, rng: np.round(x, 1),
}


@pytest.mark.parametrize("copy", COPIES)
def test_planted_copies_are_found_and_nothing_else(copy):
    rng = np.random.default_rng(1)
    signatures = Signatures()
    records = [ecg_like(rng) for _ in range(60)]
    for i, record in enumerate(records):
        signatures.add(f"r{i}", record, RATE_HZ)
    for i in (3, 17, 41):
        signatures.add(f"copy of r{i}", COPIES[copy](records[i], rng), RATE_HZ)
    pairs = [(a, b) for a, b, _ in signatures.near_identical()]
    assert sorted(pairs) == [("r17", "copy of r17"), ("r3", "copy of r3"), ("r41", "copy of r41")]


def test_real_duplicates_of_ptbxl_are_found():
    """Each of these pairs holds one of the twelve records that version 1.0.3 dropped."""
    import wfdb

    folder = shared_data("ptbxl") / "records100" / "00000"
    signatures = Signatures()
    for path in sorted(folder.glob("*.hea")):
        signatures.add(str(int(path.stem[:5])), wfdb.rdrecord(str(path)[:-4]).p_signal, RATE_HZ)
    found = {(a, b) for a, b, _ in signatures.near_identical()}
    assert found == {
        ("137", "138"),
        ("143", "144"),
        ("145", "463"),
        ("456", "457"),
        ("459", "460"),
    }


def test_the_hash_tells_signals_apart():
    a = np.arange(20, dtype=np.int16).reshape(10, 2)
    assert signal_hash(a) == signal_hash(a.copy(order="F"))
    assert signal_hash(a) != signal_hash(a[::-1])


def test_odd_signals_are_noted():
    rng = np.random.default_rng(0)
    fine, flat, wild = rng.standard_normal((3, 500, 2))
    flat[:, 1] = 0.25
    wild[100, 0] = 40.0
    notes = SignalNotes()
    for name, signal in (("fine", fine), ("flat", flat), ("wild", wild)):
        notes.add(name, signal)
    assert notes.found() == {"flat_lead": ["flat"], "clipped_samples": ["wild"]}
    notes.check()
