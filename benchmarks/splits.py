"""Making folds by patient, and looking for leaks."""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.measure import Figure, Side, alternate, medians, ratios
from benchmarks.noise import real_data
from ecglib.splits import PARTS, assign_folds_by_patient, report_leaks

N_FOLDS = 10
N_LARGE = 200_000
N_LEAKS = 1_000_000


def folds21799() -> Figure:
    """Folds of all PTB-XL records, against scikit-learn's StratifiedGroupKFold."""
    return _folds("folds21799", *_ptbxl(), rounds=3)


def folds200000() -> Figure:
    """Folds of 200,000 records, PTB-XL's patients drawn over and over, against scikit-learn's."""
    patients, statements, combinations = _ptbxl()
    rows, drawn = _draw(patients, N_LARGE)
    return _folds("folds200000", drawn, statements[rows], combinations[rows], rounds=1)


def leaks() -> Figure:
    """The leak report of a large window table against one pandas groupby of its patients."""
    windows = _windows(N_LEAKS)

    def peer():
        return windows.groupby("patient")["part"].nunique()

    pairs = [(f"r{i}", f"r{i + 1}", 0.99) for i in range(0, 1000, 2)]
    sides = {
        "reported": Side(lambda: report_leaks(windows, "part", pairs), N_LEAKS),
        "grouped": Side(peer, N_LEAKS),
    }
    speeds = alternate(sides, 5, "splits.leaks")
    return Figure(
        "splits.leaks",
        f"leak report of {N_LEAKS:,} windows: patients, signals, {len(pairs)} near-identical pairs",
        "the limit: one pandas groupby, the number of parts of each patient",
        0.4,
        ratios(speeds["reported"], speeds["grouped"]),
        medians(speeds, "windows/s"),
    )


def _folds(
    name: str, patients: np.ndarray, statements: np.ndarray, combinations: np.ndarray, rounds: int
) -> Figure:
    made = {}

    def ours():
        made["ours"] = assign_folds_by_patient(patients, statements, N_FOLDS)

    def peer():
        folds = np.empty(len(patients), int)
        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a combination is rarer than there are folds
            for fold, (_, test) in enumerate(splitter.split(patients, combinations, patients)):
                folds[test] = fold
        made["peer"] = folds

    n = len(patients)
    sides = {"ours": Side(ours, n), "peer": Side(peer, n)}
    speeds = alternate(sides, rounds, f"splits.{name}")
    off = {
        f"most windows of a statement off, {side}": round(_most_off(statements, folds), 1)
        for side, folds in made.items()
    }
    return Figure(
        f"splits.{name}",
        f"{N_FOLDS} folds by patient of {n:,} records, stratified over {statements.shape[1]} "
        "statements",
        f"scikit-learn's StratifiedGroupKFold over the {len(np.unique(combinations))} combinations "
        "of superclasses (the 4,074 of statements would not fit into memory at 200,000 records)",
        10.0,
        ratios(speeds["ours"], speeds["peer"]),
        medians(speeds, "records/s") | off,
    )


def _most_off(y: np.ndarray, folds: np.ndarray) -> float:
    """The most windows that a class has too many or too few in a fold."""
    held = np.array([y[folds == fold].sum(axis=0) for fold in np.unique(folds)])
    return float(np.abs(held - held.mean(axis=0)).max())


def _ptbxl() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients, statements (n_records, 71) and combinations of superclasses of all of PTB-XL."""
    table = pd.read_csv(real_data("ptbxl") / "ptbxl_labels_all21799_reconstructed.csv")
    statements = table["statements"].str.get_dummies(";").to_numpy(np.float32)
    combinations = pd.factorize(table["superclasses"].fillna(""))[0]
    return table["patient_id"].to_numpy(str), statements, combinations


def _draw(patients: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of patients drawn with replacement, and the patient that each draw makes."""
    rng = np.random.default_rng(0)
    own = np.unique(patients, return_inverse=True)[1]
    rows_of = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own))[:-1])
    draws = [rows_of[i] for i in rng.integers(0, len(rows_of), n)]
    drawn = np.repeat(np.arange(n), [len(draw) for draw in draws])
    return np.concatenate(draws)[:n], drawn[:n].astype(str)


def _windows(n: int) -> pd.DataFrame:
    """A window table in which some patients and signals stand in several parts."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "record": [f"r{i}" for i in range(n)],
            "patient": [f"p{i}" for i in rng.integers(0, n, n)],
            "signal_hash": [f"{i:032x}" for i in rng.integers(0, 100 * n, n)],
            "part": np.array(PARTS)[rng.integers(0, len(PARTS), n)],
        }
    )


FIGURES = {"folds21799": folds21799, "folds200000": folds200000, "leaks": leaks}
