"""What the user says of a file: leads by their position, sampling rate and unit."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ecglib.datasets.formats.base import FileOptions, LeadReader
from ecglib.datasets.leads import canonicalize
from ecglib.datasets.schema import Problem
from ecglib.datasets.units import find_mv_per_unit
from ecglib.errors import RecordError


def relabel_leads(leads: Sequence[str], lead_columns: Mapping[str, int]) -> tuple[str, ...]:
    """Rename leads so that some are found in the given columns.

    Parameters
    ----------
    leads : sequence of str
        Name of each column.
    lead_columns : mapping of str to int
        Column of a lead, counted from 1.

    Returns
    -------
    tuple of str
        The names: that of the lead in its column; other columns of that name carry their number.

    Raises
    ------
    RecordError
        If there is no such column.

    Examples
    --------
    >>> relabel_leads(["II", "V1", "ii"], {"II": 3})
    ('II [1]', 'V1', 'II')
    """
    names = list(leads)
    for lead, number in lead_columns.items():
        if not 1 <= number <= len(names):
            raise RecordError(
                "missing_lead",
                f"Lead {lead!r} is given as column {number}, but the record has {len(names)}. "
                f"Correct the number (--lead-column, or lead_columns); columns count from 1.",
            )
        for column, name in enumerate(names, start=1):
            if column == number:
                names[column - 1] = lead
            elif canonicalize(name) == canonicalize(lead):
                names[column - 1] = f"{name} [{column}]"
    return tuple(names)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OpenedRecord:
    """A record of a file, with what the user says of it.

    Parameters
    ----------
    record : LeadReader
        The record.
    leads : tuple of str
        Names of its leads, see `relabel_leads`.
    given : FileOptions
        Sampling rate and unit, where they are given; a file that names them itself is believed.

    Examples
    --------
    >>> from ecglib.datasets.formats import FileOptions, wrap_array
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV", leads=("II", "II"))
    >>> record = wrap_array(np.array([[0.1, 0.2]]), options)
    >>> given = FileOptions(sampling_rate_hz=500.0)
    >>> opened = OpenedRecord(record=record, leads=("II [1]", "II"), given=given)
    >>> opened.to_steps([opened.leads.index("II")]).tolist()
    [[200]]
    >>> [problem.detail for problem in opened.find_problems("r1", [1])]
    ['500 Hz given, the file says 100 Hz.']
    """

    record: LeadReader
    leads: tuple[str, ...]
    given: FileOptions

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each lead, as the file names it."""
        return self.record.units

    @property
    def sampling_rates_hz(self) -> tuple[float, ...]:
        """Sampling rate of each lead, in Hz."""
        return self.record.sampling_rates_hz

    def to_steps(self, columns: Sequence[int]) -> np.ndarray:
        """Convert leads of one rate to int16 steps of 0.001 mV, shape (n_samples, n_columns)."""
        return self.record.to_steps(columns)

    def to_mv(self, columns: Sequence[int]) -> np.ndarray:
        """Convert leads of one rate to mV, float64, shape (n_samples, n_columns)."""
        return self.record.to_mv(columns)

    def find_problems(self, name: str, columns: Sequence[int]) -> Iterator[Problem]:
        """Find what is unusual about some leads and does not prevent reading them.

        Parameters
        ----------
        name : str
            Name of the record.
        columns : sequence of int
            Numbers of the leads.

        Yields
        ------
        Problem
            Of a kind that flags a record.
        """
        yield from self.record.find_problems(name, columns)
        units = sorted({self.units[column] for column in columns})
        unit = self.given.unit
        if unit and any(find_mv_per_unit(unit) != find_mv_per_unit(one) for one in units):
            detail = f"Unit {unit} given, the file says {', '.join(units)}."
            yield Problem(name, "ignored_option", detail)
        rates_hz = sorted({self.sampling_rates_hz[column] for column in columns})
        rate_hz = self.given.sampling_rate_hz
        if rate_hz and rates_hz != [rate_hz]:
            listed = ", ".join(f"{one:g}" for one in rates_hz)
            detail = f"{rate_hz:g} Hz given, the file says {listed} Hz."
            yield Problem(name, "ignored_option", detail)
