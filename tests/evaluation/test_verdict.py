from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.resampling import compute_interval, resample_scores
from ecglib.evaluation.verdict import (
    ComparisonSettings,
    build_score_table,
    compute_differences,
    describe_difference,
    find_best_single,
)

N_PATIENTS, N_WINDOWS = 150, 900
SINGLE, ENSEMBLE = ("time:cnn",), ("time:cnn",)
FUSION = ("time:cnn", "frequency:mlp", "spectrogram:cnn2d")


def model(
    name="time:cnn",
    role="single",
    branches=SINGLE,
    strength=1.0,
    model_noise=0.0,
    validation=0.8,
    seed=0,
    n_patients=N_PATIENTS,
    **other,
):
    """A model that separates the classes by `strength`; all have the same noise of the data."""
    rng = np.random.default_rng(0)
    y = (rng.random((N_WINDOWS, 2)) < [0.3, 0.5]).astype("float32")
    logits = strength * (2 * y - 1) + rng.normal(0, 1.5, y.shape)
    noise = np.random.default_rng([seed, len(name)]).normal(0, 1, y.shape)
    values = {
        "predictions": Predictions(
            kind="multi_label",
            classes=("NORM", "MI"),
            rows=np.arange(N_WINDOWS),
            records=np.array([f"record {i // 2}" for i in range(N_WINDOWS)]),
            patients=np.sort(np.arange(N_WINDOWS) % n_patients),
            y=y,
            p=expit(logits + model_noise * noise),
        ),
        "thresholds": np.array([0.5, 0.5]),
        "validation_scores": dict.fromkeys(("auroc", "auprc", "f1"), validation),
        "parameters": 1000,
    }
    return Contestant(name=name, role=role, branches=branches, seed=seed, **(values | other))


def replace_predictions(one, **changes):
    """The same model with other values in its predictions."""
    return replace(one, predictions=replace(one.predictions, **changes))


def fusion(strength, name="intermediate_gated", branches=FUSION, **other):
    return model(name, "fusion", branches, strength, **other)


def ensemble(strength, ensemble_size=3, branches=ENSEMBLE, **other):
    name = f"{ensemble_size}x {branches[0]}"
    return model(name, "ensemble", branches, strength, ensemble_size=ensemble_size, **other)


def as_ensemble(single, ensemble_size=3):
    """A control that predicts exactly what the single branch does."""
    return replace(
        single,
        name=f"{ensemble_size}x {single.name}",
        role="ensemble",
        ensemble_size=ensemble_size,
    )


def widened(strength, parameters, **other):
    name = f"time:cnn widened to about {parameters}"
    return model(name, "widened", strength=strength, parameters=parameters, **other)


def compute_only_difference(models, **settings):
    (difference,) = compute_differences(models, ComparisonSettings(**settings))
    return difference


# --- verdicts


def test_a_fusion_that_another_single_branch_equals_does_not_add():
    """A poor choice on the validation split does not count for the fusion."""
    poor = model(strength=0.5, validation=0.9)
    strong = model("spectrogram:cnn2d", branches=("spectrogram:cnn2d",), strength=1.5)
    found = compute_only_difference([poor, ensemble(0.6), fusion(1.5), strong])
    assert found.against_single.name == "time:cnn"
    assert found.against_single.low > 0
    assert found.against_ensemble.low > 0
    assert [gap.name for gap in found.unbeaten] == ["spectrogram:cnn2d"]
    assert found.verdict == "cannot tell"
    assert (
        "it is not shown to beat spectrogram:cnn2d (+0.000 [+0.000, +0.000])"
        in describe_difference(found)
    )
    beaten = compute_only_difference(
        [poor, ensemble(0.6), fusion(1.5), replace_predictions(strong, p=poor.predictions.p)]
    )
    assert (beaten.unbeaten, beaten.verdict) == ((), "adds")


def test_fusion_better_than_both_adds():
    found = compute_only_difference([model(), ensemble(1.1), fusion(1.5)])
    assert found.verdict == "adds"
    assert 0 < found.against_single.low < found.against_single.estimate < found.against_single.high
    assert found.against_ensemble.name == "3x time:cnn"
    assert describe_difference(found).startswith("intermediate_gated adds something: ")


