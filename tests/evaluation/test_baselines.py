import pytest
from contestant_helpers import make_contestant, make_fusion, make_seeds

from ecglib.evaluation.baselines import BaselineComparison, compare_with_baselines
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.scoreboard import measure_models
from ecglib.evaluation.variances import Variance

FOREST, BOOSTING = "handcrafted:random_forest", "handcrafted:gradient_boosting"
KNOWN = Variance(0.004**2, 60)


def make_difference(estimate, patients=KNOWN):
    return Difference(
        name=FOREST, estimate=estimate, patients=patients, seeds=(), cautious_seeds=()
    )


def make_comparison(**estimates):
    differences = {name: make_difference(value) for name, value in estimates.items()}
    return BaselineComparison(baseline=FOREST, metric="auroc", differences=differences)


def make_baseline(strength, name=FOREST):
    return make_seeds(make_contestant, name, "baseline", None, strength)


@pytest.mark.parametrize(
    ("estimate", "word"),
    [
        # Two standard errors are 0.008, the 97.5 % quantile of t with 60 degrees 2.0003.
        (0.0081, "beats it"),
        (0.0079, "cannot tell"),
        (0.0, "cannot tell"),
        (-0.0079, "cannot tell"),
        (-0.0081, "beaten by it"),
    ],
)
def test_each_claim_needs_two_standard_errors(estimate, word):
    assert make_comparison(cnn=estimate).judge("cnn") == word


def test_with_too_few_patients_nothing_can_be_told():
    difference = make_difference(0.5, Variance(0.004**2, 0.0))
    found = BaselineComparison(baseline=FOREST, metric="auroc", differences={"cnn": difference})
    assert found.judge("cnn") == "cannot tell"
    assert found.describe() == (
        f"0 of 1 networks beat the classical baseline {FOREST}; cannot tell: "
        "cnn (+0.500 [no interval])."
    )


def test_the_sentence_tells_beaten_networks_from_undecided_ones():
    found = make_comparison(a=0.02, b=-0.02, c=0.001, d=0.03)
    assert found.describe() == (
        f"2 of 4 networks beat the classical baseline {FOREST}; "
        "beaten by it: b (-0.020 [-0.028, -0.012]); cannot tell: c (+0.001 [-0.007, +0.009])."
    )
    every = make_comparison(a=0.02, d=0.03).describe()
    assert every == f"Every network beats the classical baseline {FOREST}."


def test_every_network_is_compared_with_every_baseline():
    models = {
        "time:cnn": make_seeds(make_contestant),
        FOREST: make_baseline(0.5),
        BOOSTING: make_baseline(1.6, BOOSTING),
        "intermediate_gated": make_seeds(make_fusion, 1.6),
    }
    board = measure_models(models, "auroc")
    found = {one.baseline: one for one in compare_with_baselines(models, board)}
    assert list(found) == [FOREST, BOOSTING]
    assert list(found[FOREST].differences) == ["time:cnn", "intermediate_gated"]
    assert found[FOREST].differences["time:cnn"] == board.subtract("time:cnn", FOREST)
    assert found[FOREST].describe().startswith("Every network beats")
    assert found[BOOSTING].judge("time:cnn") == "beaten by it"
    assert found[BOOSTING].judge("intermediate_gated") == "cannot tell"


def test_networks_of_another_recipe_are_compared_with_a_baseline_too():
    models = {
        "time:cnn": make_seeds(make_contestant, recipe={"epochs": 10}),
        FOREST: make_seeds(make_contestant, FOREST, "baseline", None, 0.5, recipe={"epochs": 1}),
    }
    (found,) = compare_with_baselines(models, measure_models(models, "auroc"))
    assert found.judge("time:cnn") == "beats it"


def test_without_networks_or_baselines_there_is_nothing_to_compare():
    networks, baselines = {"time:cnn": make_seeds(make_contestant)}, {FOREST: make_baseline(1.0)}
    for models in (networks, baselines):
        assert compare_with_baselines(models, measure_models(models, "auroc")) == []
