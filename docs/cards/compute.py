"""Compute the card of a dataset: ``python -m docs.cards.compute mitdb DIR``.

The dataset is prepared into a temporary folder, and everything on the card is counted in that
store. It is written to ``docs/cards/<dataset>.json``; ``docs/generate/dataset_cards.py`` makes
tables of it for the page ``docs/cards/<dataset>.md``.

Where only some of the signals can be had, the labels of all records are counted as well:
``python -m docs.cards.compute ptbxl DIR --labels FILE``. The file has the columns ``patient_id``,
``strat_fold`` and ``statements`` (separated by ``;``). For cinc2017 they are in DIR.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecglib.datasets import Dataset, prepare
from ecglib.datasets.labels import PATIENTS_UNKNOWN, encode_labels
from ecglib.datasets.schema import Task
from ecglib.datasets.sources import cinc2017, ptbxl
from ecglib.errors import DatasetError
from ecglib.evaluation.effective_patients import compute_effective_patients
from ecglib.evaluation.influence import Windows
from ecglib.paths import write_json
from ecglib.splits import PARTS

CARDS = Path(__file__).parent
N_TOP = 3  # patients that are named for each class and split
ALL = "all"  # the only split of records that have none


def compute_card(dataset: Dataset, command: str) -> dict[str, Any]:
    """Count what a prepared store holds.

    Parameters
    ----------
    dataset : Dataset
        The store.
    command : str
        The command that made the card, without paths of this machine.

    Returns
    -------
    dict
        Plain values, as JSON holds them.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     card = compute_card(dataset, "python ...")
    >>> card["n_patients"], list(card["tasks"])
    (10, ['superdiagnostic'])
    """
    summary = dataset.summary
    are_known = PATIENTS_UNKNOWN not in dataset.caveats
    card = {name: summary[name] for name in ("name", "description", "citation", "fingerprint")}
    card |= {
        "command": command,
        "synthetic": dataset.synthetic,
        "caveats": list(dataset.caveats),
        "signal": summary["signal"],
        "n_records": summary["n_records"],
        "n_windows": summary["n_windows"],
        "n_patients": int(dataset.windows["patient"].nunique()) if are_known else None,
        "hours": round(summary["n_samples"] / dataset.signal.sampling_rate_hz / 3600, 1),
        "tabular": list(dataset.default_tabular),
        "people": summary["people"].get("part", {}),
        "excluded": summary["excluded"],
        "flagged": summary["flagged"],
        "tasks": {name: _count_task_of_store(dataset, name) for name in dataset.tasks},
    }
    return card


def count_task(
    task: Task, y: np.ndarray, part: np.ndarray, patients: np.ndarray | None
) -> dict[str, Any]:
    """Count windows and patients of each class and split.

    Parameters
    ----------
    task : Task
        The task.
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1.
    part : str array of shape (n_windows,)
        Split of each window.
    patients : str array of shape (n_windows,) or None
        Patient of each window; None if the patients are unknown.

    Returns
    -------
    dict
        ``kind``, ``description``, ``splits`` (windows and patients of each) and ``classes``: for
        each class its ``labels``, and for each split its ``windows``, the ``patients`` that have
        them, the ``effective_patients`` of a score of the class, and ``top``, the patients with the
        largest numbers of its windows.

    Examples
    --------
    >>> task = Task("af", "multi_label", {"AF": ["AFIB"]})
    >>> y, part = np.array([[1], [1], [0], [1]]), np.array(["test"] * 4)
    >>> found = count_task(task, y, part, np.array(["a", "a", "b", "b"]))
    >>> found["classes"]["AF"]["splits"]["test"]["top"]
    {'a': 2, 'b': 1}
    """
    splits = [name for name in (*PARTS, ALL) if (part == name).any()]
    counted: dict[str, Any] = {
        "kind": task.kind,
        "description": task.description,
        "splits": {},
        "classes": {
            name: {"labels": labels, "splits": {}} for name, labels in task.classes.items()
        },
    }
    for split in splits:
        rows = part == split
        who = patients[rows] if patients is not None else None
        counted["splits"][split] = {
            "windows": int(rows.sum()),
            "patients": len(np.unique(who)) if who is not None else None,
        }
        for name, values in zip(task.classes, _count_classes(y[rows] > 0, who), strict=True):
            counted["classes"][name]["splits"][split] = values
    return counted


def count_ptbxl_labels(file: Path, tasks: dict[str, Task]) -> dict[str, Any]:
    """Count the labels of a table of all records of PTB-XL.

    Parameters
    ----------
    file : Path
        CSV file with the columns ``patient_id``, ``strat_fold`` and ``statements``.
    tasks : dict of str to Task
        The tasks.

    Returns
    -------
    dict
        ``origin``, ``n_records``, ``n_patients`` and ``tasks``.

    Raises
    ------
    DatasetError
        If a column is missing.
    """
    table = pd.read_csv(file, dtype={"statements": str}, keep_default_na=False)
    if missing := {"patient_id", "strat_fold", "statements"} - set(table):
        raise DatasetError(
            f"{file} lacks the columns {sorted(missing)}. Give a table with a row for each record."
        )
    labels = table["statements"].map(lambda text: [label for label in text.split(";") if label])
    part = table["strat_fold"].map(ptbxl.assign_part).to_numpy(str)
    patients = table["patient_id"].to_numpy(str)
    counted = {}
    for name, task in tasks.items():
        y = encode_labels(labels, task)
        rows = y.any(axis=1) if task.needs_a_class else np.ones(len(y), bool)
        counted[name] = count_task(task, y[rows], part[rows], patients[rows])
    return {
        "origin": "a table of the labels of all records of version "
        f"{ptbxl.VERSION}, put together from two published copies: it is no official file",
        "n_records": len(table),
        "n_patients": int(table["patient_id"].nunique()),
        "tasks": counted,
    }


def count_cinc2017_labels(folder: Path, tasks: dict[str, Task]) -> dict[str, Any]:
    """Count the labels of all records of the CinC Challenge 2017.

    Parameters
    ----------
    folder : Path
        Folder with the reference.
    tasks : dict of str to Task
        The tasks.

    Returns
    -------
    dict
        ``origin``, ``n_records``, ``n_patients`` and ``tasks``.
    """
    table = cinc2017.read_reference(folder)
    part = np.full(len(table), ALL)
    return {
        "origin": f"{cinc2017.REFERENCE}, the final labels of the Challenge",
        "n_records": len(table),
        "n_patients": None,
        "tasks": {
            name: count_task(task, encode_labels(table["labels"], task), part, None)
            for name, task in tasks.items()
        },
    }


def _count_task_of_store(dataset: Dataset, name: str) -> dict[str, Any]:
    selection = dataset.select(name)
    patients = None if PATIENTS_UNKNOWN in dataset.caveats else selection.patients
    return count_task(selection.task, selection.y, selection.part, patients)


def _count_classes(y: np.ndarray, patients: np.ndarray | None) -> list[dict[str, Any]]:
    """Count the positive windows of each class in one split, and who has them."""
    totals = y.sum(axis=0)
    if patients is None:
        return [{"windows": int(n)} for n in totals]
    names, index = np.unique(patients, return_inverse=True)
    windows = Windows(y=y, patient=index)
    positives = windows.sum_by_patient(y.T.astype(float)).astype(int)
    effective = compute_effective_patients(windows).by_class
    found = []
    for number, counts in enumerate(positives):
        order = [i for i in np.argsort(-counts, kind="stable")[:N_TOP] if counts[i]]
        found.append(
            {
                "windows": int(totals[number]),
                "patients": int((counts > 0).sum()),
                "effective_patients": None
                if np.isnan(effective[number])
                else round(float(effective[number]), 1),
                "top": {str(names[i]): int(counts[i]) for i in order},
            }
        )
    return found


def main() -> None:
    """Compute the card that the command line asks for."""
    parser = argparse.ArgumentParser(description="Compute the card of a dataset.")
    parser.add_argument("dataset", help="name, as of `ecglib datasets`")
    parser.add_argument("source", nargs="?", type=Path, help="folder of the data as published")
    parser.add_argument("--labels", type=Path, help="labels of all records of ptbxl")
    options = parser.parse_args()
    command = f"python -m docs.cards.compute {options.dataset}"
    command += (" DIR" if options.source else "") + (" --labels FILE" if options.labels else "")
    with tempfile.TemporaryDirectory() as folder:
        dataset = prepare(options.dataset, options.source, data_dir=folder)
        card = compute_card(dataset, command)
        if options.labels:
            card["labelled"] = count_ptbxl_labels(options.labels, dataset.tasks)
            # The labels of all records say more of the other tasks than those of a part.
            card["tasks"] = {dataset.default_task: card["tasks"][dataset.default_task]}
        elif options.dataset == "cinc2017":
            card["labelled"] = count_cinc2017_labels(options.source, dataset.tasks)
    write_json(CARDS / f"{options.dataset}.json", card)
    print(CARDS / f"{options.dataset}.json")


if __name__ == "__main__":
    main()
