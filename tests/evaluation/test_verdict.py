import dataclasses

import numpy as np
import pytest
from contestant_helpers import (
    FUSED,
    make_contestant,
    make_ensemble,
    make_fusion,
    make_seeds,
    make_widened,
    replace_predictions,
)
from scipy import stats

from ecglib.errors import RunError
from ecglib.evaluation.class_differences import build_class_table
from ecglib.evaluation.contestants import group_by_model
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.needs import estimate_needs
from ecglib.evaluation.rivals import find_contenders
from ecglib.evaluation.scoreboard import measure_models
from ecglib.evaluation.variances import Variance
from ecglib.evaluation.verdict import (
    ADDS,
    ADDS_LITTLE,
    CANNOT_COMPARE,
    CANNOT_MEASURE,
    CANNOT_TELL,
    EQUALS_ENSEMBLE,
    NO_GAIN,
    WORDS,
    WORSE,
    ComparisonSettings,
    adjust_p_values,
    compute_verdicts,
)

OTHERS = {"frequency:mlp": 0.5, "spectrogram:cnn2d": 0.4}


def make_others(**other):
    """The two branches beside time:cnn, which are clearly worse on both splits."""
    return [
        one
        for branch, strength in OTHERS.items()
        for one in make_seeds(make_contestant, branch, strength=strength, **other)
    ]


def make_study(fusion=1.5, ensemble=1.1, single=1.0, **other):
    """Three branches, an ensemble of the best one, and a fusion; five seeds of each."""
    contestants = [
        *make_seeds(make_contestant, strength=single, **other),
        *make_others(**other),
        *make_seeds(make_fusion, fusion, **other),
    ]
    if ensemble is not None:
        contestants += make_seeds(make_ensemble, ensemble, **other)
    return contestants


def judge_all(contestants, **settings):
    chosen = ComparisonSettings(**settings)
    models = group_by_model(contestants)
    return compute_verdicts(models, measure_models(models, chosen.metric), chosen)


def judge(contestants, **settings):
    (verdict,) = judge_all(contestants, **settings)
    return verdict


def change(contestants, name, **changes):
    """The same models, one of them with other fields."""
    return [dataclasses.replace(one, **changes) if one.name == name else one for one in contestants]


# --- the eight words


def test_a_fusion_that_beats_every_branch_and_the_ensemble_adds():
    verdict = judge(make_study(fusion=1.5))
    assert verdict.word == ADDS
    assert verdict.best_branch == "time:cnn"
    single, ensemble = verdict.find_rival("single"), verdict.find_rival("ensemble")
    assert ensemble.difference.name == "3 x time:cnn"
    assert 0 < ensemble.difference.low < ensemble.difference.estimate < single.difference.estimate
    assert verdict.p_adds == pytest.approx(ensemble.difference.compute_p_value())
    assert verdict.find_strongest_rival() == ensemble
    assert verdict.describe().startswith(
        f"intermediate_gated adds: {single.difference.format()} over time:cnn, "
        f"{ensemble.difference.format()} over an equal ensemble."
    )


def test_a_gain_that_is_certain_but_below_the_margin_adds_less_than_the_margin():
    study = make_study(fusion=1.2, ensemble=1.02)
    high = judge(study).find_rival("ensemble").difference.high
    assert judge(study, margin=1.5 * high).word == ADDS_LITTLE
    assert judge(study, margin=0.1 * high).word == ADDS


def test_a_fusion_that_wins_by_averaging_alone_only_equals_the_ensemble():
    verdict = judge(make_study(fusion=1.5, ensemble=1.5), margin=0.02)
    assert verdict.find_rival("single").difference.low > 0.02
    assert verdict.word == EQUALS_ENSEMBLE
    assert verdict.describe().startswith(f"intermediate_gated: {EQUALS_ENSEMBLE}; +0.0")


def test_a_fusion_that_equals_its_best_branch_has_no_gain_of_the_margin():
    verdict = judge(make_study(fusion=1.0, ensemble=1.0), margin=0.02)
    assert verdict.word == NO_GAIN
    assert verdict.find_rival("single").difference.high < 0.02


