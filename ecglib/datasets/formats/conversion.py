"""A record as a signal spec wants it: leads by name, in steps of 0.001 mV, at one rate."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ecglib.datasets.formats.base import LeadReader
from ecglib.datasets.leads import match_leads
from ecglib.datasets.schema import Problem, SignalSpec
from ecglib.datasets.units import resample_steps
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
        If a lead is missing, its unit is not a voltage, or the rate cannot be reached.

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
    rates_hz = {record.sampling_rates_hz[column] for column in columns}
    if len(rates_hz) == 1:
        steps = _read_steps(record, columns, rates_hz.pop(), signal.sampling_rate_hz)
    else:
        steps = _join_rates(record, columns, signal.sampling_rate_hz)
    if not len(steps):
        raise RecordError(
            "too_short", "The record has no sample. Leave it out, or get it again from its source."
        )
    return ConvertedRecord(steps=steps, problems=tuple(record.find_problems(name, columns)))


def _read_steps(
    record: LeadReader, columns: Sequence[int], from_hz: float, to_hz: float
) -> np.ndarray:
    """Read leads of one rate, shape (n_samples, n_columns)."""
    if from_hz == to_hz:
        return record.to_steps(columns)
    return resample_steps(record.to_mv(columns), from_hz, to_hz)


def _join_rates(record: LeadReader, columns: Sequence[int], to_hz: float) -> np.ndarray:
    """Read leads of several rates; they end together with the shortest."""
    leads = [
        _read_steps(record, [column], record.sampling_rates_hz[column], to_hz)[:, 0]
        for column in columns
    ]
    n_samples = min(map(len, leads))
    return np.stack([lead[:n_samples] for lead in leads], axis=1)
