"""The comparison of runs that are plain objects with simulated probabilities."""

import dataclasses
import json

import numpy as np
import pytest
from run_helpers import N_WINDOWS, make_experiment, make_run
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from ecglib.batch.comparison import choose_settings, compare, compare_batches
from ecglib.batch.state import record_settings
from ecglib.errors import RunError
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.recipes import describe_recipe_difference
from ecglib.evaluation.verdict import ComparisonSettings
from ecglib.runs.contestants import build_recipe, name_models

TWO_BRANCHES = {"time": "cnn", "frequency": "cnn"}
TREES = {"handcrafted": "random_forest"}


@pytest.fixture(scope="module")
def compared():
    runs = [
        run
        for seed in range(5)
        for run in (
            make_run(1.0, seed=seed),
            make_run(0.5, seed=seed, branches={"frequency": "cnn"}),
            make_run(1.8, seed=seed, branches=TWO_BRANCHES, fusion="late_average"),
            make_run(1.1, seed=seed, ensemble_size=2),
            make_run(1.2, seed=seed, target_parameters=21),
        )
    ]
    return compare(runs), runs


def test_a_better_fusion_adds_and_numbers_are_means_over_seeds(compared):
    comparison, runs = compared
    assert comparison.best_branch == "time:cnn"
    (verdict,) = comparison.verdicts
    assert (verdict.word, verdict.n_seeds) == ("adds", 5)
    assert comparison.headline.startswith("late_average helps: +0.")
    fused = [r.predictions("test") for r in runs if r.experiment.role == "fusion"]
    row = comparison.table.set_index("model").loc["late_average"]
    expected = np.mean([roc_auc_score(t.y, t.p, average="macro") for t in fused])
    assert row["auroc"] == pytest.approx(expected)
    f1 = np.mean([f1_score(t.y[:, 1], t.p[:, 1] >= 0.5) for t in fused])
    assert row["f1:B"] == pytest.approx(f1)
    assert row["f1:B_low"] < f1 < row["f1:B_high"]


def test_a_comparison_names_store_task_and_caveats(compared):
    comparison, _ = compared
    assert (comparison.dataset, comparison.task) == ("d-f", "t")
    assert "Caveats: synthetic data." in comparison.to_text()
    assert comparison.to_dict()["caveats"] == ["synthetic data"]


def test_plain_values_are_json(compared):
    comparison, _ = compared
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert {m["model"] for m in values["models"]} == {
        "time:cnn",
        "frequency:cnn",
        "late_average",
        "2 x time:cnn",
        "time:cnn (same size as the fusion)",
    }
    (verdict,) = values["verdicts"]
    assert (verdict["word"], verdict["recipe"]["epochs"]) == ("adds", 20)
    assert [rival["kind"] for rival in verdict["rivals"]] == [
        "single",
        "single",
        "ensemble",
        "same size",
    ]


def test_rows_for_the_figures_have_every_kind_of_rival_of_the_best_branch(compared):
    comparison, _ = compared
    rows = comparison.build_difference_rows()
    assert list(rows["against"]) == [
        "over the best branch",
        "over an equal ensemble",
        "at the same size",
    ]
    assert list(rows["name"]) == ["time:cnn", "2 x time:cnn", "time:cnn (same size as the fusion)"]
    assert list(comparison.build_score_rows()["estimate"]) == sorted(
        comparison.table["auroc"], reverse=True
    )


def test_models_of_unequal_training_are_not_compared():
    """A fusion trained for ten epochs gains nothing that one epoch would explain."""
    runs = [
        run
        for seed in range(5)
        for run in (
            make_run(1.0, seed=seed, epochs=1),
            make_run(1.1, seed=seed, epochs=1, ensemble_size=2),
            make_run(1.8, seed=seed, epochs=10, branches=TWO_BRANCHES, fusion="late_average"),
        )
    ]
    comparison = compare(runs)
    (verdict,) = comparison.verdicts
    assert verdict.word == "cannot compare"
    assert "epochs 10 against 1" in verdict.reasons[0]
    checks = {one.title: one for one in comparison.checks}
    assert not checks["Fusions and branches trained alike"].passed
    assert checks["One recipe"].detail == "5 of 15 trainings differ: epochs 1 against 10"


def test_branches_of_another_recipe_are_no_rivals(compared):
    _, runs = compared
    strong = [make_run(3.0, seed=seed, epochs=50) for seed in range(5)]
    (verdict,) = compare([*runs, *strong]).verdicts
    assert verdict.word == "adds"
    assert verdict.best_branch == "time:cnn, epochs 20"


