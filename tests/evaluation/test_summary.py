import json

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from ecglib.evaluation.calibration import compute_calibration_error, compute_calibration_floor
from ecglib.evaluation.influence import Windows, measure
from ecglib.evaluation.metrics import compute_log_loss
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.summary import score_calibration, score_with_intervals


@pytest.fixture
def predictions():
    """Constant probabilities; no window has class B."""
    y = np.zeros((20, 2), np.float32)
    y[:8, 0] = 1
    return Predictions(
        kind="multi_label",
        classes=("A", "B"),
        rows=np.arange(20),
        records=np.arange(20),
        patients=np.arange(20),
        y=y,
        p=np.tile([[0.3, 0.2]], (20, 1)),
    )


def test_scores_that_do_not_exist_are_none_and_the_class_is_named(predictions):
    scores = score_with_intervals(predictions, np.array([0.5, 0.5]))
    json.dumps(scores, allow_nan=False)
    assert scores["undefined"] == ["B"]
    assert scores["never_predicted"] == ["A", "B"]
    assert scores["per_class"]["B"]["auroc"]["estimate"] is None
    assert scores["per_class"]["A"]["auroc"]["estimate"] == 0.5


def simulate_predictions(n_patients):
    rng = np.random.default_rng(0)
    y = (rng.random((200, 2)) < [0.3, 0.5]).astype(float)
    return Predictions(
        kind="multi_label",
        classes=("A", "B"),
        rows=np.arange(200),
        records=np.arange(200),
        patients=np.arange(200) % n_patients,
        y=y,
        p=0.3 * y + 0.7 * rng.random(y.shape),
    )


@pytest.mark.parametrize("metric", ["auroc", "auprc", "f1"])
def test_intervals_are_students_on_the_scale_of_log_odds(metric):
    one = simulate_predictions(n_patients=50)
    found = score_with_intervals(one, np.array([0.5, 0.5]))["macro"][metric]
    windows = Windows(y=one.y == 1, patient=one.patients)
    measured = measure(windows, one.p[None], one.p[None] >= 0.5, metric)
    estimate = measured.macro_scores[0]
    error = np.sqrt(50 / 49 * (measured.macro_influence[0] ** 2).sum())
    # Equal numbers of windows: nearly all of the 50 patients count.
    half = stats.t.ppf(0.975, 48) * error / (estimate * (1 - estimate))
    assert found["estimate"] == pytest.approx(estimate)
    assert found["low"] == pytest.approx(expit(logit(estimate) - half), abs=1e-3)
    assert found["high"] == pytest.approx(expit(logit(estimate) + half), abs=1e-3)


def test_a_score_of_one_patient_has_no_interval():
    scores = score_with_intervals(simulate_predictions(n_patients=1), np.array([0.5, 0.5]))
    assert 0.5 < scores["macro"]["auroc"]["estimate"] < 1
    assert scores["macro"]["auroc"]["low"] is None
    assert scores["per_class"]["A"]["f1"]["high"] is None


def test_calibration_is_scored_before_and_after(predictions):
    after = predictions.replace_probabilities(np.tile([[0.4, 0.0]], (20, 1)))
    scores = score_calibration(predictions, after)["calibration"]
    for name, one in (("raw", predictions), ("calibrated", after)):
        assert scores["log_loss"][name] == compute_log_loss(one.y, one.p, "multi_label")
        assert scores["error"][name] == compute_calibration_error(one.y, one.p)
    assert scores["error"]["perfect_model"] == compute_calibration_floor(after.p)
