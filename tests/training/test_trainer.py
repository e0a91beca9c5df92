import json

import keras
import numpy as np
import pandas as pd
import pytest
from backends import needs_tensorflow
from scipy.stats import norm
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from ecglib import models, runs
from ecglib.errors import ExperimentError, LeakError, RunError
from ecglib.evaluation.calibration import Calibration, fit_calibration
from ecglib.experiment import Experiment, Processing
from ecglib.models.end_to_end import build_processing
from ecglib.representations import build_representations
from ecglib.training import Trainer, TrainerOptions, pipeline_feed, runner, train, trainer
from ecglib.training.class_balance import compute_class_weights
from ecglib.training.trainer import ENSEMBLE_SEED_STEP
from ecglib.training.validation import compute_macro_f1

TWO = {"time": "cnn", "frequency": "cnn"}
THREE = {**TWO, "spectrogram": "cnn2d"}


def create(store, **changes):
    values = {
        "task": "letters",
        "branches": {"frequency": "cnn"},
        "width": 4,
        "feature_dim": 8,
        "epochs": 2,
        "batch_size": 16,
    }
    return Experiment.from_flat(values | changes, store)


def create_calibration(contract):
    return Calibration(contract.kind, contract.calibration_scale, contract.calibration_bias)


def represent(experiment, store, windows):
    """The representations of windows in mV, as the experiment's model takes them."""
    processing = Processing.from_experiment(experiment, store)
    return dict(build_processing(store.signal, processing)(windows))


@pytest.fixture(scope="module")
def finished(small_store, tmp_path_factory):
    experiment = create(small_store, branches=THREE, fusion="late_weighted")
    return train(small_store, experiment, batch=tmp_path_factory.mktemp("runs") / "b")