def test_fusion_that_wins_by_averaging_alone_adds_nothing():
    found = compute_only_difference([model(), ensemble(1.5), fusion(1.5)])
    assert found.against_single.low > 0.01
    assert (found.against_ensemble.low, found.against_ensemble.high) == (0, 0)
    assert found.verdict == "adds nothing"


def test_fusion_worse_than_the_single_branch_adds_nothing():
    found = compute_only_difference([model(), ensemble(0.5), fusion(0.9)])
    assert found.verdict == "adds nothing"
    assert "over the best single branch is excluded" in describe_difference(found)


def test_wide_interval_cannot_tell():
    single = model(n_patients=12, model_noise=3.0)
    found = compute_only_difference(
        [single, as_ensemble(single), fusion(1.05, n_patients=12, model_noise=3.0)]
    )
    assert found.against_single.low < 0
    assert found.against_single.high > 0.01
    assert found.verdict == "cannot tell"
    assert describe_difference(found).startswith("Cannot tell whether intermediate_gated adds")


def test_margin_is_what_must_be_excluded():
    single = model(model_noise=0.5)
    models = [single, as_ensemble(single), fusion(1.0, model_noise=0.5)]
    gap = compute_only_difference(models).against_single
    assert gap.low < 0 < gap.high
    assert compute_only_difference(models, margin=gap.high * 0.9).verdict == "cannot tell"
    assert compute_only_difference(models, margin=gap.high * 1.1).verdict == "adds nothing"


def test_gain_that_is_certain_but_below_the_margin_adds_and_says_so():
    models = [model(), ensemble(1.0), fusion(1.02)]
    found = compute_only_difference(models, margin=0.1)
    assert found.against_single.low > 0
    assert found.against_single.high < 0.1
    assert found.verdict == "adds"
    assert "adds something, but less than 0.1: " in describe_difference(found)
    assert "but less" not in describe_difference(
        compute_only_difference(models, margin=found.against_single.low / 2)
    )


# --- the control


def test_without_a_control_the_verdict_is_cannot_tell_and_says_so():
    found = compute_only_difference([model(), fusion(1.5)])
    assert found.verdict == "cannot tell"
    assert found.against_ensemble is None
    assert "There is no ensemble of 3 or more x time:cnn" in describe_difference(found)


@pytest.mark.parametrize(
    "unfit", [ensemble(1.0, ensemble_size=2), ensemble(1.0, branches=("frequency:mlp",))]
)
def test_smaller_ensembles_and_those_of_other_branches_are_no_control(unfit):
    assert compute_only_difference([model(), unfit, fusion(1.5)]).against_ensemble is None


def test_control_averages_as_many_models_as_the_fusion_has_branches():
    controls = [ensemble(1.1, ensemble_size=n) for n in (2, 3, 5)]
    two = fusion(1.5, "late_mean", FUSION[:2])
    found = compute_differences([model(), *controls, fusion(1.5), two])
    assert [d.ensemble_size for d in found] == [3, 2]
    assert [d.fusion for d in found] == ["intermediate_gated", "late_mean"]


def test_next_larger_control_is_named_and_can_only_speak_for_the_fusion():
    controls = [ensemble(1.2, ensemble_size=5), ensemble(1.2, ensemble_size=4)]
    better = compute_only_difference([model(), *controls, fusion(1.5)])
    assert better.verdict == "adds"
    assert better.ensemble_size == 4
    assert "4 x time:cnn" in describe_difference(better)
    assert "larger than the 3 branches" in describe_difference(better)
    beaten_by_it = compute_only_difference([model(), *controls, fusion(1.15)])
    assert beaten_by_it.against_ensemble.high < 0.01
    assert beaten_by_it.verdict == "cannot tell"
    assert compute_only_difference([model(), *controls, fusion(0.9)]).verdict == "adds nothing"


