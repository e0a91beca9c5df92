"""What the files of records do not say themselves."""

import dataclasses
from collections.abc import Mapping

from ecglib.datasets.formats import FileOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordOptions(FileOptions):
    """What the files of the records to predict do not say themselves, and where windows start.

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
    starts_s : tuple of float, default ()
        Start of each window in the record, in s; empty for one window in the middle.
    pad : bool, default False
        Whether to extend a record that is shorter than a window with 0 mV at its end, instead of
        refusing it.
    values : mapping of str to float, default {}
        Tabular values by column, such as ``{"age": 63, "sex": 1}``. They hold for every record.

    Examples
    --------
    >>> options = RecordOptions(sampling_rate_hz=500.0, unit="uV", leads=("I", "II"))
    >>> options.starts_s, options.pad
    ((), False)
    """

    starts_s: tuple[float, ...] = ()
    pad: bool = False
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
