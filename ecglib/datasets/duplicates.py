"""Near-identical records: one recording under another gain, offset, filter, rate, start or noise.

Each record gets a *signature*: up to four leads, the first 10 s, band-passed from 5 to 15 Hz. That
band holds the QRS complexes, survives the usual filters and has no baseline. Half a second at each
end is dropped, because filters ring there: the raw records of PTB-XL and their filtered and
z-scored copies differ nowhere else. Every pair then has to pass three tests, each far stricter than
the one before:

1. the amplitude spectra, nearly independent of the start, are similar (one matrix product);
2. at one shift the leads correlate together, over their overlap only;
3. at that shift each third of the overlap correlates, as the mean over the leads. Equal beats at
   an equal rate may pass test 2, but two hearts drift apart; two equal spikes fail here too.

The thresholds rest on measurements with real data, of 12 leads unless stated otherwise.
Copies: all 488 raw records of PTB-XL and their filtered, z-scored copies are found, with a
correlation of 0.99 or more; of copies with another gain, offset, rate, wander, start (up to 1 s
later) or filter (0.5-40 and 1-30 Hz, forwards or both ways) 99.6 % or more are found; of those with
20 dB of noise or in steps of 0.05 mV about 99 %. Different recordings: the highest correlation of
2.6 million pairs of PTB-XL records is 0.91, of 36.5 million pairs of two-lead MIT-BIH pieces 0.83.
Fewer leads carry less information and need a higher threshold: with leads I and V6 the highest of
the PTB-XL pairs is 0.94, with lead I 0.96, with V1 0.97. The hardest case is the same heart: of
805,680 pairs of different pieces of one half hour, four pass.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from tqdm.auto import tqdm

from ecglib.datasets.units import INVALID
from ecglib.errors import DatasetError

MAX_LEADS = 4
MAX_LENGTH_S, EDGE_S, RATE_HZ = 10, 0.5, 40
BAND_HZ = (3, 6, 14, 19)  # nothing below the first, all from the second to the third
QUIET_STEPS = 5  # a lead that stays below it in the band, in steps of 0.001 mV, is flat

MIN_SPECTRAL_SIMILARITY = 0.945
MIN_CORRELATION, MIN_OVERLAP_CORRELATION = 0.65, 0.90
NEAR_IDENTICAL = np.array([np.inf, 0.975, 0.96, 0.95, 0.95])  # for 0, 1 ... leads in common
MAX_SHIFT_S, MIN_OVERLAP_S = 1.25, 4.0
N_THIRDS = 3

PIECE = 32  # records that stay in the cache of the processor
ROWS, COLUMNS = 8192, 512  # records compared at once
PADDED = 540  # samples; longer than a signature, so that a shift does not bring in the other end
FINER = 2  # shifts per sample

_N = round((MAX_LENGTH_S - 2 * EDGE_S) * RATE_HZ)
_BINS = slice(*(round(hz * PADDED / RATE_HZ) for hz in (2.5, 18.5)))


class NearIdenticalPair(NamedTuple):
    """Two records that are one recording.

    Parameters
    ----------
    first, second : int
        Numbers of the records, in the order of adding; ``first < second``.
    correlation : float
        Correlation in the third of their overlap where it is lowest.

    Examples
    --------
    >>> pair = NearIdenticalPair(first=0, second=2, correlation=0.998)
    >>> names = ["r1", "r2", "r3"]
    >>> names[pair.first], names[pair.second]
    ('r1', 'r3')
    """

    first: int
    second: int
    correlation: float


class Signatures:
    """Finds near-identical records among all that were added.

    Parameters
    ----------
    folder : Path
        Folder for a file of signatures, 1.4 kB per record, so that memory does not grow with the
        number of records. The caller removes the folder.

    Examples
    --------
    >>> import tempfile
    >>> steps = np.random.default_rng(0).normal(scale=500, size=(3, 1000, 2)).astype(np.int16)
    >>> steps[2] = steps[0] // 2  # a copy with another gain
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     signatures = Signatures(Path(folder))
    ...     signatures.add(steps, sampling_rate_hz=100.0)
    ...     pairs = signatures.find_pairs()
    >>> [(pair.first, pair.second) for pair in pairs]
    [(0, 2)]
    """

    def __init__(self, folder: Path):
        self._path = Path(folder) / "signatures.bin"
        self._path.write_bytes(b"")
        self._n_leads: int | None = None
        self._row: np.dtype | None = None

    def add(self, steps: np.ndarray, sampling_rate_hz: float) -> None:
        """Add a block of records.

        Parameters
        ----------
        steps : int16 array of shape (n_records, n_samples, n_leads)
            In 0.001 mV; `INVALID` where nothing was measured. Each block may have another length
            and sampling rate, but all have the same leads.
        sampling_rate_hz : float
            Sampling rate in Hz.

        Raises
        ------
        DatasetError
            If the block has another number of leads than those before.
        """
        if self._n_leads not in (None, steps.shape[2]):
            raise DatasetError(
                f"Records of {steps.shape[2]} leads cannot be compared with those of "
                f"{self._n_leads} leads added before. Give all records the same leads."
            )
        self._n_leads = steps.shape[2]
        with open(self._path, "ab") as file:
            for start in range(0, len(steps), PIECE):
                signal, length = compute_signatures(steps[start : start + PIECE], sampling_rate_hz)
                self._row = np.dtype([("length", "<i8"), ("signal", "i1", signal.shape[1:])])
                rows: Any = np.empty(len(signal), self._row)
                rows["length"], rows["signal"] = length, signal
                rows.tofile(file)

    def find_pairs(self, progress: bool = False) -> list[NearIdenticalPair]:
        """Find the pairs of near-identical records.

        Parameters
        ----------
        progress : bool, default False
            Whether to show a progress bar.

        Returns
        -------
        list of NearIdenticalPair
            The pairs, sorted.
        """
        if self._row is None:
            return []
        rows = np.memmap(self._path, self._row, "r")
        n = len(rows)
        tiles = [(row, column) for row in range(0, n, ROWS) for column in range(row, n, COLUMNS)]
        found: list[NearIdenticalPair] = []
        strip: _Loaded | None = None
        for row, column in tqdm(tiles, "near-identical", unit="tile", disable=not progress):
            if strip is None or row == column:
                strip = None  # or two of them would need memory
                starts = range(row, min(row + ROWS, n), COLUMNS)
                strip = _concatenate([_load(rows, start) for start in starts])
            inside = column < row + ROWS
            tile = _slice(strip, column - row) if inside else _load(rows, column)
            found += _find_pairs_between(strip, tile)
        return sorted(found)


def compute_signatures(steps: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, int]:
    """Compute the signatures of a block of records.

    Parameters
    ----------
    steps : int16 array of shape (n_records, n_samples, n_leads)
        In 0.001 mV.
    sampling_rate_hz : float
        Sampling rate in Hz.

    Returns
    -------
    signal : int8 array of shape (n_records, up to 4 leads, 360)
        At 40 Hz; the largest sample of a lead is 127 or -127, a flat lead is 0.
    length : int
        How many of the 360 samples the records reach; 0 follow.

    Examples
    --------
    >>> signal, length = compute_signatures(np.zeros((2, 3000, 12), np.int16), 500.0)
    >>> signal.shape, length
    ((2, 4, 360), 200)
    """
    n_records, n_samples, n_leads = steps.shape
    n = round(MAX_LENGTH_S * sampling_rate_hz)
    leads = np.unique(np.linspace(0, n_leads - 1, MAX_LEADS).round().astype(int))
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
    spectrum *= _GAIN[: spectrum.shape[-1]] * np.float32(MAX_LENGTH_S * RATE_HZ / n)
    edge = round(EDGE_S * RATE_HZ)
    coarse = scipy.fft.irfft(spectrum, MAX_LENGTH_S * RATE_HZ)[..., edge : edge + _N]
    length = max(0, int(signal.shape[-1] / sampling_rate_hz * RATE_HZ) - 2 * edge)
    coarse[..., length:] = 0
    peak = np.maximum(coarse.max(axis=-1), -coarse.min(axis=-1))[..., None]
    coarse *= np.where(peak >= QUIET_STEPS, 127 / np.maximum(peak, 1), 0)
    return np.rint(coarse, out=coarse).astype(np.int8), length


def _compute_gain() -> np.ndarray:
    """Compute the gain of each tenth of a Hz, from 0 Hz; smooth, so that nothing rings for long."""
    hz = np.arange(BAND_HZ[-1] * MAX_LENGTH_S + 1) / MAX_LENGTH_S
    return (np.sin(np.pi / 2 * np.interp(hz, BAND_HZ, (0, 1, 1, 0))) ** 2).astype(np.float32)


_GAIN = _compute_gain()


class _Loaded(NamedTuple):
    """Some of the signatures, each of energy 1, and what is compared of them.

    `start` is the number of the first record, `length` and `signal` are as in `compute_signatures`,
    `energy` (n_records, 361) is that of all leads before each sample, `spectrum` has shape
    (n_records, n_leads, 216), and its normalized `amplitudes` (n_records, 108 * n_leads).
    """

    start: int
    length: np.ndarray
    signal: np.ndarray
    energy: np.ndarray
    spectrum: np.ndarray
    amplitudes: np.ndarray


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
    amplitudes = np.sqrt(np.einsum("nkp,nkp->nk", parts, parts))
    amplitudes /= np.maximum(np.linalg.norm(amplitudes, axis=1, keepdims=True), 1e-6)
    return _Loaded(start, rows["length"], rows["signal"], energy, spectrum, amplitudes)


def _concatenate(pieces: list[_Loaded]) -> _Loaded:
    return _Loaded(
        start=pieces[0].start,
        length=np.concatenate([piece.length for piece in pieces]),
        signal=np.concatenate([piece.signal for piece in pieces]),
        energy=np.concatenate([piece.energy for piece in pieces]),
        spectrum=np.concatenate([piece.spectrum for piece in pieces]),
        amplitudes=np.concatenate([piece.amplitudes for piece in pieces]),
    )


def _slice(loaded: _Loaded, first: int) -> _Loaded:
    chosen = slice(first, first + COLUMNS)
    return _Loaded(
        start=loaded.start + first,
        length=loaded.length[chosen],
        signal=loaded.signal[chosen],
        energy=loaded.energy[chosen],
        spectrum=loaded.spectrum[chosen],
        amplitudes=loaded.amplitudes[chosen],
    )


def _find_pairs_between(a: _Loaded, b: _Loaded) -> list[NearIdenticalPair]:
    """Find the near-identical pairs of a record of `a` and a later one of `b`."""
    n_earlier = b.start + len(b.length) - a.start
    similarity = a.amplitudes[:n_earlier] @ b.amplitudes.T
    i, j = np.divmod(np.flatnonzero(similarity >= MIN_SPECTRAL_SIMILARITY), len(b.length))
    later = i + a.start < j + b.start
    i, j = i[later], j[later]
    found = []
    for k in range(0, len(i), 2 * COLUMNS):  # few enough for the cache of the processor
        aligned = _align(a, b, i[k : k + 2 * COLUMNS], j[k : k + 2 * COLUMNS])
        correlation, n_leads = _compute_lowest_correlation(a, b, aligned)
        for pair in np.flatnonzero(correlation >= NEAR_IDENTICAL[n_leads]):
            found.append(
                NearIdenticalPair(
                    first=int(aligned.i[pair]) + a.start,
                    second=int(aligned.j[pair]) + b.start,
                    correlation=round(float(correlation[pair]), 4),
                )
            )
    return found


class _Aligned(NamedTuple):
    """Pairs of records `i` and `j` that correlate; `shift` samples delay `j`."""

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray


def _align(a: _Loaded, b: _Loaded, i: np.ndarray, j: np.ndarray) -> _Aligned:
    """Find the pairs of records `i` of `a` and `j` of `b` that correlate at one shift."""
    max_shift = round(MAX_SHIFT_S * RATE_HZ)
    cross = np.zeros((len(i), FINER * PADDED // 2 + 1), np.complex64)
    np.einsum("nlk,nlk->nk", a.spectrum[i], b.spectrum[j].conj(), out=cross[:, _BINS])
    product = FINER * scipy.fft.irfft(cross, FINER * PADDED, workers=-1)
    product = np.concatenate(
        [product[:, -FINER * max_shift :], product[:, : FINER * (max_shift + 1)]], axis=1
    )
    promising = product.max(axis=1) >= MIN_CORRELATION
    i, j, product = i[promising], j[promising], product[promising]

    shifts, ai, bj = np.arange(-max_shift, max_shift + 1), i[:, None], j[:, None]
    start, stop = np.maximum(0, shifts), np.minimum(a.length[ai], b.length[bj] + shifts)
    enough = stop - start >= MIN_OVERLAP_S * RATE_HZ
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
    good = correlation >= MIN_OVERLAP_CORRELATION
    shift = (best[:, 0] + 1 + off) / FINER - max_shift
    return _Aligned(i=i[good], j=j[good], shift=shift[good])


def _compute_lowest_correlation(
    a: _Loaded, b: _Loaded, aligned: _Aligned
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean correlation of the leads in the worst third, and the number of leads."""
    x, y = a.signal[aligned.i].astype(np.float32), b.signal[aligned.j].astype(np.float32)
    shift = aligned.shift[:, None, None]
    turn = np.exp(-2j * np.pi / PADDED * shift * np.arange(PADDED // 2 + 1))
    y = scipy.fft.irfft(scipy.fft.rfft(y, PADDED) * turn.astype(np.complex64), PADDED)[..., :_N]
    start = np.maximum(0, np.ceil(shift))
    ends = np.minimum(a.length[aligned.i], b.length[aligned.j] + np.floor(aligned.shift))
    third = np.floor((np.arange(_N) - start) * N_THIRDS / (ends[:, None, None] - start))
    lowest = np.ones(len(aligned.i))
    fewest_leads = np.full(len(aligned.i), MAX_LEADS)
    for number in range(N_THIRDS):
        x_third, y_third = x * (third == number), y * (third == number)
        power = (x_third**2).sum(axis=-1) * (y_third**2).sum(axis=-1)
        each = (x_third * y_third).sum(axis=-1) / np.sqrt(np.maximum(power, 1e-6))
        n_leads = (power > 1e-6).sum(axis=1)
        mean = each.sum(axis=1) / np.maximum(n_leads, 1)
        lowest = np.minimum(lowest, mean)
        fewest_leads = np.minimum(fewest_leads, n_leads)
    return lowest, fewest_leads