def test_a_fusion_that_wins_by_parameters_alone_adds_nothing():
    large = fusion(1.5, parameters=3000)
    models = [model(), ensemble(1.1), large]
    without = compute_only_difference(models)
    assert (without.verdict, without.against_widened) == ("adds", None)
    found = compute_only_difference([*models, widened(1.5, 2950)])
    assert found.against_ensemble.low > 0
    assert (found.against_widened.low, found.against_widened.high) == (0, 0)
    assert found.verdict == "adds nothing"
    text = describe_difference(found)
    assert "a gain of 0.01 over the branch widened to its size is excluded" in text
    wide = "time:cnn widened to about 2950 (2,950 parameters, the fusion has 3,000)"
    assert f"and by +0.000 [+0.000, +0.000] from {wide}." in text
    assert compute_only_difference([*models, widened(1.1, 2950)]).verdict == "adds"


def test_the_widened_branch_is_the_one_nearest_in_size_and_never_clearly_smaller():
    large = fusion(1.5, parameters=3000)
    models = [model(), ensemble(1.1), large]
    sizes = [widened(1.1, n) for n in (1500, 2500, 2900, 3100, 6000)]
    assert (
        compute_only_difference([*models, *sizes]).widened_parameters == 3100
    )  # 3000 / 2900 is more
    assert compute_only_difference([*models, sizes[1]]).widened_parameters == 2500
    assert compute_only_difference([*models, sizes[0]]).against_widened is None
    other = replace(sizes[2], branches=("frequency:mlp",))
    assert compute_only_difference([*models, other]).against_widened is None


def test_a_branch_about_as_large_as_the_fusion_is_its_own_size_control():
    models = [model(parameters=1000), ensemble(1.1), widened(1.5, 2000)]
    assert compute_only_difference([*models, fusion(1.2, parameters=1200)]).against_widened is None
    assert (
        compute_only_difference([*models, fusion(1.2, parameters=1600)]).widened_parameters == 2000
    )


def test_a_widened_branch_that_is_larger_can_only_speak_for_the_fusion():
    models = [model(), ensemble(1.1), fusion(1.5, parameters=3000)]
    beaten = compute_only_difference([*models, widened(1.1, 6000)])
    assert beaten.verdict == "adds"
    assert "The widened branch is larger than the fusion" in describe_difference(beaten)
    unbeaten = compute_only_difference([*models, widened(1.5, 6000)])
    assert unbeaten.against_widened.high < 0.01
    assert unbeaten.verdict == "cannot tell"


def test_a_widened_branch_is_never_the_best_single():
    models = [model(validation=0.8), ensemble(1.1), widened(1.5, 2000, validation=0.9)]
    assert find_best_single(models) == "time:cnn"
    assert compute_only_difference([*models, fusion(1.2, parameters=2000)]).unbeaten == ()


def test_a_fusion_of_encoders_of_one_representation_says_so():
    one_representation = fusion(1.5, branches=("time:cnn", "time:s4d"))
    assert "All its branches take the same representation" in describe_difference(
        compute_only_difference([model(), one_representation])
    )
    assert "same representation" not in describe_difference(
        compute_only_difference([model(), fusion(1.5)])
    )


# --- what forbids a verdict


def test_fewer_than_six_patients_cannot_tell():
    few = [model(n_patients=5), ensemble(1.1, n_patients=5), fusion(2.5, n_patients=5)]
    found = compute_only_difference(few)
    assert found.against_single.low > 0
    assert found.against_ensemble.low > 0
    assert found.verdict == "cannot tell"
    assert "5 test patients are too few" in describe_difference(found)


def test_classes_of_single_patients_cannot_tell():
    models = [model(), ensemble(1.1), fusion(2.0)]
    patients = models[0].predictions.patients
    y = np.stack([patients == 0, patients == 1], axis=1).astype(float)
    found = compute_only_difference([replace_predictions(one, y=y) for one in models])
    assert found.against_single.n_ignored > 500
    assert found.verdict == "cannot tell"
    assert "resamples lack a class" in describe_difference(found)


# --- the numbers


