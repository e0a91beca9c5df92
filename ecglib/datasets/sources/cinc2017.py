"""PhysioNet/CinC Challenge 2017: short single-lead ECGs; normal, AF, other rhythm, noise.

Clifford GD, Liu C, Moody B, et al. AF classification from a short single lead ECG recording: the
PhysioNet/Computing in Cardiology Challenge 2017. CinC 44 (2017). Labels: REFERENCE-v3.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.labels import PATIENTS_UNKNOWN
from ecglib.datasets.schema import SignalSpec, Task
from ecglib.datasets.sources.checksums import Checksums
from ecglib.datasets.sources.download import download as download_files
from ecglib.datasets.sources.table import RecordTable, SourceInfo, TableSource, find_headers
from ecglib.errors import DatasetError
from ecglib.splits import assign_folds_by_patient, convert_folds_to_parts

RATE_HZ = 300.0
WINDOW_S = 30.0  # the length of seven in ten records
REFERENCE = "REFERENCE-v3.csv"
CLASSES = {"normal": ["N"], "AF": ["A"], "other": ["O"], "noise": ["~"]}


def open_cinc2017(folder: str | Path) -> TableSource:
    """Open the training records of the Challenge, or some of them, as a source.

    They last 9 to 61 s. A window is 30 s: the middle of a longer record; a shorter one is padded
    with 0 mV at its end, see `Dataset.read_measured_mask`. The patients were not published: leakage
    cannot be excluded, and every run carries that caveat. Folds are made here, stratified over the
    classes.

    Parameters
    ----------
    folder : str or Path
        Folder with ``REFERENCE-v3.csv``, ``A00001.hea``, ``A00001.mat``, ...

    Returns
    -------
    TableSource
        The source.

    Raises
    ------
    DatasetError
        If the reference is missing, is not a table of record and label or is not the published
        one.

    Examples
    --------
    >>> import tempfile
    >>> rows = [f"A{number:05d},{'NAO~'[number % 4]}" for number in range(40)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "REFERENCE-v3.csv").write_text("\\n".join(rows))
    ...     for number in range(40):
    ...         Path(folder, f"A{number:05d}.hea").touch()
    ...     source = open_cinc2017(folder)
    >>> source.count_records(), source.signal.n_samples
    (40, 9000)
    """
    folder = Path(folder)
    table = read_reference(folder)
    table["path"] = table["record"].map({Path(path).name: path for path in find_headers(folder)})
    has_header = table["path"].notna()
    # Where only some of the records exist, the folds are balanced over those.
    classes = table.loc[has_header, "labels"].str[0].map(_find_class_number)
    y = np.eye(len(CLASSES))[classes]
    folds = assign_folds_by_patient(table.loc[has_header, "patient"].to_numpy(), y)
    table["fold"], table["part"] = 0, ""
    table.loc[has_header, "fold"] = folds
    table.loc[has_header, "part"] = convert_folds_to_parts(folds)
    task = Task(
        "rhythm",
        "multi_class",
        CLASSES,
        description="normal, AF, other rhythm, noise; REFERENCE-v3.",
    )
    return TableSource(
        folder,
        RecordTable(rows=table, columns={"fold": "int64"}),
        SignalSpec(RATE_HZ, round(WINDOW_S * RATE_HZ), ("ECG",)),
        {"rhythm": task},
        SourceInfo(
            name="cinc2017",
            description=f"PhysioNet/CinC Challenge 2017: {has_header.sum():,} records of one lead.",
            citation="Clifford GD et al. AF classification from a short single lead ECG recording. "
            "CinC 44 (2017). Goldberger AL et al. Circulation 101:e215-e220 (2000). ODC-By 1.0.",
            caveats=(PATIENTS_UNKNOWN,),
        ),
    )


def read_reference(folder: Path) -> pd.DataFrame:
    """Read the reference: the label of each record.

    Parameters
    ----------
    folder : Path
        Folder with ``REFERENCE-v3.csv``.

    Returns
    -------
    DataFrame
        Columns record, patient (unknown: the name of the record) and labels (list of one str).

    Raises
    ------
    DatasetError
        If the reference is missing, is not a table of record and label or is not the published
        one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "REFERENCE-v3.csv").write_text("A00001,N\\nA00002,A\\n")
    ...     read_reference(Path(folder))["labels"].tolist()
    [['N'], ['A']]
    """
    path = folder / REFERENCE
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing. Give the folder that holds it and the records as the source, or "
            f"omit the source to download them."
        )
    Checksums(folder).check_file(REFERENCE)
    table = pd.read_csv(path, header=None, names=["record", "label"], dtype=str)
    known = {label for labels in CLASSES.values() for label in labels}
    if unknown := set(table["label"]) - known:
        raise DatasetError(
            f"{path} holds the labels {sorted(map(str, unknown))}, expected only {sorted(known)}. "
            f"Download it again."
        )
    labels = table["label"].map(lambda label: [label])
    return pd.DataFrame({"record": table["record"], "patient": table["record"], "labels": labels})


def download(folder: Path) -> Path:
    """Download the training records, verified and resumable.

    Parameters
    ----------
    folder : Path
        Folder of the download.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DatasetError
        If there is no network, or a file differs from its published checksum.

    Examples
    --------
    From the network::

        download(Path("data/raw/cinc2017"))

    A folder that holds another database is refused:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     marker = '{"database": "nstdb", "version": "1.0.0"}'
    ...     _ = Path(folder, "downloaded.json").write_text(marker)
    ...     download(Path(folder))
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: ... holds nstdb 1.0.0, not challenge-2017 1.0.0...
    """
    return download_files(
        "challenge-2017",
        "1.0.0",
        folder,
        lambda name: name.startswith("training/") or name == REFERENCE,
    )


def _find_class_number(label: str) -> int:
    return next(i for i, labels in enumerate(CLASSES.values()) if label in labels)
