"""Records that are one recording, changed: gain, offset, wander, shift, filter, rate, some noise.

Of each record a *signature* is kept: up to four leads, the first 10 s, from 5 to 15 Hz. That band
holds the QRS complexes, survives the usual filters and has no baseline. The half second at each
end is dropped, because there the filters of two copies ring differently: the raw records of
PTB-XL and their filtered, z-scored copies differ nowhere else. All pairs then pass three sieves:

1. the amplitude spectra, which are nearly blind to a shift, are alike (one matrix product);
2. the leads' cross-correlation, normalised by what overlaps, is high at one common shift;
3. at that shift every third of the overlap correlates, as the mean over the leads. Equal beats
   at an equal rate pass 2, but their rhythms drift apart; two equal spikes fail here as well.

The thresholds are founded on measurements with real data (12 leads unless said otherwise). Copies:
all 488 raw records of PTB-XL and their filtered, z-scored copies reach 0.99 in sieve 3; copies
with gain, offset, wander, a later start of up to 1 s, other rates or filters reach 0.96 in 99.5 %
or more; 20 dB of noise or steps of 0.05 mV in 99 %. Other people: the highest of the 2.6 million
pairs of 2,284 PTB-XL records is 0.90, that of 36.5 million pairs of two-lead MIT-BIH pieces 0.83.
Hardest are other pieces of the same half hour: 11 of 805,680 pass 0.95, nine of them paced. One
lead says less: of 2.6 million pairs, none of lead II but three of V1 pass 0.95.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
from tqdm.auto import tqdm

from ecglib.datasets.signals import INVALID
from ecglib.errors import DatasetError

MOST_LEADS = 4
LONGEST_S, EDGE_S = 10, 0.5
RATE_HZ = 40  # of a signature
BAND_HZ = (3.0, 6.0, 14.0, 19.0)  # nothing below the first, all from the second to the third
QUIET_STEPS = 5  # a lead that stays below this in the band, in steps of 0.001 mV, is flat

CANDIDATE = 0.945
OVERLAPPING = 0.65
ALIGNED = 0.90
NEAR_IDENTICAL = 0.95
LONGEST_SHIFT_S, SHORTEST_OVERLAP_S = 1.25, 4.0
PARTS = 3

PADDED = 540  # samples, so that a shift does not bring the other end in
FINER = 2  # shifts a sample of the signature
ROWS, COLUMNS = 8192, 512

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
        signal, length = signature(steps, sampling_rate_hz)
        self._n_leads = steps.shape[2]
        self._row = np.dtype([("length", "<i2"), ("signal", "i1", signal.shape[1:])])
        rows = np.empty(len(signal), self._row)
        rows["length"], rows["signal"] = length, signal
        with open(self._path, "ab") as file:
            rows.tofile(file)

    def pairs(self, progress: bool = False) -> list[tuple[int, int, float]]:
        """Give the pairs of near-identical records.

        Returns
        -------
        list of (first, second, correlation)
            The numbers of the records in the order they were added, first < second, and the
            correlation of the third of their overlap where it is lowest.
        """
        if not self._path.stat().st_size:
            return []
        rows = np.memmap(self._path, self._row, "r")
        n = len(rows)
        tiles = [(a, b) for a in range(0, n, ROWS) for b in range(a, n, COLUMNS)]
        found, ours = [], None
        for a, b in tqdm(tiles, desc="near-identical", unit="tile", disable=not progress):
            if a == b:
                ours = _joined([_load(rows, c) for c in range(a, min(a + ROWS, n), COLUMNS)])
            found += _pairs_between(ours, _load(rows, b))
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
        signal[missing] = np.nan
        measured = np.maximum((~missing).sum(axis=-1, keepdims=True), 1)
        signal -= np.nansum(signal, axis=-1, keepdims=True) / measured
        signal[missing] = 0
    else:
        signal -= signal.mean(axis=-1, keepdims=True)
    spectrum = scipy.fft.rfft(signal, n, overwrite_x=True)[..., : len(_GAIN)]
    spectrum *= _GAIN[: spectrum.shape[-1]] * (LONGEST_S * RATE_HZ / n)
    edge = round(EDGE_S * RATE_HZ)
    length = max(0, int(signal.shape[-1] / sampling_rate_hz * RATE_HZ) - 2 * edge)
    coarse = scipy.fft.irfft(spectrum, LONGEST_S * RATE_HZ, overwrite_x=True)[..., edge:-edge]
    coarse[..., length:] = 0
    largest = np.maximum(coarse.max(axis=-1), -coarse.min(axis=-1))[..., None]
    coarse *= np.where(largest >= QUIET_STEPS, 127 / np.maximum(largest, 1), 0)
    return np.rint(coarse, out=coarse).astype(np.int8), length


def _gain() -> np.ndarray:
    """How much of each tenth of a Hz is kept, from 0 Hz; smooth, so that nothing rings for long."""
    hz = np.arange(BAND_HZ[-1] * LONGEST_S + 1) / LONGEST_S
    trapezoid = np.interp(hz, BAND_HZ, (0, 1, 1, 0))
    return (np.sin(np.pi / 2 * trapezoid) ** 2).astype(np.float32)


_GAIN = _gain()


class _Signatures(NamedTuple):
    """Some of the signatures, and what is compared of them.

    `start` is the number of the first record; `signal` and `length` are as in `signature`.
    `energy` (n_records, 361) is the energy up to each sample, over all leads; it ends at 1.
    `spectrum` (n_records, n_leads, 216) and `likeness` (n_records, 108 n_leads) are normalised.
    """

    start: int
    length: np.ndarray
    signal: np.ndarray
    energy: np.ndarray
    spectrum: np.ndarray
    likeness: np.ndarray


def _load(rows: np.ndarray, start: int) -> _Signatures:
    """Read the signatures from number `start`, at most `COLUMNS`."""
    rows = rows[start : start + COLUMNS]
    signal = rows["signal"].astype(np.float32)
    power = np.einsum("nlt,nlt->nl", signal, signal)
    n_leads = np.maximum((power > 0).sum(axis=1, keepdims=True), 1)
    signal /= np.sqrt(np.maximum(power * n_leads, 1))[..., None]
    energy = np.zeros((len(rows), _N + 1), np.float32)
    np.cumsum(np.einsum("nlt,nlt->nt", signal, signal), axis=1, out=energy[:, 1:])
    spectrum = np.ascontiguousarray(scipy.fft.rfft(signal, PADDED)[..., _BINS])
    # Two bins together: what a cut-off second does to the spectrum is finer than that.
    parts = spectrum.view(np.float32).reshape(len(rows), -1, 4)
    likeness = np.sqrt(np.einsum("nkp,nkp->nk", parts, parts))
    likeness /= np.maximum(np.linalg.norm(likeness, axis=1, keepdims=True), 1e-6)
    return _Signatures(
        start, rows["length"].astype(np.int64), rows["signal"], energy, spectrum, likeness
    )


def _joined(pieces: list[_Signatures]) -> _Signatures:
    start, *others = zip(*pieces, strict=True)
    return _Signatures(start[0], *(np.concatenate(own) for own in others))


def _pairs_between(a: _Signatures, b: _Signatures) -> list[tuple[int, int, float]]:
    alike = a.likeness @ b.likeness.T
    i, j = np.divmod(np.flatnonzero(alike >= CANDIDATE), len(b.length))
    each_once = i + a.start < j + b.start
    i, j = i[each_once], j[each_once]
    found = []
    for k in range(0, len(i), 2 * COLUMNS):
        aligned, shift = _align(a, b, i[k : k + 2 * COLUMNS], j[k : k + 2 * COLUMNS])
        first, second = i[k + aligned], j[k + aligned]
        correlation = _lowest_correlation(a, b, first, second, shift)
        for n in np.flatnonzero(correlation >= NEAR_IDENTICAL):
            pair = int(first[n]) + a.start, int(second[n]) + b.start
            found.append((*pair, round(float(correlation[n]), 4)))
    return found


def _align(a: _Signatures, b: _Signatures, i: np.ndarray, j: np.ndarray):
    """Sieve 2: which of the pairs (i, j) correlate at one shift, and by how many samples."""
    most = round(LONGEST_SHIFT_S * RATE_HZ)
    cross = np.zeros((len(i), FINER * PADDED // 2 + 1), np.complex64)
    np.einsum("nlk,nlk->nk", a.spectrum[i], b.spectrum[j].conj(), out=cross[:, _BINS])
    product = FINER * scipy.fft.irfft(cross, FINER * PADDED)
    product = np.concatenate(
        [product[:, -FINER * most :], product[:, : FINER * (most + 1)]], axis=1
    )
    kept = np.flatnonzero(product.max(axis=1) >= OVERLAPPING)
    i, j, product = i[kept, None], j[kept, None], product[kept]
    shifts = np.arange(-most, most + 1)
    start = np.maximum(0, shifts)
    stop = np.minimum(a.length[i], b.length[j] + shifts)
    enough = stop - start >= SHORTEST_OVERLAP_S * RATE_HZ
    stop = np.maximum(start, stop)
    energy = a.energy[i, stop] - a.energy[i, start]
    energy *= b.energy[j, stop - shifts] - b.energy[j, start - shifts]
    weight = np.where(enough, 1 / np.sqrt(np.maximum(energy, 1e-6)), 0)
    correlation = product * np.repeat(weight, FINER, axis=1)
    best = np.clip(correlation.argmax(axis=1), 1, correlation.shape[1] - 2)
    before, at, after = (correlation[np.arange(len(i)), best + k] for k in (-1, 0, 1))
    bend = np.maximum(2 * at - before - after, 1e-6)
    off = np.clip((after - before) / (2 * bend), -0.5, 0.5)  # the top of a parabola
    good = at + (after - before) * off / 4 >= ALIGNED
    return kept[good], ((best + off) / FINER - most)[good]


def _lowest_correlation(a, b, i, j, shift) -> np.ndarray:
    """Sieve 3: mean correlation over the leads in the third of the overlap where it is lowest."""
    x, y = a.signal[i].astype(np.float32), b.signal[j].astype(np.float32)
    turn = np.exp(-2j * np.pi * shift[:, None, None] * np.arange(PADDED // 2 + 1) / PADDED)
    y = scipy.fft.irfft(scipy.fft.rfft(y, PADDED) * turn.astype(np.complex64), PADDED)[..., :_N]
    start = np.maximum(0, np.ceil(shift))[:, None]
    stop = np.minimum(a.length[i], b.length[j] + np.floor(shift))[:, None]
    part = np.floor((np.arange(_N) - start) * PARTS / (stop - start))[:, None]
    lowest = np.ones(len(i))
    for own in range(PARTS):
        ours, theirs = x * (part == own), y * (part == own)
        power = (ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1)
        there = power > 0
        each = np.where(there, (ours * theirs).sum(axis=-1) / np.sqrt(power + ~there), 0)
        mean = each.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        lowest = np.minimum(lowest, mean)
    return lowest
