"""Folds by patient, and the search for leaks."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from benchmarks.noise import find_real_data
from ecglib.splits import PARTS, assign_folds_by_patient, report_leaks

N_FOLDS = 10
N_LARGE = 200_000
N_LEAKS = 1_000_000


def measure_folds21799() -> Figure:
    """Folds of all PTB-XL records, against scikit-learn's StratifiedGroupKFold."""
    return _measure_folds("folds21799", _read_ptbxl(), rounds=3)


def measure_folds200000() -> Figure:
    """Folds of 200,000 records, PTB-XL's patients drawn repeatedly, against scikit-learn's."""
    return _measure_folds("folds200000", _draw_patients(_read_ptbxl(), N_LARGE), rounds=1)


def measure_leaks() -> Figure:
    """The leak report of a large window table against one pandas groupby of its patients."""
    windows = _make_windows(N_LEAKS)

    def group() -> pd.Series:
        return windows.groupby("patient")["part"].nunique()

    pairs = [(f"r{i}", f"r{i + 1}", 0.99) for i in range(0, 1000, 2)]
    sides = {
        "reported": Side(lambda: report_leaks(windows, "part", pairs), N_LEAKS),
        "grouped": Side(group, N_LEAKS),
    }
    speeds = alternate(sides, 5, "splits.leaks")
    return Figure(
        name="splits.leaks",
        what=(
            f"leak report of {N_LEAKS:,} windows: patients, signals, {len(pairs)} near-identical "
            "pairs"
        ),
        against="the limit: one pandas groupby, the number of splits of each patient",
        floor=0.4,
        ratios=compute_ratios(speeds["reported"], speeds["grouped"]),
        detail=compute_medians(speeds, "windows/s"),
    )


class Records(NamedTuple):
    """The records that are assigned to folds.

    Parameters
    ----------
    patients : array of shape (n_records,)
        The patient of each record.
    statements : array of shape (n_records, n_statements)
        1 where a record has a statement, otherwise 0.
    combinations : array of shape (n_records,)
        Index of the combination of superclasses of each record.
    """

    patients: np.ndarray
    statements: np.ndarray
    combinations: np.ndarray


def _measure_folds(name: str, records: Records, rounds: int) -> Figure:
    patients, statements, combinations = records
    folds_of_side = {}

    def assign() -> None:
        folds_of_side["ours"] = assign_folds_by_patient(patients, statements, N_FOLDS)

    def split_with_scikit_learn() -> None:
        folds = np.empty(len(patients), int)
        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some combinations have fewer records than folds
            for fold, (_, test) in enumerate(splitter.split(patients, combinations, patients)):
                folds[test] = fold
        folds_of_side["peer"] = folds

    n = len(patients)
    sides = {"ours": Side(assign, n), "peer": Side(split_with_scikit_learn, n)}
    speeds = alternate(sides, rounds, f"splits.{name}")
    imbalance = {
        f"maximum imbalance of a statement in windows, {side}": round(
            _compute_max_imbalance(statements, folds), 1
        )
        for side, folds in folds_of_side.items()
    }
    return Figure(
        name=f"splits.{name}",
        what=(
            f"{N_FOLDS} folds by patient of {n:,} records, stratified over {statements.shape[1]} "
            "statements"
        ),
        against=(
            f"scikit-learn's StratifiedGroupKFold over the {len(np.unique(combinations))} "
            "combinations of superclasses (the 4,074 of statements would not fit into memory at "
            "200,000 records)"
        ),
        floor=10.0,
        ratios=compute_ratios(speeds["ours"], speeds["peer"]),
        detail=compute_medians(speeds, "records/s") | imbalance,
    )


def _compute_max_imbalance(y: np.ndarray, folds: np.ndarray) -> float:
    """Compute by how many windows the count of a class in a fold differs from its mean at most."""
    counts = np.array([y[folds == fold].sum(axis=0) for fold in np.unique(folds)])
    return float(np.abs(counts - counts.mean(axis=0)).max())


def _read_ptbxl() -> Records:
    """Read the patients, the 71 statements and the superclasses of all records of PTB-XL."""
    table = pd.read_csv(find_real_data("ptbxl") / "ptbxl_labels_all21799_reconstructed.csv")
    statements = table["statements"].str.get_dummies(";").to_numpy(np.float32)
    combinations = pd.factorize(table["superclasses"].fillna(""))[0]
    return Records(table["patient_id"].to_numpy(str), statements, combinations)


def _draw_patients(records: Records, n: int) -> Records:
    """Draw patients with replacement until there are `n` records; each draw is a new patient."""
    rng = np.random.default_rng(0)
    index = np.unique(records.patients, return_inverse=True)[1]
    rows_by_patient = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    draws = [rows_by_patient[i] for i in rng.integers(0, len(rows_by_patient), n)]
    rows = np.concatenate(draws)[:n]
    patients = np.repeat(np.arange(n), [len(draw) for draw in draws])[:n].astype(str)
    return Records(patients, records.statements[rows], records.combinations[rows])


def _make_windows(n: int) -> pd.DataFrame:
    """Make a window table in which some patients and signals are in several splits."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "record": [f"r{i}" for i in range(n)],
            "patient": [f"p{i}" for i in rng.integers(0, n, n)],
            "signal_hash": [f"{i:032x}" for i in rng.integers(0, 100 * n, n)],
            "part": np.array(PARTS)[rng.integers(0, len(PARTS), n)],
        }
    )


FIGURES = {
    "folds21799": measure_folds21799,
    "folds200000": measure_folds200000,
    "leaks": measure_leaks,
}
