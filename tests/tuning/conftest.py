"""A training that costs nothing, for tests of what is around it."""

import pytest

from ecglib.experiment import Experiment
from tuning import training as training_module
from tuning.trials import COMPLETED, Trial


class FakeTraining:
    """Stands in for `run_trial`: records the numbers, scores by learning rate."""

    def __init__(self):
        self.numbers = []
        self.outcomes = {}  # number -> status, or KeyboardInterrupt

    def __call__(self, number, settings, dataset, options=None):
        self.numbers.append(number)
        outcome = self.outcomes.get(number, COMPLETED)
        if outcome is KeyboardInterrupt:
            raise KeyboardInterrupt
        model = Experiment.from_flat(settings).model_name
        if outcome != COMPLETED:
            error = f"Traceback\nOSError: boom {number}"
            return Trial(
                number=number, status=outcome, experiment=settings, model=model, error=error
            )
        score = 1 - settings["learning_rate"]
        return Trial(
            number=number,
            status=COMPLETED,
            experiment=settings,
            model=model,
            val_auroc=score,
            parameters=9,
            history=[{"epoch": 1, "val_auroc": score}],
        )


@pytest.fixture
def training(monkeypatch):
    fake = FakeTraining()
    monkeypatch.setattr(training_module, "run_trial", fake)
    return fake
