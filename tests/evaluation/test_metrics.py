import numpy as np
import pytest
from sklearn import metrics as sk

from ecglib.errors import EcgError
from ecglib.evaluation.metrics import compute_scores, decide


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
        assert class_scores["precision"] == pytest.approx(
            sk.precision_score(y[:, k], decided[:, k])
        )
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


def test_classes_that_cannot_be_scored_are_named_and_excluded_from_the_macro_mean():
    y = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    p = np.array([[0.9, 0.2, 0.9], [0.3, 0.8, 0.9], [0.6, 0.1, 0.4], [0.7, 0.1, 0.9]])
    result = compute_scores(y, p, [0.5, 0.5, 0.5], "multi_label", ["some", "none", "all"])
    assert result["undefined"] == ["none", "all"]
    for name in ("none", "all"):
        assert all(np.isnan(result["per_class"][name][m]) for m in ("auroc", "auprc", "f1"))
    assert np.isnan(result["per_class"]["none"]["sensitivity"])
    assert result["per_class"]["none"]["precision"] == 0
    assert np.isnan(result["per_class"]["all"]["specificity"])
    assert result["macro"]["auroc"] == pytest.approx(3 / 4)
    assert result["macro"]["f1"] == pytest.approx(4 / 5)


def test_a_class_never_predicted_is_named_and_counts_as_zero_in_macro_f1():
    y = np.array([[1, 1], [0, 0], [1, 1], [0, 0]])
    p = np.array([[0.9, 0.4], [0.1, 0.3], [0.8, 0.4], [0.2, 0.1]])
    result = compute_scores(y, p, [0.5, 0.5], "multi_label", ["found", "missed"])
    assert result["never_predicted"] == ["missed"]
    assert np.isnan(result["per_class"]["missed"]["precision"])
    assert result["per_class"]["missed"]["auroc"] == 1
    assert result["macro"]["f1"] == pytest.approx(0.5)


def test_macro_is_nan_if_no_class_can_be_scored():
    result = compute_scores(np.ones((3, 1)), np.full((3, 1), 0.4), [0.5], "multi_label", ["A"])
    assert np.isnan(result["macro"]["auroc"])


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
