"""A record as a signal spec wants it: leads by name, in steps of 0.001 mV, at one rate."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ecglib.datasets.formats.base import LeadReader
from ecglib.datasets.leads import match_leads
from ecglib.datasets.schema import Problem, SignalSpec
from ecglib.datasets.units import MAX_STEP, RANGE_REMEDY, STEP_MV, resample_steps
from ecglib.errors import RecordError


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ConvertedRecord:
    """A record as a signal spec wants it.

    Parameters
    ----------
    steps : int16 array of shape (n_samples, n_leads)
        Samples in 0.001 mV at the working rate; `units.INVALID` where nothing was measured.
    problems : tuple of Problem, default ()
        What is unusual about the record and does not prevent reading it.

    Examples
    --------
    >>> ConvertedRecord(steps=np.zeros((250, 1), np.int16)).problems
    ()
    """

    steps: np.ndarray
    problems: tuple[Problem, ...] = ()


def convert_record(name: str, record: LeadReader, signal: SignalSpec) -> ConvertedRecord:
    """Convert a record to the leads and the sampling rate of a signal spec.

    Parameters
    ----------
    name : str
        Name of the record, for its problems.
    record : LeadReader
        The record as read, for example a `WfdbRecord`.
    signal : SignalSpec
        Leads and sampling rate of the result.

    Returns
    -------
    ConvertedRecord
        The whole record. Leads of other rates are resampled; the shortest lead decides the length.

    Raises
    ------
    RecordError
        If a lead is missing, its unit is not a voltage, the rate cannot be reached, or amplitudes
        are beyond 32.767 mV, also without the median of the lead.

    Notes
    -----
    DC-coupled amplifiers add a constant offset to each lead, often larger than a store can hold.
    Only where samples of a lead are beyond 32.767 mV its median is subtracted, and the record
    flagged (``offset``).

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from ecglib.datasets.wfdb import read_record
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     header = "r1 1 250 3\\nr1.dat 16 200/mV 16 0 0 0 0 MLII\\n"
    ...     _ = Path(folder, "r1.hea").write_text(header)
    ...     np.array([0, 200, -200], "<i2").tofile(Path(folder, "r1.dat"))
    ...     record = read_record(f"{folder}/r1")
    >>> convert_record("r1", record, SignalSpec(250.0, 3, ("II",))).steps.ravel().tolist()
    [0, 1000, -1000]
    """
    columns = match_leads(signal.leads, record.leads)
    offsets_mv = None
    try:
        steps = _join_rates(record, columns, signal.sampling_rate_hz)
    except RecordError as error:
        if error.kind != "out_of_range":
            raise
        offsets_mv = _find_offsets(record, columns, signal.leads)
        steps = _join_rates(record, columns, signal.sampling_rate_hz, offsets_mv)
    if not len(steps):
        raise RecordError(
            "too_short", "The record has no sample. Leave it out, or get it again from its source."
        )
    problems = tuple(record.find_problems(name, columns))
    if offsets_mv:
        listed = ", ".join(
            f"{lead} {offset:.6g} mV"
            for lead, offset in zip(signal.leads, offsets_mv, strict=True)
            if offset
        )
        problems += (Problem(name, "offset", listed),)
    return ConvertedRecord(steps=steps, problems=problems)


def _join_rates(
    record: LeadReader,
    columns: Sequence[int],
    to_hz: float,
    offsets_mv: Sequence[float] | None = None,
) -> np.ndarray:
    """Read leads, those of one rate together, less their offsets; the shortest ends them all."""
    rates_hz = [record.sampling_rates_hz[column] for column in columns]
    if len(set(rates_hz)) == 1:
        return _read_steps(record, columns, to_hz, offsets_mv)
    leads = [
        _read_steps(record, [column], to_hz, [offsets_mv[i]] if offsets_mv else None)[:, 0]
        for i, column in enumerate(columns)
    ]
    n_samples = min(map(len, leads))
    return np.stack([lead[:n_samples] for lead in leads], axis=1)


def _read_steps(
    record: LeadReader,
    columns: Sequence[int],
    to_hz: float,
    offsets_mv: Sequence[float] | None,
) -> np.ndarray:
    """Read leads of one rate, shape (n_samples, n_columns)."""
    from_hz = record.sampling_rates_hz[columns[0]]
    if offsets_mv is None and from_hz == to_hz:
        return record.to_steps(columns)
    signal_mv = record.to_mv(columns)
    if offsets_mv is not None:
        signal_mv = signal_mv - offsets_mv
    if not len(signal_mv):
        return np.empty(signal_mv.shape, np.int16)
    return resample_steps(signal_mv, from_hz, to_hz)


def _find_offsets(record: LeadReader, columns: Sequence[int], leads: Sequence[str]) -> list[float]:
    """Find the median of each lead that is beyond what a store holds, 0 for the others, in mV.

    Raises
    ------
    RecordError
        If a lead does not fit into a store without its median either.
    """
    max_mv = MAX_STEP * STEP_MV
    offsets_mv = []
    for lead, column in zip(leads, columns, strict=True):
        signal_mv = record.to_mv([column])
        known_mv = signal_mv[np.isfinite(signal_mv)]
        low, high = (known_mv.min(), known_mv.max()) if known_mv.size else (0.0, 0.0)
        is_beyond = low < -max_mv or high > max_mv
        offset = float(np.median(known_mv)) if is_beyond else 0.0
        if low - offset < -max_mv or high - offset > max_mv:
            raise RecordError(
                "out_of_range",
                f"Lead {lead!r} spans {low:.6g} to {high:.6g} mV, expected at most {max_mv:g} mV "
                f"from its median. {RANGE_REMEDY}",
            )
        offsets_mv.append(offset)
    return offsets_mv
