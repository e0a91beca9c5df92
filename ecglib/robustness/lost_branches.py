"""What fusions lose when a representation is missing."""

from __future__ import annotations

from ecglib._keras import Tensor

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

from ecglib.datasets.store import Dataset
from ecglib.errors import RunError
from ecglib.evaluation.contestants import group_by_model
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.scoreboard import Scoreboard, check_metric, measure_models
from ecglib.evaluation.verdict import collect_caveats
from ecglib.models.inputs import MISSING, get_center
from ecglib.models.layers import Shape
from ecglib.robustness.losses import combine_scores, compute_loss
from ecglib.robustness.predicting import (
    Change,
    TestedModels,
    load_tested_models,
    replace_predictions,
)
from ecglib.runs import Run

#: Setting `scaling` -> what stands for a representation of a fusion that cannot lack branches. The
#: scaling turns it into zeros.
CENTERS: Mapping[str, str] = MappingProxyType(
    {
        "standard": "its mean over the training windows",
        "robust": "its median over the training windows",
    }
)


@keras.saving.register_keras_serializable(package="ecglib")
class ReplaceInput(keras.layers.Layer):
    """Put constant values in the place of a representation.

    Input shape
        (n_windows, ...).

    Output shape
        The same.

    Parameters
    ----------
    values : nested list of float, or float
        What every window gets; its shape must fit that of one window, with axes of size 1.

    Examples
    --------
    >>> ops.convert_to_numpy(ReplaceInput([1.0, 2.0])(np.zeros((1, 3, 2)))).tolist()
    [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]]
    """

    def __init__(self, values: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.values = values

    def call(self, inputs: Tensor) -> Tensor:
        values = ops.convert_to_tensor(np.asarray(self.values, "float32"))
        return ops.broadcast_to(ops.cast(values, inputs.dtype), ops.shape(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "values": self.values}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LostBranches:
    """What fusions lose without one of their representations.

    Parameters
    ----------
    representations : mapping of str to tuple of str
        Name of each fusion -> its representations. Two branches on one representation are lost
        together.
    replaced_by : mapping of str to str
        Name of each fusion -> what stands in the place of a lost representation.
    scoreboard : Scoreboard
        The scores of each fusion with all branches, by its name, and without a representation, by
        `name_lost`.
    caveats : tuple of str
        Shown with every number.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> lost = measure_lost_branches(
    ...     find_runs("runs/fusion"), open_dataset("mitdb")
    ... )  # doctest: +SKIP
    >>> lost.compute_loss("late_average(time:cnn + frequency:mlp)", "time")  # doctest: +SKIP
    """

    representations: Mapping[str, tuple[str, ...]]
    replaced_by: Mapping[str, str]
    scoreboard: Scoreboard
    caveats: tuple[str, ...]

    def compute_loss(self, fusion: str, representation: str) -> Difference:
        """Compute how much of its score a fusion loses without a representation.

        Parameters
        ----------
        fusion : str
            Name of the fusion.
        representation : str
            The representation that is lost.

        Returns
        -------
        Difference
            Above zero if the score becomes worse.
        """
        return compute_loss(self._build_changes(representation), fusion)

    def compare_losses(self, a: str, b: str, representation: str) -> Difference:
        """Compute how much less one fusion loses than another without a representation.

        Parameters
        ----------
        a, b : str
            Names of fusions that both take the representation.
        representation : str
            The representation that is lost.

        Returns
        -------
        Difference
            Above zero if `a` loses less.
        """
        return self._build_changes(representation).subtract(a, b)

    def to_table(self) -> pd.DataFrame:
        """Return a table with one row for each fusion and lost representation.

        Returns
        -------
        DataFrame
            Columns fusion, lost, replaced_by, score, low, high, loss, loss_low, loss_high and
            caveats.
        """
        rows = []
        for fusion, representations in self.representations.items():
            for representation in representations:
                score = self.scoreboard.score(name_lost(fusion, representation))
                loss = self.compute_loss(fusion, representation)
                rows.append(
                    {
                        "fusion": fusion,
                        "lost": representation,
                        "replaced_by": self.replaced_by[fusion],
                        "score": score.estimate,
                        "low": score.low,
                        "high": score.high,
                        "loss": loss.estimate,
                        "loss_low": loss.low,
                        "loss_high": loss.high,
                        "caveats": "; ".join(self.caveats),
                    }
                )
        return pd.DataFrame(rows)

    def _build_changes(self, representation: str) -> Scoreboard:
        sums = {
            fusion: {name_lost(fusion, representation): 1.0, fusion: -1.0}
            for fusion, representations in self.representations.items()
            if representation in representations
        }
        return combine_scores(self.scoreboard, sums)


def measure_lost_branches(
    runs: Sequence[Run], dataset: Dataset, metric: str = "auroc", max_windows: int = 4000
) -> LostBranches:
    """Score fusions on test windows without one of their representations.

    Parameters
    ----------
    runs : sequence of Run
        Runs of networks of one dataset, task and split; those that take only one representation
        are passed over.
    dataset : Dataset
        The store that they were trained on.
    metric : str, default "auroc"
        A name in `ecglib.evaluation.influence.MEASURED_METRICS`.
    max_windows : int, default 4000
        Number of test windows that are drawn at random if there are more; 0 for all.

    Returns
    -------
    LostBranches
        Scores and losses.

    Raises
    ------
    RunError
        As for `load_tested_models`, if a model does not give its stored predictions, if the metric
        is unknown, or if there is no fusion of several representations.

    Notes
    -----
    A fusion that was trained with ``missing_branches`` gets NaN for the lost representation, which
    it replaces as it does for any missing branch. Any other fusion gets the center of its scaling,
    which the scaling turns into zeros: the mean over the training windows, or their median with
    ``scaling="robust"``. It was not trained for that, so its loss says how much it relies on the
    representation, not how good it could be without.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> measure_lost_branches(
    ...     find_runs("runs/fusion"), open_dataset("mitdb")
    ... ).to_table()  # doctest: +SKIP
    """
    check_metric(metric)
    fusions = [run for run in runs if len(run.experiment.representations) > 1]
    if not fusions:
        raise RunError(
            "None of the runs is a fusion of several representations, so no branch can be lost. "
            "Give the runs of a batch with fusions."
        )
    tested = load_tested_models(fusions, dataset, max_windows)
    representations, replaced_by, models = {}, {}, []
    for one in tested.models:
        experiment = next(iter(one.runs.values())).experiment
        name, may_lack = one.contestant.name, experiment.model.missing_branches
        representations[name] = tuple(experiment.representations)
        replaced_by[name] = MISSING if may_lack else CENTERS[experiment.inputs.scaling]
        models.append(one)
        models += [
            one.change_networks(name_lost(name, representation), _lose(representation))
            for representation in representations[name]
        ]
    p = TestedModels(dataset, models).predict_stored()
    contestants = [
        replace_predictions(one.contestant, one.contestant.name, values)
        for one, values in zip(models, p, strict=True)
    ]
    return LostBranches(
        representations=representations,
        replaced_by=replaced_by,
        scoreboard=measure_models(group_by_model(contestants), metric),
        caveats=collect_caveats(contestants),
    )


def _lose(representation: str) -> Change:
    def change(network: keras.Model, run: Run) -> keras.Model:
        may_lack = run.experiment.model.missing_branches
        return lose_representation(network, representation, may_lack)

    return change


def lose_representation(
    network: keras.Model, representation: str, may_lack_branches: bool
) -> keras.Model:
    """Build a network that does not see one of its representations.

    Parameters
    ----------
    network : keras.Model
        From the representations to probabilities, as `Run.load_network` returns it.
    representation : str
        Name of the representation.
    may_lack_branches : bool
        Whether it was built with ``missing_branches``: it then gets NaN, otherwise the center of
        its scaling, the mean or median of the training windows.

    Returns
    -------
    keras.Model
        With the same inputs and outputs, and the same weights.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="late_average",
    ...     n_classes=2,
    ...     kind="multi_label",
    ... )
    >>> network = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> lost = lose_representation(network, "time", may_lack_branches=False)
    >>> inputs = [np.random.default_rng(0).normal(size=(1, 250, 2)), np.ones((1, 40, 2))]
    >>> other = [inputs[0] + 1, inputs[1]]
    >>> bool((lost.predict(inputs, verbose=0) == lost.predict(other, verbose=0)).all())
    True
    """
    values: Any = float("nan")
    if not may_lack_branches:
        values = get_center(network, representation).tolist()
    inputs = [keras.Input(x.shape[1:], name=x.name) for x in network.inputs]
    replace = ReplaceInput(values, name="lost_representation", dtype="float32")
    seen = [replace(x) if x.name == representation else x for x in inputs]
    return keras.Model(inputs, network(seen), name="without_a_representation")


def name_lost(fusion: str, representation: str) -> str:
    """Name the score of a fusion without a representation.

    Examples
    --------
    >>> name_lost("late_average", "time")
    'late_average without time'
    """
    return f"{fusion} without {representation}"
