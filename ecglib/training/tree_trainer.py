"""Trains the baseline of trees of an experiment."""

import numpy as np
import pandas as pd

from ecglib.datasets.store import Dataset
from ecglib.evaluation.metrics import compute_log_loss
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment import Experiment, select_windows
from ecglib.experiment.registry import HANDCRAFTED
from ecglib.training.class_balance import compute_tree_weights
from ecglib.training.trainer import Fitted
from ecglib.training.trees import (
    TreeSettings,
    compute_handcrafted,
    count_nodes,
    describe_trees,
    fit_trees,
    predict_trees,
)
from ecglib.training.validation import score_validation


class TreeTrainer:
    """Trains the baseline of trees of an experiment; its result is as that of `Trainer`.

    Parameters
    ----------
    experiment : Experiment
        With ``branches={"handcrafted": ...}``.
    dataset : Dataset
        The prepared store.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {"task": "superdiagnostic", "branches": {"handcrafted": "random_forest"}}
    ...     fitted = TreeTrainer(Experiment.from_flat(settings, dataset), dataset).fit()
    >>> fitted.model["estimator"]
    'RandomForestClassifier'
    """

    def __init__(self, experiment: Experiment, dataset: Dataset):
        self.experiment, self.dataset = experiment, dataset
        self.selection = select_windows(experiment, dataset)

    def fit(self) -> Fitted:
        """Fit the trees on the training split, and predict validation and test split.

        The description of the trees stands for the model, the number of their nodes for that of
        the parameters. The history has one row, as trees have no epochs.
        """
        experiment, selection = self.experiment, self.selection
        task, n_classes = selection.task, len(selection.classes)
        x, names = compute_handcrafted(self.dataset, selection, experiment.inputs)
        settings = TreeSettings(
            name=experiment.model.branches[HANDCRAFTED],
            kind=task.kind,
            seed=experiment.training.seed,
        )
        y = selection.in_split("train").y
        weights = compute_tree_weights(experiment.training, y)
        trees = fit_trees(x[selection.part == "train"], y, settings, weights)
        p = predict_trees(trees, x, n_classes, task.kind)
        validation = self._collect("validation", p)
        row = {
            "epoch": 1,
            "loss": compute_log_loss(y, p[selection.part == "train"], task.kind),
            **score_validation(validation.y, validation.p, task.kind),
            "member": 0,
        }
        return Fitted(
            model=describe_trees(trees, names),
            cost={"parameters": count_nodes(trees), "multiply_adds": None},
            history=pd.DataFrame([row]),
            predictions={"validation": validation, "test": self._collect("test", p)},
        )

    def _collect(self, split: str, p: np.ndarray) -> Predictions:
        in_split = self.selection.part == split
        return Predictions.from_selection(self.selection.take(in_split), p[in_split])
