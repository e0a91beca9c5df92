"""Comparing plain models says which is better, by how much, and how certain that is."""

import json

import numpy as np
import pytest
from contestant_helpers import make_contestant, make_seeds
from scipy.stats import ttest_rel
from sklearn.metrics import roc_auc_score

from ecglib.evaluation.comparison import compare_contestants

FOREST = "handcrafted:random_forest"


def compare(n_seeds=5, **strengths):
    """Compare single branches on `time` of the given strengths (test, or test and validation)."""
    contestants = []
    for encoder, strength in strengths.items():
        test, validation = strength if isinstance(strength, tuple) else (strength, strength)
        contestants += make_seeds(
            make_contestant,
            f"time:{encoder}",
            "single",
            None,
            test,
            n_seeds=n_seeds,
            validation=validation,
        )
    return contestants, compare_contestants(contestants)


def test_the_difference_of_two_models_is_that_of_their_mean_auroc():
    contestants, comparison = compare(cnn=1.0, s4d=0.6)

    (pair,) = comparison.pairs
    scores = {
        name: np.mean(
            [
                roc_auc_score(one.predictions.y, one.predictions.p, average="macro")
                for one in contestants
                if one.name == name
            ]
        )
        for name in ("time:cnn", "time:s4d")
    }
    assert pair.model == "time:cnn"
    assert pair.difference.estimate == pytest.approx(scores["time:cnn"] - scores["time:s4d"])
    assert pair.difference.low < pair.difference.estimate < pair.difference.high


def test_a_clearly_better_model_is_named_in_one_sentence():
    _, comparison = compare(cnn=1.0, s4d=0.6)

    (sentence,) = comparison.describe_pairs()
    (pair,) = comparison.pairs
    assert sentence == (
        f"time:cnn is better than time:s4d: {pair.difference.format()} macro AUROC."
    )
    assert comparison.headline == (f"time:cnn is better than time:s4d: {pair.difference.format()}")
    assert sentence in comparison.to_text()
    assert json.loads(json.dumps(comparison.to_dict()))["pairs"][0]["word"] == "better"


def test_equal_models_cannot_be_told_apart():
    contestants, comparison = compare(cnn=1.0, s4d=1.0)

    scores = {
        name: [
            roc_auc_score(c.predictions.y, c.predictions.p) for c in contestants if c.name == name
        ]
        for name in ("time:cnn", "time:s4d")
    }
    assert ttest_rel(scores["time:cnn"], scores["time:s4d"]).pvalue > 0.05
    assert comparison.pairs[0].word == "cannot tell"
    assert comparison.describe_pairs()[0].startswith("Cannot tell which of time:")
    assert comparison.headline == "Cannot tell which model is better"


def test_the_model_is_chosen_on_the_validation_split():
    _, comparison = compare(cnn=(0.5, 1.2), s4d=(1.2, 0.5))

    (pair,) = comparison.pairs
    assert (pair.model, pair.word) == ("time:cnn", "worse")
    assert comparison.headline == "time:cnn, best on validation, is worse than time:s4d"


@pytest.mark.parametrize(
    ("n_seeds", "reason"),
    [
        (1, "1 seed of each, so the interval is over patients alone; an answer needs 5 of each"),
        (3, "3 seeds; an answer needs 5 of each model."),
    ],
)
def test_few_seeds_give_the_difference_but_no_answer(n_seeds, reason):
    _, comparison = compare(n_seeds=n_seeds, cnn=1.0, s4d=0.5)

    (sentence,) = comparison.describe_pairs()
    assert comparison.pairs[0].word == "cannot tell"
    assert comparison.pairs[0].difference.format() in sentence
    assert reason in sentence


def test_each_other_model_gets_a_sentence_and_a_baseline_its_own():
    contestants, _ = compare(cnn=1.0, s4d=0.6, resnet1d=0.5)
    trees = make_seeds(make_contestant, FOREST, "baseline", None, 0.3)

    comparison = compare_contestants([*contestants, *trees])

    assert [pair.difference.name for pair in comparison.pairs] == ["time:s4d", "time:resnet1d"]
    assert comparison.headline == "time:cnn is better than the 2 others"
    assert len(comparison.describe_baselines()) == 1


def test_one_model_alone_is_compared_with_nothing():
    _, comparison = compare(cnn=1.0)

    assert comparison.pairs == []
    assert comparison.headline == "No fusion to judge"
