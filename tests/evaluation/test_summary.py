import json

import numpy as np
import pytest

from ecglib.evaluation.calibration import compute_calibration_error, compute_log_loss
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
    scores = score_with_intervals(predictions, [0.5, 0.5], n_resamples=50)
    json.dumps(scores, allow_nan=False)
    assert scores["undefined"] == ["B"]
    assert scores["never_predicted"] == ["A", "B"]
    assert scores["per_class"]["B"]["auroc"]["estimate"] is None
    assert scores["per_class"]["A"]["auroc"]["estimate"] == 0.5


def test_calibration_is_scored_before_and_after(predictions):
    after = predictions.replace_probabilities(np.tile([[0.4, 0.0]], (20, 1)))
    scores = score_calibration(predictions, after)["calibration"]
    for name, one in (("raw", predictions), ("calibrated", after)):
        assert scores["log_loss"][name] == compute_log_loss(one.y, one.p, "multi_label")
        assert scores["error"][name] == compute_calibration_error(one.y, one.p)