def test_a_run_is_a_whole_folder(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {*runs.FILES, runs.MODEL}
    assert finished.path.name == finished.experiment.run_name
    assert list(finished.path.parent.iterdir()) == [finished.path]
    assert list(finished.history["epoch"]) == [1, 2]
    assert finished.versions["keras"]


def test_predictions_carry_the_records_and_labels_of_their_parts(finished, small_store):
    for part in ("validation", "test"):
        predictions = finished.predictions(part)
        expected = small_store.select("letters").in_split(part)
        assert predictions.classes == tuple(expected.classes)
        assert (predictions.rows == expected.rows).all()
        assert (predictions.records == expected.records).all()
        assert (predictions.patients == expected.patients).all()
        assert (predictions.y == expected.y).all()


def test_the_saved_model_calibrated_gives_the_stored_probabilities(finished, small_store):
    processing = finished.contract.processing
    representations = build_representations(
        small_store.signal,
        list(processing.representations),
        processing.band_hz,
        processing.representation_options,
    )
    test = finished.predictions("test")
    inputs = dict(representations(small_store.read(test.rows)))
    p = finished.load_network().predict(inputs, verbose=0)
    assert np.abs(p - test.p).max() > 1e-3
    calibrate = create_calibration(finished.contract)
    assert np.allclose(calibrate(p), test.p, atol=1e-5)


def test_the_calibration_is_that_of_the_validation_part(finished):
    """What is calibrated once needs no more: a second fit finds scale 1 and bias 0."""
    validation = finished.predictions("validation")
    again = fit_calibration(validation.y, validation.p, finished.contract.kind)
    assert np.allclose(again(validation.p), validation.p, atol=0.02)
    for split in ("validation", "test"):
        y, p = finished.predictions(split).y, finished.predictions(split).p
        expected = np.mean([log_loss(y[:, k], p[:, k]) for k in range(y.shape[1])])
        scores = finished.metrics[split]["calibration"]["log_loss"]
        assert scores["calibrated"] == pytest.approx(expected, rel=1e-4)
    scores = finished.metrics["validation"]["calibration"]["log_loss"]
    assert scores["calibrated"] < scores["raw"]


def test_the_scores_are_those_that_scikit_learn_gives(finished):
    test, macro = finished.predictions("test"), finished.metrics["test"]["macro"]
    expected = roc_auc_score(test.y, test.p, average="macro")
    assert macro["auroc"]["estimate"] == pytest.approx(expected)
    assert macro["auroc"]["low"] <= expected <= macro["auroc"]["high"]


def test_scaling_is_that_of_the_training_part(finished, small_store):
    """The time branch's mean and variance, against NumPy over the filtered training windows."""
    selection = small_store.select("letters").in_split("train")
    representations = build_representations(small_store.signal, ["time"], (0.5, 40.0), {})
    array = np.asarray(representations(small_store.read(selection.rows))["time"], np.float64)
    layer = finished.load_network().get_layer("time_scaling")
    mean, variance = (np.asarray(w) for w in layer.get_weights()[:2])
    assert np.allclose(mean, array.mean(axis=(0, 1)), atol=1e-5)
    assert np.allclose(variance, array.var(axis=(0, 1)), rtol=1e-4)


@pytest.mark.slow
def test_robust_scaling_is_median_and_interquartile_range(small_store, tmp_path):
    experiment = create(small_store, scaling="robust", epochs=1, branches={"time": "cnn"})
    run = train(small_store, experiment, batch=tmp_path)
    selection = small_store.select("letters").in_split("train")
    representations = build_representations(small_store.signal, ["time"], (0.5, 40.0), {})
    array = np.asarray(representations(small_store.read(selection.rows))["time"])
    low, median, high = np.percentile(array.reshape(-1, array.shape[-1]), (25, 50, 75), axis=0)
    layer = run.load_network().get_layer("time_scaling")
    centre, spread = (np.asarray(w) for w in layer.get_weights()[:2])
    assert np.allclose(centre, median, atol=1e-5)
    # 1.349 is the interquartile range of the normal distribution.
    assert np.allclose(np.sqrt(spread), (high - low) / (2 * norm.ppf(0.75)), rtol=1e-3)


def test_a_run_that_exists_is_not_run_again(finished, small_store, monkeypatch):
    monkeypatch.setattr(runner, "Trainer", None)
    again = train(small_store, finished.experiment, batch=finished.path.parent)
    assert again.path == finished.path


@pytest.mark.slow
def test_two_encoders_on_one_representation_share_its_input(finished, small_store, tmp_path):
    branches = {"time": "cnn", "time_2": "cnn_attention"}
    experiment = create(
        small_store, branches=branches, fusion="intermediate_gated", auxiliary_loss_weight=0.3
    )
    run = train(small_store, experiment, batch=tmp_path)
    assert run.contract.processing.representations == ("time",)
    assert run.experiment == experiment
    model = run.load_network()
    assert [x.name for x in model.inputs] == ["time"]
    assert models.find_branches(model) == ["time", "time_2"]
    one_encoder = finished.load_network()
    scaling, expected = (m.get_layer("time_scaling") for m in (model, one_encoder))
    for one, other in zip(scaling.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_widened_branch_is_that_of_the_width_nearest_in_size(small_store, tmp_path):
    run = train(small_store, create(small_store, target_parameters=20_000), batch=tmp_path)
    size = run.metrics["model"]
    assert run.experiment.model.width == 4 < size["width"]
    same = train(small_store, create(small_store, width=size["width"]), batch=tmp_path)
    np.testing.assert_array_equal(run.predictions("test").p, same.predictions("test").p)
    assert size["parameters"] == same.metrics["model"]["parameters"]
    assert same.metrics["model"]["width"] == size["width"]
    for step in (-1, 1):
        other = Trainer(create(small_store, width=size["width"] + step), small_store)
        n_parameters = other.build_model(seed=0).count_params()
        assert abs(n_parameters - 20_000) >= abs(size["parameters"] - 20_000)


def test_a_branch_is_not_narrowed(small_store, tmp_path):
    with pytest.raises(ExperimentError, match="at width=4, the smallest allowed"):
        train(small_store, create(small_store, target_parameters=10), batch=tmp_path)


@pytest.mark.slow
def test_same_experiment_same_bits_and_another_seed_other_ones(small_store, tmp_path):
    def p(folder, seed):
        experiment = create(small_store, branches={"time": "cnn_bilstm"}, seed=seed)
        return train(small_store, experiment, batch=tmp_path / folder).predictions("test").p

    first = p("a", 3)
    assert np.array_equal(first, p("b", 3))
    assert not np.array_equal(first, p("c", 4))


@pytest.mark.slow
def test_an_ensemble_is_the_mean_of_its_models(small_store, tmp_path):
    joined = train(small_store, create(small_store, ensemble_size=2), batch=tmp_path)
    seeds = (0, ENSEMBLE_SEED_STEP)
    single = [train(small_store, create(small_store, seed=seed), batch=tmp_path) for seed in seeds]
    windows = small_store.read(joined.predictions("test").rows)
    inputs = represent(joined.experiment, small_store, windows)
    mean = np.mean([run.load_network().predict(inputs, verbose=0) for run in single], axis=0)
    assert np.allclose(joined.load_network().predict(inputs, verbose=0), mean, atol=1e-5)
    assert set(joined.history["member"]) == {0, 1}


def test_the_scaling_is_computed_once_for_all_seeds_and_again_for_other_inputs(
    small_store, monkeypatch
):
    computed, compute = [], trainer.compute_means_and_variances

    def count(arrays):
        computed.append(compute(arrays))
        return computed[-1]

    monkeypatch.setattr(trainer, "compute_means_and_variances", count)
    monkeypatch.setattr(trainer, "_scalings", {})
    same = [Trainer(create(small_store, seed=seed), small_store)._scaling for seed in range(3)]
    assert same == [computed[0]] * 3
    other = Trainer(create(small_store, notch_hz=15.0), small_store)._scaling
    assert len(computed) == 2
    assert not np.allclose(other["frequency"][0], same[0]["frequency"][0])


@pytest.fixture
def watched_batches(monkeypatch):
    """The splits and options of all batches that a trainer makes."""
    made, make_batches = [], pipeline_feed.make_batches

    def watch(dataset, selection, representations, batch_size, options=None):
        made.append((set(selection.part), options))
        return make_batches(dataset, selection, representations, batch_size, options)

    monkeypatch.setattr(pipeline_feed, "make_batches", watch)
    return made


@needs_tensorflow
@pytest.mark.slow
def test_the_test_split_is_not_used_while_fitting(small_store, watched_batches):
    Trainer(create(small_store, epochs=1), small_store).fit_model(seed=0)
    assert set().union(*(splits for splits, _ in watched_batches)) == {"train", "validation"}


@pytest.mark.slow
def test_multi_class_with_weights_learns_an_easy_task(small_class_store, tmp_path):
    experiment = create(
        small_class_store, class_weights="sqrt", epochs=15, width=8, learning_rate=0.01
    )
    run = train(small_class_store, experiment, batch=tmp_path)
    assert run.metrics["test"]["macro"]["auroc"]["estimate"] > 0.9
    assert np.allclose(run.predictions("test").p.sum(axis=1), 1, atol=1e-5)
    assert run.contract.thresholds == (1.0, 1.0)


@pytest.mark.slow
def test_validation_scores_of_the_history_are_those_of_the_kept_epoch(small_class_store, tmp_path):
    run = train(small_class_store, create(small_class_store, epochs=4), batch=tmp_path)
    validation = run.predictions("validation")
    best = run.history.loc[run.history["val_auroc"].idxmax()]
    expected = roc_auc_score(validation.y, validation.p)
    assert best["val_auroc"] == pytest.approx(expected, abs=1e-6)
    raw = run.metrics["validation"]["calibration"]["log_loss"]["raw"]
    assert best["val_loss"] == pytest.approx(raw, abs=1e-5)


def test_class_weights_have_mean_one_and_the_stated_ratios():
    y = np.repeat(np.eye(2), [90, 10], axis=0)
    for rule, ratio in (("balanced", 9.0), ("sqrt", 3.0)):
        weights = compute_class_weights(y, rule)
        assert weights.mean() == pytest.approx(1)
        assert weights[-1] / weights[0] == pytest.approx(ratio)
    assert compute_class_weights(y, "none") is None


@pytest.mark.slow
def test_training_refuses_a_leak_and_carries_its_caveat(small_store, tmp_path, monkeypatch):
    leaks = json.loads(json.dumps(small_store.summary["leaks"]))
    leaks["part"]["shared_patients"] = {"count": 2, "examples": []}
    monkeypatch.setitem(small_store.summary, "leaks", leaks)
    with pytest.raises(LeakError, match="shared_patients"):
        train(small_store, create(small_store), batch=tmp_path)
    allowed = create(small_store, epochs=1, allow_leaks=["shared_patients"])
    assert train(small_store, allowed, batch=tmp_path).caveats == ("leak: 2 shared patients",)


def test_a_folder_without_metrics_is_not_a_run(finished, tmp_path):
    broken = tmp_path / "b" / finished.path.name
    broken.mkdir(parents=True)
    for name in runs.FILES[:-1]:
        (broken / name).write_bytes((finished.path / name).read_bytes())
    with pytest.raises(RunError, match=r"metrics\.json, model\.keras missing"):
        runs.Run(broken)
    with pytest.raises(RunError, match="No finished run"):
        runs.find_runs(broken.parent)


def test_a_full_disk_leaves_no_half_run(small_store, finished, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    path = tmp_path / "b" / "run"
    result = runs.Result(
        model=finished.load_network(),
        history=pd.DataFrame(),
        predictions={},
        metrics={},
        contract=finished.contract,
        environment=finished.environment,
    )
    with pytest.raises(RunError, match="No space left"):
        runs.write_run(path, finished.experiment, result)
    assert list(path.parent.iterdir()) == []


CROPPED = {"crop_s": 1.5, "augment": {"noise": {"snr_db": 10}, "shift": {}, "gain": {}}}


@needs_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"branches": {"time": "cnn", "spectrogram": "cnn2d"}, "fusion": "intermediate_gated"},
        {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_weighted", **CROPPED},
    ],
    ids=["whole windows", "augmented crops"],
)
def test_where_the_representations_are_computed_does_not_change_the_result(
    changes, small_store, tmp_path
):
    experiment = create(small_store, **changes)
    first = train(small_store, experiment, batch=tmp_path / "a")
    second = train(small_store, experiment, batch=tmp_path / "b", representations_in="pipeline")
    assert first.path.name == second.path.name
    assert np.allclose(first.history, second.history, atol=1e-4)
    for part in ("validation", "test"):
        assert np.allclose(first.predictions(part).p, second.predictions(part).p, atol=1e-4)


@pytest.mark.slow
def test_crops_and_augmentation_have_the_same_bits_for_the_same_seed(small_store, tmp_path):
    def p(folder, **changes):
        experiment = create(small_store, **CROPPED | {"sampling": "balanced"} | changes)
        return train(small_store, experiment, batch=tmp_path / folder).predictions("test").p

    first = p("a")
    assert np.array_equal(first, p("b"))
    assert not np.array_equal(first, p("c", augment={}))
    assert not np.array_equal(first, p("d", sampling="uniform"))


@needs_tensorflow
@pytest.mark.slow
def test_only_training_batches_are_augmented_cropped_and_drawn(small_store, watched_batches):
    experiment = create(small_store, epochs=1, sampling="balanced", **CROPPED)
    fitting = Trainer(experiment, small_store)
    fitting.predict(fitting.fit_model(seed=0).model, "test")
    others = [options for splits, options in watched_batches if splits != {"train"}]
    assert others == [None] * len(others)  # whole windows in their order
    assert {"validation"} in [splits for splits, _ in watched_batches]
    drawn = [options for _, options in watched_batches if options and options.augment]
    assert [options.crop for options in drawn] == [150]
    n_train = (fitting.selection.part == "train").sum()
    assert len(drawn[0].sampling_weights) == n_train


@pytest.mark.slow
def test_crops_learn_an_easy_task(small_class_store, tmp_path):
    experiment = create(small_class_store, epochs=15, width=8, learning_rate=0.01, crop_s=2.0)
    run = train(small_class_store, experiment, batch=tmp_path)
    assert run.metrics["test"]["macro"]["auroc"]["estimate"] > 0.9
    assert (
        len(run.predictions("test").p) == (small_class_store.select("letters").part == "test").sum()
    )


EVERYTHING = {
    "schedule": "one_cycle",
    "clip_norm": 1.0,
    "ema_decay": 0.8,
    "loss": "focal",
    "mixup": 0.2,
    "label_smoothing": 0.05,
    "monitor": "f1",
}


@pytest.mark.slow
def test_every_training_option_at_once_learns_an_easy_task(small_class_store, tmp_path):
    experiment = create(
        small_class_store,
        epochs=15,
        width=8,
        learning_rate=0.03,
        class_weights="sqrt",
        **EVERYTHING,
    )
    run = train(small_class_store, experiment, batch=tmp_path)
    assert run.metrics["test"]["macro"]["auroc"]["estimate"] > 0.9


@needs_tensorflow
@pytest.mark.slow
def test_mixup_is_the_same_wherever_the_representations_are_computed(small_store, tmp_path):
    experiment = create(
        small_store,
        branches={"time": "cnn", "frequency": "cnn", "tabular": "mlp"},
        representation_options={"tabular": {"columns": ["age"]}},
        fusion="intermediate_concat",
        mixup=0.4,
        augment={"gain": {}},
    )
    first = train(small_store, experiment, batch=tmp_path / "a")
    second = train(small_store, experiment, batch=tmp_path / "b", representations_in="pipeline")
    assert np.allclose(first.history, second.history, atol=1e-4)
    assert np.allclose(first.predictions("test").p, second.predictions("test").p, atol=1e-4)
    plain = train(small_store, experiment.replace(mixup=0), batch=tmp_path)
    assert not np.allclose(plain.history["loss"], first.history["loss"], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("monitor", ["auroc", "f1"])
def test_the_monitored_score_of_the_saved_weights_is_the_best_one(monitor, small_store, tmp_path):
    """With averaged weights too, statistics of batch normalization among them."""
    changes = {
        "monitor": monitor,
        "ema_decay": 0.8,
        "epochs": 6,
        "patience": 2,
        "learning_rate": 0.03,
    }
    run = train(small_store, create(small_store, **changes), batch=tmp_path)
    best = run.history.loc[run.history[f"val_{monitor}"].idxmax()]
    raw = run.metrics["validation"]["calibration"]["log_loss"]["raw"]
    assert best["val_loss"] == pytest.approx(raw, abs=1e-5)
    found = run.metrics["validation"]["macro"][monitor]["estimate"]
    assert best[f"val_{monitor}"] == pytest.approx(found, abs=1e-6)
    calibrate, test = create_calibration(run.contract), run.predictions("test")
    inputs = represent(run.experiment, small_store, small_store.read(test.rows))
    p = run.load_network().predict(inputs, verbose=0)
    assert np.allclose(calibrate(p), test.p, atol=1e-5)


@pytest.mark.slow
def test_without_a_monitor_all_epochs_are_trained_and_the_last_is_used(small_store, tmp_path):
    experiment = create(small_store, monitor="none", epochs=9, learning_rate=0.1)
    run = train(small_store, experiment, batch=tmp_path)
    assert list(run.history["epoch"]) == list(range(1, 10))
    raw = run.metrics["validation"]["calibration"]["log_loss"]["raw"]
    assert run.history["val_loss"].iloc[-1] == pytest.approx(raw, abs=1e-5)
    stopped = train(
        small_store, create(small_store, patience=0, epochs=9, learning_rate=0.1), batch=tmp_path
    )
    assert len(stopped.history) < 9


def test_macro_f1_leaves_out_classes_without_both_outcomes():
    rng = np.random.default_rng(0)
    y, p = (rng.random((60, 4)) < 0.4).astype(np.float32), rng.random((60, 4))
    y[:, 3] = 0
    best = [max(f1_score(y[:, k], p[:, k] >= cut) for cut in p[:, k]) for k in range(3)]
    assert compute_macro_f1(y, p, "multi_label") == pytest.approx(np.mean(best))
    y = np.eye(4)[rng.integers(0, 3, 60)]
    expected = f1_score(y.argmax(1), p.argmax(1), labels=[0, 1, 2], average="macro")
    assert compute_macro_f1(y, p, "multi_class") == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_models_compute_in_the_precision_and_nothing_else_does(precision, small_store, tmp_path):
    experiment = create(
        small_store,
        branches={"time": "cnn", "frequency": "cnn"},
        fusion="intermediate_gated",
        auxiliary_loss_weight=0.3,
        precision=precision,
        ema_decay=0.5,
    )
    run = train(small_store, experiment, batch=tmp_path)
    assert keras.config.dtype_policy().name == "float32"
    model = run.load_network()
    computed = {layer.compute_dtype for layer in model.layers}
    assert precision.removeprefix("mixed_") in computed
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert np.isfinite(run.predictions("test").p).all()
    assert run.history["loss"].iloc[-1] < 2


class Killed(KeyboardInterrupt):
    """Unlike KeyboardInterrupt itself it does not end the tests where nothing catches it."""


def watch_epochs(monkeypatch, kill_at=0):
    """The epochs that are scored, counted from 1; the process is killed in one of them."""
    seen, score = [], trainer.ValidationScore

    class Watched(score):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            seen.append(epoch + 1)
            if len(seen) == kill_at:
                raise Killed

    monkeypatch.setattr(trainer, "ValidationScore", Watched)
    return seen


def train_as_new_process(experiment, store, folder):
    """Train as a new process does: Keras keeps counting names, which changes the rounding."""
    keras.backend.clear_session()
    return train(store, experiment, batch=folder)


RESUMED = {
    "crops, noise, dropout": CROPPED | {"sampling": "balanced", "patience": 2},
    "averages, mixup": EVERYTHING | {"branches": {"time": "cnn"}, "augment": {"gain": {}}},
    "late fusion": {"branches": TWO, "fusion": "late_weighted", "branch_dropout": 0.0},
    "branch dropout": {
        "branches": TWO,
        "fusion": "intermediate_gated",
        "branch_dropout": 0.3,
        "auxiliary_loss_weight": 0.3,
    },
    "last epoch, part of the windows": {"monitor": "none", "steps_per_epoch": 2},
    "float16": {"precision": "mixed_float16"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_training_that_was_killed_resumes_with_the_same_bits(
    name, small_store, tmp_path, monkeypatch
):
    experiment = create(small_store, epochs=5, learning_rate=0.02, **RESUMED[name])
    whole = train_as_new_process(experiment, small_store, tmp_path / "whole")
    watch_epochs(monkeypatch, kill_at=3)
    with pytest.raises(Killed):
        train_as_new_process(experiment, small_store, tmp_path / "killed")
    (left,) = (tmp_path / "killed").iterdir()
    assert left.name.startswith(".")
    monkeypatch.undo()
    seen = watch_epochs(monkeypatch)
    again = train_as_new_process(experiment, small_store, tmp_path / "killed")
    assert seen == list(range(3, len(whole.history) + 1))
    assert again.history.equals(whole.history)
    for part in ("validation", "test"):
        assert np.array_equal(again.predictions(part).p, whole.predictions(part).p)
    assert list(again.path.parent.iterdir()) == [again.path]


@pytest.mark.slow
def test_what_was_trained_when_the_process_was_killed_is_not_trained_again(
    small_store, tmp_path, monkeypatch
):
    """Killed while the run is written: both models are done, one of them by early stopping."""
    experiment = create(small_store, ensemble_size=2, epochs=6, patience=1, learning_rate=0.1)
    whole = train_as_new_process(experiment, small_store, tmp_path / "whole")
    assert len(whole.history) < 12

    def kill(*_, **__):
        raise Killed

    monkeypatch.setattr(runner, "write_run", kill)
    with pytest.raises(Killed):
        train_as_new_process(experiment, small_store, tmp_path / "killed")
    monkeypatch.undo()
    seen = watch_epochs(monkeypatch)
    again = train_as_new_process(experiment, small_store, tmp_path / "killed")
    assert seen == []
    assert again.history.equals(whole.history)
    assert np.array_equal(again.predictions("test").p, whole.predictions("test").p)


@pytest.mark.slow
def test_classes_that_are_never_predicted_are_named(small_class_store, tmp_path, monkeypatch):
    def always_first(y, p, kind, classes):
        return np.array([1e-9, 1.0])  # the first class is always taken

    monkeypatch.setattr("ecglib.evaluation.summary.fit_thresholds", always_first)
    with pytest.warns(UserWarning, match="of the test split was predicted as B: their F1 is 0"):
        run = train(small_class_store, create(small_class_store, epochs=1), batch=tmp_path)
    assert run.metrics["test"]["never_predicted"] == ["B"]


LEARNED = {"branches": {"time": "cnn", "frequency": "mlp"}, "epochs": 3, "learning_rate": 0.01}


def fit_alone(store, branch, encoder, seed):
    experiment = create(store, **LEARNED | {"branches": {branch: encoder}, "seed": seed})
    return experiment, Trainer(experiment, store).fit_model(seed).model


@pytest.mark.slow
def test_a_late_fusion_of_frozen_branches_joins_what_each_predicts_alone(small_store, tmp_path):
    fusion = create(small_store, **LEARNED, fusion="late_average", branch_training="frozen")
    run = train(small_store, fusion, batch=tmp_path)
    windows = small_store.read(run.predictions("test").rows)
    p = []
    for seed, (branch, encoder) in enumerate(fusion.model.branches.items()):
        experiment, model = fit_alone(small_store, branch, encoder, seed)
        p.append(model.predict(represent(experiment, small_store, windows), verbose=0))
    calibrate = create_calibration(run.contract)
    assert np.allclose(calibrate(np.mean(p, axis=0)), run.predictions("test").p, atol=1e-5)
    assert len(run.history) == 1


def get_encoder_weights(model):
    scaled, features = (model.get_layer(f"time_{end}").output for end in ("scaled", "features"))
    return keras.Model(scaled, features).get_weights()


def test_a_deadline_ends_the_training_of_branches_too(small_store):
    experiment = create(
        small_store,
        branches={"frequency": "mlp", "time": "cnn"},
        fusion="intermediate_concat",
        branch_training="frozen",
    )
    begun = []
    watch = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: begun.append(logs))
    options = TrainerOptions(callbacks=[watch], deadline=0.0)
    with pytest.raises(TimeoutError, match="deadline"):
        Trainer(experiment, small_store, options).fit()
    assert begun == []  # the training of the fusion


@pytest.mark.slow
@pytest.mark.parametrize("branch_training", ["warm", "frozen"])
def test_a_fusion_starts_from_branches_that_were_trained_alone(
    branch_training, small_store, tmp_path
):
    experiment = create(
        small_store,
        **LEARNED,
        missing_branches=True,
        branch_dropout=0.1,
        fusion="intermediate_gated",
        branch_training=branch_training,
    )
    run = train(small_store, experiment, batch=tmp_path)
    fused = get_encoder_weights(run.load_network())
    alone = get_encoder_weights(fit_alone(small_store, "time", "cnn", 0)[1])
    same = [np.array_equal(one, other) for one, other in zip(fused, alone, strict=True)]
    assert all(same) if branch_training == "frozen" else not any(same)


def test_a_branch_takes_no_weights_of_another_encoder(small_store):
    branches = {"time": "cnn", "frequency": "mlp"}
    fusion = create(small_store, branches=branches, fusion="late_average")
    fused = Trainer(fusion, small_store).build_model(seed=0)
    single = create(small_store, branches={"time": "cnn"})
    alone = Trainer(single, small_store).build_model(seed=0)
    with pytest.raises(ExperimentError, match="same encoder"):
        models.copy_branch_weights(fused, "frequency", alone)
    with pytest.raises(ExperimentError, match="no encoder for the branch 'spectrogram'"):
        models.copy_branch_weights(fused, "spectrogram", alone)


def test_an_unknown_place_of_the_representations_is_refused():
    with pytest.raises(ExperimentError, match="Did you mean 'pipeline'"):
        TrainerOptions(representations_in="pipelin")
