"""Curves of score against severity, of models that were trained and of models that are known."""

import dataclasses

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecglib.errors import ExperimentError, RunError
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.scoreboard import measure_models
from ecglib.robustness import (
    Curves,
    Disturber,
    RobustnessSettings,
    measure_robustness,
)
from ecglib.robustness.curves import name_level
from ecglib.robustness.predicting import TestedModels, load_tested_models, replace_predictions
from ecglib.runs.contestants import name_contestants

pytestmark = pytest.mark.slow

NAMES = ("time", "frequency", "late", "intermediate")
DISTURBANCES = {"white_noise": (12.0, -6.0), "lost_leads": (), "gain_error": (0.0, 20.0)}


@pytest.fixture(scope="module")
def runs(get_run):
    return {name: get_run(name) for name in NAMES}


@pytest.fixture(scope="module")
def robustness(runs, tested_store):
    settings = RobustnessSettings(disturbances=DISTURBANCES)
    return measure_robustness(list(runs.values()), tested_store, settings)


def test_severity_zero_gives_the_stored_score_of_each_run(runs, robustness):
    curves = robustness.curves["gain_error"]
    names = name_contestants(runs.values())
    for run in runs.values():
        stored, name = run.predictions("test"), names[run.model_hash]
        expected = roc_auc_score(stored.y, stored.p)
        assert curves.score(name).estimate == pytest.approx(expected, abs=1e-9)
        assert curves.score(name, 0.0).estimate == pytest.approx(expected, abs=1e-9)
        assert curves.compute_loss(name, 0.0).estimate == pytest.approx(0.0, abs=1e-12)


def test_a_model_predicts_its_stored_probabilities_from_windows_that_are_not_disturbed(
    load_tested, tested_store
):
    for name in NAMES:
        tested = load_tested(name)
        stored = tested.models[0].runs[0].predictions("test")
        (p,) = tested.predict(tested_store.read(stored.rows))
        np.testing.assert_allclose(p, stored.p, atol=1e-5)


def test_the_score_at_a_severity_is_that_of_the_disturbed_windows(runs, tested_store, robustness):
    run = runs["time"]
    stored = run.predictions("test")
    windows_mv = tested_store.read(stored.rows)

    noisy = Disturber(tested_store.signal).disturb(windows_mv, stored.rows, "white_noise", -6.0)
    predicted = run.predict(
        noisy.astype(float), sampling_rate_hz=100.0, leads=tested_store.signal.leads
    )

    found = robustness.curves["white_noise"].score("time:cnn", -6.0).estimate
    assert found == pytest.approx(roc_auc_score(stored.y, predicted.p), abs=0.003)  # int16 steps


def test_the_area_is_the_mean_score_and_the_mean_loss_the_rest(robustness):
    curves = robustness.curves["white_noise"]
    scores = [curves.score("time:cnn", one).estimate for one in (12.0, -6.0)]
    losses = [curves.compute_loss("time:cnn", one).estimate for one in (12.0, -6.0)]

    assert curves.compute_area("time:cnn").estimate == pytest.approx(np.mean(scores))
    assert curves.compute_loss("time:cnn").estimate == pytest.approx(np.mean(losses))
    assert np.mean(losses) == pytest.approx(curves.score("time:cnn").estimate - np.mean(scores))


def test_the_table_has_each_model_at_each_severity(runs, robustness):
    table = robustness.to_table()

    assert len(table) == len(runs) * (3 + 3 + 3)
    undisturbed = table[table["severity"].isna()]
    assert (undisturbed["loss"] == 0).all()
    assert set(table["unit"]) == {"dB SNR", "leads at 0 mV", "% of the amplitude"}
    assert ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()


def test_models_predict_together_what_they_predict_alone(get_run, load_tested, tested_store):
    """Of two kinds of processing: with and without tabular values."""
    together = load_tested_models([get_run(name) for name in NAMES], tested_store)
    windows_mv = 0.5 * tested_store.read(together.rows)

    p = together.predict(windows_mv)

    for found, name in zip(p, NAMES, strict=True):
        np.testing.assert_allclose(found, load_tested(name).predict(windows_mv)[0], atol=1e-6)


def test_some_windows_are_predicted_as_among_all(load_tested, tested_store):
    tested = load_tested("intermediate")
    windows_mv = tested_store.read(tested.rows)

    some = tested.predict(windows_mv[3:9], slice(3, 9))

    np.testing.assert_allclose(some, tested.predict(windows_mv)[:, 3:9], atol=1e-6)


