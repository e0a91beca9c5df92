import numpy as np
import pytest
from sklearn import metrics as sk

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import (
    MACRO_METRICS,
    METRICS,
    compute_ranking_scores,
    compute_scores,
    decide,
)


def simulate_predictions(n_windows=300, n_classes=3, seed=0, decimals=2):
    rng = np.random.default_rng(seed)
    y = (rng.random((n_windows, n_classes)) < [0.2, 0.4, 0.6]).astype("float32")
    p = np.clip(0.4 * y + rng.normal(0.3, 0.25, y.shape), 0, 1).round(decimals).astype("float32")
    return y, p


def test_scores_agree_with_scikit_learn():
    y, p = simulate_predictions()
    thresholds = [0.3, 0.5, 0.7]
    result = compute_scores(y, p, thresholds, "multi_label", ["A", "B", "C"])
    decided = p.astype(float) >= thresholds
    for k, name in enumerate("ABC"):
        class_scores = result["per_class"][name]
        assert class_scores["auroc"] == pytest.approx(sk.roc_auc_score(y[:, k], p[:, k]))
        assert class_scores["auprc"] == pytest.approx(sk.average_precision_score(y[:, k], p[:, k]))
        assert class_scores["f1"] == pytest.approx(sk.f1_score(y[:, k], decided[:, k]))
        assert class_scores["ppv"] == pytest.approx(sk.precision_score(y[:, k], decided[:, k]))
        assert class_scores["brier"] == pytest.approx(sk.brier_score_loss(y[:, k], p[:, k]))
        assert class_scores["sensitivity"] == pytest.approx(sk.recall_score(y[:, k], decided[:, k]))
        assert class_scores["specificity"] == pytest.approx(
            sk.recall_score(y[:, k], decided[:, k], pos_label=0)
        )
        assert class_scores["n_positive"] == y[:, k].sum()
        assert class_scores["n_predicted"] == decided[:, k].sum()
    assert result["macro"]["auroc"] == pytest.approx(sk.roc_auc_score(y, p, average="macro"))
    assert result["macro"]["f1"] == pytest.approx(sk.f1_score(y, decided, average="macro"))
    assert result["undefined"] == []
    assert result["never_predicted"] == []


def test_ranking_scores_equal_scikit_learn_to_1e_12_with_ties_at_every_coarseness():
    for decimals in (0, 1, 2, 8):
        y, p = simulate_predictions(seed=decimals, decimals=decimals)
        scores = compute_ranking_scores(y, p)
        for k in range(y.shape[1]):
            auroc = sk.roc_auc_score(y[:, k], p[:, k])
            assert scores.auroc[k] == pytest.approx(auroc, abs=1e-12)
            auprc = sk.average_precision_score(y[:, k], p[:, k])
            assert scores.auprc[k] == pytest.approx(auprc, abs=1e-12)


def test_auroc_counts_pairs_and_ties_half():
    scores = compute_ranking_scores([[1], [1], [0], [0]], [[0.8], [0.3], [0.3], [0.1]])
    assert scores.auroc[0] == (1 + 1 + 0.5 + 1) / 4
    assert scores.auprc[0] == pytest.approx((1 + 2 / 3) / 2)


def test_macro_values_of_a_multi_class_task_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.choice(4, size=300, p=[0.6, 0.2, 0.15, 0.05])
    p = rng.dirichlet([1, 1, 1, 1], size=300) + 0.5 * np.eye(4)[label]
    p /= p.sum(axis=1, keepdims=True)
    macro = compute_scores(np.eye(4)[label], p, np.ones(4), "multi_class", list("NSVF"))["macro"]
    decided = p.argmax(axis=1)
    assert set(macro) == set(METRICS)
    assert macro["accuracy"] == pytest.approx(sk.accuracy_score(label, decided))
    assert macro["sensitivity"] == pytest.approx(sk.balanced_accuracy_score(label, decided))
    assert macro["f1"] == pytest.approx(sk.f1_score(label, decided, average="macro"))
    assert macro["f2"] == pytest.approx(sk.fbeta_score(label, decided, beta=2, average="macro"))
    assert macro["log_loss"] == pytest.approx(sk.log_loss(label, p), rel=1e-6)
    # scikit-learn's multi-class Brier score sums over the classes.
    multi_class_brier = sk.brier_score_loss(label, p, scale_by_half=False)
    assert 4 * macro["brier"] == pytest.approx(multi_class_brier)
    assert macro["auroc"] == pytest.approx(
        sk.roc_auc_score(label, p, multi_class="ovr", average="macro")
    )


def test_accuracy_of_a_multi_label_task_is_the_mean_over_classes():
    y, p = simulate_predictions()
    macro = compute_scores(y, p, [0.5, 0.5, 0.5], "multi_label", list("ABC"))["macro"]
    assert macro["accuracy"] == pytest.approx(1 - sk.hamming_loss(y, p >= 0.5))


