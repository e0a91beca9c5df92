"""Signals that cannot be trusted: not measured, flat, lead off, clipped, in another unit."""

from collections.abc import Iterator, Sequence

import numpy as np

from ecglib.datasets.schema import Problem
from ecglib.datasets.units import INVALID, STEP_MV
from ecglib.errors import DatasetError

PLAUSIBLE_MV = (0.05, 50.0)
STRETCH_S = 0.5  # no electrode on a body is without change that long
SPREAD_S = 5.0  # long enough for several beats, so that one artefact does not decide
CLIPPED_S, CLIPPED_SAMPLES, CLIPPED_MV = 0.04, 4, 1.0


class Quality:
    """Looks at blocks of records while they pass by.

    - *flat lead*: a lead that never changes. *flat*: all of them.
    - *lead off*: a lead that changes, but stands still for half a second on end.
    - *clipped*: a lead that stays at its own largest or smallest value for 0.04 s (four samples at
      least), that value being 1 mV or more from the lead's mean; or samples beyond 32.767 mV,
      which the store cannot hold.
    - *wrong unit*: the median lead spans less than 0.05 or more than 50 mV (median over
      stretches of 5 s).

    Parameters
    ----------
    sampling_rate_hz
        of the records, in Hz.
    leads
        names of the leads.
    """

    def __init__(self, sampling_rate_hz: float, leads: Sequence[str]):
        self._rate_hz, self._leads = sampling_rate_hz, leads
        self._spreads_mv = []

    def look(self, names: Sequence[str], steps: np.ndarray) -> Iterator[Problem]:
        """What is wrong with a block of records of one length.

        Parameters
        ----------
        names
            names of the records.
        steps
            int16 array of shape (n_records, n_samples, n_leads), C-contiguous, in 0.001 mV.
        """
        length = min(steps.shape[1], max(2, round(STRETCH_S * self._rate_hz)))
        pieces = _stretches(steps, length)
        low, high = (
            [_folded(own, extreme) for own in pieces] for extreme in (np.minimum, np.maximum)
        )
        still = (low[0] == high[0]).any(axis=1)
        low, high = np.concatenate(low, axis=1), np.concatenate(high, axis=1)
        least, most = low.min(axis=1), high.max(axis=1)
        spread_mv = np.median(_spread(low, high), axis=1) * STEP_MV
        self._spreads_mv.append(spread_mv.astype(np.float32))
        flat = least == most
        missing = (least == INVALID).any(axis=1)
        for i in np.flatnonzero(missing):
            share = (steps[i] == INVALID).mean(axis=0)
            yield Problem(names[i], "not_measured", self._shares(share))
        for i in np.flatnonzero(flat.any(axis=1) & ~missing):
            kind = "flat" if flat[i].all() else "flat_lead"
            yield Problem(names[i], kind, self._named(flat[i]))
        off = still & ~flat
        for i in np.flatnonzero(off.any(axis=1) & ~missing):
            yield Problem(names[i], "lead_off", self._named(off[i]))
        clipped = self._clipped(steps, low, high, length)
        for i in np.flatnonzero(clipped.any(axis=1)):
            yield Problem(names[i], "clipped", self._named(clipped[i]))
        wrong = (spread_mv < PLAUSIBLE_MV[0]) | (spread_mv > PLAUSIBLE_MV[1])
        for i in np.flatnonzero(wrong & ~missing & ~flat.all(axis=1)):
            yield Problem(
                names[i],
                "wrong_unit",
                f"The typical lead spans {spread_mv[i]:.3g} mV; an ECG spans {PLAUSIBLE_MV[0]} to "
                f"{PLAUSIBLE_MV[1]:g} mV.",
            )

    def check_unit(self) -> None:
        """Refuse a dataset whose unit cannot be millivolt.

        Raises
        ------
        DatasetError
            the typical record is not an ECG in mV.
        """
        if self._spreads_mv:
            check_spread(float(np.median(np.concatenate(self._spreads_mv))))

    def _clipped(self, steps, low, high, length: int) -> np.ndarray:
        """Which leads of which records are clipped: (n_records, n_leads)."""
        n_samples = steps.shape[1]
        run = max(CLIPPED_SAMPLES, round(CLIPPED_S * self._rate_hz))
        limit, far = np.iinfo(np.int16).max, CLIPPED_MV / STEP_MV
        least, most = low.min(axis=1), high.max(axis=1)
        clipped = (most == limit) | (least == -limit)
        # What is 1 mV from the mean spans 1 mV at least.
        wide = (most.astype(np.int32) - least >= far) & (least != INVALID) & ~clipped
        for extremes, extreme in ((low, least), (high, most)):
            # Only around the stretches that reach the extreme can there be a plateau.
            record, stretch, lead = np.nonzero((extremes == extreme[:, None]) & wide[:, None])
            times = (stretch * length - run)[:, None] + np.arange(length + 2 * run)
            own = steps[record[:, None], np.clip(times, 0, n_samples - 1), lead[:, None]]
            at = (own == extreme[record, lead, None]) & (times >= 0) & (times < n_samples)
            for k in np.flatnonzero(_has_run(at, run)):
                mean = steps[record[k], :, lead[k]].mean()
                clipped[record[k], lead[k]] |= abs(extreme[record[k], lead[k]] - mean) >= far
        return clipped

    def _named(self, which: np.ndarray) -> str:
        return ", ".join(lead for lead, own in zip(self._leads, which, strict=True) if own)

    def _shares(self, share: np.ndarray) -> str:
        pairs = zip(self._leads, share, strict=True)
        return ", ".join(f"{lead} {own:.1%}" for lead, own in pairs if own)


def check_spread(spread_mv: float) -> None:
    """Refuse a typical spread, taken as mV, that no ECG in mV has.

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
        f"{high:g}. They may be in {guess}. Give signals in mV, or name their unit."
    )


def _stretches(steps: np.ndarray, length: int) -> list[np.ndarray]:
    """Views of stretches of a length, and of what is left over: (n_records, n, length, n_leads)."""
    n_records, n_samples, n_leads = steps.shape
    whole = n_samples // length * length
    pieces = [steps[:, :whole].reshape(n_records, -1, length, n_leads)]
    return pieces if whole == n_samples else [*pieces, steps[:, None, whole:]]


def _folded(pieces: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """Minimum or maximum over the third axis: halves laid on each other.

    NumPy compares two long rows ten times faster than it takes the extreme of short ones.
    """
    while (n := pieces.shape[2]) > 1:
        half = n // 2
        folded = extreme(pieces[:, :, :half], pieces[:, :, half : 2 * half])
        if n % 2:
            extreme(folded[:, :, 0], pieces[:, :, -1], out=folded[:, :, 0])
        pieces = folded
    return pieces[:, :, 0]


def _spread(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Median over stretches of 5 s of greatest less least; (n_records, n_leads)."""
    per = round(SPREAD_S / STRETCH_S)
    starts = range(0, max(1, low.shape[1] - per // 2), per)
    spans = [
        high[:, s : s + per].max(axis=1).astype(np.int32) - low[:, s : s + per].min(axis=1)
        for s in starts
    ]
    return np.median(spans, axis=0)


def _has_run(at: np.ndarray, n: int) -> np.ndarray:
    """Whether a row of a boolean array (n_rows, n_columns) holds n times True on end."""
    reached = 1
    while reached < n:
        step = min(reached, n - reached)
        at = at[:, :-step] & at[:, step:]
        reached += step
    return at.any(axis=1)
