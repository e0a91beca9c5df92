"""PhysioNet/CinC Challenge 2017: short single-lead ECGs; normal, AF, other rhythm, noise.

Clifford GD, Liu C, Moody B, et al. AF classification from a short single lead ECG recording: the
PhysioNet/Computing in Cardiology Challenge 2017. CinC 44 (2017). Labels: REFERENCE-v3.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ecglib.datasets.labels import PATIENTS_UNKNOWN
from ecglib.datasets.schema import SignalSpec, Task
from ecglib.datasets.sources.download import download as download_files
from ecglib.datasets.sources.table import TableSource, find_headers
from ecglib.errors import DatasetError
from ecglib.splits import folds_by_patient, folds_to_parts

RATE_HZ = 300.0
WINDOW_S = 30.0  # seven in ten records are just as long
REFERENCE = "REFERENCE-v3.csv"
CLASSES = {"normal": ["N"], "AF": ["A"], "other": ["O"], "noise": ["~"]}


def open_cinc2017(folder: str | Path) -> TableSource:
    """The training records of the Challenge, or a part of them.

    They last 9 to 61 s. A window is 30 s: the middle of a longer record; a shorter one is followed
    by 0 mV, and `Dataset.measured` tells where. Who the patients are was not published: leakage
    cannot be excluded, which caveats every run. Folds are made here, stratified over the classes.

    Parameters
    ----------
    folder
        folder with ``REFERENCE-v3.csv``, ``A00001.hea``, ``A00001.mat``, ...

    Raises
    ------
    DatasetError
        the reference is missing or is not a table of record and label.
    """
    folder = Path(folder)
    table = read_reference(folder)
    table["path"] = table["record"].map({Path(path).name: path for path in find_headers(folder)})
    here = table["path"].notna()
    # Where only a part of the records is there, the folds are balanced over that part.
    y = np.eye(len(CLASSES))[table.loc[here, "labels"].str[0].map(_class_number)]
    table["fold"], table["part"] = 0, ""
    folds = folds_by_patient(table.loc[here, "patient"].to_numpy(), y)
    table.loc[here, "fold"], table.loc[here, "part"] = folds, folds_to_parts(folds)
    return TableSource(
        "cinc2017",
        folder,
        table,
        SignalSpec(RATE_HZ, round(WINDOW_S * RATE_HZ), ("ECG",)),
        {
            "rhythm": Task(
                "rhythm",
                "multi_class",
                CLASSES,
                description="normal, AF, other rhythm, noise; REFERENCE-v3.",
            )
        },
        description=f"PhysioNet/CinC Challenge 2017: {here.sum():,} records of one lead.",
        citation="Clifford GD et al. AF classification from a short single lead ECG recording. "
        "CinC 44 (2017). Goldberger AL et al. Circulation 101:e215-e220 (2000). ODC-By 1.0.",
        columns={"fold": "int64"},
        caveats=(PATIENTS_UNKNOWN,),
    )


def read_reference(folder: Path) -> pd.DataFrame:
    """Record, patient (unknown: the record's name) and labels of each row of the reference.

    Raises
    ------
    DatasetError
        the reference is missing or is not a table of record and label.
    """
    path = folder / REFERENCE
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing. Give the folder that holds it and the records as the source, or "
            f"leave the source out to download them."
        )
    table = pd.read_csv(path, header=None, names=["record", "label"], dtype=str)
    known = {label for labels in CLASSES.values() for label in labels}
    if odd := set(table["label"]) - known:
        odd = sorted(map(str, odd))
        raise DatasetError(f"{path} holds the labels {odd}, known: {sorted(known)}.")
    labels = table["label"].map(lambda label: [label])
    return pd.DataFrame({"record": table["record"], "patient": table["record"], "labels": labels})


def download(folder: Path) -> Path:
    """Download the training records, verified and resumable.

    Raises
    ------
    DatasetError
        there is no network, or a file differs from its published checksum.
    """
    return download_files(
        "challenge-2017",
        "1.0.0",
        folder,
        lambda name: name.startswith("training/") or name == REFERENCE,
    )


def _class_number(label: str) -> int:
    return next(i for i, labels in enumerate(CLASSES.values()) if label in labels)