def test_each_window_of_a_cross_validation_is_predicted_by_its_fold(fold_runs, tested_store):
    tested = load_tested_models(fold_runs, tested_store)
    stored = {name: {} for name in ("time:cnn", "frequency:mlp")}
    for run in fold_runs:
        predictions = run.predictions("test")
        found = dict(zip(predictions.rows.tolist(), predictions.p, strict=True))
        stored[run.experiment.model_name] |= found

    p = tested.predict_stored()

    assert len(tested.models) == 2
    for one, values in zip(tested.models, p, strict=True):
        expected = np.array([stored[one.contestant.name][row] for row in tested.rows.tolist()])
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_cross_validation_is_scored_as_one(fold_runs, tested_store):
    settings = RobustnessSettings(disturbances={"gain_error": (0.0,), "white_noise": (-6.0,)})

    robustness = measure_robustness(fold_runs, tested_store, settings)

    assert robustness.curves["gain_error"].compute_loss("time:cnn").estimate == pytest.approx(0)
    assert robustness.curves["white_noise"].compute_loss("time:cnn").estimate != 0
    n_windows = sum(run.predictions("test").n_windows for run in fold_runs[:3])
    assert robustness.describe_windows().startswith(f"{n_windows} test windows of")


def test_a_missing_fold_is_named(fold_runs, tested_store):
    with pytest.raises(RunError, match=r"no run of the folds \[3\] of 3"):
        load_tested_models([run for run in fold_runs if run.data.fold < 3], tested_store)


def test_windows_are_drawn_where_there_are_more(runs, tested_store):
    settings = RobustnessSettings(disturbances={"gain_error": (0.0,)}, max_windows=10)

    robustness = measure_robustness([runs["time"], runs["late"]], tested_store, settings)

    stored, time = runs["time"].predictions("test"), robustness.models["time:cnn"].predictions
    places = np.searchsorted(stored.rows, time.rows)
    assert len(np.unique(time.rows)) == 10 < stored.n_windows
    np.testing.assert_array_equal(time.p, stored.p[places])
    np.testing.assert_array_equal(time.y, stored.y[places])
    expected = roc_auc_score(time.y, time.p)
    assert robustness.curves["gain_error"].score("time:cnn").estimate == pytest.approx(expected)
    assert f"10 of {stored.n_windows} test windows, drawn at random" in (
        robustness.describe_windows()
    )


def test_the_losses_by_class_have_the_loss_as_their_mean(robustness):
    table = robustness.to_class_table()

    assert set(table["class"]) == {"A", "B"}
    means = table.groupby(["disturbance", "model"])["loss"].mean()
    for (disturbance, model), mean in means.items():
        loss = robustness.curves[disturbance].compute_loss(model)
        assert mean == pytest.approx(loss.estimate, abs=1e-12)
    assert ((table["low"] <= table["loss"]) & (table["loss"] <= table["high"])).all()


def test_a_model_that_ignores_a_lead_does_not_change_when_it_is_lost(load_tested, tested_store):
    tested = load_tested("time")

    def blind(network, run):
        changed = keras.models.clone_model(network)
        changed.set_weights(network.get_weights())
        first = next(one for one in changed.layers if isinstance(one, keras.layers.Conv1D))
        kernel, *rest = first.get_weights()
        kernel[:, 1] = 0.0
        first.set_weights([kernel, *rest])
        return changed

    one = TestedModels(tested_store, [tested.models[0].change_networks("blind", blind)])
    windows_mv = tested_store.read(one.rows)
    disturbed = Disturber(tested_store.signal).disturb(windows_mv, one.rows, "lost_leads", 1.0)
    lost = (disturbed == 0).all(axis=1).argmax(axis=1)
    changed = np.abs(one.predict(disturbed) - one.predict(windows_mv))[0].max(axis=1)

    assert (changed[lost == 1] < 1e-6).all()
    assert (changed[lost != 1] > 1e-6).all()
    assert {0, 1, 2} == set(lost.tolist())


def test_heart_rate_is_computed_from_the_disturbed_windows(load_tested, tested_store):
    tested = load_tested("intermediate")
    rows = tested.rows[:8]
    t = np.arange(400) / 100
    beats = np.exp(-(((t % 0.75) - 0.4) ** 2) / (2 * 0.015**2))  # 80 per minute
    windows_mv = np.tile(beats[None, :, None], (8, 1, 3)).astype(np.float32)

    columns = ("age", "heart_rate_bpm")
    values = tested._joined[0]._read_tabular(columns, windows_mv, rows)

    stored = tested_store.read_tabular(rows, columns)
    np.testing.assert_array_equal(values[:, 0], stored[:, 0])
    assert np.isnan(stored[:, 1]).all()
    np.testing.assert_allclose(values[:, 1], 80, atol=0.5)