def test_options_of_a_representation_that_only_one_model_takes_are_no_difference():
    options = {"frequency": {"scale": "linear"}}
    fusion = make_run(
        1.8, branches=TWO_BRANCHES, fusion="late_average", representation_options=options
    )
    plain = make_run(1.0)
    frequency = make_run(1.0, branches={"frequency": "cnn"})
    recipes = [build_recipe(run) for run in (fusion, plain, frequency)]
    assert describe_recipe_difference(recipes[0], recipes[1]) == ""
    assert describe_recipe_difference(recipes[0], recipes[2]) == (
        "options of frequency {'scale': 'linear'} against none"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"versions": {"keras": "4.0"}}, "keras 3.15 against 4.0"),
        ({"code": "4567"}, "code 0123 against 4567"),
        ({"threads": 2}, ""),  # decides the last digits alone
    ],
)
def test_runs_of_different_code_are_not_of_one_recipe(change, expected):
    old, new = make_run(1.0), make_run(1.0)
    new.environment = dataclasses.replace(new.environment, **change)
    assert describe_recipe_difference(build_recipe(old), build_recipe(new)) == expected


@pytest.mark.parametrize(
    ("change", "difference"),
    [({"threads": 2}, "threads 2 against 1"), ({"versions": {"keras": "4"}}, "keras 4 against 3")],
)
def test_a_comparison_names_the_environments_that_differ(change, difference):
    runs = [make_run(1.0, seed=seed) for seed in range(3)]
    checks = {one.title: one for one in compare(runs).checks}
    assert checks["One environment"].passed
    runs[1].environment = dataclasses.replace(runs[1].environment, **change)
    check = {one.title: one for one in compare(runs).checks}["One environment"]
    assert not check.passed
    assert check.detail.startswith(f"1 of 3 trainings differ: {difference}")


def test_runs_of_two_tasks_are_refused():
    with pytest.raises(RunError, match=r"2 tasks, stores or cross-validations.*d-f other"):
        compare([make_run(1.0), make_run(1.0, task="other")])


def test_folds_are_joined_and_ranked_within_each_fold():
    runs = [
        make_run(strength, seed=seed, n_folds=3, fold=fold, **changes)
        for seed in range(5)
        for fold in (1, 2, 3)
        for strength, changes in (
            (1.0, {}),
            (1.8, {"branches": TWO_BRANCHES, "fusion": "late_average"}),
        )
    ]
    for run in runs:
        whole, fold = run.predictions("test"), run.experiment.data.fold
        rows = np.flatnonzero(np.arange(N_WINDOWS) // 4 % 3 == fold - 1)
        # Each fold has probabilities of its own scale, which would spoil a common ranking.
        p = expit(np.log(whole.p[rows] / (1 - whole.p[rows])) + 3 * fold)
        part = Predictions(
            kind=whole.kind,
            classes=whole.classes,
            rows=rows,
            records=whole.records[rows],
            patients=whole.patients[rows],
            y=whole.y[rows],
            p=p,
        )
        run.predictions = lambda split, part=part: part
    comparison = compare(runs)
    assert comparison.n_folds == 3
    row = comparison.table.set_index("model").loc["time:cnn"]
    expected = []
    for k in range(2):
        won, pairs = 0.0, 0
        for fold in (1, 2, 3):
            for run in runs:
                data = run.experiment.data
                is_model = run.experiment.role == "single" and run.experiment.training.seed == 0
                if data.fold == fold and is_model:
                    part = run.predictions("test")
                    n = part.y[:, k].sum() * (1 - part.y[:, k]).sum()
                    won += n * roc_auc_score(part.y[:, k], part.p[:, k])
                    pairs += n
        expected.append(won / pairs)
    one_seed = compare([run for run in runs if run.experiment.training.seed == 0])
    row = one_seed.table.set_index("model").loc["time:cnn"]
    assert [row["auroc:A"], row["auroc:B"]] == pytest.approx(expected)


def test_a_missing_fold_is_named():
    runs = [make_run(1.0, n_folds=3, fold=fold) for fold in (1, 3)]
    with pytest.raises(RunError, match=r"no run of the folds \[2\] of 3"):
        compare(runs)


def compare_with_trees(strength, trees):
    """The comparison of a network, with five seeds, and of trees."""
    networks = [make_run(strength, seed=seed) for seed in range(5)]
    return compare([*networks, *(make_run(trees, branches=TREES, seed=s) for s in range(5))])


@pytest.mark.parametrize(
    ("strength", "trees", "word"),
    [(1.0, 1.8, "beaten by it"), (1.8, 1.0, "beats it"), (1.0, 1.0, "cannot tell")],
)
def test_a_network_beats_the_baseline_or_is_beaten_by_it_or_one_cannot_tell(strength, trees, word):
    comparison = compare_with_trees(strength, trees)
    (against,) = comparison.baselines
    rows = comparison.table.set_index("model")["auroc"]
    difference = against.differences["time:cnn"]
    expected = rows["time:cnn"] - rows["handcrafted:random_forest"]
    assert difference.estimate == pytest.approx(expected)
    assert against.judge("time:cnn") == word
    (text,) = comparison.describe_baselines()
    assert (word in text) == (word != "beats it")
    assert text.startswith("Every network beats") == (word == "beats it")
    assert text in comparison.to_text()
    (values,) = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))["baselines"]
    assert values["networks"]["time:cnn"]["word"] == word


