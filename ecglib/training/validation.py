"""How a model does on the validation part, after each epoch."""

import ecglib._keras  # noqa: F401

import warnings

import keras
import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from ecglib.datasets.selection import Selection
from ecglib.evaluation import calibration, thresholds
from ecglib.evaluation.metrics import decide, has_both_outcomes


class ValidationScore(keras.callbacks.Callback):
    """Adds ``val_loss``, ``val_auroc`` and ``val_f1`` of what will predict, after each epoch.

    A late fusion is fitted through its branches; what counts is the fused prediction.
    """

    def __init__(self, predictor: keras.Model, batches, validation: Selection):
        super().__init__()
        self.predictor, self.batches, self.validation = predictor, batches, validation

    def on_epoch_end(self, epoch, logs=None):
        """Score the validation part."""
        p = self.predictor.predict(self.batches, verbose=0)
        logs.update(validation_scores(self.validation, p))


def validation_scores(validation: Selection, p: np.ndarray) -> dict[str, float]:
    """What the history holds of the validation part, from its probabilities."""
    kind = validation.task.kind
    return {
        "val_loss": calibration.log_loss(validation.y, p, kind),
        "val_auroc": macro_auroc(validation.y, p),
        "val_f1": macro_f1(validation.y, p, kind),
    }


def macro_auroc(y: np.ndarray, p: np.ndarray) -> float:
    """Mean AUROC over the classes that have both outcomes; y and p (n_windows, n_classes)."""
    both = has_both_outcomes(y)
    return float(roc_auc_score(y[:, both], p[:, both], average="macro"))


def macro_f1(y: np.ndarray, p: np.ndarray, kind: str) -> float:
    """Mean F1 over the classes that have both outcomes, with thresholds fitted on the same y, p.

    Arrays are (n_windows, n_classes); a multi-class task takes the likeliest class.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the classes that are left out here
        limits = thresholds.fit_thresholds(y, p, kind)
    both = np.flatnonzero(has_both_outcomes(y))
    decided = decide(p, limits, kind)
    return float(f1_score(y == 1, decided, labels=both, average="macro", zero_division=0))
