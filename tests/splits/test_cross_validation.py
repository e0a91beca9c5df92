"""Folds of the patients outside the test split, and runs whose folds are scored together."""

import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from ecglib import runs
from ecglib.batch.comparison import compare
from ecglib.errors import DatasetError, ExperimentError, RunError
from ecglib.experiment import Experiment, check_experiment
from ecglib.splits import merge_patients
from ecglib.training import train, trees

FOLDS = 4


def experiment(store, **changes):
    branches = {"handcrafted": "random_forest"}
    values = {"task": "letters", "branches": branches, "n_folds": FOLDS, "fold": 1}
    return Experiment.from_flat(values | changes, store)


def score_within_folds(pieces):
    """Macro AUROC in which only windows of one fold are ranked against each other."""
    scores = []
    for k in range(pieces[0].y.shape[1]):
        pairs = [int(one.y[:, k].sum() * (1 - one.y[:, k]).sum()) for one in pieces]
        aurocs = [
            roc_auc_score(one.y[:, k], one.p[:, k]) if n else 0.0
            for one, n in zip(pieces, pairs, strict=True)
        ]
        scores.append(np.average(aurocs, weights=pairs))
    return np.mean(scores)


def test_each_patient_outside_the_test_split_is_predicted_once(small_store):
    parts = small_store.select("letters")
    folds = [small_store.select("letters", (), FOLDS, k) for k in range(1, FOLDS + 1)]
    patients = {
        part: [set(fold.in_split(part).patients) for fold in folds]
        for part in ("train", "validation", "test")
    }
    everyone = set(parts.patients) - set(parts.in_split("test").patients)
    assert sorted(p for fold in patients["test"] for p in fold) == sorted(everyone)
    for k in range(FOLDS):
        assert patients["validation"][k] == patients["test"][(k + 1) % FOLDS]
        assert patients["train"][k] == everyone - patients["test"][k] - patients["validation"][k]
        assert set(folds[k].rows) == set(parts.rows[parts.part != "test"])
    with_class = [fold.in_split("test").y.sum(axis=0) for fold in folds]
    assert np.ptp(with_class, axis=0).max() <= 2  # each class is spread evenly


def test_all_models_of_a_task_have_the_same_folds(small_store):
    one, other = (small_store.select("letters", columns, 5, 2) for columns in ((), ("age",)))
    assert np.array_equal(one.part, other.part)
    assert other.tabular.shape == (len(other.rows), 1)
    assert small_store.select("letters", (), 0, 0).part.tolist() == (
        small_store.select("letters").part.tolist()
    )
    with pytest.raises(DatasetError, match="patients cannot fill 100 folds"):
        small_store.select("letters", (), 100, 1)


def test_a_dataset_without_validation_and_test_splits_still_has_folds(small_store, monkeypatch):
    monkeypatch.setattr(small_store, "windows", small_store.windows.assign(part="train"))
    selection = small_store.select("letters", (), 3, 3)
    assert len(selection.rows) == len(small_store.windows)
    sizes = {part: (selection.part == part).mean() for part in ("train", "validation", "test")}
    assert sizes == pytest.approx(dict.fromkeys(sizes, 1 / 3), abs=0.02)
    assert check_experiment(experiment(small_store, n_folds=3), small_store)


def test_patients_who_share_a_signal_or_a_record_count_as_one():
    patients = np.array(["b", "a", "c", "d", "e", "b"])
    records = np.array(["r1", "r2", "r3", "r4", "r5", "r6"])
    signals = np.array(["1", "2", "2", "4", "5", "6"])  # a and c have one signal
    near = [("r4", "r6", 0.99), ("r5", "elsewhere", 0.99)]  # d and b one recording
    found = merge_patients(patients, records, signals, near)
    assert found.tolist() == [1, 0, 0, 1, 2, 1]
    assert merge_patients(patients, records, signals, []).tolist() == [1, 0, 0, 2, 3, 1]


def test_near_identical_records_are_in_one_fold(small_store, monkeypatch):
    plain = small_store.select("letters", (), FOLDS, 1)
    train, test = plain.in_split("train"), plain.in_split("test")
    pairs = [(a, b, 0.99) for a, b in zip(train.records[:3], test.records[:3], strict=True)]
    monkeypatch.setitem(small_store.summary, "near_identical_records", pairs)
    assert small_store.report_leaks(plain)["near_identical_records"]["count"] == 3
    for fold in range(1, FOLDS + 1):
        found = small_store.report_leaks(small_store.select("letters", (), FOLDS, fold))
        assert {kind: leak["count"] for kind, leak in found.items()} == dict.fromkeys(found, 0)