def test_a_fusion_worse_than_a_branch_is_called_worse():
    verdict = judge(make_study(fusion=0.8))
    assert verdict.find_rival("single").difference.high < 0
    assert verdict.word == WORSE


def test_a_wide_interval_cannot_tell_and_says_what_would():
    verdict = judge(make_study(fusion=1.15, ensemble=1.1, n_patients=40, noise=1.5))
    difference = verdict.find_rival("ensemble").difference
    assert difference.low < 0 < 0.01 < difference.high
    assert verdict.word == CANNOT_TELL
    assert verdict.needs.min_patients > 40
    assert verdict.describe().startswith(
        f"intermediate_gated: cannot tell ({verdict.needs.format()}); "
    )


def test_scores_that_one_patient_decides_cannot_be_measured():
    study = make_study(fusion=2.0)
    y = np.zeros_like(study[0].predictions.y)
    y[7] = 1
    verdict = judge([replace_predictions(one, y=y) for one in study])
    assert verdict.word == CANNOT_MEASURE
    assert "100% of the positive windows of NORM are one patient's" in verdict.reasons[0]
    assert np.isnan(verdict.p_adds)


def test_the_reason_names_a_class_that_is_scored():
    """A class that is always true, mostly of one patient, has no score and decides nothing."""
    study = make_study(n_patients=60)
    patients = np.where(np.arange(60) < 54, "a", study[0].predictions.patients)
    y = np.ones_like(study[0].predictions.y)
    y[:, 1] = np.arange(60) % 10 == 9
    y[58, 1] = 1
    study = [replace_predictions(one, y=y, patients=patients) for one in study]
    verdict = judge(study)
    assert verdict.word == CANNOT_MEASURE
    assert "positive windows of MI" in verdict.reasons[0]


def test_models_that_were_trained_otherwise_cannot_be_compared():
    study = [dataclasses.replace(one, recipe={"epochs": 1, "width": 32}) for one in make_study()]
    study = change(study, "intermediate_gated", recipe={"epochs": 10, "width": 32})
    verdict = judge(study)
    assert verdict.word == CANNOT_COMPARE
    assert verdict.reasons[0] == (
        "No single branch was trained alike: epochs 10 against 1 (fusion against branch)."
    )
    assert verdict.rivals == ()
    assert verdict.needs is None
    assert verdict.describe().startswith("intermediate_gated: cannot compare. No single branch")


def test_every_word_has_a_scenario_here():
    scenarios = {ADDS, ADDS_LITTLE, EQUALS_ENSEMBLE, NO_GAIN, WORSE}
    assert scenarios | {CANNOT_TELL, CANNOT_MEASURE, CANNOT_COMPARE} == set(WORDS)


# --- the rivals


def test_every_branch_has_to_be_beaten_not_the_best_on_validation_alone():
    """A poor choice on the validation split does not count for the fusion."""
    strong = make_seeds(make_contestant, "spectrogram:cnn2d", strength=1.5, validation=0.4)
    study = [one for one in make_study(fusion=1.5) if one.name != "spectrogram:cnn2d"]
    verdict = judge([*study, *strong])
    assert verdict.best_branch == "time:cnn"
    assert verdict.find_rival("single").difference.low > 0
    assert verdict.find_rival("ensemble").difference.low > 0
    assert verdict.find_strongest_rival().branch == "spectrogram:cnn2d"
    assert verdict.word == NO_GAIN
    assert judge(make_study(fusion=1.5)).word == ADDS


