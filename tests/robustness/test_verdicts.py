"""Verdicts on losses: their words, and how often they are wrong where all models lose the same."""

import dataclasses

import numpy as np
import pytest

from ecglib.errors import ExperimentError, RunError
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.scoreboard import measure_models
from ecglib.evaluation.verdict import adjust_p_values
from ecglib.robustness import (
    Curves,
    Robustness,
    compare_augmentation,
    compare_losses,
    compare_with_branches,
    find_smallest_losses,
    tabulate_comparisons,
    tabulate_smallest_losses,
)
from ecglib.robustness.curves import name_level
from ecglib.robustness.loss_comparisons import CANNOT_TELL, LOSES_LESS, LOSES_MORE
from ecglib.robustness.smallest_loss import ALIKE, SMALLEST

BRANCHES = ("time:cnn", "frequency:mlp", "spectrogram:cnn2d")
FUSIONS = ("late_average", "intermediate_concat")
# The severity tells the disturbances of a study apart.
SEVERITIES = {"white_noise": 6.0, "clipping": 0.5, "lost_leads": 1.0}
DISTANCE = 2.0  # between positive and negative windows, in standard deviations
SEED_STD = 0.1  # of the distance


def simulate_robustness(seed, loss, n_patients=80, n_seeds=5):
    """Simulate models of which each loses `loss[name]` of the distance in every disturbance."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n_patients) % 2)[:, None]
    patients = np.arange(n_patients).astype(str)
    common = rng.normal(size=(n_patients, 1))

    def draw_seeds(name, model, distance):
        of_model = rng.normal(size=(n_patients, 1))
        for number in range(n_seeds):
            z = (distance + SEED_STD * rng.normal()) * (y - 0.5)
            z = z + 0.8 * common + 0.4 * of_model + 0.4 * rng.normal(size=(n_patients, 1))
            predictions = Predictions(
                kind="multi_label",
                classes=("AF",),
                rows=np.arange(n_patients),
                records=patients,
                patients=patients,
                y=y,
                p=1 / (1 + np.exp(-z)),
            )
            yield Contestant(
                name=name,
                role="fusion" if model in FUSIONS else "single",
                branches=BRANCHES if model in FUSIONS else (model,),
                seed=number,
                predictions=predictions,
                thresholds=np.array([0.5]),
                validation=predictions,
                parameters=1,
            )

    seeds = {}
    for model, lost in loss.items():
        seeds[model] = list(draw_seeds(model, model, DISTANCE))
        for severity in SEVERITIES.values():
            name = name_level(model, severity)
            seeds[name] = list(draw_seeds(name, model, DISTANCE - lost))
    scoreboard = measure_models(seeds, "auroc")
    return Robustness(
        models={name: seeds[name][0] for name in loss},
        curves={
            name: Curves(disturbance=name, severities=(severity,), scoreboard=scoreboard)
            for name, severity in SEVERITIES.items()
        },
        unavailable={},
        caveats=(),
    )


EQUAL = dict.fromkeys((*BRANCHES, *FUSIONS), 0.8)
ONE_LOSES_LITTLE = EQUAL | {"time:cnn": 0.0}


@pytest.fixture(scope="module")
def null_studies():
    """Studies in which all models lose the same."""
    return [simulate_robustness(seed, EQUAL) for seed in range(120)]


def compute_bound(n):
    """5 % and three standard errors of a fraction over n studies."""
    return 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


def test_where_all_lose_the_same_a_smallest_loss_is_said_in_at_most_5_percent_of_studies(
    null_studies,
):
    wrong = [
        any(one.word == SMALLEST for one in find_smallest_losses(study)) for study in null_studies
    ]

    assert np.mean(wrong) <= compute_bound(len(wrong))


def test_where_all_lose_the_same_a_pair_is_told_apart_in_at_most_5_percent_of_studies(
    null_studies,
):
    wrong = [
        any(one.word != CANNOT_TELL for one in compare_with_branches(study))
        for study in null_studies
    ]

    assert len(compare_with_branches(null_studies[0])) == 3 * 2 * 3
    assert np.mean(wrong) <= compute_bound(len(wrong))


def test_without_the_adjustment_false_statements_would_be_frequent(null_studies):
    """So the two tests above can fail."""
    wrong = [
        any(
            all(one.low > 0 for one in verdict.advantages)
            for verdict in find_smallest_losses(study)
        )
        for study in null_studies
    ]

    assert np.mean(wrong) > compute_bound(len(wrong))


def test_a_branch_that_loses_little_is_found():
    study = simulate_robustness(0, ONE_LOSES_LITTLE, n_patients=400)

    verdicts = {(one.disturbance, one.group): one for one in find_smallest_losses(study)}

    assert len(verdicts) == 3 * 2
    for disturbance in SEVERITIES:
        verdict = verdicts[disturbance, "branches"]
        assert (verdict.word, verdict.best) == (SMALLEST, "time:cnn")
        assert {one.name for one in verdict.advantages} == set(BRANCHES[1:])
        assert "of 3 branches time:cnn has the smallest loss" in verdict.describe()
        assert verdicts[disturbance, "fusions"].word == CANNOT_TELL
    assert "cannot tell which of 2 fusions" in verdicts["clipping", "fusions"].describe()


def test_p_values_are_those_of_the_closest_model_adjusted_over_disturbances_and_groups():
    study = simulate_robustness(1, ONE_LOSES_LITTLE)

    verdicts = find_smallest_losses(study)

    closest = [2 * one.find_closest().compute_p_value() for one in verdicts]
    assert [one.p for one in verdicts] == pytest.approx(adjust_p_values(closest))


def test_equal_losses_of_many_patients_differ_by_less_than_the_margin():
    study = simulate_robustness(2, EQUAL, n_patients=3000)

    verdicts = find_smallest_losses(study, margin=0.1)

    assert {one.word for one in verdicts} == {ALIKE}
    assert "the losses of 3 branches differ by less than 0.1" in verdicts[0].describe()
    assert {one.word for one in find_smallest_losses(study, margin=1e-6)} <= {CANNOT_TELL, SMALLEST}


def test_fewer_than_five_seeds_are_not_enough():
    study = simulate_robustness(0, ONE_LOSES_LITTLE, n_patients=400, n_seeds=4)

    told = [*find_smallest_losses(study), *compare_with_branches(study)]

    assert {one.word for one in told} == {CANNOT_TELL}
    assert all("4 seeds; a verdict needs 5 of each model." in one.describe() for one in told)


def test_pairs_are_told_apart_in_both_directions():
    study = simulate_robustness(0, ONE_LOSES_LITTLE, n_patients=400)

    pairs = [("time:cnn", "late_average"), ("late_average", "time:cnn")]
    words = [one.word for one in compare_losses(study, pairs)]

    assert words == [LOSES_LESS, LOSES_MORE] * 3
    sentence = compare_losses(study, pairs)[1].describe()
    assert sentence.startswith("White noise: late_average loses more than time:cnn: -0.")


def with_recipes(study, recipes):
    models = {
        name: dataclasses.replace(one, recipe=recipes.get(name, {"epochs": 10, "augment": {}}))
        for name, one in study.models.items()
    }
    return dataclasses.replace(study, models=models)


def test_models_of_another_recipe_are_not_compared():
    study = simulate_robustness(0, EQUAL)
    other = with_recipes(study, {"time:cnn": {"epochs": 1, "augment": {}}})

    groups = {(one.group, len(one.advantages) + 1) for one in find_smallest_losses(other)}

    assert groups == {("branches", 2), ("fusions", 2)}
    assert "time:cnn" not in {one.advantage.name for one in compare_with_branches(other)}


def test_augmentation_is_compared_with_its_twin_without():
    study = simulate_robustness(0, EQUAL)
    augmented = {"epochs": 10, "augment": {"noise": {"snr_db": 10}}}
    models = dict(study.models)
    models["time:cnn"] = dataclasses.replace(models["time:cnn"], recipe=augmented)
    models["frequency:mlp"] = dataclasses.replace(
        models["frequency:mlp"], branches=("time:cnn",), recipe={"epochs": 10, "augment": {}}
    )

    pairs = compare_augmentation(dataclasses.replace(study, models=models))

    found = {(one.model, one.advantage.name) for one in pairs}
    assert found == {("time:cnn", "frequency:mlp")}
    assert len(pairs) == len(SEVERITIES)


def test_tables_have_a_row_for_each_verdict_and_pair():
    study = simulate_robustness(0, EQUAL)
    smallest, pairs = find_smallest_losses(study), compare_with_branches(study)

    assert tabulate_smallest_losses(smallest)["model"].tolist() == [one.best for one in smallest]
    assert tabulate_comparisons(pairs)["answer"].tolist() == [one.word for one in pairs]


def test_a_margin_of_zero_and_an_unknown_model_are_refused():
    study = simulate_robustness(0, EQUAL, n_seeds=2)

    with pytest.raises(RunError, match="expected a number above 0"):
        find_smallest_losses(study, margin=0.0)
    with pytest.raises(ExperimentError, match="time:cn"):
        compare_losses(study, [("time:cn", "late_average")])
