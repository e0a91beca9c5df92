"""Units, resampling and rounding of whole recordings.

A store holds int16 samples in steps of 0.001 mV; `INVALID` is a sample that was not measured.
"""

import math
from fractions import Fraction

import numpy as np

from ecglib.errors import DatasetError, RecordError

STEP_MV = 0.001
INVALID = np.iinfo(np.int16).min  # a sample that was not measured, as in WFDB's format 16
MV_PER_UNIT = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
MAX_STEP = np.iinfo(np.int16).max  # 32.767 mV
RANGE_REMEDY = (
    "Correct the unit (microvolt?) or the gain (raw counts?), or replace samples that were not "
    "measured by NaN."
)
MAX_VALUES = 2**29  # of one record in memory: 4 GiB as float64, 62 days of a lead at 100 Hz
# Whole numbers of a resampling ratio: the first limit unless it moves a sample by more than
# MAX_SHIFT of the distance between two.
MAX_FACTORS = (1000, 30_000)
MAX_SHIFT = 0.1
PIECE = 1 << 13  # samples per lead that are rounded together: they stay in the processor's cache


def find_mv_per_unit(unit: str) -> float:
    """Return the number of millivolts in one unit.

    Parameters
    ----------
    unit : str
        mV, uV, µV, V or nV, in upper or lower case.

    Returns
    -------
    float
        Factor from samples in `unit` to mV.

    Raises
    ------
    DatasetError
        If the unit is not a voltage.

    Examples
    --------
    >>> find_mv_per_unit("uV")
    0.001
    """
    if unit.lower() not in MV_PER_UNIT:
        raise DatasetError(
            f"Unit {unit!r} is not a voltage; expected mV, uV, V or nV. Correct the unit, or "
            f"leave the lead out."
        )
    return MV_PER_UNIT[unit.lower()]


def check_size(n_samples: int, n_leads: int) -> None:
    """Check that a record is not too large, before memory is asked for.

    Parameters
    ----------
    n_samples, n_leads : int
        What its file says.

    Raises
    ------
    RecordError
        If there are more than `MAX_VALUES` values (``too_large``).

    Examples
    --------
    >>> check_size(650_000, 2)
    """
    if n_samples * n_leads > MAX_VALUES:
        raise RecordError(
            "too_large",
            f"The record has {n_samples:.4g} samples of {n_leads} leads, expected at most "
            f"{MAX_VALUES:.4g} values. Check its header, or divide the record.",
        )


def mask_code(samples: np.ndarray) -> np.ndarray:
    """Replace the code for "not measured" by NaN.

    Parameters
    ----------
    samples : array of shape (n_samples, ...)
        Numbers of any type, in any unit.

    Returns
    -------
    float64 array of the same shape
        NaN instead of -32768, the lowest int16, if all samples are whole numbers and none is lower:
        it is the code of WFDB's format 16, and what its conversions to other formats keep.

    Examples
    --------
    >>> mask_code(np.array([5, -32768, 7])).tolist()
    [5.0, nan, 7.0]
    >>> mask_code(np.array([5.5, -32768, 7])).tolist()
    [5.5, -32768.0, 7.0]
    """
    masked = np.array(samples, np.float64)
    code = masked == INVALID
    if code.any():
        known = masked[np.isfinite(masked)]
        if known.min() == INVALID and (np.rint(known) == known).all():
            masked[code] = np.nan
    return masked


def to_steps(signal_mv: np.ndarray) -> np.ndarray:
    """Round a signal in mV to int16 steps of 0.001 mV.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, ...)
        In mV.

    Returns
    -------
    int16 array of the same shape
        In 0.001 mV; `INVALID` where `signal_mv` is NaN or infinite.

    Raises
    ------
    RecordError
        If a sample is beyond 32.767 mV (``out_of_range``).

    Examples
    --------
    >>> to_steps(np.array([0.5, -1.0004, np.nan])).tolist()
    [500, -1000, -32768]
    """
    signal_mv = np.asarray(signal_mv)
    steps = np.empty(signal_mv.shape, np.int16)
    for start in range(0, len(signal_mv), PIECE):
        piece = np.divide(signal_mv[start : start + PIECE], STEP_MV, dtype=np.float64)
        np.rint(piece, out=piece)
        known = np.isfinite(piece)
        if not known.all():
            piece[~known] = 0
        if piece.size and (piece.max() > MAX_STEP or piece.min() < -MAX_STEP):
            raise RecordError(
                "out_of_range",
                f"Samples reach from {np.nanmin(signal_mv):.4g} to {np.nanmax(signal_mv):.4g} mV, "
                f"expected -{MAX_STEP * STEP_MV:g} to {MAX_STEP * STEP_MV:g}. {RANGE_REMEDY}",
            )
        piece[~known] = INVALID
        steps[start : start + PIECE] = piece
    return steps


