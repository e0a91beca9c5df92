import numpy as np
import pytest
from sklearn import metrics as sk

from ecglib.errors import EcgError
from ecglib.evaluation.decision_metrics import DECISION_METRICS, count_outcomes

PEERS = {
    "f1": sk.f1_score,
    "sensitivity": sk.recall_score,
    "specificity": lambda y, d, **options: sk.recall_score(y, d, pos_label=0, **options),
    "ppv": sk.precision_score,
    "f2": lambda y, d, **options: sk.fbeta_score(y, d, beta=2, **options),
}


@pytest.fixture
def outcomes():
    rng = np.random.default_rng(0)
    y = rng.random((200, 4)) < [0.05, 0.2, 0.5, 0.9]
    decisions = np.where(rng.random(y.shape) < 0.7, y, rng.random(y.shape) < 0.5)
    return y, decisions


def apply(name, counts):
    return DECISION_METRICS[name](counts.tp, counts.fp, counts.fn, counts.tn)


def test_counts_agree_with_the_confusion_matrices_of_scikit_learn(outcomes):
    y, decisions = outcomes
    counts = count_outcomes(y, decisions)
    expected = sk.multilabel_confusion_matrix(y, decisions)
    np.testing.assert_array_equal(counts.tn, expected[:, 0, 0])
    np.testing.assert_array_equal(counts.fp, expected[:, 0, 1])
    np.testing.assert_array_equal(counts.fn, expected[:, 1, 0])
    np.testing.assert_array_equal(counts.tp, expected[:, 1, 1])


def test_decisions_of_several_models_are_counted_together(outcomes):
    y, decisions = outcomes
    together = count_outcomes(y, np.stack([decisions, ~decisions, y]))
    for model, one in enumerate((decisions, ~decisions, y)):
        alone = count_outcomes(y, one)
        for field in ("tp", "fp", "fn", "tn"):
            np.testing.assert_array_equal(getattr(together, field)[model], getattr(alone, field))


def test_a_weight_counts_a_window_as_often(outcomes):
    y, decisions = outcomes
    weights = np.random.default_rng(1).integers(0, 4, len(y))
    weighted = count_outcomes(y, decisions, weights)
    repeated = count_outcomes(np.repeat(y, weights, axis=0), np.repeat(decisions, weights, axis=0))
    np.testing.assert_array_equal(weighted, repeated)


def test_metrics_agree_with_scikit_learn(outcomes):
    y, decisions = outcomes
    counts = count_outcomes(y, decisions)
    for k in range(y.shape[1]):
        for name, peer in PEERS.items():
            assert apply(name, counts)[k] == pytest.approx(peer(y[:, k], decisions[:, k]))
        accuracy = sk.accuracy_score(y[:, k], decisions[:, k])
        assert apply("accuracy", counts)[k] == pytest.approx(accuracy)
        mcc = sk.matthews_corrcoef(y[:, k], decisions[:, k])
        assert apply("mcc", counts)[k] == pytest.approx(mcc)


def test_g_mean_and_g2_of_a_table_by_hand():
    """Sensitivity 0.8, specificity 0.45; G2 is 8 / (8 + 11 + 2 * 2)."""
    assert DECISION_METRICS["g_mean"](8, 11, 2, 9) == pytest.approx(0.6)
    assert DECISION_METRICS["g2"](8, 11, 2, 9) == pytest.approx(8 / 23)


def test_weights_of_one_over_the_number_of_labels_give_f2_and_g2_of_the_challenge(outcomes):
    """The definition of the PhysioNet/CinC Challenge 2020, window by window."""
    y, decisions = outcomes
    counts = count_outcomes(y, decisions, 1 / np.maximum(y.sum(axis=1), 1))
    for k in range(y.shape[1]):
        tp = fp = fn = 0.0
        for labels, decided in zip(y, decisions, strict=True):
            weight = 1 / max(labels.sum(), 1)
            tp += weight * (labels[k] and decided[k])
            fp += weight * (not labels[k] and decided[k])
            fn += weight * (labels[k] and not decided[k])
        assert apply("f2", counts)[k] == pytest.approx(5 * tp / (5 * tp + fp + 4 * fn))
        assert apply("g2", counts)[k] == pytest.approx(tp / (tp + fp + 2 * fn))


@pytest.mark.parametrize("name", PEERS)
def test_labels_alone_decide_whether_a_metric_exists(name):
    """Where scikit-learn has no value for lack of labels there is none; for predictions, 0."""
    rng = np.random.default_rng(0)
    for n_positive in (0, 1, 5, 10):
        y = np.arange(10) < n_positive
        for decisions in (np.zeros(10, bool), np.ones(10, bool), rng.random(10) < 0.5):
            value = apply(name, count_outcomes(y[:, None], decisions[:, None]))[0]
            with_nan = PEERS[name](y, decisions, zero_division=np.nan)
            if name == "sensitivity":
                lacking = n_positive == 0
            elif name == "specificity":
                lacking = n_positive == 10
            else:
                lacking = n_positive in (0, 10)
            assert np.isnan(value) == lacking
            if not lacking:
                assert value == pytest.approx(0 if np.isnan(with_nan) else with_nan)
            elif name in ("sensitivity", "specificity"):
                assert np.isnan(with_nan)


def test_a_class_that_is_never_predicted_scores_zero_where_predictions_are_lacking():
    for name in ("f1", "f2", "g2", "ppv", "mcc", "g_mean", "sensitivity"):
        assert DECISION_METRICS[name](0, 0, 5, 5) == 0
    assert DECISION_METRICS["mcc"](5, 5, 0, 0) == 0
    assert DECISION_METRICS["specificity"](0, 0, 5, 5) == 1
    assert np.isnan(DECISION_METRICS["accuracy"](0, 0, 0, 0))


@pytest.mark.parametrize("name", DECISION_METRICS)
def test_the_complex_step_gives_the_derivative_to_every_count(name):
    counts = np.random.default_rng(0).integers(1, 60, (4, 50)).astype(float)
    for field in range(4):
        shifted = counts.astype(complex)
        shifted[field] += 1e-100j
        derivative = DECISION_METRICS[name](*shifted).imag / 1e-100
        above, below = counts.copy(), counts.copy()
        above[field] += 1e-4
        below[field] -= 1e-4
        difference = DECISION_METRICS[name](*above) - DECISION_METRICS[name](*below)
        np.testing.assert_allclose(derivative, difference / 2e-4, rtol=1e-5, atol=1e-9)


def test_the_complex_step_is_zero_and_finite_where_nothing_is_predicted():
    for compute in DECISION_METRICS.values():
        value = compute(np.array([0j]), np.array([0j]), np.array([5 + 1e-100j]), np.array([5 + 0j]))
        assert np.isfinite(value).all()


def test_counts_of_millions_of_windows_do_not_overflow():
    million = np.int32(1_000_000)
    assert DECISION_METRICS["mcc"](million, 0, 0, million) == pytest.approx(1)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(EcgError, match="same windows"):
        count_outcomes(np.zeros((3, 2)), np.zeros((2, 3, 1)))
    with pytest.raises(EcgError, match=r"expected \(3,\)"):
        count_outcomes(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(2))
