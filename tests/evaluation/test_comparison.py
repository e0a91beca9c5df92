import dataclasses
import json

import numpy as np
import pytest
from contestant_helpers import (
    make_contestant,
    make_ensemble,
    make_fusion,
    make_seeds,
    make_widened,
    replace_predictions,
)

from ecglib.evaluation.checks import Check, list_checks
from ecglib.evaluation.comparison import compare_contestants
from ecglib.evaluation.contestants import group_by_model
from ecglib.evaluation.dependence import compute_dependence
from ecglib.evaluation.needs import Needs
from ecglib.evaluation.scoreboard import measure_models
from ecglib.evaluation.verdict import ComparisonSettings, compute_verdicts

FOREST = "handcrafted:random_forest"
TWO = ("time:cnn", "frequency:mlp")


def make_study(fusions, n_seeds=5, forest=0.3, **other):
    """Two branches, both controls, a baseline, and fusions of given strengths."""
    contestants = [
        *make_seeds(make_contestant, n_seeds=n_seeds, **other),
        *make_seeds(make_contestant, "frequency:mlp", strength=0.5, n_seeds=n_seeds, **other),
        *make_seeds(make_ensemble, 1.1, ensemble_size=2, n_seeds=n_seeds, **other),
        *make_seeds(make_widened, 1.1, 2000, n_seeds=n_seeds, **other),
        *make_seeds(make_contestant, FOREST, "baseline", None, forest, n_seeds=n_seeds, **other),
    ]
    for name, strength in fusions.items():
        contestants += make_seeds(
            make_fusion, strength, name, TWO, n_seeds=n_seeds, parameters=2000, **other
        )
    return contestants


@pytest.fixture(scope="module")
def study():
    return make_study(
        {"late_average": 1.05, "intermediate_gated": 1.5}, caveats=("synthetic data",)
    )


@pytest.fixture(scope="module")
def comparison(study):
    settings = ComparisonSettings(margin=0.02)
    return compare_contestants(study, settings, dataset="synthetic-0123", task="superdiagnostic")


# --- the headline


def find_headline(fusions, **other):
    return compare_contestants(
        make_study(fusions, **other), ComparisonSettings(margin=0.02)
    ).headline


def test_the_headline_names_the_fusion_that_helps_most_and_its_gain(comparison):
    (best,) = [one for one in comparison.verdicts if one.fusion == "intermediate_gated"]
    gain = best.find_rival("single").difference.format()
    assert comparison.headline == f"intermediate_gated helps: {gain}"


def test_the_headline_counts_the_other_fusions_that_help():
    headline = find_headline({"late_average": 1.3, "intermediate_gated": 1.5})
    assert headline.startswith("intermediate_gated helps (and 1 more): +0.")


@pytest.mark.parametrize(
    ("fusions", "other", "headline"),
    [
        ({"late_average": 1.0, "early_concat": 0.8}, {}, "No fusion helped"),
        ({"late_average": 1.5}, {"n_seeds": 2}, "Cannot tell whether a fusion helps: 2 seeds"),
        ({"late_average": 1.5}, {"n_seeds": 1}, "Cannot tell whether a fusion helps: 1 seed"),
        (
            {"late_average": 1.12, "early_concat": 0.8},
            {"n_patients": 40, "noise": 1.5},
            "Cannot tell whether a fusion helps",
        ),
    ],
)
def test_headlines_without_a_fusion_that_helps(fusions, other, headline):
    assert find_headline(fusions, **other) == headline


def test_headlines_of_what_cannot_be_compared_or_measured():
    contestants = make_study({"late_average": 1.5}, recipe={"epochs": 1})
    for i, one in enumerate(contestants):
        if one.role == "fusion":
            contestants[i] = make_fusion(
                1.5, "late_average", TWO, seed=one.seed, recipe={"epochs": 9}
            )
    found = compare_contestants(contestants)
    assert found.headline == "Cannot compare: no branch was trained like the fusions"
    assert [check.passed for check in found.checks if check.title == "One recipe"] == [False]

    contestants = make_study({"late_average": 1.5})
    y = np.zeros_like(contestants[0].predictions.y)
    y[7] = 1
    found = compare_contestants([replace_predictions(one, y=y) for one in contestants])
    assert found.headline == "Cannot be measured: too few patients decide the score"
    json.dumps(found.to_dict(), allow_nan=False)
    assert "no interval" in found.to_text()


@pytest.mark.parametrize("n_seeds", [1, 5])
def test_no_headline_has_more_than_twelve_words(n_seeds):
    names = {"intermediate_gated": 1.5, "late_average": 1.4, "early_concat": 1.3}
    assert len(find_headline(names, n_seeds=n_seeds).split()) <= 12


# --- its parts


def test_a_comparison_joins_scores_verdicts_and_dependence(study, comparison):
    models = group_by_model(study)
    board = measure_models(models, "auroc")
    settings = ComparisonSettings(margin=0.02)
    assert comparison.verdicts == compute_verdicts(models, board, settings)
    assert comparison.best_branch == "time:cnn"
    assert (comparison.n_patients, comparison.n_windows, comparison.n_folds) == (300, 300, 0)
    expected = compute_dependence(models["time:cnn"], "auroc")
    assert comparison.dependence.table.equals(expected.table)
    assert comparison.caveats == ("synthetic data",)
    score = board.score("late_average")
    row = comparison.table.set_index("model").loc["late_average"]
    assert (row["auroc"], row["auroc_low"]) == (score.estimate, score.low)
    assert {"auprc", "f1"} <= set(comparison.table)


