"""Any folder of CSV files, one for each record, with a label table."""

import dataclasses
from pathlib import Path

from ecglib.datasets.formats import FileOptions
from ecglib.datasets.options import RateHz
from ecglib.datasets.sources.file_folder import (
    FileFolderOptions,
    FileFolderSource,
    FileKind,
    open_file_folder,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvFolderOptions(FileFolderOptions):
    """Settings of `open_csv_folder`, given on the command line as ``--set NAME=VALUE``.

    Those of `FileFolderOptions`, of which two are needed, as CSV files do not say them.

    Parameters
    ----------
    sampling_rate_hz : float
        Sampling rate of the files in Hz.
    unit : str
        Unit of the samples: mV, uV, V or nV.

    Examples
    --------
    >>> CsvFolderOptions(labels="labels.csv", sampling_rate_hz=250.0, unit="mV").min_records
    10
    """

    sampling_rate_hz: RateHz = dataclasses.field()  # no default
    unit: str = dataclasses.field()


def open_csv_folder(folder: str | Path, options: CsvFolderOptions) -> FileFolderSource:
    """Open a folder of CSV files as a source.

    Parameters
    ----------
    folder : str or Path
        Searched for ``.csv`` files with all its subfolders. Each is one record: the names of the
        leads in the first line, one column for each lead, separated by commas, semicolons or tabs.
    options : CsvFolderOptions
        Labels, sampling rate, unit and task.

    Returns
    -------
    FileFolderSource
        The source.

    Raises
    ------
    DatasetError
        If there is no record, no file has known leads, the unit is not a voltage, or the label
        table cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> names = [f"r{number:02d}" for number in range(12)]
    >>> table = pd.DataFrame({"record": names, "patient": names, "labels": "AF"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in names:
    ...         _ = Path(folder, f"{name}.csv").write_text("time,II\\n0,0.1\\n0.004,0.2\\n")
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     options = CsvFolderOptions(
    ...         labels="labels.csv", sampling_rate_hz=250.0, unit="mV", name="mine"
    ...     )
    ...     source = open_csv_folder(folder, options)
    >>> source.signal.leads, source.signal.n_samples, source.count_records()
    (('II',), 2, 12)
    """
    given = FileOptions(
        sampling_rate_hz=options.sampling_rate_hz,
        unit=options.unit,
        lead_columns=options.lead_columns,
    )
    return open_file_folder(folder, options, FileKind(name="CSV", endings=(".csv",), given=given))
