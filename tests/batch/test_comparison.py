"""The comparison of runs, made of plain objects with hand-made probabilities."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from ecglib.batch.comparison import compare_runs, model_names
from ecglib.evaluation.summary import with_intervals
from ecglib.experiment import Experiment
from ecglib.runs import Predictions

TWO = {"time": "cnn", "frequency": "cnn"}
N = 400


def experiment(**changes):
    values = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    return Experiment(**(values | changes))


def predictions(strength, seed):
    rng = np.random.default_rng(0)
    y = (rng.random((N, 2)) < 0.4).astype(np.float32)
    noise = rng.normal(0, 1.5, y.shape) + np.random.default_rng([1, seed]).normal(0, 0.3, y.shape)
    p = expit(strength * (2 * y - 1) + noise)
    people = np.array([f"p{i // 4}" for i in range(N)])
    return Predictions(np.arange(N), people, people, y, p)


def run(strength, caveats=("synthetic data",), **changes):
    own = experiment(**changes)
    size = own.target_parameters or 10 * len(own.branches)
    test = predictions(strength, own.seed)
    scores = with_intervals(test.y, test.p, [0.5, 0.5], "multi_label", ["A", "B"], test.patients)
    return SimpleNamespace(
        experiment=own,
        caveats=list(caveats),
        contract={"kind": "multi_label", "classes": ["A", "B"], "thresholds": [0.5, 0.5]},
        metrics={"validation": scores, "test": scores, "model": {"parameters": size}},
        predictions=lambda part: test,
    )


@pytest.fixture(scope="module")
def compared():
    runs = [
        *(run(1.0, seed=s) for s in (0, 1)),
        *(run(0.5, seed=s, branches={"frequency": "cnn"}) for s in (0, 1)),
        *(run(1.8, seed=s, branches=TWO, fusion="late_average") for s in (0, 1)),
        *(run(1.1, seed=s, ensemble_size=2) for s in (0, 1)),
        *(run(1.2, seed=s, target_parameters=21) for s in (0, 1)),
    ]
    return compare_runs(runs), runs


def test_a_better_fusion_adds_and_numbers_are_means_over_seeds(compared):
    comparison, runs = compared
    assert comparison.best == "time:cnn"
    (difference,) = comparison.differences
    assert difference.verdict == "adds"
    fused = [r.predictions("test") for r in runs if r.experiment.role == "fusion"]
    row = comparison.table.set_index("model").loc["late_average"]
    expected = np.mean([roc_auc_score(t.y, t.p, average="macro") for t in fused])
    assert row["auroc"] == pytest.approx(expected)
    f1 = np.mean([f1_score(t.y[:, 1], t.p[:, 1] >= 0.5) for t in fused])
    assert row["f1:B"] == pytest.approx(f1)
    assert row["f1:B_low"] < f1 < row["f1:B_high"]


def test_every_output_carries_the_mark(compared):
    comparison, _ = compared
    assert comparison.to_text().count("synthetic data") == 2
    assert "Synthetic data." in comparison.sentences()[0]
    assert comparison.to_dict()["caveats"] == ["synthetic data"]


def test_plain_values_are_json(compared):
    comparison, _ = compared
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert {m["model"] for m in values["models"]} == {
        *("time:cnn", "frequency:cnn", "late_average", "2 x time:cnn"),
        "time:cnn widened to about 21",
    }
    assert values["differences"][0]["verdict"] == "adds"


def test_rows_for_the_figures_have_all_comparators(compared):
    comparison, _ = compared
    rows = comparison.difference_rows()
    assert list(rows["against"]) == [
        *("best single branch (time:cnn)", "2 x time:cnn", "time:cnn widened to about 21"),
    ]
    assert list(comparison.score_rows()["estimate"]) == sorted(
        comparison.table["auroc"], reverse=True
    )


TREES = {"handcrafted": "random_forest"}


def held_against(strength, trees, **changes):
    """The comparison of a network, with two seeds, and trees that tell the classes as well."""
    networks = [run(strength, seed=s, **changes) for s in (0, 1)]
    return compare_runs([*networks, run(trees, branches=TREES)])


def test_a_network_that_does_not_beat_the_baseline_is_said_so_with_its_paired_interval():
    comparison = held_against(1.0, trees=1.8)
    assert comparison.best == "time:cnn"  # trees are no branch
    (against,) = comparison.baselines
    rows = comparison.table.set_index("model")["auroc"]
    gap = against.gaps["time:cnn"]
    assert gap.estimate == pytest.approx(rows["time:cnn"] - rows["handcrafted:random_forest"])
    assert gap.low < gap.estimate < gap.high < 0
    (text,) = comparison.baseline_sentences()
    assert text.startswith(
        "1 of 1 network does not beat the classical baseline handcrafted:random_forest"
    )
    assert f"time:cnn ({gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}])" in text
    assert text.endswith("Synthetic data.")
    assert text in comparison.to_text()
    (told,) = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))["baselines"]
    assert told["sentence"] == text


def test_a_network_that_beats_the_baseline_is_said_so_as_well():
    (text,) = held_against(1.8, trees=1.0).baseline_sentences()
    assert text.startswith(
        "Every network beats the classical baseline handcrafted:random_forest in"
    )


def test_an_equal_network_does_not_beat_the_baseline():
    same = run(1.0)
    (against,) = compare_runs([same, run(1.0, branches=TREES)]).baselines
    assert (against.gaps["time:cnn"].low, against.gaps["time:cnn"].high) == (0, 0)
    assert list(against.not_beating()) == ["time:cnn"]


def test_a_baseline_decides_nothing_about_a_fusion(compared):
    comparison, runs = compared
    with_trees = compare_runs([*runs, run(3.0, branches=TREES)])
    assert with_trees.differences == comparison.differences
    assert comparison.baselines == []
    (text,) = with_trees.baseline_sentences()
    assert text.startswith("5 of 5 networks do not beat")


def test_trees_of_several_seeds_have_the_mean_of_their_nodes():
    small, large = run(1.0, branches=TREES), run(1.0, branches=TREES, seed=1)
    small.metrics["model"], large.metrics["model"] = {"parameters": 1000}, {"parameters": 2001}
    shown = compare_runs([small, large, run(1.0)]).formatted().set_index("model")
    assert shown.loc["handcrafted:random_forest", "parameters"] == "1,500 nodes"
    assert shown.loc["time:cnn", "parameters"] == "10"


def test_few_test_patients_say_nothing_about_the_baseline():
    runs = [run(1.8), run(0.5, branches=TREES)]
    for one in runs:
        own = one.predictions("test")
        few = dataclasses.replace(own, patients=np.arange(N) % 5)
        one.predictions = lambda part, few=few: few
    (text,) = compare_runs(runs).baseline_sentences()
    assert text.startswith("Whether a network beats the classical baseline")
    assert "5 test patients are too few" in text


def test_names_are_as_short_as_they_can_be():
    one = experiment(branches=TWO, fusion="early_concat")
    three = {**TWO, "spectrogram": "cnn2d"}
    other = experiment(branches=three, fusion="early_concat")
    wide, single = experiment(width=64), experiment()
    assert model_names([one, single])[one.model_hash] == "early_concat"
    names = model_names([one, other, single, wide])
    assert names[one.model_hash] == "early_concat(time:cnn + frequency:cnn)"
    assert names[single.model_hash] == f"time:cnn, width {single.width}"
    assert names[wide.model_hash] == "time:cnn, width 64"
    unlike = experiment(width=64, dropout=0.5)
    names = model_names([single, wide, unlike])
    assert names[unlike.model_hash] == "time:cnn, width 64, dropout 0.5"
    more = experiment(width=64, dropout=0.5, epochs=3)
    names = model_names([single, wide, unlike, more])
    assert names[single.model_hash] == f"time:cnn #{single.model_hash[:4]}"
    assert len(set(names.values())) == 4


def test_ways_to_train_one_fusion_are_told_apart_by_name():
    ways = [
        experiment(branches=TWO, fusion="late_average", branch_training=way)
        for way in ("joint", "frozen")
    ]
    names = model_names([*ways, experiment()])
    assert [names[way.model_hash] for way in ways] == [
        "late_average, branch_training joint",
        "late_average, branch_training frozen",
    ]


def test_a_fusion_on_one_view_is_named_in_full_and_leaves_the_others_their_short_names():
    views = experiment(branches=TWO, fusion="late_average")
    encoders = experiment(branches={"time": "cnn", "time_2": "s4d"}, fusion="late_average")
    names = model_names([views, encoders])
    assert names[views.model_hash] == "late_average"
    assert names[encoders.model_hash] == "late_average(time:cnn + time:s4d)"
    alone = model_names([encoders])
    assert alone[encoders.model_hash] == "late_average(time:cnn + time:s4d)"