def test_branches_that_validation_does_not_tell_from_the_best_need_an_ensemble_too():
    close = make_seeds(make_contestant, "spectrogram:cnn2d", strength=1.02, noise=0.5)
    study = [one for one in make_study(fusion=1.6) if one.name != "spectrogram:cnn2d"]
    verdict = judge([*study, *close])
    assert verdict.word == CANNOT_TELL
    assert verdict.p_adds < 0.025
    assert any("no ensemble of 3 x spectrogram:cnn2d" in reason for reason in verdict.reasons)

    weak = make_seeds(make_ensemble, 1.0, "spectrogram:cnn2d")
    assert judge([*study, *close, *weak]).word == ADDS
    strong = make_seeds(make_ensemble, 1.6, "spectrogram:cnn2d")
    verdict = judge([*study, *close, *strong])
    assert verdict.word == EQUALS_ENSEMBLE
    assert verdict.find_strongest_rival().difference.name == "3 x spectrogram:cnn2d"


def test_without_an_ensemble_nothing_is_shown_to_add():
    verdict = judge(make_study(fusion=1.5, ensemble=None))
    assert verdict.word == CANNOT_TELL
    assert "The batch has no ensemble of 3 x time:cnn" in verdict.describe()
    assert judge(make_study(fusion=0.8, ensemble=None)).word == WORSE


def test_a_branch_of_the_fusion_that_was_not_run_alone_may_be_as_good():
    study = [one for one in make_study(fusion=1.5) if one.name != "frequency:mlp"]
    verdict = judge(study)
    assert verdict.word == CANNOT_TELL
    assert "frequency:mlp was not run alone" in verdict.describe()
    assert judge(change(study, "intermediate_gated", branches=("time:cnn", FUSED[2]))).word == ADDS


def test_a_branch_that_was_trained_otherwise_is_no_rival_and_is_named():
    study = [dataclasses.replace(one, recipe={"epochs": 10}) for one in make_study(fusion=1.5)]
    study = change(study, "frequency:mlp", recipe={"epochs": 1})
    verdict = judge(study)
    assert verdict.word == CANNOT_TELL
    assert "frequency:mlp was not trained alike: epochs 10 against 1" in verdict.describe()
    assert "frequency:mlp" not in [rival.branch for rival in verdict.rivals]


def test_the_recipes_of_all_seeds_count():
    study = [dataclasses.replace(one, recipe={"keras": "3.15"}) for one in make_study()]
    assert judge(study).word == ADDS
    study[3] = dataclasses.replace(study[3], recipe={"keras": "3.14"})  # the fourth of time:cnn
    assert "keras 3.15 against 3.14" in judge(study).describe()
    fusion = next(i for i, one in enumerate(study) if one.role == "fusion")
    study[fusion + 1] = dataclasses.replace(study[fusion + 1], recipe={"keras": "3.13"})
    verdict = judge(study)
    assert verdict.word == CANNOT_COMPARE
    assert "keras 3.15 against 3.13" in verdict.describe()


@pytest.mark.parametrize(
    "unfit", [{"ensemble_size": 2}, {"branch": "frequency:mlp"}], ids=["too small", "other branch"]
)
def test_smaller_ensembles_and_those_of_other_branches_are_no_control(unfit):
    study = [*make_study(ensemble=None), *make_seeds(make_ensemble, 1.0, **unfit)]
    assert judge(study).find_rival("ensemble") is None


def test_an_ensemble_averages_as_many_models_as_the_fusion_has_branches():
    ensembles = [one for n in (2, 3, 5) for one in make_seeds(make_ensemble, 1.1, ensemble_size=n)]
    two = make_seeds(make_fusion, 1.5, "late_mean", FUSED[:2])
    verdicts = judge_all([*make_study(ensemble=None), *ensembles, *two])
    assert [one.fusion for one in verdicts] == ["intermediate_gated", "late_mean"]
    names = [one.find_rival("ensemble").difference.name for one in verdicts]
    assert names == ["3 x time:cnn", "2 x time:cnn"]


def test_a_larger_ensemble_can_only_speak_for_the_fusion():
    study = make_study(fusion=1.5, ensemble=None)
    beaten = [one for n in (5, 4) for one in make_seeds(make_ensemble, 1.1, ensemble_size=n)]
    verdict = judge([*study, *beaten])
    assert verdict.find_rival("ensemble").difference.name == "4 x time:cnn"
    assert verdict.find_rival("ensemble").is_larger
    assert verdict.word == ADDS
    equal = judge([*study, *make_seeds(make_ensemble, 1.5, ensemble_size=4)], margin=0.02)
    assert equal.find_rival("ensemble").difference.high < 0.02
    assert equal.word == CANNOT_TELL


