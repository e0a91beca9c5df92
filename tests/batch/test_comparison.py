"""The comparison of runs that are plain objects with simulated probabilities."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from ecglib.batch.comparison import compare_runs, name_models
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.summary import score_with_intervals
from ecglib.experiment import Experiment

TWO_BRANCHES = {"time": "cnn", "frequency": "cnn"}
N_WINDOWS = 400
TREES = {"handcrafted": "random_forest"}


def make_experiment(**changes):
    settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    return Experiment.from_flat(settings | changes)


def simulate_predictions(strength, seed):
    rng = np.random.default_rng(0)
    y = (rng.random((N_WINDOWS, 2)) < 0.4).astype(np.float32)
    noise = rng.normal(0, 1.5, y.shape) + np.random.default_rng([1, seed]).normal(0, 0.3, y.shape)
    patients = np.array([f"p{i // 4}" for i in range(N_WINDOWS)])
    return Predictions(
        kind="multi_label",
        classes=("A", "B"),
        rows=np.arange(N_WINDOWS),
        records=patients,
        patients=patients,
        y=y,
        p=expit(strength * (2 * y - 1) + noise),
    )


def make_run(strength, caveats=("synthetic data",), **changes):
    """A run whose model separates the classes by `strength`."""
    experiment = make_experiment(**changes)
    size = experiment.model.target_parameters or 10 * len(experiment.model.branches)
    predictions = simulate_predictions(strength, experiment.training.seed)
    scores = score_with_intervals(predictions, [0.5, 0.5])
    return SimpleNamespace(
        experiment=experiment,
        caveats=caveats,
        contract=SimpleNamespace(thresholds=(0.5, 0.5)),
        metrics={"validation": scores, "test": scores, "model": {"parameters": size}},
        predictions=lambda split: predictions,
    )


@pytest.fixture(scope="module")
def compared():
    runs = [
        run
        for seed in (0, 1)
        for run in (
            make_run(1.0, seed=seed),
            make_run(0.5, seed=seed, branches={"frequency": "cnn"}),
            make_run(1.8, seed=seed, branches=TWO_BRANCHES, fusion="late_average"),
            make_run(1.1, seed=seed, ensemble_size=2),
            make_run(1.2, seed=seed, target_parameters=21),
        )
    ]
    return compare_runs(runs), runs


def test_a_better_fusion_adds_and_numbers_are_means_over_seeds(compared):
    comparison, runs = compared
    assert comparison.best_single == "time:cnn"
    (difference,) = comparison.differences
    assert difference.verdict == "adds"
    fused = [r.predictions("test") for r in runs if r.experiment.role == "fusion"]
    row = comparison.table.set_index("model").loc["late_average"]
    expected = np.mean([roc_auc_score(t.y, t.p, average="macro") for t in fused])
    assert row["auroc"] == pytest.approx(expected)
    f1 = np.mean([f1_score(t.y[:, 1], t.p[:, 1] >= 0.5) for t in fused])
    assert row["f1:B"] == pytest.approx(f1)
    assert row["f1:B_low"] < f1 < row["f1:B_high"]


def test_every_output_has_the_caveat(compared):
    comparison, _ = compared
    assert comparison.to_text().count("synthetic data") == 2
    assert "Synthetic data." in comparison.describe_differences()[0]
    assert comparison.to_dict()["caveats"] == ["synthetic data"]


def test_plain_values_are_json(compared):
    comparison, _ = compared
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert {m["model"] for m in values["models"]} == {
        "time:cnn",
        "frequency:cnn",
        "late_average",
        "2 x time:cnn",
        "time:cnn widened to about 21",
    }
    assert values["differences"][0]["verdict"] == "adds"


def test_rows_for_the_figures_have_every_model_that_is_compared_with(compared):
    comparison, _ = compared
    rows = comparison.build_difference_rows()
    assert list(rows["against"]) == [
        "best single branch (time:cnn)",
        "2 x time:cnn",
        "time:cnn widened to about 21",
    ]
    assert list(comparison.build_score_rows()["estimate"]) == sorted(
        comparison.table["auroc"], reverse=True
    )


def compare_with_trees(strength, trees):
    """The comparison of a network, with two seeds, and of trees."""
    networks = [make_run(strength, seed=seed) for seed in (0, 1)]
    return compare_runs([*networks, make_run(trees, branches=TREES)])


def test_a_network_that_does_not_beat_the_baseline_is_named_with_its_paired_interval():
    comparison = compare_with_trees(1.0, trees=1.8)
    assert comparison.best_single == "time:cnn"  # trees are not a branch
    (against,) = comparison.baselines
    rows = comparison.table.set_index("model")["auroc"]
    gap = against.gaps["time:cnn"]
    assert gap.estimate == pytest.approx(rows["time:cnn"] - rows["handcrafted:random_forest"])
    assert gap.low < gap.estimate < gap.high < 0
    (text,) = comparison.describe_baselines()
    assert text.startswith(
        "1 of 1 network does not beat the classical baseline handcrafted:random_forest"
    )
    assert f"time:cnn ({gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}])" in text
    assert text.endswith("Synthetic data.")
    assert text in comparison.to_text()
    (values,) = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))["baselines"]
    assert values["sentence"] == text


def test_a_network_that_beats_the_baseline_is_reported():
    (text,) = compare_with_trees(1.8, trees=1.0).describe_baselines()
    assert text.startswith(
        "Every network beats the classical baseline handcrafted:random_forest in"
    )


def test_an_equal_network_does_not_beat_the_baseline():
    same = make_run(1.0)
    (against,) = compare_runs([same, make_run(1.0, branches=TREES)]).baselines
    assert (against.gaps["time:cnn"].low, against.gaps["time:cnn"].high) == (0, 0)
    assert list(against.find_unsuccessful()) == ["time:cnn"]


def test_a_baseline_decides_nothing_about_a_fusion(compared):
    comparison, runs = compared
    with_trees = compare_runs([*runs, make_run(3.0, branches=TREES)])
    assert with_trees.differences == comparison.differences
    assert comparison.baselines == []
    (text,) = with_trees.describe_baselines()
    assert text.startswith("5 of 5 networks do not beat")


def test_trees_of_several_seeds_have_the_mean_of_their_nodes():
    small, large = make_run(1.0, branches=TREES), make_run(1.0, branches=TREES, seed=1)
    small.metrics["model"], large.metrics["model"] = {"parameters": 1000}, {"parameters": 2001}
    shown = compare_runs([small, large, make_run(1.0)]).format_scores().set_index("model")
    assert shown.loc["handcrafted:random_forest", "parameters"] == "1,500 nodes"
    assert shown.loc["time:cnn", "parameters"] == "10"


def test_few_test_patients_say_nothing_about_the_baseline():
    runs = [make_run(1.8), make_run(0.5, branches=TREES)]
    for run in runs:
        few = dataclasses.replace(run.predictions("test"), patients=np.arange(N_WINDOWS) % 5)
        run.predictions = lambda split, few=few: few
    (text,) = compare_runs(runs).describe_baselines()
    assert text.startswith("Cannot tell whether a network beats the classical baseline")
    assert "5 test patients are too few" in text


def test_names_are_as_short_as_they_can_be():
    one = make_experiment(branches=TWO_BRANCHES, fusion="early_concat")
    three = {**TWO_BRANCHES, "spectrogram": "cnn2d"}
    other = make_experiment(branches=three, fusion="early_concat")
    wide, single = make_experiment(width=64), make_experiment()
    assert name_models([one, single])[one.model_hash] == "early_concat"
    names = name_models([one, other, single, wide])
    assert names[one.model_hash] == "early_concat(time:cnn + frequency:cnn)"
    assert names[single.model_hash] == f"time:cnn, width {single.model.width}"
    assert names[wide.model_hash] == "time:cnn, width 64"
    unlike = make_experiment(width=64, dropout=0.5)
    names = name_models([single, wide, unlike])
    assert names[unlike.model_hash] == "time:cnn, width 64, dropout 0.5"
    more = make_experiment(width=64, dropout=0.5, epochs=3)
    names = name_models([single, wide, unlike, more])
    assert names[single.model_hash] == f"time:cnn #{single.model_hash[:4]}"
    assert len(set(names.values())) == 4


def test_ways_to_train_one_fusion_have_different_names():
    ways = [
        make_experiment(branches=TWO_BRANCHES, fusion="late_average", branch_training=way)
        for way in ("joint", "frozen")
    ]
    names = name_models([*ways, make_experiment()])
    assert [names[way.model_hash] for way in ways] == [
        "late_average, branch_training joint",
        "late_average, branch_training frozen",
    ]


def test_a_fusion_of_one_representation_is_named_in_full_and_others_keep_their_short_names():
    representations = make_experiment(branches=TWO_BRANCHES, fusion="late_average")
    encoders = make_experiment(branches={"time": "cnn", "time_2": "s4d"}, fusion="late_average")
    names = name_models([representations, encoders])
    assert names[representations.model_hash] == "late_average"
    assert names[encoders.model_hash] == "late_average(time:cnn + time:s4d)"
    alone = name_models([encoders])
    assert alone[encoders.model_hash] == "late_average(time:cnn + time:s4d)"
