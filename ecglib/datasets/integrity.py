"""Signals that cannot be trusted, and signals that stand twice.

What is looked for while a store is written: flat and clipped leads, a unit that cannot be
millivolt, identical windows (by hash) and near-identical records (by signature).
"""

import hashlib

import numpy as np

from ecglib.errors import DatasetError

PLAUSIBLE_MV = (0.05, 50.0)
LIMIT_MV = 32.767
LOOKED_AT = 1000
SIGNATURE_RATE_HZ = 25.0
SIGNATURE_S = 10.0
SLOWEST_HZ, FASTEST_HZ = 1.0, 10.0
CANDIDATE = 0.80
NEAR_IDENTICAL = 0.95
BLOCK = 1024
FINER = 4


def signal_hash(steps: np.ndarray) -> str:
    """Hash of a window of int16 samples of shape (n_samples, n_leads)."""
    return hashlib.blake2b(np.ascontiguousarray(steps).tobytes(), digest_size=16).hexdigest()


class SignalNotes:
    """Collects what is odd about the signals while they pass by."""

    def __init__(self):
        self._flat, self._clipped, self._spread_mv = [], [], []

    def add(self, name: str, signal_mv: np.ndarray) -> None:
        """Look at a record of shape (n_samples, n_leads), in mV."""
        spread = np.ptp(signal_mv, axis=0)
        if (spread == 0).any():
            self._flat.append(name)
        if (np.abs(signal_mv) > LIMIT_MV).any():
            self._clipped.append(name)
        thinned = signal_mv[:: 1 + len(signal_mv) // LOOKED_AT]
        low, high = np.percentile(thinned, [0.5, 99.5], axis=0)
        self._spread_mv.append(float(np.median(high - low)))

    def found(self) -> dict[str, list[str]]:
        """The records with a flat lead, and those beyond what int16 microvolts can hold."""
        return {"flat_lead": self._flat, "clipped_samples": self._clipped}

    def check(self) -> None:
        """Refuse a dataset whose unit cannot be millivolt.

        Raises
        ------
        DatasetError
            the typical spread of a lead is not that of an ECG in mV.
        """
        if self._spread_mv:
            check_unit(float(np.median(self._spread_mv)))


def check_unit(spread_mv: float) -> None:
    """Refuse a typical spread (0.5 to 99.5 percentile, taken as mV) that no ECG in mV has.

    Raises
    ------
    DatasetError
        the spread is too small (volts?) or too large (microvolts? raw counts?).
    """
    low, high = PLAUSIBLE_MV
    if spread_mv < low:
        guess = "volt; multiply them by 1000"
    elif spread_mv > high:
        guess = "microvolt (divide them by 1000) or raw counts (divide them by the gain)"
    else:
        return
    raise DatasetError(
        f"The signals typically span {spread_mv:.3g}, where an ECG in millivolt spans {low} to "
        f"{high:g}. They may be in {guess}. Give signals in mV."
    )


class Signatures:
    """Finds near-identical records: one recording at another gain, offset, shift or filter.

    A record is kept as the first 10 s of its first and last lead, from 1 to 10 Hz (baseline wander
    and fine detail may have been filtered out of one of the two), at 25 Hz and normalised: 2 kB a
    record. Candidates are pairs whose amplitude spectra, which are blind to a
    shift, correlate (found by blocks of matrix products); they are confirmed by the greatest
    normalised cross-correlation over all shifts.
    """

    def __init__(self):
        self._names, self._signals = [], []

    def add(self, name: str, signal_mv: np.ndarray, sampling_rate_hz: float) -> None:
        """Add a record of shape (n_samples, n_leads), in mV."""
        n = round(SIGNATURE_S * sampling_rate_hz)
        piece = np.zeros((n, 2))
        leads = signal_mv[:n, [0, -1]]
        piece[: len(leads)] = leads - leads.mean(axis=0)
        spectrum = np.fft.rfft(piece, axis=0)[: round(FASTEST_HZ * SIGNATURE_S) + 1]
        spectrum[: round(SLOWEST_HZ * SIGNATURE_S)] = 0.0
        coarse = np.fft.irfft(spectrum, round(SIGNATURE_RATE_HZ * SIGNATURE_S), axis=0)
        norm = np.linalg.norm(coarse, axis=0)
        self._names.append(name)
        self._signals.append((coarse / np.where(norm > 0, norm, 1.0)).T.astype(np.float32))

    def near_identical(self) -> list[tuple[str, str, float]]:
        """Pairs of near-identical records with their correlation, at least 0.95."""
        if len(self._names) < 2:
            return []
        signals = np.stack(self._signals)  # (n_records, 2 leads, n_coarse)
        spectra = np.abs(np.fft.rfft(signals, axis=-1)).astype(np.float32)
        spectra = spectra.reshape(len(spectra), -1)
        spectra -= spectra.mean(axis=1, keepdims=True)
        spectra /= np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), 1e-12)
        pairs = []
        for start in range(0, len(spectra), BLOCK):
            alike = spectra[start : start + BLOCK] @ spectra[start:].T
            rows, columns = np.nonzero(np.triu(alike > CANDIDATE, 1))
            for a, b in zip(rows + start, columns + start, strict=True):
                correlation = _greatest_correlation(signals[a], signals[b])
                if correlation >= NEAR_IDENTICAL:
                    pairs.append((self._names[a], self._names[b], round(correlation, 4)))
        return pairs


def _greatest_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Greatest mean correlation of two (n_leads, n_samples) signatures over all shifts."""
    n = 2 * a.shape[-1]
    cross = np.fft.rfft(a, n) * np.conj(np.fft.rfft(b, n))
    # A finer grid of shifts: two recordings need not start a whole coarse sample apart.
    return float(FINER * np.fft.irfft(cross, FINER * n).mean(axis=0).max())
