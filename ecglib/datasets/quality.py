"""Signals that cannot be trusted: not measured, flat, lead off, clipped, in another unit."""

from collections.abc import Iterator, Sequence

import numpy as np

from ecglib.datasets.schema import Problem
from ecglib.datasets.units import INVALID, STEP_MV
from ecglib.errors import DatasetError

PLAUSIBLE_MV = (0.05, 50.0)
STRETCH_S = 0.5  # no lead of an attached electrode is constant for so long
SPREAD_S = 5.0  # long enough for several beats, so that one artefact does not decide
CLIPPED_S, CLIPPED_SAMPLES, CLIPPED_MV = 0.04, 4, 1.0


class QualityChecker:
    """Finds faults of signals in blocks of records, and remembers their spread.

    Parameters
    ----------
    sampling_rate_hz : float
        Sampling rate of the records in Hz.
    leads : sequence of str
        Names of the leads.

    Notes
    -----
    - *flat lead*: a lead that never changes. *flat*: all of them.
    - *lead off*: a lead that changes, but is constant for half a second.
    - *clipped*: a lead that stays at its largest or smallest value for 0.04 s (at least four
      samples), that value being 1 mV or more from the lead's mean; or samples beyond 32.767 mV,
      which the store cannot hold.
    - *wrong unit*: the median lead spans less than 0.05 or more than 50 mV (median over
      stretches of 5 s).

    Examples
    --------
    >>> steps = np.round(1000 * np.random.default_rng(0).standard_normal((1, 500, 2)))
    >>> steps[0, :, 1] = 0
    >>> checker = QualityChecker(100.0, ["I", "II"])
    >>> [(p.kind, p.detail) for p in checker.find_problems(["r1"], steps.astype(np.int16))]
    [('flat_lead', 'II')]
    """

    def __init__(self, sampling_rate_hz: float, leads: Sequence[str]):
        self._rate_hz, self._leads = sampling_rate_hz, leads
        self._spreads_mv: list[np.ndarray] = []

    def find_problems(self, names: Sequence[str], steps: np.ndarray) -> Iterator[Problem]:
        """Find the problems of a block of records of one length.

        Parameters
        ----------
        names : sequence of str
            Names of the records.
        steps : int16 array of shape (n_records, n_samples, n_leads)
            Samples in 0.001 mV, C-contiguous.

        Yields
        ------
        Problem
            A fault of a record; the detail names the leads.
        """
        length = min(steps.shape[1], max(2, round(STRETCH_S * self._rate_hz)))
        pieces = _split_into_stretches(steps, length)
        lows = [_fold(piece, np.minimum) for piece in pieces]
        highs = [_fold(piece, np.maximum) for piece in pieces]
        still: np.ndarray = (lows[0] == highs[0]).any(axis=1)
        low, high = np.concatenate(lows, axis=1), np.concatenate(highs, axis=1)
        lowest, highest = low.min(axis=1), high.max(axis=1)
        spread_mv = np.median(_compute_spread(low, high), axis=1) * STEP_MV
        self._spreads_mv.append(spread_mv.astype(np.float32))
        flat: np.ndarray = lowest == highest
        missing: np.ndarray = (lowest == INVALID).any(axis=1)
        for i in _find_true(missing):
            fraction = (steps[i] == INVALID).mean(axis=0)
            yield Problem(names[i], "not_measured", self._format_fractions(fraction))
        for i in _find_true(flat.any(axis=1) & ~missing):
            kind = "flat" if flat[i].all() else "flat_lead"
            yield Problem(names[i], kind, self._join_names(flat[i]))
        off = still & ~flat
        for i in _find_true(off.any(axis=1) & ~missing):
            yield Problem(names[i], "lead_off", self._join_names(off[i]))
        clipped = self._find_clipped(steps, low, high, length)
        for i in _find_true(np.asarray(clipped.any(axis=1))):
            yield Problem(names[i], "clipped", self._join_names(clipped[i]))
        wrong: np.ndarray = (spread_mv < PLAUSIBLE_MV[0]) | (spread_mv > PLAUSIBLE_MV[1])
        for i in _find_true(wrong & ~missing & ~flat.all(axis=1)):
            yield Problem(
                names[i],
                "wrong_unit",
                f"The typical lead spans {spread_mv[i]:.3g} mV; an ECG spans {PLAUSIBLE_MV[0]} to "
                f"{PLAUSIBLE_MV[1]:g} mV.",
            )

    def check_unit(self) -> None:
        """Check that the records seen so far can be in millivolt.

        Raises
        ------
        DatasetError
            If the typical record is not an ECG in mV.
        """
        if self._spreads_mv:
            check_spread(float(np.median(np.concatenate(self._spreads_mv))))

    def _find_clipped(
        self, steps: np.ndarray, low: np.ndarray, high: np.ndarray, length: int
    ) -> np.ndarray:
        """Tell which leads of which records are clipped: (n_records, n_leads)."""
        n_samples = steps.shape[1]
        run = max(CLIPPED_SAMPLES, round(CLIPPED_S * self._rate_hz))
        max_step, far = np.iinfo(np.int16).max, CLIPPED_MV / STEP_MV
        lowest, highest = low.min(axis=1), high.max(axis=1)
        clipped: np.ndarray = (highest == max_step) | (lowest == -max_step)
        # A value 1 mV from the mean needs a range of at least 1 mV.
        wide = (highest.astype(np.int32) - lowest >= far) & (lowest != INVALID) & ~clipped
        for extremes, extreme in ((low, lowest), (high, highest)):
            # Only around the stretches that reach the extreme can there be a plateau.
            record, stretch, lead = np.nonzero((extremes == extreme[:, None]) & wide[:, None])
            times = (stretch * length - run)[:, None] + np.arange(length + 2 * run)
            around = steps[record[:, None], np.clip(times, 0, n_samples - 1), lead[:, None]]
            at_extreme = (
                (around == extreme[record, lead, None]) & (times >= 0) & (times < n_samples)
            )
            for k in np.flatnonzero(_has_run(at_extreme, run)):
                mean = steps[record[k], :, lead[k]].mean()
                clipped[record[k], lead[k]] |= abs(extreme[record[k], lead[k]] - mean) >= far
        return clipped

    def _join_names(self, which: np.ndarray) -> str:
        return ", ".join(lead for lead, chosen in zip(self._leads, which, strict=True) if chosen)

    def _format_fractions(self, fractions: np.ndarray) -> str:
        pairs = zip(self._leads, fractions, strict=True)
        return ", ".join(f"{lead} {fraction:.1%}" for lead, fraction in pairs if fraction)


