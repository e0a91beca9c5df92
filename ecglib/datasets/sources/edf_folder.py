"""Any folder of EDF or BDF files, one for each record, with a label table."""

from pathlib import Path

from ecglib.datasets.formats import FileOptions
from ecglib.datasets.sources.file_folder import (
    FileFolderOptions,
    FileFolderSource,
    FileKind,
    open_file_folder,
)


def open_edf_folder(folder: str | Path, options: FileFolderOptions) -> FileFolderSource:
    """Open a folder of EDF and BDF files as a source.

    Parameters
    ----------
    folder : str or Path
        Searched for ``.edf`` and ``.bdf`` files with all its subfolders. Each is one record; its
        header names leads, units, calibration and the sampling rate of each lead. Annotations and
        signals that are no known lead are not read.
    options : FileFolderOptions
        Labels, leads, sampling rate and task.

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
    >>> import edfio
    >>> import numpy as np
    >>> import pandas as pd
    >>> names = [f"r{number:02d}" for number in range(12)]
    >>> table = pd.DataFrame({"record": names, "patient": names, "labels": "AF"})
    >>> lead = edfio.EdfSignal(np.arange(500.0), 250, label="ECG II", physical_dimension="uV")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in names:
    ...         edfio.Edf([lead]).write(f"{folder}/{name}.edf")
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     source = open_edf_folder(folder, FileFolderOptions(labels="labels.csv", name="mine"))
    >>> source.signal.leads, source.signal.sampling_rate_hz, source.signal.n_samples
    (('II',), 250.0, 500)
    """
    given = FileOptions(unit=options.unit, lead_columns=options.lead_columns)
    kind = FileKind(name="EDF", endings=(".edf", ".bdf"), given=given)
    return open_file_folder(folder, options, kind)
