"""The classical baseline as a run like any other."""

import json

import keras
import numpy as np
import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score

from ecglib import runs
from ecglib.batch.comparison import compare_runs
from ecglib.errors import RunError
from ecglib.evaluation.calibration import Calibration
from ecglib.experiment.config import BASELINES, Experiment
from ecglib.inference.export import export_run
from ecglib.inference.predict import Predictor
from ecglib.training import class_balance, trainer, trees


def made(store, name="random_forest", **changes):
    values = {"dataset": store.name, "fingerprint": store.fingerprint, "task": "letters"}
    return Experiment(**(values | {"branches": {"handcrafted": name}} | changes))


@pytest.fixture(autouse=True, scope="module")
def few_trees():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "N_TREES", 20)
        patch.setattr(trees, "N_ROUNDS", 10)
        yield


@pytest.fixture(scope="module")
def finished(small_store, tmp_path_factory):
    return trainer.train(made(small_store), small_store, tmp_path_factory.mktemp("runs"), "b")


def test_a_run_of_trees_is_a_whole_folder_without_a_model(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == ({*runs.FILES, "features.json", "metrics.json"}) - {"model.keras"}
    assert list(finished.path.parent.iterdir()) == [finished.path]
    assert runs.find_runs(finished.path.parent)[0].experiment.role == "baseline"
    assert not [path for path in finished.path.iterdir() if b"sklearn" in path.read_bytes()]


@pytest.mark.parametrize("lost", ["features.json", "predictions.npz"])
def test_a_run_of_trees_that_lacks_a_file_is_no_run(finished, tmp_path, lost):
    for path in finished.path.iterdir():
        if path.name != lost:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RunError, match="not a whole run"):
        runs.Run(tmp_path)


def test_its_predictions_are_those_of_scikit_learn_calibrated(finished, small_store):
    selection = small_store.select("letters")
    x, names = trees.features(small_store, selection)
    x[:, ~np.isfinite(x).any(axis=0)] = 0
    told = json.loads((finished.path / "features.json").read_text())
    assert told["features"] == names
    assert told["scikit-learn"] == sklearn.__version__
    train = selection.part == "train"
    forest = RandomForestClassifier(**told["settings"]).fit(x[train], selection.y[train])
    calibrate = Calibration(finished.contract["kind"], **finished.contract["calibration"])
    for part in ("validation", "test"):
        own = selection.part == part
        found = np.stack([of[:, 1] for of in forest.predict_proba(x[own])], axis=1)
        p = finished.predictions(part)
        np.testing.assert_allclose(p.p, calibrate(found), atol=1e-5)
        assert (p.rows == selection.rows[own]).all()
        assert (p.y == selection.y[own]).all()
        expected = roc_auc_score(p.y, p.p, average="macro")
        assert finished.metrics[part]["macro"]["auroc"]["estimate"] == pytest.approx(expected)


def test_its_history_is_one_row_and_its_size_the_nodes(finished, small_store):
    assert finished.history["epoch"].tolist() == [1]
    (row,) = finished.history.to_dict("records")
    own = finished.predictions("validation")
    raw = finished.metrics["validation"]["calibration"]["log_loss"]["raw"]
    assert row["val_loss"] == pytest.approx(raw)
    assert row["val_auroc"] == pytest.approx(roc_auc_score(own.y, own.p, average="macro"))
    assert row["loss"] < log_loss([0, 1], [0.5, 0.5])  # it was fitted
    cost = finished.metrics["model"]
    assert cost["parameters"] > trees.N_TREES
    assert cost["multiply_adds"] is None
    assert cost["seconds"] > 0


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("changes", [{}, {"sampling": "balanced"}, {"class_weights": "sqrt"}])
def test_same_experiment_same_bits_for_any_kind_of_task(small_class_store, tmp_path, name, changes):
    experiment = made(small_class_store, name, **changes)
    p = [
        trainer.train(experiment, small_class_store, tmp_path / folder).predictions("test").p
        for folder in "ab"
    ]
    np.testing.assert_array_equal(*p)
    np.testing.assert_allclose(p[0].sum(axis=1), 1, atol=1e-5)


def test_a_balanced_draw_is_a_weight_of_each_window(small_store):
    """Twice as rare counts twice as much; windows without a class are a class of their own."""
    y = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], np.float32)
    weights = class_balance.weights_of(made(small_store, sampling="balanced"), y)
    np.testing.assert_allclose(weights / weights[0], [1, 1, 1, 1, 2, 2, 4])
    assert weights.mean() == pytest.approx(1)
    assert class_balance.weights_of(made(small_store), y) is None


def test_no_model_to_load_predict_or_export_and_the_error_says_what_to_do(finished, tmp_path):
    for use in (runs.Run.load_model, Predictor, lambda run: export_run(run, tmp_path / "e")):
        with pytest.raises(RunError, match=r"no model .* Choose the run of a network"):
            use(finished)
    assert not (tmp_path / "e").exists()


def test_it_is_compared_with_a_network(finished, small_store):
    network = made(
        small_store,
        **{"branches": {"frequency": "cnn"}, "width": 4, "feature_dim": 8, "epochs": 1},
        batch_size=16,
    )
    run = trainer.train(network, small_store, finished.path.parents[1], "b")
    assert isinstance(run.load_model(), keras.Model)
    compared = compare_runs(runs.find_runs(finished.path.parent))
    assert compared.best_single == "frequency:cnn"
    assert set(compared.table["role"]) == {"single", "baseline"}
    assert "handcrafted:random_forest" in compared.to_text()
    assert len(compared.describe_baselines()) == 1