def test_a_fusion_that_wins_by_parameters_alone_has_no_gain():
    study = change(make_study(fusion=1.5), "intermediate_gated", parameters=3000)
    assert judge(study).word == ADDS
    assert "No branch of its size was run" in judge(study).describe()
    verdict = judge([*study, *make_seeds(make_widened, 1.5, 2950)], margin=0.02)
    assert verdict.find_rival("same size").difference.name == "time:cnn widened to 2950"
    assert verdict.word == NO_GAIN
    assert "over its size" in verdict.describe()
    beaten = judge([*study, *make_seeds(make_widened, 1.1, 2950)])
    assert beaten.word == ADDS
    assert "No branch of its size" not in beaten.describe()


def find_same_size(study, sizes):
    widened = [one for size in sizes for one in make_seeds(make_widened, 1.1, size)]
    rival = judge([*study, *widened]).find_rival("same size")
    return rival.difference.name if rival else None


def test_the_same_size_control_is_the_nearest_and_never_clearly_smaller():
    study = change(make_study(), "intermediate_gated", parameters=3000)
    sizes = [1500, 2500, 2900, 3100, 6000]
    # 3000 / 2900 is more than 3100 / 3000.
    assert find_same_size(study, sizes) == "time:cnn widened to 3100"
    assert find_same_size(study, [2500]) == "time:cnn widened to 2500"
    assert find_same_size(study, [1500]) is None
    other = make_seeds(make_widened, 1.1, 3000, "frequency:mlp")
    assert judge([*study, *other]).find_rival("same size") is None


def test_a_branch_about_as_large_as_the_fusion_needs_no_same_size_control():
    study = change(make_study(), "intermediate_gated", parameters=1200)
    assert find_same_size(study, [2000]) is None
    assert "No branch of its size" not in judge(study).describe()
    study = change(study, "intermediate_gated", parameters=1600)
    assert find_same_size(study, [2000]) == "time:cnn widened to 2000"


def test_a_widened_branch_that_is_larger_can_only_speak_for_the_fusion():
    study = change(make_study(fusion=1.5), "intermediate_gated", parameters=3000)
    beaten = judge([*study, *make_seeds(make_widened, 1.1, 6000)])
    assert beaten.word == ADDS
    assert beaten.find_rival("same size").is_larger
    unbeaten = judge([*study, *make_seeds(make_widened, 1.5, 6000)], margin=0.02)
    assert unbeaten.find_rival("same size").difference.high < 0.02
    assert unbeaten.word == CANNOT_TELL


def test_controls_and_baselines_are_no_branches():
    forest = make_seeds(
        make_contestant, "handcrafted:random_forest", "baseline", None, 3.0, validation=3.0
    )
    wide = make_seeds(make_widened, 1.1, 2000, validation=3.0)
    verdict = judge([*make_study(fusion=1.5), *forest, *wide])
    assert verdict.best_branch == "time:cnn"
    assert {rival.difference.name for rival in verdict.rivals if rival.kind == "single"} == set(
        FUSED
    )
    assert all("random_forest" not in rival.difference.name for rival in verdict.rivals)
    assert verdict.word == ADDS


def test_a_fusion_of_encoders_of_one_representation_says_so():
    branches = ("time:cnn", "time:s4d")
    study = [*make_study(), *make_seeds(make_contestant, "time:s4d", strength=0.5)]
    same = judge(change(study, "intermediate_gated", branches=branches)).describe()
    assert "All its branches take one representation" in same
    assert "one representation" not in judge(study).describe()


# --- the best branch