def test_models_are_sorted_from_the_best_to_the_worst(study, comparison):
    assert comparison.table["auroc"].is_monotonic_decreasing
    assert comparison.table["model"].iloc[-1] == FOREST
    brier = compare_contestants(study, ComparisonSettings(metric="brier"))
    assert brier.table["brier"].is_monotonic_increasing
    assert brier.list_metrics() == ["brier", "auroc", "auprc", "f1"]


def test_verdicts_are_sorted_by_the_gain_over_the_best_branch(comparison):
    assert [one.fusion for one in comparison.verdicts] == ["late_average", "intermediate_gated"]
    sorted_names = [one.fusion for one in comparison.sort_verdicts()]
    assert sorted_names == ["intermediate_gated", "late_average"]
    rows = comparison.build_difference_rows()
    assert rows["fusion"].tolist() == ["intermediate_gated"] * 3 + ["late_average"] * 3
    assert rows["kind"].tolist() == ["single", "ensemble", "same size"] * 2
    assert rows["name"].tolist() == ["time:cnn", "2 x time:cnn", "time:cnn widened to 2000"] * 2
    first = comparison.sort_verdicts()[0].find_rival("ensemble").difference
    assert rows.loc[1, ["estimate", "low", "high"]].tolist() == [
        first.estimate,
        first.low,
        first.high,
    ]


def test_the_split_is_described(study, comparison):
    assert comparison.describe_split() == "Test split, 300 patients"
    folds = np.arange(300) % 5 + 1
    folded = [replace_predictions(one, folds=folds) for one in study]
    found = compare_contestants(folded)
    assert found.n_folds == 5
    assert found.describe_split() == "5 folds, each held out once, 300 patients"


def test_values_for_json_are_plain_and_complete(comparison):
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert values["headline"] == comparison.headline
    assert [one["word"] for one in values["verdicts"]] == [one.word for one in comparison.verdicts]
    rival = values["verdicts"][1]["rivals"][0]
    difference = comparison.verdicts[1].rivals[0].difference
    assert (rival["name"], rival["estimate"]) == (difference.name, difference.estimate)
    assert rival["p"] == difference.compute_p_value()
    assert len(values["models"]) == 7
    assert len(values["classes"]) == 4
    assert len(values["patients"]) == 300
    assert values["baselines"][0]["networks"]["time:cnn"]["word"] == "beats it"


def test_the_text_has_headline_tables_and_checks(comparison):
    text = comparison.to_text()
    assert text.startswith(comparison.headline)
    assert "synthetic-0123, task superdiagnostic. Test split, 300 patients." in text
    assert "smallest gain worth having 0.02. Caveats: synthetic data." in text
    assert "passed: Enough seeds (5 of 5)" in text
    formatted = comparison.format_verdicts().set_index("fusion")
    single = comparison.verdicts[0].find_rival("single").difference
    assert formatted.loc["late_average", "over the best branch"] == single.format()
    assert formatted.loc["intermediate_gated", "verdict"] == "adds"
    scores = comparison.format_scores().set_index("model")
    assert scores.loc[FOREST, "parameters"] == "1,000 nodes"
    assert comparison.format_class_scores("f1").columns.tolist() == ["model", "NORM", "MI", "macro"]


def test_what_would_decide_is_shown_only_where_a_verdict_is_open(comparison):
    needs = Needs(min_patients=300, max_patients=700, seeds=5)
    decided, other = (
        dataclasses.replace(one, word="adds", needs=needs) for one in comparison.verdicts
    )
    undecided = dataclasses.replace(other, word="cannot tell")

    with_open = dataclasses.replace(comparison, verdicts=[decided, undecided]).format_verdicts()
    without = dataclasses.replace(comparison, verdicts=[decided, other]).format_verdicts()

    column = with_open.set_index("fusion")["what would decide"]
    assert column[undecided.fusion] == "needs about 300 to 700 patients, 5 seeds"
    assert column[decided.fusion] == "-"
    assert "what would decide" not in without


def test_numbers_for_people_round_those_of_the_table(comparison):
    row = comparison.table.iloc[0]
    expected = f"{row['auroc']:.3f} [{row['auroc_low']:.3f}, {row['auroc_high']:.3f}]"
    assert comparison.format_scores()["macro AUROC"][0] == expected
    score_row = comparison.build_score_rows().iloc[0]
    assert score_row.tolist() == [
        row["model"],
        row["role"],
        row["auroc"],
        row["auroc_low"],
        row["auroc_high"],
    ]


# --- checks


def test_checks_say_what_was_found(comparison):
    given = Check(title="Patients disjoint", passed=True, detail="no leak between the splits")
    found = {one.title: one for one in comparison.checks}
    assert found["Fusions and branches trained alike"].passed
    assert found["Enough seeds"].passed
    assert found["Baseline beaten"].detail == "by 6 of 6 networks; the best branch does"
    assert all(one.passed for one in comparison.checks)
    both = compare_contestants(make_study({"late_average": 1.0}), checks=[given]).checks
    assert both[0] == given
    assert len(both) == 5


def test_checks_fail_with_few_seeds_and_an_unbeaten_baseline():
    found = compare_contestants(make_study({"late_average": 1.0}, n_seeds=2, forest=1.0))
    checks = {one.title: one for one in found.checks}
    assert not checks["Enough seeds"].passed
    assert checks["Enough seeds"].detail == "2 of 5"
    assert not checks["Baseline beaten"].passed
    assert list_checks([], [])[0].detail == "no baseline"
