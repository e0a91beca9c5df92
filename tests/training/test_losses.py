import numpy as np
import pytest

from ecglib.experiment.settings import TrainingSettings
from ecglib.training.losses import build_loss

P = np.array([[0.7, 0.2, 0.1], [0.05, 0.15, 0.8]], np.float32)
Y = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def test_focal_is_cross_entropy_times_the_squared_probability_of_being_wrong():
    observed = np.where(Y == 1, P, 1 - P)
    loss = build_loss(TrainingSettings(loss="focal"), "multi_label")(Y, P)
    assert float(loss) == pytest.approx(np.mean(-((1 - observed) ** 2) * np.log(observed)), 1e-4)
    observed = P[Y == 1]
    loss = build_loss(TrainingSettings(loss="focal"), "multi_class")(Y, P)
    assert float(loss) == pytest.approx(np.mean(-((1 - observed) ** 2) * np.log(observed)), 1e-4)


def test_label_smoothing_spreads_a_fraction_over_all_classes():
    smooth = TrainingSettings(label_smoothing=0.3)
    y = 0.7 * Y + 0.3 / 2
    expected = -np.mean(y * np.log(P) + (1 - y) * np.log(1 - P))
    assert float(build_loss(smooth, "multi_label")(Y, P)) == pytest.approx(expected, 1e-4)
    expected = -np.mean(np.sum((0.7 * Y + 0.1) * np.log(P), axis=1))
    assert float(build_loss(smooth, "multi_class")(Y, P)) == pytest.approx(expected, 1e-4)