def test_the_best_branch_is_chosen_on_validation_by_the_mean_over_seeds():
    models = group_by_model(
        [
            *make_seeds(make_contestant, "time:cnn", strength=0.5, validation=1.5),
            *(
                make_contestant("time:lstm", strength=2.0, validation=validation, seed=seed)
                for seed, validation in enumerate([0.2, 0.3, 2.0, 0.3, 0.2])
            ),
            *make_seeds(make_fusion, 2.0, branches=("time:cnn", "time:lstm"), validation=9.0),
        ]
    )
    validation = measure_models(models, "auroc", split="validation")
    assert find_contenders(models, validation)[0] == "time:cnn"
    (verdict,) = compute_verdicts(models, measure_models(models, "auroc"))
    assert verdict.best_branch == "time:cnn"


def test_contenders_are_those_that_the_best_branch_is_not_shown_to_beat():
    models = group_by_model(
        [
            *make_seeds(make_contestant, "time:cnn", strength=1.0),
            *make_seeds(make_contestant, "time:lstm", strength=1.02, noise=0.5),
            *make_seeds(make_contestant, "time:s4d", strength=0.5),
        ]
    )
    validation = measure_models(models, "auroc", split="validation")
    assert find_contenders(models, validation) == ["time:cnn", "time:lstm"]
    p = validation.subtract("time:cnn", "time:s4d").compute_p_value()
    assert p < 0.025 < validation.subtract("time:cnn", "time:lstm").compute_p_value()


def test_of_equally_good_branches_the_smaller_is_first():
    small = make_contestant("time:lstm", parameters=999)
    large = dataclasses.replace(small, name="time:cnn", branches=("time:cnn",), parameters=1000)
    models = group_by_model([large, small])
    validation = measure_models(models, "auroc", split="validation")
    assert find_contenders(models, validation) == ["time:lstm", "time:cnn"]


def test_of_metrics_of_which_less_is_better_the_best_branch_has_the_least():
    models = group_by_model(
        [
            *make_seeds(make_contestant, "time:cnn", strength=2.0),
            *make_seeds(make_contestant, "time:lstm", strength=0.5),
        ]
    )
    validation = measure_models(models, "brier", split="validation")
    assert find_contenders(models, validation) == ["time:cnn"]


def test_a_batch_without_a_single_branch_is_refused():
    with pytest.raises(RunError, match=r"no single branch.*Run each branch"):
        judge_all([*make_seeds(make_fusion, 1.0), *make_seeds(make_ensemble, 1.0)])


# --- how it is decided


@pytest.mark.parametrize("metric", ["auprc", "f1", "mcc", "brier"])
def test_other_metrics_find_a_clear_gain_too(metric):
    verdict = judge(make_study(fusion=2.0), metric=metric)
    assert (verdict.word, verdict.metric) == (ADDS, metric)


def test_fewer_than_five_seeds_cannot_tell():
    study = [one for one in make_study(fusion=2.0) if one.seed < 4]
    verdict = judge(study)
    assert verdict.word == CANNOT_TELL
    assert verdict.reasons[0] == "4 seeds; a verdict needs 5 of each model."
    assert np.isnan(verdict.p_adds)
    single = judge([one for one in study if one.seed < 1])
    assert single.reasons[0] == "1 seed; a verdict needs 5 of each model."
    fewer = [one for one in make_study(fusion=2.0) if one.role != "ensemble" or one.seed < 2]
    assert judge(fewer).n_seeds == 2


def test_seeds_that_vary_forbid_a_verdict_that_one_seed_would_give():
    """Each seed beats the branch by far more than the patients explain, or loses as clearly."""
    strengths = [3.0, 0.4, 2.5, 1.5, 0.8]
    unstable = [make_fusion(value, seed=seed) for seed, value in enumerate(strengths)]
    verdict = judge([*(one for one in make_study() if one.role != "fusion"), *unstable])
    difference = verdict.find_rival("single").difference
    assert difference.patients.value < 0.2 * difference.cautious_seeds[0].value
    assert verdict.word == CANNOT_TELL


