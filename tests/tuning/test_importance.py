"""Importance and figures of a search."""

import numpy as np
import pytest

from ecglib.errors import RunError
from tuning import plots
from tuning.importance import measure_importance, tabulate_hyperparameters
from tuning.trials import COMPLETED, FAILED, Trial


@pytest.fixture
def trials():
    """Sixty trials whose score depends on learning rate and encoder, not on the others."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(1, 61):
        rate, encoder = float(10 ** rng.uniform(-4, -2)), str(rng.choice(["cnn", "s4d"]))
        score = 0.8 - 0.03 * (np.log10(rate) + 3) ** 2 + 0.03 * (encoder == "s4d")
        found.append(
            Trial(
                number=number,
                status=COMPLETED,
                experiment={
                    "branches": {"time": encoder},
                    "learning_rate": rate,
                    "width": int(rng.choice([8, 16])),
                    "dropout": float(rng.choice([0.0, 0.5])),
                    "augment": {"noise": {}} if rng.random() < 0.5 else {},
                    "epochs": 4,
                },
                model=f"time:{encoder}",
                val_auroc=float(score + rng.normal(0, 0.002)),
                seconds=30.0,
            )
        )
    return found


def test_what_decides_the_score_is_important_and_nothing_else(trials):
    table = measure_importance(trials)
    assert set(table["hyperparameter"][:2]) == {"learning_rate", "time encoder"}
    assert set(table["hyperparameter"][2:]) == {"width", "dropout", "augment"}  # not epochs
    assert (table["low"][:2] > 0.1).all()
    assert (table["low"][2:] < 0.02).all()
    assert (table["importance"][2:] < 0.05).all()


def test_few_trials_tell_nothing(trials):
    with pytest.raises(RunError, match="19 trials completed; at least 20"):
        measure_importance(trials[:19])


def test_an_encoder_that_a_trial_lacks_is_a_dash(trials):
    other = Trial(
        number=61,
        status=COMPLETED,
        experiment={"branches": {"frequency": "mlp"}, "augment": {}},
        model="frequency:mlp",
        val_auroc=0.7,
    )
    table = tabulate_hyperparameters([*trials, other])
    assert table["time encoder"].iloc[-1] == "-"
    assert table["frequency encoder"].tolist() == ["-"] * 60 + ["mlp"]


def test_the_progress_shows_the_best_so_far_over_the_time_of_all_trials(trials):
    failed = Trial(number=2, status=FAILED, experiment={}, model="-", seconds=60.0)
    figure = plots.plot_progress([trials[0], failed, *trials[1:3]])
    best = figure.axes[0].lines[1]
    scores = [trials[0].val_auroc, trials[0].val_auroc]
    for trial in trials[1:3]:
        scores.append(max(scores[-1], trial.val_auroc))
    assert best.get_xdata().tolist() == [0.5, 1.5, 2.0, 2.5]
    assert best.get_ydata().tolist() == scores


def test_parallel_coordinates_have_an_axis_for_each_hyperparameter_that_differed(trials):
    figure = plots.plot_parallel(trials, caveat="synthetic data")
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert set(labels) == {"time encoder", "learning_rate", "width", "dropout", "augment"}
    lines = [line for line in axes.lines if len(line.get_ydata()) == len(labels)]
    assert len(lines) == 60
    heights = np.array([line.get_ydata() for line in lines])
    assert (heights.min(), heights.max()) == (0, 1)
