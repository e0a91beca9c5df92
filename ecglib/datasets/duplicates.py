"""Records that are one recording, changed: gain, offset, wander, start, filter, rate, some noise.

Of each record a *signature* is kept: up to four leads, the first 10 s, from 5 to 15 Hz. That band
holds the QRS complexes, survives the usual filters and has no baseline. Half a second at each end
is left out, because there filters ring: the raw records of PTB-XL and their filtered and z-scored
copies differ nowhere else. Every pair then meets three sieves, each far finer than the one before:

1. the amplitude spectra, nearly blind to the start, are alike (one matrix product);
2. at one shift the leads correlate together, counting only what overlaps;
3. at that shift each third of the overlap correlates, as the mean over the leads. Equal beats at
   an equal rate may pass 2, but two hearts drift apart; two equal spikes fail here too.

The thresholds are founded on measurements with real data, of 12 leads unless said otherwise.
Copies: all 488 raw records of PTB-XL and their filtered, z-scored copies are found, with 0.99 or
more; of copies with another gain, offset, rate, wander, start (up to 1 s later) or filter (0.5-40
and 1-30 Hz, forwards or both ways) 99.6 % or more; of those with 20 dB of noise or in steps of
0.05 mV about 99 %. Strangers: the highest of 2.6 million pairs of PTB-XL records has 0.91, of 36.5
million pairs of two-lead MIT-BIH pieces 0.83. Fewer leads say less and need more: with leads I and
V6 the highest of the PTB-XL pairs is 0.94, with lead I 0.96, with V1 0.97. Hardest are the same
beats: of 805,680 pairs of other pieces of one half hour, four pass.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
from tqdm.auto import tqdm

from ecglib.datasets.units import INVALID
from ecglib.errors import DatasetError

MOST_LEADS = 4
LONGEST_S, EDGE_S, RATE_HZ = 10, 0.5, 40
BAND_HZ = (3, 6, 14, 19)  # nothing below the first, all from the second to the third
QUIET_STEPS = 5  # a lead that stays below it in the band, in steps of 0.001 mV, is flat

ALIKE = 0.945
OVERLAPPING, ALIGNED = 0.65, 0.90
NEAR_IDENTICAL = np.array([np.inf, 0.975, 0.96, 0.95, 0.95])  # for 0, 1 ... leads in common
LATEST_S, SHORTEST_S = 1.25, 4.0  # how far the starts may be apart, how much must overlap
PARTS = 3

PIECE = 32  # records that stay in the cache of the processor
ROWS, COLUMNS = 8192, 512  # records compared at once
PADDED = 540  # samples; longer than a signature, so that a shift does not bring in the other end
FINER = 2  # shifts tried in a sample

_N = round((LONGEST_S - 2 * EDGE_S) * RATE_HZ)
_BINS = slice(*(round(hz * PADDED / RATE_HZ) for hz in (2.5, 18.5)))


class Signatures:
    """Finds near-identical records among all that were added.

    Parameters
    ----------
    folder
        signatures go to a file in it, 1.4 kB a record, so that memory does not grow with the
        number of records. The folder is for the caller to remove.
    """

    def __init__(self, folder: Path):
        self._path = Path(folder) / "signatures.bin"
        self._path.write_bytes(b"")
        self._n_leads, self._row = None, None

    def add(self, steps: np.ndarray, sampling_rate_hz: float) -> None:
        """Add a block of records.

        Parameters
        ----------
        steps : int16 array of shape (n_records, n_samples, n_leads)
            In 0.001 mV; `INVALID` where nothing was measured. Each block may have another length
            and sampling rate, but all have the same leads.
        sampling_rate_hz
            Sampling rate in Hz.

        Raises
        ------
        DatasetError
            The block has another number of leads than those before.
        """
        if self._n_leads not in (None, steps.shape[2]):
            raise DatasetError(
                f"Records of {steps.shape[2]} leads cannot be compared with those of "
                f"{self._n_leads} leads added before. Give all records the same leads."
            )
        self._n_leads = steps.shape[2]
        with open(self._path, "ab") as file:
            for start in range(0, len(steps), PIECE):
                signal, length = signature(steps[start : start + PIECE], sampling_rate_hz)
                self._row = np.dtype([("length", "<i8"), ("signal", "i1", signal.shape[1:])])
                rows = np.empty(len(signal), self._row)
                rows["length"], rows["signal"] = length, signal
                rows.tofile(file)

    def pairs(self, progress: bool = False) -> list[tuple[int, int, float]]:
        """Give the pairs of near-identical records.

        Returns
        -------
        list of (first, second, correlation)
            The numbers of the records in the order of adding, first < second, and the correlation
            in the third of their overlap where it is lowest.
        """
        if not self._path.stat().st_size:
            return []
        rows = np.memmap(self._path, self._row, "r")
        n = len(rows)
        tiles = [(row, column) for row in range(0, n, ROWS) for column in range(row, n, COLUMNS)]
        found, a = [], None
        for row, column in tqdm(tiles, "near-identical", unit="tile", disable=not progress):
            if row == column:
                a = None  # or two of them would need memory
                starts = range(row, min(row + ROWS, n), COLUMNS)
                a = _joined([_load(rows, start) for start in starts])
            inside = column < row + ROWS
            b = _piece(a, column - row) if inside else _load(rows, column)
            found += _pairs_between(a, b)
        return sorted(found)


def signature(steps: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, int]:
    """Give the signatures of a block of records.

    Parameters
    ----------
    steps : int16 array of shape (n_records, n_samples, n_leads)
        In 0.001 mV.
    sampling_rate_hz
        Sampling rate in Hz.

    Returns
    -------
    signal : int8 array of shape (n_records, up to 4 leads, 360)
        At 40 Hz; the largest sample of a lead is 127 or -127, a flat lead is 0.
    length
        How many of the 360 samples the records reach; 0 follow.
    """
    n_records, n_samples, n_leads = steps.shape
    n = round(LONGEST_S * sampling_rate_hz)
    leads = np.unique(np.linspace(0, n_leads - 1, MOST_LEADS).round().astype(int))
    signal = np.empty((n_records, len(leads), min(n, n_samples)), np.float32)
    for place, lead in enumerate(leads):
        signal[:, place] = steps[:, :n, lead]
    missing = signal == INVALID
    if missing.any():
        signal[missing] = 0
        n_measured = np.maximum((~missing).sum(axis=-1, keepdims=True), 1)
        signal -= signal.sum(axis=-1, keepdims=True) / n_measured
        signal[missing] = 0
    else:
        signal -= signal.mean(axis=-1, keepdims=True)
    spectrum = scipy.fft.rfft(signal, n)[..., : len(_GAIN)]
    spectrum *= _GAIN[: spectrum.shape[-1]] * np.float32(LONGEST_S * RATE_HZ / n)
    edge = round(EDGE_S * RATE_HZ)
    coarse = scipy.fft.irfft(spectrum, LONGEST_S * RATE_HZ)[..., edge : edge + _N]
    length = max(0, int(signal.shape[-1] / sampling_rate_hz * RATE_HZ) - 2 * edge)
    coarse[..., length:] = 0
    largest = np.maximum(coarse.max(axis=-1), -coarse.min(axis=-1))[..., None]
    coarse *= np.where(largest >= QUIET_STEPS, 127 / np.maximum(largest, 1), 0)
    return np.rint(coarse, out=coarse).astype(np.int8), length


def _gain() -> np.ndarray:
    """How much of each tenth of a Hz is kept, from 0 Hz; smooth, so that nothing rings for long."""
    hz = np.arange(BAND_HZ[-1] * LONGEST_S + 1) / LONGEST_S
    return (np.sin(np.pi / 2 * np.interp(hz, BAND_HZ, (0, 1, 1, 0))) ** 2).astype(np.float32)


_GAIN = _gain()


class _Loaded(NamedTuple):
    """Some of the signatures, each of energy 1, and what is compared of them.

    `start` is the number of the first record, `length` and `signal` are as in `signature`,
    `energy` (n_records, 361) is that of all leads before each sample, `spectrum` has shape
    (n_records, n_leads, 216), and its amplitudes, `likeness`, have (n_records, 108 * n_leads).
    """

    start: int
    length: np.ndarray
    signal: np.ndarray
    energy: np.ndarray
    spectrum: np.ndarray
    likeness: np.ndarray


def _load(rows: np.ndarray, start: int) -> _Loaded:
    rows = rows[start : start + COLUMNS]
    signal = rows["signal"].astype(np.float32)
    power = np.einsum("nlt,nlt->nl", signal, signal)
    n_leads = (power > 0).sum(axis=1, keepdims=True)
    signal /= np.sqrt(np.maximum(power * n_leads, 1))[..., None].astype(np.float32)
    energy = np.zeros((len(rows), _N + 1), np.float32)
    np.cumsum(np.einsum("nlt,nlt->nt", signal, signal), axis=1, out=energy[:, 1:])
    spectrum = np.ascontiguousarray(scipy.fft.rfft(signal, PADDED, workers=-1)[..., _BINS])
    # Two bins together, as a start one second later changes finer detail of the spectrum.
    parts = spectrum.view(np.float32).reshape(len(rows), -1, 4)
    likeness = np.sqrt(np.einsum("nkp,nkp->nk", parts, parts))
    likeness /= np.maximum(np.linalg.norm(likeness, axis=1, keepdims=True), 1e-6)
    return _Loaded(start, rows["length"], rows["signal"], energy, spectrum, likeness)


def _joined(pieces: list[_Loaded]) -> _Loaded:
    (start, *_), *arrays = zip(*pieces, strict=True)
    return _Loaded(start, *(np.concatenate(own) for own in arrays))


def _piece(a: _Loaded, first: int) -> _Loaded:
    own = slice(first, first + COLUMNS)
    return _Loaded(a.start + first, *(array[own] for array in a[1:]))


def _pairs_between(a: _Loaded, b: _Loaded) -> list[tuple[int, int, float]]:
    """Pairs of a record of `a` and a later one of `b`."""
    earlier = b.start + len(b.length) - a.start
    alike = a.likeness[:earlier] @ b.likeness.T
    i, j = np.divmod(np.flatnonzero(alike >= ALIKE), len(b.length))
    later = i + a.start < j + b.start
    i, j = i[later], j[later]
    found = []
    for k in range(0, len(i), 2 * COLUMNS):  # few enough for the cache of the processor
        first, second, shift = _aligned(a, b, i[k : k + 2 * COLUMNS], j[k : k + 2 * COLUMNS])
        correlation, n_leads = _lowest_correlation(a, b, first, second, shift)
        for pair in np.flatnonzero(correlation >= NEAR_IDENTICAL[n_leads]):
            numbers = int(first[pair]) + a.start, int(second[pair]) + b.start
            found.append((*numbers, round(float(correlation[pair]), 4)))
    return found


def _aligned(a: _Loaded, b: _Loaded, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, ...]:
    """The pairs that correlate at one shift, and by how many samples it delays those of `b`."""
    most = round(LATEST_S * RATE_HZ)
    cross = np.zeros((len(i), FINER * PADDED // 2 + 1), np.complex64)
    np.einsum("nlk,nlk->nk", a.spectrum[i], b.spectrum[j].conj(), out=cross[:, _BINS])
    product = FINER * scipy.fft.irfft(cross, FINER * PADDED, workers=-1)
    product = np.concatenate(
        [product[:, -FINER * most :], product[:, : FINER * (most + 1)]], axis=1
    )
    kept = product.max(axis=1) >= OVERLAPPING
    i, j, product = i[kept], j[kept], product[kept]

    shifts, ai, bj = np.arange(-most, most + 1), i[:, None], j[:, None]
    start, stop = np.maximum(0, shifts), np.minimum(a.length[ai], b.length[bj] + shifts)
    enough = stop - start >= SHORTEST_S * RATE_HZ
    stop = np.maximum(start, stop)
    energy = a.energy[ai, stop] - a.energy[ai, start]
    energy *= b.energy[bj, stop - shifts] - b.energy[bj, start - shifts]
    weight = np.where(enough, 1 / np.sqrt(np.maximum(energy, 1e-6)), 0)

    # Between two shifts, a parabola finds the top; on the grid a neighbouring beat could win.
    before, at, after = product[:, :-2], product[:, 1:-1], product[:, 2:]
    off = (after - before) / (2 * np.maximum(2 * at - before - after, 1e-6))
    off[np.abs(off) > 0.5] = 0
    correlation = at + (after - before) * off / 4
    correlation *= np.repeat(weight, FINER, axis=1)[:, 1:-1]
    best = correlation.argmax(axis=1)[:, None]
    correlation, off = (np.take_along_axis(x, best, axis=1)[:, 0] for x in (correlation, off))
    good = correlation >= ALIGNED
    return i[good], j[good], ((best[:, 0] + 1 + off) / FINER - most)[good]


def _lowest_correlation(a, b, i, j, shift) -> tuple[np.ndarray, np.ndarray]:
    """Mean correlation of the leads in the third where it is lowest, and of how many leads."""
    x, y = a.signal[i].astype(np.float32), b.signal[j].astype(np.float32)
    turn = np.exp(-2j * np.pi / PADDED * shift[:, None, None] * np.arange(PADDED // 2 + 1))
    y = scipy.fft.irfft(scipy.fft.rfft(y, PADDED) * turn.astype(np.complex64), PADDED)[..., :_N]
    start = np.maximum(0, np.ceil(shift))[:, None, None]
    stop = np.minimum(a.length[i], b.length[j] + np.floor(shift))[:, None, None]
    part = np.floor((np.arange(_N) - start) * PARTS / (stop - start))
    lowest = np.ones(len(i)), np.full(len(i), MOST_LEADS)
    for own in range(PARTS):
        ours, theirs = x * (part == own), y * (part == own)
        power = (ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1)
        each = (ours * theirs).sum(axis=-1) / np.sqrt(np.maximum(power, 1e-6))
        n_leads = (power > 1e-6).sum(axis=1)
        mean = each.sum(axis=1) / np.maximum(n_leads, 1)
        lowest = np.minimum(lowest[0], mean), np.minimum(lowest[1], n_leads)
    return lowest