def test_p_values_are_adjusted_over_the_fusions_by_the_method_of_holm():
    fusions = [
        one
        for name, strength in {"a": 1.12, "b": 1.15, "c": 1.3}.items()
        for one in make_seeds(make_fusion, strength, name, noise=0.5)
    ]
    study = [one for one in make_study(ensemble=1.02) if one.role != "fusion"]
    verdicts = judge_all([*study, *fusions])
    largest = [
        max(rival.difference.compute_p_value() for rival in verdict.rivals) for verdict in verdicts
    ]
    assert [verdict.p_adds for verdict in verdicts] == pytest.approx(adjust_p_values(largest))
    alone = judge([*study, *fusions[:5]])
    assert verdicts[0].p_adds > 1e-12
    assert verdicts[0].p_adds >= alone.p_adds


def test_no_gain_is_corrected_for_the_number_of_rivals():
    verdict = judge(make_study(fusion=1.0, ensemble=1.0, noise=0.5), margin=0.02)
    p_values = [r.difference.compute_p_value(0.02, below=True) for r in verdict.rivals]
    assert len(p_values) == 4
    assert verdict.p_no_gain == pytest.approx(4 * min(p_values))


def adjust_by_hand(p_values):
    """Holm as published: compare the ordered p values with alpha / m, alpha / (m - 1), ..."""
    adjusted = []
    for p in p_values:
        smaller = [other for other in p_values if other <= p]
        steps = [(len(p_values) - sorted(p_values).index(other)) * other for other in smaller]
        adjusted.append(min(1.0, max(steps)))
    return adjusted


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.03, 0.01, 0.02], [0.04, 0.03, 0.04]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.04], [0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, expected):
    assert adjust_p_values(p_values) == pytest.approx(expected)


def test_holm_by_brute_force():
    rng = np.random.default_rng(0)
    for n in (2, 5, 9):
        p_values = (rng.random(n) ** 3).tolist()
        found = adjust_p_values(p_values)
        assert found == pytest.approx(adjust_by_hand(p_values))
        # Stepping down by hand rejects the same claims.
        order = np.argsort(p_values)
        passed = np.sort(p_values) <= 0.05 / np.arange(n, 0, -1)
        rejected = order[: n if passed.all() else int(np.argmin(passed))]
        assert set(np.flatnonzero(np.array(found) <= 0.05)) == set(rejected)


def test_holm_keeps_the_family_wise_error_of_a_true_null():
    rng = np.random.default_rng(1)
    false_alarms = sum(min(adjust_p_values(rng.random(6).tolist())) <= 0.05 for _ in range(4000))
    assert false_alarms <= stats.binom.ppf(0.999, 4000, 0.05)


# --- what would decide it


def make_difference(patients, seeds, degrees=100.0):
    parts = (Variance(seeds / 2, 20), Variance(seeds / 2, 20))
    return Difference(
        name="time:cnn",
        estimate=0.0,
        patients=Variance(patients, degrees),
        seeds=parts,
        cautious_seeds=parts,
    )


def test_with_the_needed_patients_a_gain_of_the_margin_has_a_power_of_80_percent():
    n_patients, patients, seeds = 100, 0.006**2, 1e-6
    needs = estimate_needs(make_difference(patients, seeds), n_patients, 5, margin=0.01)
    needed = np.mean([needs.min_patients, needs.max_patients])
    assert needs.seeds == 5
    error = np.sqrt(patients * n_patients / needed + seeds)
    power = stats.norm.sf(stats.norm.ppf(0.975), loc=0.01 / error)
    assert power == pytest.approx(0.8, abs=0.02)
    target = (0.01 / (stats.norm.ppf(0.975) + stats.norm.ppf(0.8))) ** 2
    assert needs.min_patients < n_patients * patients / (target - seeds) < needs.max_patients


def test_the_range_of_the_needed_patients_covers_the_truth_in_80_percent_of_studies():
    rng = np.random.default_rng(0)
    true, degrees, target = 0.006**2, 30, (0.01 / 2.8015852) ** 2
    covered = 0
    for estimate in true * rng.chisquare(degrees, 2000) / degrees:
        needs = estimate_needs(make_difference(estimate, 0.0, degrees), 100, 5, margin=0.01)
        covered += needs.min_patients - 1 <= 100 * true / target <= needs.max_patients
    # Standard error of an observed coverage of 80 % in 2,000 studies: 0.9 %.
    assert covered / 2000 == pytest.approx(0.8, abs=0.03)


