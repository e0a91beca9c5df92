"""What is done to a whole recording while a dataset is prepared: units, steps, resampling."""

import math
from fractions import Fraction

import numpy as np

from ecglib.errors import DatasetError, RecordError

LARGEST_FACTOR = 1000
STEP_MV = 0.001
PIECE = 1 << 13  # samples a lead, few enough to stay in the cache of the processor
INVALID = np.iinfo(np.int16).min  # a sample that was not measured, as in WFDB's format 16
MV_PER = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}


def mv_per(unit: str) -> float:
    """Millivolts in one unit (mV, uV, µV, V, nV; capitals do not matter).

    Raises
    ------
    DatasetError
        the unit is none of voltage.
    """
    if unit.lower() not in MV_PER:
        raise DatasetError(
            f"Unit {unit!r} is none of voltage; expected mV, uV, V or nV. Correct the unit, or "
            f"leave that lead out."
        )
    return MV_PER[unit.lower()]


def to_steps(signal_mv: np.ndarray) -> np.ndarray:
    """Round a signal in mV to int16 steps of 0.001 mV.

    What is beyond 32.767 mV is clipped; NaN and infinite samples become `INVALID`.
    """
    signal_mv = np.asarray(signal_mv)
    steps = np.empty(signal_mv.shape, np.int16)
    limit = np.iinfo(np.int16).max
    for start in range(0, len(signal_mv), PIECE):
        piece = np.divide(signal_mv[start : start + PIECE], STEP_MV, dtype=np.float64)
        np.rint(piece, out=piece)
        known = np.isfinite(piece)
        np.clip(piece, -limit, limit, out=piece)
        if not known.all():
            piece[~known] = INVALID
        steps[start : start + PIECE] = piece
    return steps


def middle(signal: np.ndarray, n_samples: int) -> np.ndarray:
    """The middle `n_samples` of a longer recording; a shorter one as it is."""
    start = max(0, (len(signal) - n_samples) // 2)
    return signal[start : start + n_samples]


def resample(signal_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample a recording with a polyphase filter that lets no aliases through.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads) or (n_samples,)
        In mV. A NaN makes the samples around it, or the whole lead, NaN.
    from_hz, to_hz : float
        Sampling rate that the recording has and that it is to have, in Hz.

    Returns
    -------
    array of shape (ceil(n_samples * to_hz / from_hz), n_leads), float64
        In mV; sample 0 is at the same time as before.

    Raises
    ------
    DatasetError
        If a rate is not above 0, or if the two are not in the ratio of whole numbers up to 1000.
    """
    signal = np.asarray(signal_mv, dtype=np.float64)
    for name, rate in (("from_hz", from_hz), ("to_hz", to_hz)):
        if not math.isfinite(rate) or rate <= 0:
            raise DatasetError(f"{name} must be a sampling rate above 0 Hz. Received: {rate!r}.")
    if signal.ndim not in (1, 2) or len(signal) == 0:
        raise DatasetError(
            "resample takes a recording of shape (n_samples, n_leads) with at least one sample. "
            f"Received shape: {signal.shape}."
        )
    exact = to_hz / from_hz
    ratio = Fraction(exact).limit_denominator(LARGEST_FACTOR)
    # Rates from a header are rounded; 1e-9 moves a sample by less than a microsecond in 15 minutes.
    if ratio.numerator > LARGEST_FACTOR or not math.isclose(ratio, exact, rel_tol=1e-9):
        raise DatasetError(
            f"{from_hz:.10g} Hz cannot be resampled to {to_hz:.10g} Hz: their ratio is not one of "
            f"whole numbers up to {LARGEST_FACTOR}. Check both rates, or choose a working rate "
            f"that is simpler, such as {_nearby_rate(from_hz, to_hz):.10g} Hz."
        )
    if ratio == 1:
        return signal.copy()
    from scipy.signal import resample_poly  # takes half a second to import

    # padtype "line": a recording that does not start and end at 0 mV keeps its ends.
    # Lead by lead in memory, which is a fifth faster.
    leads = np.ascontiguousarray(signal.T)
    return resample_poly(leads, ratio.numerator, ratio.denominator, axis=-1, padtype="line").T


def resample_steps(signal_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """As `resample`, to steps of 0.001 mV; what was not measured (NaN) stays so, and only that.

    Raises
    ------
    RecordError
        see `resample`.
    """
    missing = ~np.isfinite(signal_mv)
    known = fill_gaps(signal_mv) if missing.any() else signal_mv
    try:
        steps = to_steps(resample(known, from_hz, to_hz))
    except DatasetError as error:
        raise RecordError("wrong_rate", str(error)) from None
    if missing.any():
        nearest = np.rint(np.arange(len(steps)) * from_hz / to_hz).astype(int)
        steps[missing[np.minimum(nearest, len(missing) - 1)]] = INVALID
    return steps


def fill_gaps(signal: np.ndarray) -> np.ndarray:
    """A copy in which what was not measured (NaN) lies on a line between its neighbours.

    A lead of which nothing was measured becomes 0. `signal` has shape (n_samples, n_leads).
    """
    filled = np.array(signal, np.float64)
    for lead in filled.T:
        missing = ~np.isfinite(lead)
        if missing.all():
            lead[:] = 0.0
        elif missing.any():
            known = np.flatnonzero(~missing)
            lead[missing] = np.interp(np.flatnonzero(missing), known, lead[known])
    return filled


def _nearby_rate(from_hz: float, to_hz: float) -> float:
    """Give a rate near ``to_hz`` that ``from_hz`` can be resampled to."""
    ratio = Fraction(to_hz / from_hz).limit_denominator(100)
    if 0 < ratio.numerator <= LARGEST_FACTOR:
        return from_hz * ratio.numerator / ratio.denominator
    return from_hz
