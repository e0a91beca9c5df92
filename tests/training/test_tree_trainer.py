"""The baseline of trees as a run like any other."""

import json

import keras
import numpy as np
import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score

from ecglib import runs
from ecglib.batch.comparison import compare
from ecglib.errors import RunError
from ecglib.evaluation.calibration import Calibration
from ecglib.experiment import Experiment
from ecglib.experiment.registry import BASELINES
from ecglib.experiment.settings import TrainingSettings
from ecglib.inference.export import export_run
from ecglib.inference.predict import Predictor
from ecglib.training import train, trees
from ecglib.training.class_balance import compute_tree_weights


def create(store, name="random_forest", **changes):
    values = {"task": "letters", "branches": {"handcrafted": name}}
    return Experiment.from_flat(values | changes, store)


@pytest.fixture(autouse=True, scope="module")
def few_trees():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "N_TREES", 20)
        patch.setattr(trees, "N_ROUNDS", 10)
        yield


@pytest.fixture(scope="module")
def finished(small_store, tmp_path_factory):
    return train(small_store, create(small_store), batch=tmp_path_factory.mktemp("runs") / "b")


def test_a_run_of_trees_is_a_whole_folder_without_a_model(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {*runs.FILES, runs.TREES}
    assert list(finished.path.parent.iterdir()) == [finished.path]
    assert runs.find_runs(finished.path.parent)[0].experiment.role == "baseline"
    assert not [path for path in finished.path.iterdir() if b"sklearn" in path.read_bytes()]


@pytest.mark.parametrize("lost", [runs.TREES, "predictions.npz"])
def test_a_run_of_trees_without_a_file_is_not_a_run(finished, tmp_path, lost):
    for path in finished.path.iterdir():
        if path.name != lost:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RunError, match="not a complete run"):
        runs.Run(tmp_path)


def test_its_predictions_are_those_of_scikit_learn_calibrated(finished, small_store):
    selection = small_store.select("letters")
    x, names = trees.compute_handcrafted(small_store, selection)
    x[:, ~np.isfinite(x).any(axis=0)] = 0
    description = json.loads((finished.path / runs.TREES).read_text())
    assert description["inputs"] == names
    assert description["scikit-learn"] == sklearn.__version__
    train = selection.part == "train"
    forest = RandomForestClassifier(**description["settings"]).fit(x[train], selection.y[train])
    contract = finished.contract
    calibrate = Calibration(contract.kind, contract.calibration_scale, contract.calibration_bias)
    for split in ("validation", "test"):
        in_split = selection.part == split
        found = np.stack([p[:, 1] for p in forest.predict_proba(x[in_split])], axis=1)
        predictions = finished.predictions(split)
        np.testing.assert_allclose(predictions.p, calibrate(found), atol=1e-5)
        assert (predictions.rows == selection.rows[in_split]).all()
        assert (predictions.y == selection.y[in_split]).all()
        expected = roc_auc_score(predictions.y, predictions.p, average="macro")
        assert finished.metrics[split]["macro"]["auroc"]["estimate"] == pytest.approx(expected)


def test_its_history_is_one_row_and_its_size_the_nodes(finished, small_store):
    assert finished.history["epoch"].tolist() == [1]
    (row,) = finished.history.to_dict("records")
    validation = finished.predictions("validation")
    raw = finished.metrics["validation"]["calibration"]["log_loss"]["raw"]
    assert row["val_loss"] == pytest.approx(raw)
    assert row["val_auroc"] == pytest.approx(
        roc_auc_score(validation.y, validation.p, average="macro")
    )
    assert row["loss"] < log_loss([0, 1], [0.5, 0.5])  # it was fitted
    cost = finished.metrics["model"]
    assert cost["parameters"] > trees.N_TREES
    assert cost["multiply_adds"] is None
    assert cost["seconds"] > 0


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("changes", [{}, {"sampling": "balanced"}, {"class_weights": "sqrt"}])
def test_same_experiment_same_bits_for_any_kind_of_task(small_class_store, tmp_path, name, changes):
    experiment = create(small_class_store, name, **changes)
    p = [
        train(small_class_store, experiment, batch=tmp_path / folder).predictions("test").p
        for folder in "ab"
    ]
    np.testing.assert_array_equal(*p)
    np.testing.assert_allclose(p[0].sum(axis=1), 1, atol=1e-5)


def test_balanced_sampling_is_a_weight_of_each_window():
    """Twice as rare counts twice as much; windows without a class are a class of their own."""
    y = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], np.float32)
    weights = compute_tree_weights(TrainingSettings(sampling="balanced"), y)
    np.testing.assert_allclose(weights / weights[0], [1, 1, 1, 1, 2, 2, 4])
    assert weights.mean() == pytest.approx(1)
    assert compute_tree_weights(TrainingSettings(), y) is None


def test_no_model_to_load_predict_or_export_and_the_error_says_what_to_do(finished, tmp_path):
    for use in (runs.Run.load_network, Predictor, lambda run: export_run(run, tmp_path / "e")):
        with pytest.raises(RunError, match=r"no network .* Choose the run of a network"):
            use(finished)
    assert not (tmp_path / "e").exists()


@pytest.mark.slow
def test_it_is_compared_with_a_network(finished, small_store):
    network = create(
        small_store,
        branches={"frequency": "cnn"},
        width=4,
        feature_dim=8,
        epochs=1,
        batch_size=16,
    )
    run = train(small_store, network, batch=finished.path.parents[1] / "b")
    assert isinstance(run.load_network(), keras.Model)
    compared = compare(runs.find_runs(finished.path.parent))
    assert compared.headline == "No fusion to judge"
    assert set(compared.table["role"]) == {"single", "baseline"}
    assert "handcrafted:random_forest" in compared.to_text()
    assert len(compared.describe_baselines()) == 1