def test_every_metric_says_which_direction_is_better():
    """A perfect model is at least as good as a useless one in every metric."""
    y = np.tile(np.eye(3), (20, 1))
    rng = np.random.default_rng(0)
    useless_p = rng.dirichlet([1, 1, 1], size=60)
    perfect = compute_scores(y, y, np.ones(3), "multi_class", list("ABC"))["macro"]
    useless = compute_scores(y, useless_p, np.ones(3), "multi_class", list("ABC"))["macro"]
    for name, metric in METRICS.items():
        assert metric.name == name
        assert (perfect[name] > useless[name]) == metric.greater_is_better
    assert set(MACRO_METRICS) <= set(METRICS)


def test_classes_that_cannot_be_scored_are_named_and_excluded_from_the_macro_mean():
    y = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    p = np.array([[0.9, 0.2, 0.9], [0.3, 0.8, 0.9], [0.6, 0.1, 0.4], [0.7, 0.1, 0.9]])
    result = compute_scores(y, p, [0.5, 0.5, 0.5], "multi_label", ["some", "none", "all"])
    assert result["undefined"] == ["none", "all"]
    for name in ("none", "all"):
        assert all(np.isnan(result["per_class"][name][m]) for m in ("auroc", "auprc", "f1"))
    assert np.isnan(result["per_class"]["none"]["sensitivity"])
    assert result["per_class"]["none"]["specificity"] == 3 / 4
    assert np.isnan(result["per_class"]["all"]["specificity"])
    assert result["per_class"]["all"]["sensitivity"] == 3 / 4
    assert result["macro"]["sensitivity"] == 1
    assert result["macro"]["ppv"] == pytest.approx(2 / 3)
    assert result["macro"]["auroc"] == pytest.approx(3 / 4)
    assert result["macro"]["f1"] == pytest.approx(4 / 5)


def test_a_class_never_predicted_is_named_and_counts_as_zero_in_macro_f1():
    y = np.array([[1, 1], [0, 0], [1, 1], [0, 0]])
    p = np.array([[0.9, 0.4], [0.1, 0.3], [0.8, 0.4], [0.2, 0.1]])
    result = compute_scores(y, p, [0.5, 0.5], "multi_label", ["found", "missed"])
    assert result["never_predicted"] == ["missed"]
    assert result["per_class"]["missed"]["ppv"] == 0
    assert result["macro"]["ppv"] == pytest.approx(0.5)
    assert result["per_class"]["missed"]["auroc"] == 1
    assert result["macro"]["f1"] == pytest.approx(0.5)


def test_macro_is_nan_if_no_class_can_be_scored():
    result = compute_scores(np.ones((3, 1)), np.full((3, 1), 0.4), [0.5], "multi_label", ["A"])
    assert np.isnan(result["macro"]["auroc"])
    assert np.isnan(result["macro"]["brier"])
    assert result["macro"]["log_loss"] == pytest.approx(-np.log(0.4))


def test_multi_label_decisions_include_the_threshold_itself():
    p = np.array([[0.5, 0.2], [0.49, 0.9]])
    np.testing.assert_array_equal(
        decide(p, [0.5, 0.9], "multi_label"), [[True, False], [False, True]]
    )


def test_multi_class_decides_by_argmax_and_thresholds_divide():
    p = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.3, 0.6]])
    plain = decide(p, [1, 1, 1], "multi_class")
    np.testing.assert_array_equal(plain.argmax(axis=1), [0, 0, 2])
    np.testing.assert_array_equal(plain.sum(axis=1), 1)
    favoured = decide(p, [1, 0.5, 1], "multi_class")
    np.testing.assert_array_equal(favoured.argmax(axis=1), [1, 1, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": np.array([[0.1, np.nan], [0.2, 0.3]])}, "1 of 2 windows have a NaN"),
        ({"p": np.array([[0.1, 3.0], [0.2, 0.3]])}, "sigmoid"),
        ({"p": np.array([0.1, 0.2])}, r"shape \(2,\)"),
        ({"p": np.zeros((0, 2))}, "at least one window"),
        ({"p": np.full((3, 2), 0.5)}, "same windows"),
        ({"y": np.array([[2, 0], [0, 1]])}, "0 nor 1"),
        ({"y": np.array([[np.nan, 0], [0, 1]])}, "0 nor 1"),
        ({"thresholds": [0.5]}, "Thresholds"),
        ({"thresholds": [0.5, np.nan]}, "Thresholds"),
        ({"kind": "regression"}, "Unknown task kind"),
        ({"classes": ["A"]}, "class names"),
        ({"classes": ["A", "A"]}, "distinct"),
        ({"kind": "multi_class", "y": np.array([[1, 1], [0, 1]])}, "exactly one class"),
        ({"kind": "multi_class", "thresholds": [0, 1]}, "above zero"),
    ],
)
def test_invalid_input_is_refused_by_name(change, message):
    good = {
        "y": np.array([[1, 0], [0, 1]]),
        "p": np.array([[0.6, 0.4], [0.2, 0.8]]),
        "thresholds": [0.5, 0.5],
        "kind": "multi_label",
        "classes": ["A", "B"],
    }
    compute_scores(**good)
    with pytest.raises(EcgError, match=message):
        compute_scores(**(good | change))
