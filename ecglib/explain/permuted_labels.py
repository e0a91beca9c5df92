"""A network trained on permuted labels, for the check by label randomization."""

import ecglib._keras  # noqa: F401

import dataclasses

import keras
import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.experiment import Experiment, select_windows
from ecglib.splits import PARTS
from ecglib.training.trainer import Trainer


def train_on_permuted_labels(
    experiment: Experiment, dataset: Dataset, seed: int = 0
) -> keras.Model:
    """Train the network of an experiment after its labels were permuted among the windows.

    All epochs of the experiment are trained and the last is used: there is no validation score that
    could choose one. No run is written.

    Parameters
    ----------
    experiment : Experiment
        The experiment, `Run.experiment` of a run.
    dataset : Dataset
        The store.
    seed : int, default 0
        Seed of the permutation.

    Returns
    -------
    keras.Model
        From the representations to probabilities; `build_signal_scores` and
        `build_representation_scores` take it with the contract of the run.

    Notes
    -----
    The labels are permuted within each split, so that each class is as frequent as before. Whether
    the network has learned the permuted labels by heart, as those of Adebayo et al. (2018), depends
    on the number of epochs: after 10 on MIT-BIH, it gave every window the frequencies of the
    classes.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "width": 4}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     experiment = Experiment.from_flat(settings | {"epochs": 1}, dataset)
    ...     network = train_on_permuted_labels(experiment, dataset)
    >>> [x.name for x in network.inputs]
    ['frequency']
    """
    rng = np.random.default_rng(seed)
    selection = select_windows(experiment, dataset)
    order = np.arange(len(selection.rows))
    for part in PARTS:
        is_in = selection.part == part
        order[is_in] = rng.permutation(order[is_in])
    permuted = dataclasses.replace(selection, y=selection.y[order])
    last_epoch = Experiment.from_flat(experiment.to_flat() | {"monitor": "none"}, dataset)
    trainer = Trainer(last_epoch, dataset, selection=permuted)
    return trainer.fit_model(experiment.training.seed).model