def test_difference_is_between_means_over_seeds_in_the_same_resamples():
    singles = [model(seed=s, model_noise=0.5) for s in (0, 1)]
    fusions = [fusion(1.2, seed=s, model_noise=0.5) for s in (0, 1, 2)]
    found = compute_only_difference(
        [*singles, ensemble(1.0), *fusions], metric="f1", n_resamples=200, seed=5
    )

    def average_resamples(models):
        predictions = [one.predictions for one in models]
        values = [
            resample_scores(s.y, s.p, s.p >= 0.5, s.patients, 200, 5)["f1"].mean(axis=1)
            for s in predictions
        ]
        return sum(values) / len(values)

    gap = found.against_single
    assert (gap.low, gap.high) == pytest.approx(
        compute_interval(average_resamples(fusions) - average_resamples(singles))
    )
    assert gap.estimate == pytest.approx(
        np.mean([s.compute_scores()["macro"]["f1"] for s in fusions])
        - np.mean([s.compute_scores()["macro"]["f1"] for s in singles])
    )


def test_the_description_has_the_rounded_numbers_and_each_caveat_once():
    synthetic = {"caveats": ("synthetic data",)}
    leaky = {"caveats": ("synthetic data", "Leak: shared patients")}
    found = compute_only_difference(
        [model(**synthetic), ensemble(1.5, **synthetic), fusion(1.5, **leaky)]
    )
    gap = found.against_single
    text = describe_difference(found)
    assert f"macro AUROC differs by {gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]" in text
    assert "by +0.000 [+0.000, +0.000] from 3 x time:cnn with other seeds." in text
    assert "adds nothing (a gain of 0.01 over an equally large ensemble is excluded)" in text
    assert text.count("Synthetic data.") == 1
    assert text.endswith("Leak: shared patients.")


def test_few_seeds_are_mentioned():
    assert "several seeds" in describe_difference(
        compute_only_difference([model(), ensemble(1.1), fusion(1.5)])
    )
    twice = [m for s in (0, 1) for m in (model(seed=s), ensemble(1.1, seed=s), fusion(1.5, seed=s))]
    assert "several seeds" not in describe_difference(compute_only_difference(twice))


# --- the best single branch


def test_best_single_is_chosen_on_validation_by_the_mean_over_seeds():
    models = [
        model("time:cnn", strength=0.5, validation=0.90, seed=0),
        model("time:cnn", strength=0.5, validation=0.80, seed=1),
        model("time:lstm", branches=("time:lstm",), strength=2, validation=0.70, seed=0),
        model("time:lstm", branches=("time:lstm",), strength=2, validation=0.95, seed=1),
        fusion(2.0, validation=0.99),
    ]
    assert find_best_single(models) == "time:cnn"
    assert compute_only_difference(models).against_single.name == "time:cnn"


def test_of_equally_good_branches_the_smaller_is_taken():
    models = [model(), model("time:lstm", branches=("time:lstm",), parameters=999)]
    assert find_best_single(models) == "time:lstm"


def test_missing_single_or_validation_score_is_refused():
    with pytest.raises(RunError, match="no single branch"):
        compute_differences([fusion(1.0), ensemble(1.0)])
    with pytest.raises(RunError, match="validation split"):
        find_best_single([model(validation=float("nan"))])
    with pytest.raises(RunError, match="validation split"):
        find_best_single([replace(model(), validation_scores={})])


# --- the table


def test_table_has_one_row_a_model_with_mean_interval_and_spread():
    seeds = [model(seed=s, model_noise=0.5, caveats=("synthetic data",)) for s in (0, 1, 2)]
    found = build_score_table([*seeds, fusion(1.5)], metrics=["auroc", "f1"], n_resamples=200)
    assert found["model"].tolist() == ["time:cnn", "intermediate_gated"]
    assert found["seeds"].tolist() == [3, 1]
    assert found["branches"].tolist() == ["time:cnn", " + ".join(FUSION)]
    assert found["caveats"].tolist() == ["synthetic data", ""]
    assert not any(column.startswith("auprc") for column in found)
    row = found.iloc[0]
    macros = [s.compute_scores()["macro"]["auroc"] for s in seeds]
    assert row["auroc"] == pytest.approx(np.mean(macros))
    assert row["auroc_std"] == pytest.approx(np.std(macros, ddof=1))
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
    assert row["auroc"] == pytest.approx((row["auroc:NORM"] + row["auroc:MI"]) / 2)
    assert np.isnan(found.iloc[1]["auroc_std"])