def crop_middle(signal: np.ndarray, n_samples: int) -> np.ndarray:
    """Crop a recording to the samples in its middle.

    Parameters
    ----------
    signal : array of shape (n_samples_of_recording, ...)
        The recording.
    n_samples : int
        Number of samples to keep.

    Returns
    -------
    array of shape (n_samples, ...)
        A view. A recording that is not longer is returned whole.

    Examples
    --------
    >>> crop_middle(np.arange(6), 2).tolist()
    [2, 3]
    """
    start = max(0, (len(signal) - n_samples) // 2)
    return signal[start : start + n_samples]


def resample(signal_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample a recording with an anti-aliasing polyphase filter.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads) or (n_samples,)
        In mV. A NaN makes the samples around it, or the whole lead, NaN.
    from_hz : float
        Sampling rate of the recording, in Hz.
    to_hz : float
        Sampling rate of the result, in Hz.

    Returns
    -------
    float64 array of shape (ceil(n_samples * to_hz / from_hz), n_leads) or without leads
        In mV; the first sample is at the same time as before.

    Raises
    ------
    DatasetError
        If a rate is not above 0, the ratio of the rates is not near one of whole numbers up to
        30,000, or the signal has another shape or no sample.

    Notes
    -----
    Rates are often rounded or measured (499.98 Hz): the simplest ratio is taken that moves no
    sample by more than a tenth of the distance between two.

    `scipy.signal.resample_poly` with ``padtype="line"``, so that a recording that does not start
    and end at 0 mV keeps its ends.

    Examples
    --------
    >>> resample(np.ones((500, 2)), from_hz=500, to_hz=100).shape
    (100, 2)
    """
    signal = np.asarray(signal_mv, dtype=np.float64)
    for name, rate in (("from_hz", from_hz), ("to_hz", to_hz)):
        if not math.isfinite(rate) or rate <= 0:
            raise DatasetError(f"{name}={rate!r}, expected a sampling rate above 0 Hz.")
    if signal.ndim not in (1, 2) or len(signal) == 0:
        raise DatasetError(
            f"signal_mv has shape {signal.shape}, expected (n_samples, n_leads) with at least one "
            f"sample."
        )
    ratio = _find_ratio(len(signal), from_hz, to_hz)
    check_size(len(signal) * ratio.numerator // ratio.denominator, signal[0].size)
    if ratio == 1:
        return signal.copy()
    from scipy.signal import resample_poly  # takes half a second to import

    # Lead by lead in memory, which is a fifth faster.
    leads = np.ascontiguousarray(signal.T)
    resampled: np.ndarray = resample_poly(
        leads, ratio.numerator, ratio.denominator, axis=-1, padtype="line"
    )
    return resampled.T


def resample_steps(signal_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample a recording and round it to steps of 0.001 mV; gaps stay as long as they are.

    Parameters
    ----------
    signal_mv : array of shape (n_samples, n_leads)
        In mV, NaN where nothing was measured.
    from_hz : float
        Sampling rate of the recording, in Hz.
    to_hz : float
        Sampling rate of the result, in Hz.

    Returns
    -------
    int16 array of shape (ceil(n_samples * to_hz / from_hz), n_leads)
        In 0.001 mV, `INVALID` where nothing was measured.

    Raises
    ------
    RecordError
        If the rates or the shape do not suit `resample`, or a sample is beyond 32.767 mV.

    Examples
    --------
    >>> signal_mv = np.ones((10, 1))
    >>> signal_mv[4:6] = np.nan
    >>> resample_steps(signal_mv, from_hz=200, to_hz=100)[:, 0].tolist()
    [1000, 1000, -32768, 1000, 1000]
    """
    missing = ~np.isfinite(signal_mv)
    known = fill_gaps(signal_mv) if missing.any() else signal_mv
    try:
        resampled = resample(known, from_hz, to_hz)
    except RecordError:
        raise
    except DatasetError as error:
        raise RecordError("wrong_rate", str(error)) from None
    steps = to_steps(resampled)
    if missing.any():
        nearest = np.rint(np.arange(len(steps)) * from_hz / to_hz).astype(int)
        steps[missing[np.minimum(nearest, len(missing) - 1)]] = INVALID
    return steps


def fill_gaps(signal: np.ndarray) -> np.ndarray:
    """Fill what was not measured (NaN) by linear interpolation.

    Parameters
    ----------
    signal : array of shape (n_samples, n_leads)
        The recording; it is not changed.

    Returns
    -------
    float64 array of shape (n_samples, n_leads)
        The recording without gaps. A gap at an end takes the nearest value, a lead of which
        nothing was measured becomes 0.

    Examples
    --------
    >>> fill_gaps(np.array([[1.0], [np.nan], [3.0]]))[:, 0].tolist()
    [1.0, 2.0, 3.0]
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


def _find_ratio(n_samples: int, from_hz: float, to_hz: float) -> Fraction:
    """Find the ratio of whole numbers by which a recording of that length is resampled."""
    exact = to_hz / from_hz
    for max_factor in MAX_FACTORS if 1 / MAX_FACTORS[-1] <= exact <= MAX_FACTORS[-1] else ():
        ratio = Fraction(exact).limit_denominator(max_factor)
        if 0 < ratio.numerator <= max_factor and abs(ratio - exact) * n_samples <= MAX_SHIFT:
            return ratio
    raise DatasetError(
        f"{from_hz:.10g} Hz cannot be resampled to {to_hz:.10g} Hz: their ratio is not one of "
        f"whole numbers up to {MAX_FACTORS[-1]}. Check both rates, or choose a simpler working "
        f"rate, such as {_find_nearby_rate(from_hz, to_hz):.10g} Hz."
    )


def _find_nearby_rate(from_hz: float, to_hz: float) -> float:
    """Find a rate near `to_hz` that a recording at `from_hz` can be resampled to."""
    ratio = Fraction(to_hz / from_hz).limit_denominator(100)
    if 0 < ratio.numerator <= MAX_FACTORS[0]:
        return from_hz * ratio.numerator / ratio.denominator
    return from_hz