def test_a_baseline_decides_nothing_about_a_fusion(compared):
    comparison, runs = compared
    with_trees = compare([*runs, make_run(3.0, branches=TREES)])
    assert [one.p_adds for one in with_trees.verdicts] == [
        one.p_adds for one in comparison.verdicts
    ]
    assert with_trees.verdicts[0].rivals == comparison.verdicts[0].rivals
    assert comparison.baselines == []


def test_trees_of_several_seeds_have_the_mean_of_their_nodes():
    small, large = make_run(1.0, branches=TREES), make_run(1.0, branches=TREES, seed=1)
    small.metrics["model"], large.metrics["model"] = {"parameters": 1000}, {"parameters": 2001}
    shown = compare([small, large, make_run(1.0)]).format_scores().set_index("model")
    assert shown.loc["handcrafted:random_forest", "parameters"] == "1,500 nodes"
    assert shown.loc["time:cnn", "parameters"] == "10"


def test_only_the_named_fusions_are_judged(tmp_path, monkeypatch):
    other = {"branches": TWO_BRANCHES, "fusion": "intermediate_concat"}
    found = [
        make_run(1.0),
        make_run(1.8, branches=TWO_BRANCHES, fusion="late_average"),
        make_run(1.8, **other),
    ]
    monkeypatch.setattr("ecglib.runs.find_runs", lambda folder: found)
    (comparison,) = compare_batches([tmp_path], only=["late_average"])
    assert [one.fusion for one in comparison.verdicts] == ["late_average"]
    assert set(comparison.table["model"]) == {"time:cnn", "late_average"}
    with pytest.raises(RunError, match=r"No fusion is called late_averag; .* late_average"):
        compare_batches([tmp_path], only=["late_averag"])


def test_a_test_split_that_another_batch_scored_is_reported(tmp_path):
    first, second = make_run(1.0), make_run(1.2, seed=1)
    for batch, run in (("a", first), ("b", second)):
        run.path = tmp_path / batch / run.experiment.run_name
        run.path.mkdir(parents=True)
        text = json.dumps({"experiment": run.experiment.to_flat()})
        (run.path / "experiment.json").write_text(text)
    checks = {check.title: check for check in compare([first]).checks}
    assert not checks["Test scored once"].passed
    assert checks["Test scored once"].detail == "also scored in 1 other batch: b"
    (second.path / "experiment.json").write_text(
        json.dumps({"experiment": second.experiment.replace(task="other").to_flat()})
    )
    checks = {check.title: check for check in compare([first]).checks}
    assert checks["Test scored once"].passed


def test_a_batch_is_compared_by_the_metric_and_margin_that_it_was_started_with(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("ecglib.runs.find_runs", lambda folder: [make_run(1.0)])
    (unplanned,) = compare_batches([tmp_path / "explore"])
    checks = {check.title: check for check in unplanned.checks}
    assert not checks["Metric and margin chosen before"].passed
    a, b = tmp_path / "a", tmp_path / "b"
    record_settings(a, ComparisonSettings(metric="f1", margin=0.05))
    record_settings(a, ComparisonSettings(metric="auprc"))  # the first choice stays
    (planned,) = compare_batches([a])
    assert (planned.metric, planned.margin) == ("f1", 0.05)
    checks = {check.title: check for check in planned.checks}
    assert checks["Metric and margin chosen before"].passed
    (other,) = compare_batches([a], choose_settings([a], metric="auroc"))
    check = {check.title: check for check in other.checks}["Metric and margin chosen before"]
    assert not check.passed
    assert check.detail == (
        "macro AUROC and a margin of 0.05, started with macro F1 and a margin of 0.05"
    )
    record_settings(b, ComparisonSettings(metric="f1"))
    with pytest.raises(RunError, match=r"different values of margin: 0.01, 0.05.*--margin"):
        compare_batches([a, b])


def test_batches_on_several_stores_are_compared_one_by_one(tmp_path, monkeypatch):
    stores = {"a": [make_run(1.0)], "b": [make_run(1.0, fingerprint="g")]}
    monkeypatch.setattr("ecglib.runs.find_runs", lambda folder: stores[folder.name])
    comparisons = compare_batches([tmp_path / "a", tmp_path / "b", tmp_path / "a"])
    assert [one.dataset for one in comparisons] == ["d-f", "d-g"]


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