def check_spread(spread_mv: float) -> None:
    """Check that a typical spread can be that of an ECG in mV.

    Parameters
    ----------
    spread_mv : float
        Median span of the leads, taken as mV.

    Raises
    ------
    DatasetError
        If it is too small (volts?) or too large (microvolts? raw counts?).

    Examples
    --------
    >>> check_spread(1.5)
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
        f"{high:g}. They may be in {guess}. Give signals in mV, or name their unit."
    )


def _find_true(mask: np.ndarray) -> list[int]:
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


def _split_into_stretches(steps: np.ndarray, length: int) -> list[np.ndarray]:
    """Split into views of full stretches and of the rest: (n_records, n, length, n_leads)."""
    n_records, n_samples, n_leads = steps.shape
    whole = n_samples // length * length
    pieces = [steps[:, :whole].reshape(n_records, -1, length, n_leads)]
    return pieces if whole == n_samples else [*pieces, steps[:, None, whole:]]


def _fold(pieces: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """Compute the minimum or maximum over the third axis by halving it again and again.

    NumPy compares two long rows ten times faster than it takes the extreme of short ones.
    """
    while (n := pieces.shape[2]) > 1:
        half = n // 2
        folded = extreme(pieces[:, :, :half], pieces[:, :, half : 2 * half])
        if n % 2:
            extreme(folded[:, :, 0], pieces[:, :, -1], out=folded[:, :, 0])
        pieces = folded
    return pieces[:, :, 0]


def _compute_spread(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Compute the median range over stretches of 5 s: (n_records, n_leads)."""
    per = round(SPREAD_S / STRETCH_S)
    starts = range(0, max(1, low.shape[1] - per // 2), per)
    spans = [
        high[:, s : s + per].max(axis=1).astype(np.int32) - low[:, s : s + per].min(axis=1)
        for s in starts
    ]
    return np.median(spans, axis=0)


def _has_run(at: np.ndarray, n: int) -> np.ndarray:
    """Tell which rows of a boolean array (n_rows, n_columns) hold n consecutive True."""
    reached = 1
    while reached < n:
        step = min(reached, n - reached)
        at = at[:, :-step] & at[:, step:]
        reached += step
    return np.asarray(at.any(axis=1))