def test_more_seeds_are_needed_where_they_take_over_half_of_the_variance():
    target = (0.01 / 2.8015852) ** 2
    needs = estimate_needs(make_difference(0.004**2, 1.99 * target), 100, 5, margin=0.01)
    # Nearly twice the target with five seeds is half of it with twenty.
    assert needs.seeds == 20
    few = estimate_needs(make_difference(0.004**2, 0.0), 100, 2, margin=0.01)
    assert few.seeds == 5


def test_patients_that_suffice_leave_more_of_the_variance_to_the_seeds():
    target = (0.01 / 2.8015852) ** 2
    needs = estimate_needs(make_difference(0.001 * target, 1.8 * target), 30, 5, margin=0.01)
    assert (needs.min_patients, needs.max_patients) == (30, 30)
    assert 0.001 + 1.8 * 5 / needs.seeds <= 1 < 0.001 + 1.8 * 5 / (needs.seeds - 1)
    assert needs.format() == "needs about 30 patients, 10 seeds"


def test_nothing_is_known_of_the_needs_without_degrees_of_freedom():
    assert estimate_needs(make_difference(0.004**2, 0.0, 0.0), 100, 5, margin=0.01) is None


# --- classes


def test_each_class_has_its_difference_and_its_corrected_p_value():
    contestants = make_study(fusion=1.5)
    models = group_by_model(contestants)
    board = measure_models(models, "auroc")
    verdicts = compute_verdicts(models, board)
    table = build_class_table(verdicts, board, ["NORM", "MI"])
    assert table["class"].tolist() == ["NORM", "MI"]
    largest = []
    for k in range(2):
        of_class = board.by_class[k]
        difference = of_class.subtract("intermediate_gated", "time:cnn")
        assert table["estimate"][k] == difference.estimate
        assert (table["low"][k], table["high"][k]) == difference.compute_interval()
        names = [rival.difference.name for rival in verdicts[0].rivals]
        largest.append(
            max(of_class.subtract("intermediate_gated", one).compute_p_value() for one in names)
        )
    assert table["p"].tolist() == pytest.approx(adjust_p_values(largest))
    assert table["word"].tolist() == ["adds", "adds"]


def test_a_class_of_one_patient_cannot_be_measured_though_the_macro_score_can():
    study = make_study(fusion=1.5)
    y = study[0].predictions.y.copy()
    y[:, 0] = 0
    y[4, 0] = 1
    study = [replace_predictions(one, y=y) for one in study]
    models = group_by_model(study)
    board = measure_models(models, "auroc")
    table = build_class_table(compute_verdicts(models, board), board, ["NORM", "MI"])
    assert table["word"][0] == "cannot be measured"
    assert np.isnan(table["low"][0])
    assert table["max_positive_fraction"][0] == 1
    assert table["effective_patients"][0] < 2 < table["effective_patients"][1]


# --- what is shown with it


def test_caveats_of_all_models_are_collected_once():
    study = [dataclasses.replace(one, caveats=("synthetic data",)) for one in make_study()]
    leaky = ("synthetic data", "leak: shared patients")
    verdict = judge(change(study, "intermediate_gated", caveats=leaky))
    assert verdict.caveats == ("synthetic data", "leak: shared patients")


def test_the_recipe_stands_with_the_verdict():
    study = [dataclasses.replace(one, recipe={"epochs": 10}) for one in make_study()]
    assert judge(study).recipe == {"epochs": 10}


# --- what cannot be compared


