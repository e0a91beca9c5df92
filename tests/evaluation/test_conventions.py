import numpy as np
import pytest

from ecglib.errors import EcgError
from ecglib.evaluation.conventions import compute_aami_scores, compute_challenge_score

AAMI = ["N", "S", "V", "F", "Q"]
# DS2 of MIT-BIH in de Chazal et al. 2004 (rows: reference N, S, V, F; columns: predicted N, S, V,
# F, Q). The row of the seven unknown beats is left to the tests.
DE_CHAZAL = np.array(
    [
        [38444, 1904, 303, 3509, 99],
        [173, 1395, 252, 16, 1],
        [117, 321, 2504, 176, 103],
        [33, 1, 7, 347, 0],
    ]
)


def expand_confusion(matrix):
    """One-hot labels and decisions of every beat that a confusion matrix counts."""
    reference, predicted = np.indices(matrix.shape)
    n_classes = matrix.shape[1]
    y = np.eye(n_classes, dtype=bool)[np.repeat(reference.ravel(), matrix.ravel())]
    return y, np.eye(n_classes, dtype=bool)[np.repeat(predicted.ravel(), matrix.ravel())]


def compute_by_the_official_formula(y, decisions, weights, normal):
    """The definition on the Challenge's page, class pair by class pair."""

    def count_credit(outputs):
        total = 0.0
        for true, predicted in zip(y, outputs, strict=True):
            union = sum(a or b for a, b in zip(true, predicted, strict=True))
            for j in np.flatnonzero(true):
                for k in np.flatnonzero(predicted):
                    total += weights[j][k] / max(union, 1)
        return total

    inactive = np.zeros_like(y)
    inactive[:, normal] = 1
    low, high = count_credit(inactive), count_credit(y)
    return (count_credit(decisions) - low) / (high - low)


@pytest.fixture
def multi_label():
    rng = np.random.default_rng(0)
    y = rng.random((80, 6)) < 0.25
    decisions = np.where(rng.random(y.shape) < 0.8, y, ~y)
    weights = rng.random((6, 6))
    np.fill_diagonal(weights, 1)
    return y, decisions, weights


@pytest.mark.parametrize("normal", [0, 5])
def test_the_challenge_score_is_that_of_the_official_formula(multi_label, normal):
    y, decisions, weights = multi_label
    assert not y.any(axis=1).all()
    expected = compute_by_the_official_formula(y, decisions, weights, normal)
    found = compute_challenge_score(y, decisions, weights, normal)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_challenge_score_of_right_labels_is_one_and_of_normal_alone_zero(multi_label):
    y, _, weights = multi_label
    only_normal = np.zeros_like(y)
    only_normal[:, 2] = True
    assert compute_challenge_score(y, y, weights, 2) == 1
    assert compute_challenge_score(y, only_normal, weights, 2) == 0


def test_the_credit_is_divided_by_the_classes_that_are_true_or_predicted():
    """Four windows of class 1; predicted classes 1, 1 and 0, 0, none: credits 1, 1/2, 0, 0."""
    y = np.tile([0, 1], (4, 1))
    decisions = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
    assert compute_challenge_score(y, decisions, np.eye(2), 0) == pytest.approx(1.5 / 4)


def test_a_wrong_class_gets_the_weight_in_the_row_of_the_true_class():
    """Two classes are true or predicted, so 0.4 and, for the normal class, 0.3 are halved."""
    weights = np.array([[1, 0.1, 0.2], [0.3, 1, 0.4], [0.5, 0.6, 1]])
    found = compute_challenge_score([[0, 1, 0]], [[0, 0, 1]], weights, 0)
    assert found == pytest.approx((0.2 - 0.15) / (1 - 0.15))


def test_without_an_abnormal_window_there_is_no_challenge_score():
    assert np.isnan(compute_challenge_score([[1, 0]], [[0, 1]], np.eye(2), 0))


@pytest.mark.parametrize("unknown_taken_for", AAMI)
def test_aami_scores_are_those_that_de_chazal_published(unknown_taken_for):
    unknown = np.where(np.array(AAMI) == unknown_taken_for, 7, 0)
    matrix = np.vstack([DE_CHAZAL, unknown])
    scores = compute_aami_scores(*expand_confusion(matrix), AAMI)
    assert scores["S"]["sensitivity"] == pytest.approx(0.759, abs=0.0005)
    assert scores["S"]["ppv"] == pytest.approx(0.385, abs=0.0005)
    assert scores["V"]["sensitivity"] == pytest.approx(0.777, abs=0.0005)
    assert scores["V"]["ppv"] == pytest.approx(0.819, abs=0.0005)


def test_fusion_beats_taken_for_s_are_false_positives_and_for_v_are_not():
    matrix = np.zeros((4, 4), int)
    matrix[1, 1] = matrix[2, 2] = 6
    matrix[3, 1] = matrix[3, 2] = 2
    matrix[0, 0] = 10
    scores = compute_aami_scores(*expand_confusion(matrix), ["N", "S", "V", "F"])
    assert scores["S"] == {"sensitivity": 1, "ppv": 6 / 8}
    assert scores["V"] == {"sensitivity": 1, "ppv": 1}


def test_without_ventricular_beats_their_aami_scores_do_not_exist():
    matrix = np.array([[5, 1, 1], [0, 2, 0], [0, 0, 0]])
    scores = compute_aami_scores(*expand_confusion(matrix), ["N", "S", "V"])
    assert np.isnan(list(scores["V"].values())).all()
    assert scores["S"] == {"sensitivity": 1, "ppv": 2 / 3}


def test_invalid_input_is_refused_by_name():
    y = np.eye(3, dtype=int)
    with pytest.raises(EcgError, match="lack S"):
        compute_aami_scores(y, y, ["N", "V", "F"])
    with pytest.raises(EcgError, match="exactly one class"):
        compute_aami_scores(y, np.ones((3, 3)), ["N", "S", "V"])
    with pytest.raises(EcgError, match="other than 0 and 1"):
        compute_challenge_score(y, 0.4 * y, np.eye(3), 0)
    with pytest.raises(EcgError, match="a row for each true"):
        compute_challenge_score(y, y, np.eye(2), 0)
    with pytest.raises(EcgError, match="0 to 2"):
        compute_challenge_score(y, y, np.eye(3), 3)