def test_table_gives_each_class_its_interval():
    seeds = [model(seed=s, model_noise=0.5) for s in (0, 1)]
    row = build_score_table(seeds, metrics=["f1"], n_resamples=100, seed=4).iloc[0]
    for k, name in enumerate(("NORM", "MI")):
        resampled = [
            resample_scores(s.y, s.p, s.p >= 0.5, s.patients, 100, 4)["f1"][:, k]
            for s in (one.predictions for one in seeds)
        ]
        expected = compute_interval((resampled[0] + resampled[1]) / 2)
        assert (row[f"f1:{name}_low"], row[f"f1:{name}_high"]) == pytest.approx(expected)


def test_table_names_undefined_and_never_predicted_classes():
    one = model()
    y = one.predictions.y.copy()
    y[:, 1] = 0
    one = replace(replace_predictions(one, y=y), thresholds=np.array([0.5, 1.1]))
    row = build_score_table([one], n_resamples=50).iloc[0]
    assert (row["undefined"], row["never_predicted"]) == ("MI", "MI")
    assert np.isnan(row["auroc:MI"])
    assert row["auroc"] == row["auroc:NORM"]
    assert row["auroc_ignored"] == 0


# --- what cannot be compared


def test_models_of_other_test_windows_are_refused_by_name():
    one = model()
    given = one.predictions
    flipped = given.y.copy()
    flipped[7, 1] = 1 - flipped[7, 1]
    other_record = given.records.copy()
    other_record[3] = "another"
    cut = {name: getattr(given, name)[:-1] for name in ("y", "p", "patients", "records", "rows")}
    for change, message in [
        ({"rows": given.rows[::-1].copy()}, "rows of their test windows are in another order"),
        ({"records": other_record}, "records .* differ, first in window 3: record 1 and another"),
        ({"y": flipped}, "labels of their test windows differ, first in window 7"),
        ({"patients": given.patients + 1}, "patients"),
        ({"classes": ("NORM", "STTC")}, "classes differ"),
        (cut, "900 and 899 test windows"),
    ]:
        other = replace_predictions(fusion(1.0), **change)
        with pytest.raises(RunError, match=f"time:cnn .* intermediate_gated .*{message}"):
            compute_differences([one, other])


def test_kind_must_agree():
    one = model()
    y = np.stack([one.predictions.y[:, 0], 1 - one.predictions.y[:, 0]], axis=1)
    multi_label = replace_predictions(one, y=y)
    multi_class = replace_predictions(fusion(1.0), y=y, kind="multi_class")
    with pytest.raises(RunError, match="kind differ: multi_label and multi_class"):
        build_score_table([multi_label, multi_class])


def test_one_name_for_two_models_is_refused():
    with pytest.raises(RunError, match="given twice with seed 0"):
        build_score_table([model(), model()])
    with pytest.raises(RunError, match=r"their parameters differ, 1000 .* and 5"):
        build_score_table([model(), model(seed=1, parameters=5)])
    with pytest.raises(RunError, match="no models to compare"):
        build_score_table([])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"role": "both"}, "role is 'both'"),
        ({"ensemble_size": 2}, "expected one branch and ensemble_size=1"),
        ({"branches": FUSION}, "expected one branch and ensemble_size=1"),
        ({"role": "fusion"}, "expected several branches and ensemble_size=1"),
        ({"role": "ensemble"}, "expected one branch and ensemble_size of 2 or more"),
        ({"role": "widened", "ensemble_size": 2}, "do not fit the role 'widened'"),
        ({"role": "baseline", "ensemble_size": 2}, "expected one branch and ensemble_size=1"),
    ],
)
def test_inconsistent_model_is_refused(values, message):
    with pytest.raises(RunError, match=message):
        model(**values)


def test_unknown_metric_and_margin_are_refused():
    with pytest.raises(RunError, match="Unknown metric 'accuracy'"):
        ComparisonSettings(metric="accuracy")
    with pytest.raises(RunError, match="Unknown metric"):
        build_score_table([model()], metrics=["auroc", "accuracy"])
    with pytest.raises(RunError, match="smallest gain"):
        ComparisonSettings(margin=0)
