"""What the readers of all formats share: a record of leads, and what a file does not say."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np

from ecglib.datasets.options import Accepted, CheckedOptions
from ecglib.datasets.schema import Problem
from ecglib.datasets.units import find_mv_per_unit, to_steps
from ecglib.errors import DatasetError, RecordError


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions(CheckedOptions):
    """What a file of a record may not say itself.

    Parameters
    ----------
    sampling_rate_hz : float, default 0.0
        Sampling rate of CSV and NumPy files, in Hz; 0 if there are none.
    unit : {"", "mV", "uV", "V", "nV"}, default ""
        Unit of CSV and NumPy files, and of an EDF file that names none.
    leads : tuple of str, default ()
        Names of the columns of a NumPy array, in order. A CSV file has them in its first line.
    lead_columns : mapping of str to int, default {}
        Column of a lead in every file, counted from 1, where its name does not tell it apart from
        another.

    Examples
    --------
    >>> FileOptions(sampling_rate_hz=500.0, unit="uV").leads
    ()
    """

    sampling_rate_hz: Annotated[float, Accepted(minimum=0)] = 0.0
    unit: str = ""
    leads: tuple[str, ...] = ()
    lead_columns: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def require_rate_and_unit(self, path: Path) -> None:
        """Check that the sampling rate and the unit of a file that names neither are given.

        Parameters
        ----------
        path : Path
            The file, for the message.

        Raises
        ------
        RecordError
            If one of them is not given.
        """
        if not self.sampling_rate_hz:
            raise RecordError(
                "wrong_rate",
                f"{path} does not name its sampling rate. Give it in Hz (--rate, or "
                f"sampling_rate_hz).",
            )
        if not self.unit:
            raise RecordError(
                "unknown_unit",
                f"{path} does not name its unit. Give mV, uV, V or nV (--unit, or unit).",
            )


class LeadReader(Protocol):
    """A record whose leads can be read as steps or in mV, as a `WfdbRecord` is.

    Examples
    --------
    >>> class OneLead:
    ...     leads, units = ("II",), ("mV",)
    ...     sampling_rates_hz = (250.0,)
    ...
    ...     def to_steps(self, columns):
    ...         return np.array([[0], [1000], [-1000]], np.int16)[:, columns]
    ...
    ...     def to_mv(self, columns):
    ...         return self.to_steps(columns) / 1000
    ...
    ...     def find_problems(self, name, columns):
    ...         return ()
    >>> record: LeadReader = OneLead()
    >>> record.to_mv([0]).ravel().tolist()
    [0.0, 1.0, -1.0]
    """

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, in order."""

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each lead, as the file names it."""

    @property
    def sampling_rates_hz(self) -> tuple[float, ...]:
        """Sampling rate of each lead, in Hz."""

    def to_steps(self, columns: Sequence[int]) -> np.ndarray:
        """Convert leads of one rate to int16 steps of 0.001 mV, shape (n_samples, n_columns)."""

    def to_mv(self, columns: Sequence[int]) -> np.ndarray:
        """Convert leads of one rate to mV, float64, shape (n_samples, n_columns)."""

    def find_problems(self, name: str, columns: Sequence[int]) -> Iterable[Problem]:
        """Find what is unusual about some leads and does not prevent reading them."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ColumnRecord:
    """A record whose leads are columns of numbers, whatever file they come from.

    Parameters
    ----------
    leads, units : tuple of str
        Name and unit of each column.
    sampling_rates_hz : tuple of float
        Sampling rate of each column, in Hz.
    read_column : callable
        Takes the number of a column and returns its samples, shape (n_samples,), in its unit.

    Examples
    --------
    >>> samples = np.array([[100, 1.0], [np.nan, 2.0]])
    >>> record = ColumnRecord(
    ...     leads=("I", "II"),
    ...     units=("uV", "mV"),
    ...     sampling_rates_hz=(500.0, 500.0),
    ...     read_column=lambda column: samples[:, column],
    ... )
    >>> record.to_mv([1, 0]).tolist()
    [[1.0, 0.1], [2.0, nan]]
    >>> record.to_steps([1]).tolist()
    [[1000], [2000]]
    """

    leads: tuple[str, ...]
    units: tuple[str, ...]
    sampling_rates_hz: tuple[float, ...]
    read_column: Callable[[int], np.ndarray]

    def to_mv(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some columns of one sampling rate to mV.

        Parameters
        ----------
        columns : sequence of int
            Numbers of the columns, in any order.

        Returns
        -------
        float64 array of shape (n_samples, n_columns)
            In mV, NaN where nothing was measured.

        Raises
        ------
        RecordError
            If a unit is not a voltage.
        """
        try:
            factors = [find_mv_per_unit(self.units[column]) for column in columns]
        except DatasetError as error:
            raise RecordError("unknown_unit", str(error)) from None
        pairs = zip(factors, columns, strict=True)
        return np.stack([factor * self.read_column(column) for factor, column in pairs], axis=1)

    def to_steps(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some columns to int16 steps of 0.001 mV, shape (n_samples, n_columns)."""
        return to_steps(self.to_mv(columns))

    def find_problems(self, name: str, columns: Sequence[int]) -> Iterable[Problem]:
        """Find what is unusual about some columns: nothing, numbers say no more."""
        return ()
