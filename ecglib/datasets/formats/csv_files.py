"""Records in CSV files: one column for each lead, their names in the first line."""

from pathlib import Path

import numpy as np

from ecglib.datasets.formats.base import ColumnRecord, FileOptions
from ecglib.errors import RecordError


def read_csv(path: Path, options: FileOptions) -> ColumnRecord:
    """Read a CSV file with the names of the leads in its first line.

    Parameters
    ----------
    path : Path
        The file. Columns are separated by commas, semicolons or tabs.
    options : FileOptions
        Gives the sampling rate and the unit.

    Returns
    -------
    ColumnRecord
        The record. A column that is not asked for need not hold numbers.

    Raises
    ------
    RecordError
        If the file cannot be read, or the sampling rate or the unit is not given.

    Examples
    --------
    >>> import tempfile
    >>> options = FileOptions(sampling_rate_hz=100.0, unit="mV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("time;I;II\\n00:00;0.1;0.2\\n")
    ...     record = read_csv(path, options)
    >>> record.leads, record.to_steps([1, 2]).tolist()
    (('time', 'I', 'II'), [[100, 200]])
    """
    import pandas as pd

    options.require_rate_and_unit(path)
    try:
        with open(path) as file:
            first_line = file.readline()
        frame = pd.read_csv(path, sep=max(",;\t", key=first_line.count))
    except (OSError, ValueError) as error:
        raise RecordError(
            "unreadable", f"{path} cannot be read as CSV: {error}. Check the file."
        ) from None
    names = tuple(str(name).strip() for name in frame.columns)

    def read_column(column: int) -> np.ndarray:
        try:
            return frame.iloc[:, column].to_numpy(float)
        except ValueError as error:
            raise RecordError(
                "unreadable",
                f"Column {names[column]!r} of {path} has a value that is not a number: {error}. "
                f"Correct the file.",
            ) from None

    return ColumnRecord(
        leads=names,
        units=(options.unit,) * len(names),
        sampling_rates_hz=(options.sampling_rate_hz,) * len(names),
        read_column=read_column,
    )