def test_windows_for_training_only_are_predicted_in_no_fold(small_store, monkeypatch):
    training_only = np.array([None, True, False], object)[np.arange(len(small_store.windows)) % 3]
    marked = small_store.windows.assign(training_only=training_only)
    monkeypatch.setattr(small_store, "windows", marked)
    predicted = []
    for fold in range(1, FOLDS + 1):
        selection = small_store.select("letters", (), FOLDS, fold)
        elsewhere = selection.take(selection.part != "train")
        assert not (marked["training_only"].iloc[elsewhere.rows] == True).any()  # noqa: E712
        trained_on = selection.in_split("train")
        assert (marked["training_only"].iloc[trained_on.rows] == True).any()  # noqa: E712
        assert not set(trained_on.patients) & set(elsewhere.patients)
        predicted += list(selection.in_split("test").rows)
    rest = small_store.select("letters")
    expected = rest.rows[(rest.part != "test") & (training_only[rest.rows] != True)]  # noqa: E712
    assert sorted(predicted) == sorted(expected)


@pytest.mark.parametrize("given", [{"n_folds": 2}, {"fold": 5}, {"fold": 0}, {"n_folds": 0}])
def test_wrong_folds_are_refused(small_store, given):
    with pytest.raises(ExperimentError, match="at least 3 folds"):
        experiment(small_store, **given)


def test_folds_of_one_model_share_its_name_and_model_hash(small_store):
    one, other = (experiment(small_store, fold=fold) for fold in (1, 2))
    assert one.model_hash == other.model_hash
    assert one.run_name != other.run_name
    assert "fold2of4" in other.run_name
    assert one.model_hash != experiment(small_store, n_folds=5).model_hash


@pytest.fixture(scope="module")
def finished(small_store, tmp_path_factory):
    """All folds of trees with two seeds, and of a network with one."""
    folder = tmp_path_factory.mktemp("runs")
    small = {"branches": {"frequency": "mlp"}, "epochs": 2, "width": 4, "feature_dim": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "N_TREES", 10)
        for fold in range(1, FOLDS + 1):
            for changes in ({"seed": 0}, {"seed": 1}, small):
                train(
                    small_store, experiment(small_store, fold=fold, **changes), batch=folder / "b"
                )
    return folder / "b"


@pytest.mark.slow
def test_folds_are_scored_together_and_the_test_split_is_not_looked_at(finished, small_store):
    found = runs.find_runs(finished)
    compared = compare(found)
    runs_by_model = {}
    for run in found:
        runs_by_model.setdefault(
            (run.experiment.model_name, run.experiment.training.seed), []
        ).append(run)
    parts = small_store.select("letters")
    expected_windows = parts.take(parts.part != "test")
    scores = {}
    for (model, _), folds in runs_by_model.items():
        pieces = [run.predictions("test") for run in folds]
        rows = np.concatenate([piece.rows for piece in pieces])
        assert np.array_equal(np.sort(rows), expected_windows.rows)
        y = np.concatenate([piece.y for piece in pieces])
        thresholds = [np.array(run.contract.thresholds) for run in folds]
        decided = [
            piece.p >= threshold for piece, threshold in zip(pieces, thresholds, strict=True)
        ]
        f1 = f1_score(y, np.concatenate(decided), average="macro")
        expected = (score_within_folds(pieces), f1)
        scores.setdefault(model, []).append(expected)
    for row in compared.table.itertuples():
        assert (row.auroc, row.f1) == pytest.approx(np.mean(scores[row.model], axis=0)), row.model
        assert row.seeds == len(scores[row.model])
    assert compared.n_patients == len(set(expected_windows.patients))
    header = f"{FOLDS} folds, each held out once, {len(set(expected_windows.patients))} patients"
    assert compared.describe_split() == header
    assert header in compared.to_text()
    assert compared.to_dict()["n_folds"] == FOLDS
    caveat = f"cross-validation in {FOLDS} folds, the test split was not used"
    assert compared.caveats[0] == caveat
    assert caveat in compared.to_text()


@pytest.mark.slow
def test_a_fold_that_is_missing_is_named(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "b")
    (lost,) = (tmp_path / "b").glob("frequency-mlp_fold3of4_*")
    shutil.rmtree(lost)
    with pytest.raises(
        RunError, match=r"frequency:mlp \(seed 0\) has no run of the folds \[3\] of 4"
    ):
        compare(runs.find_runs(tmp_path / "b"))


@pytest.mark.slow
def test_folds_and_the_splits_of_the_dataset_are_not_compared(finished, small_store, tmp_path):
    without_folds = experiment(small_store, n_folds=0, fold=0)
    other = train(small_store, without_folds, batch=tmp_path / "b")
    assert not any("cross-validation" in caveat for caveat in other.caveats)
    with pytest.raises(
        RunError, match=r"2 tasks, stores or cross-validations.*4 folds.*test split"
    ):
        compare([*runs.find_runs(finished), other])
