"""Leads chosen by their position, where their names do not tell them apart."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ecglib.datasets.formats.base import LeadReader
from ecglib.datasets.leads import canonicalize
from ecglib.datasets.schema import Problem
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
class RelabelledRecord:
    """A record whose leads have other names.

    Parameters
    ----------
    record : LeadReader
        The record.
    leads : tuple of str
        The names, one for each lead.

    Examples
    --------
    >>> from ecglib.datasets.formats import FileOptions, wrap_array
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV", leads=("II", "II"))
    >>> record = wrap_array(np.array([[0.1, 0.2]]), options)
    >>> renamed = RelabelledRecord(record=record, leads=("old", "II"))
    >>> renamed.to_steps([renamed.leads.index("II")]).tolist()
    [[200]]
    """

    record: LeadReader
    leads: tuple[str, ...]

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

    def find_problems(self, name: str, columns: Sequence[int]) -> Iterable[Problem]:
        """Find what is unusual about some leads and does not prevent reading them."""
        return self.record.find_problems(name, columns)