def test_what_windows_cannot_have_is_passed_over_unless_it_was_named(runs, tested_store):
    disturber = Disturber(tested_store.signal)
    assert "below 50 Hz" in disturber.find_obstacle("mains_50hz")
    with pytest.raises(ExperimentError, match="below 50 Hz"):
        measure_robustness(
            [runs["time"]], tested_store, RobustnessSettings(disturbances={"mains_50hz": ()})
        )


def test_runs_that_cannot_be_compared_are_refused(runs, tested_store, small_store):
    with pytest.raises(RunError, match="Open the dataset that it was trained on"):
        measure_robustness([runs["time"]], small_store)
    with pytest.raises(RunError, match="Unknown metric 'auc'"):
        measure_robustness([runs["time"]], tested_store, RobustnessSettings(metric="auc"))
    twice = RobustnessSettings(disturbances={"clipping": (0.5, 0.5)})
    with pytest.raises(ExperimentError, match="one of them twice"):
        measure_robustness([runs["time"]], tested_store, twice)


def test_a_model_that_does_not_give_its_stored_predictions_is_refused(load_tested, tested_store):
    model = load_tested("time").models[0]
    p = np.clip(model.contestant.predictions.p + 0.01, 0, 1)
    other = replace_predictions(model.contestant, "time:cnn", p)

    tested = TestedModels(tested_store, [dataclasses.replace(model, contestant=other)])

    with pytest.raises(RunError, match="does not give its stored test predictions"):
        tested.predict_stored()


def simulate_curves(seed, n_patients=120, n_seeds=1, extra_loss=0.0):
    """Two models whose true losses are known: both lose strength, the second `extra_loss` more."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n_patients) % 2)[:, None]
    patients = np.array([f"p{i:03d}" for i in range(n_patients)])
    common = rng.normal(size=(n_patients, 1))
    models = {}
    for name, strength in {
        "a": 2.0,
        "b": 2.0,
        name_level("a", 0.0): 1.0,
        name_level("b", 0.0): 1.0 - extra_loss,
    }.items():
        noise = 0.7 * common + 0.7 * rng.normal(size=(n_patients, 1))
        predictions = Predictions(
            kind="multi_label",
            classes=("AF",),
            rows=np.arange(n_patients),
            records=patients,
            patients=patients,
            y=y,
            p=1 / (1 + np.exp(-(strength * (2 * y - 1) / 2 + noise))),
        )
        models[name] = [
            Contestant(
                name=name,
                role="single",
                branches=(f"{name[0]}:cnn",),
                seed=0,
                predictions=predictions,
                thresholds=np.array([0.5]),
                validation=predictions,
                parameters=1,
            )
        ]
    scoreboard = measure_models(models, "auroc")
    return Curves(disturbance="white_noise", severities=(0.0,), scoreboard=scoreboard), models


def test_paired_intervals_of_losses_cover_the_truth_as_often_as_they_say():
    covered = []
    for seed in range(200):
        curves, _ = simulate_curves(seed)
        difference = curves.compare_losses("a", "b")  # both lose the same: the truth is 0
        covered.append(difference.low <= 0 <= difference.high)

    # The standard error of a fraction of 0.95 over 200 is 0.015.
    assert 0.91 < np.mean(covered) < 0.99


def test_the_influence_of_a_loss_agrees_with_leaving_each_patient_out():
    curves, models = simulate_curves(0, n_patients=100)

    def compute_loss(keep):
        scores = {
            name: roc_auc_score(one.predictions.y[keep, 0], one.predictions.p[keep, 0])
            for name, (one,) in models.items()
        }
        return scores["a"] - scores[name_level("a", 0.0)]

    n = 100
    jackknife = [compute_loss(np.arange(n) != i) for i in range(n)]
    variance = (n - 1) / n * ((jackknife - np.mean(jackknife)) ** 2).sum()

    found = curves.compute_loss("a")
    assert found.patients.value == pytest.approx(variance, rel=0.05)
    assert found.estimate == pytest.approx(compute_loss(np.ones(n, bool)))


def test_brier_scores_that_rise_are_a_loss():
    _, models = simulate_curves(0)
    scoreboard = measure_models(models, "brier")
    curves = Curves(disturbance="white_noise", severities=(0.0,), scoreboard=scoreboard)

    rise = curves.score("a", 0.0).estimate - curves.score("a").estimate
    assert rise > 0
    assert curves.compute_loss("a").estimate == pytest.approx(rise)