def test_models_of_other_test_windows_are_refused_by_name():
    one = make_contestant()
    given = one.predictions
    flipped = given.y.copy()
    flipped[7, 1] = 1 - flipped[7, 1]
    other_record = given.records.copy()
    other_record[3] = "another"
    cut = {name: getattr(given, name)[:-1] for name in ("y", "p", "patients", "records", "rows")}
    for changes, message in [
        ({"rows": given.rows[::-1].copy()}, "rows of their test windows are in another order"),
        ({"records": other_record}, "records .* differ, first in window 3: record 3 and another"),
        ({"y": flipped}, "labels of their test windows differ, first in window 7"),
        ({"patients": given.records}, "patients of their test windows differ"),
        ({"classes": ("NORM", "STTC")}, "classes differ"),
        ({"folds": np.ones(300, dtype=int)}, "folds of their test windows differ"),
        (cut, "300 and 299 test windows"),
    ]:
        other = replace_predictions(make_fusion(1.0), **changes)
        with pytest.raises(RunError, match=f"time:cnn .* intermediate_gated .*{message}"):
            group_by_model([one, other])


def test_models_of_other_validation_windows_are_refused():
    one, other = make_contestant(), make_fusion(1.0)
    shuffled = dataclasses.replace(other.validation, rows=other.validation.rows[::-1].copy())
    with pytest.raises(RunError, match="rows of their validation windows are in another order"):
        group_by_model([one, dataclasses.replace(other, validation=shuffled)])


def test_the_kind_of_the_task_must_agree():
    one = make_contestant()
    y = np.stack([one.predictions.y[:, 0], 1 - one.predictions.y[:, 0]], axis=1)
    multi_label = replace_predictions(one, y=y)
    multi_class = replace_predictions(make_fusion(1.0), y=y, kind="multi_class")
    with pytest.raises(RunError, match="kind differ: multi_label and multi_class"):
        group_by_model([multi_label, multi_class])


def test_one_name_for_two_models_is_refused():
    with pytest.raises(RunError, match="given twice with seed 0"):
        group_by_model([make_contestant(), make_contestant()])
    with pytest.raises(RunError, match=r"their parameters differ, 1000 .* and 5"):
        group_by_model([make_contestant(), make_contestant(seed=1, parameters=5)])
    with pytest.raises(RunError, match="no models to compare"):
        group_by_model([])


def test_trees_may_have_another_number_of_nodes_for_each_seed():
    trees = [
        make_contestant("handcrafted:trees", "baseline", seed=seed, parameters=100 + seed)
        for seed in range(2)
    ]
    assert len(group_by_model(trees)["handcrafted:trees"]) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"role": "both"}, "role is 'both'"),
        ({"ensemble_size": 2}, "expected one branch and ensemble_size=1"),
        ({"branches": FUSED}, "expected one branch and ensemble_size=1"),
        ({"role": "fusion"}, "expected several branches and ensemble_size=1"),
        ({"role": "ensemble"}, "expected one branch and ensemble_size of 2 or more"),
        ({"role": "widened", "ensemble_size": 2}, "do not fit the role 'widened'"),
        ({"role": "baseline", "ensemble_size": 2}, "expected one branch and ensemble_size=1"),
    ],
)
def test_an_inconsistent_model_is_refused(values, message):
    with pytest.raises(RunError, match=message):
        make_contestant(**values)


def test_thresholds_of_each_fold_are_applied_to_its_windows():
    one = make_contestant()
    folds = np.arange(300) % 3 + 1
    thresholds = np.array([[0.2, 0.3], [0.5, 0.6], [0.9, 0.8]])
    folded = dataclasses.replace(replace_predictions(one, folds=folds), thresholds=thresholds)
    decided = folded.decide()
    for i, fold in enumerate(folds):
        np.testing.assert_array_equal(decided[i], one.predictions.p[i] >= thresholds[fold - 1])
    shared = dataclasses.replace(folded, thresholds=np.array([0.2, 0.3]))
    np.testing.assert_array_equal(shared.decide(), one.predictions.p >= [0.2, 0.3])


def test_unknown_metrics_and_margins_are_refused():
    with pytest.raises(RunError, match="Unknown metric 'accuracy'"):
        ComparisonSettings(metric="accuracy")
    with pytest.raises(RunError, match="smallest gain"):
        ComparisonSettings(margin=0)
