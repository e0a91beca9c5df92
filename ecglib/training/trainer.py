"""Trains the networks of an experiment and predicts with them."""

import ecglib._keras  # noqa: F401

import dataclasses
import functools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from ecglib import models
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import ExperimentError, require_one_of
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.stacking import fit_stacking
from ecglib.evaluation.thresholds import fit_weights
from ecglib.experiment import Experiment, Processing, select_windows
from ecglib.experiment.branches import get_representation
from ecglib.experiment.import_paths import get_fusion_family
from ecglib.experiment.importing import import_attribute
from ecglib.experiment.registry import NO_FUSION, TABULAR
from ecglib.models.end_to_end import (
    build_crop_model,
    build_processing,
    build_window_model,
    describe_crops,
)
from ecglib.training.augmentation import build_batch_augmentation
from ecglib.training.callbacks import (
    Checkpoint,
    CheckpointPlace,
    Deadline,
    UseAverages,
    ValidationScore,
    build_early_stopping,
)
from ecglib.training.class_balance import compute_class_weights, compute_sampling_weights
from ecglib.training.devices import BACKEND, use_all_devices
from ecglib.training.epoch_order import BatchOptions
from ecglib.training.epochs import Epochs
from ecglib.training.feed import Feed, choose_feed
from ecglib.training.losses import build_loss
from ecglib.training.normalization import (
    Statistics,
    compute_means_and_variances,
    compute_medians_and_spreads,
)
from ecglib.training.optimizers import compile_model, use_precision
from ecglib.training.stopwatch import StepTimes, Stopwatch

ENSEMBLE_SEED_STEP = 1000
N_SCALING_WINDOWS, N_ROBUST_SCALING_WINDOWS = 4096, 512
REPRESENTATIONS_IN = ("pipeline", "model")

N_SCALINGS = 32

# Those of the last runs of this process: often the next one differs in its seed only.
_scalings: dict[tuple, Statistics] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """How a training is carried out; none of it decides the result.

    Parameters
    ----------
    verbose : int, default 0
        0 is silent, 1 shows a bar for each epoch, 2 a line.
    representations_in : {"model", "pipeline"}
        Where the representations are computed: in the model, on its device, or in the input
        pipeline, while the batch before is trained on; training then waits for representations
        that take longer than a step. The results differ by rounding at most.
    checkpoints : CheckpointPlace, optional
        Where the checkpoints are from which training that was killed resumes; None for none.
    callbacks : sequence of keras.callbacks.Callback, default ()
        Further callbacks, for example for progress. They see the training of the whole model, not
        that of branches which are trained alone before it.
    deadline : float, optional
        The moment, on the clock of `time.monotonic`, after which training ends with `TimeoutError`,
        also that of branches; None for never.

    Raises
    ------
    ExperimentError
        If `representations_in` is unknown, or needs another backend.

    Examples
    --------
    >>> TrainerOptions(representations_in="pipeline").verbose
    0
    """

    verbose: int = 0
    representations_in: str = "model"
    checkpoints: CheckpointPlace | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    deadline: float | None = None

    def __post_init__(self) -> None:
        require_one_of("representations_in", self.representations_in, REPRESENTATIONS_IN)
        if self.representations_in == "pipeline" and BACKEND != "tensorflow":
            raise ExperimentError(
                f"representations_in='pipeline' needs the backend tensorflow, and this is "
                f"{BACKEND}. Use representations_in='model'."
            )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """What a trainer gives, networks and trees alike.

    Parameters
    ----------
    model : keras.Model or dict
        From the representations to uncalibrated probabilities; of trees their settings and inputs,
        as plain values.
    cost : dict
        parameters, multiply_adds and, of a network, width.
    history : DataFrame
        One row for each epoch and model.
    predictions : dict of str to Predictions
        Uncalibrated predictions of the validation and the test split.

    Examples
    --------
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("AF",),
    ...     rows=np.array([4]),
    ...     records=np.array(["r1"]),
    ...     patients=np.array(["p1"]),
    ...     y=np.array([[1]]),
    ...     p=np.array([[0.8]]),
    ... )
    >>> fitted = Fitted(
    ...     model={"estimator": "RandomForestClassifier"},
    ...     cost={"parameters": 8400, "multiply_adds": None},
    ...     history=pd.DataFrame({"epoch": [1], "val_auroc": [0.9]}),
    ...     predictions={"validation": predictions, "test": predictions},
    ... )
    >>> fitted.predictions["test"].p.tolist()
    [[0.8]]
    """

    model: keras.Model | dict[str, Any]
    cost: dict[str, Any]
    history: pd.DataFrame
    predictions: dict[str, Predictions]


class FittedModel(NamedTuple):
    """One trained network, and its history with one row for each epoch.

    Examples
    --------
    >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> history = pd.DataFrame({"epoch": [1, 2], "val_auroc": [0.7, 0.8]})
    >>> fitted = FittedModel(network, history)
    >>> fitted.model.count_params(), float(fitted.history["val_auroc"].max())
    (10, 0.8)
    """

    model: keras.Model
    history: pd.DataFrame


class Trainer:
    """Trains the networks of an experiment and predicts with them.

    Parameters
    ----------
    experiment : Experiment
        What to train; it fits the dataset (`ecglib.experiment.check_experiment`).
    dataset : Dataset
        The prepared store.
    options : TrainerOptions, optional
        How the training is carried out.
    selection : Selection, optional
        The windows, in place of all that the experiment selects.

    Raises
    ------
    ExperimentError
        If a branch is to be widened to fewer parameters than it has.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "width": 4}
    ...     trainer = Trainer(Experiment.from_flat(settings | {"epochs": 1}, dataset), dataset)
    ...     fitted = trainer.fit()
    >>> fitted.predictions["test"].p.shape[1]
    5
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        options: TrainerOptions | None = None,
        selection: Selection | None = None,
    ):
        self.dataset, self.options = dataset, options or TrainerOptions()
        self.selection = select_windows(experiment, dataset) if selection is None else selection
        self.processing = Processing.from_experiment(experiment, dataset)
        for path in experiment.inputs.layers.values():
            import_attribute(path)  # also from the working directory
        self.representations = build_processing(dataset.signal, self.processing)
        self.crop_signal = describe_crops(dataset.signal, experiment.inputs.crop_s)
        self.stopwatch = Stopwatch()
        self._predictors: dict[keras.Model, keras.Model] = {}
        self.experiment = experiment
        self.experiment = self._widen()

    def fit(self) -> Fitted:
        """Train the model, or all models of an ensemble, and predict validation and test split."""
        fitted, seed = [], self.experiment.training.seed
        for number in range(self.experiment.model.ensemble_size):
            with use_all_devices():
                fitted.append(self.fit_model(seed + ENSEMBLE_SEED_STEP * number))
        built = [one.model for one in fitted]
        model = built[0] if len(built) == 1 else models.build_ensemble(built)
        histories = [one.history.assign(member=number) for number, one in enumerate(fitted)]
        with self.stopwatch.measure("prediction"):
            predictions = {split: self.predict(model, split) for split in ("validation", "test")}
        cost = {
            "parameters": model.count_params(),
            "width": self.experiment.model.width,
            "multiply_adds": models.count_multiply_adds(model),
            "seconds_by_stage": self.stopwatch.seconds,
        }
        return Fitted(
            model=model,
            cost=cost,
            history=pd.concat(histories, ignore_index=True),
            predictions=predictions,
        )

    def fit_model(self, seed: int) -> FittedModel:
        """Build and fit one model; it gets the weights of the best epoch.

        Parameters
        ----------
        seed : int
            Seed of its weights, dropout and order of windows.
        """
        keras.utils.set_random_seed(seed)
        settings = self.experiment.training
        with self.stopwatch.measure("building"), use_precision(settings.precision):
            model = self.build_model(seed)
            trained, loss = self._build_trained(model, seed)
        with self.stopwatch.measure("scaling"):
            models.set_scaling(model, self._scaling)
        epochs = settings.epochs
        if settings.branch_training != "joint":
            self._copy_branches(model, seed)
            if self._only_fits_late_fusion():
                epochs = 1  # one epoch for its scores
        in_model = self.options.representations_in == "model"
        fitted = trained
        if in_model:
            fitted = build_crop_model(self.crop_signal, self.representations, trained)
        n_train = int((self.selection.part == "train").sum())
        steps = settings.steps_per_epoch or -(-n_train // settings.batch_size)
        optimizer = compile_model(fitted, loss, settings, epochs * steps)
        score = self._build_validation_score(model)
        averages = UseAverages(optimizer) if settings.ema_decay else None
        stopping = build_early_stopping(settings)
        place = self._place_checkpoint(f"seed{seed}")
        checkpoint = Checkpoint(place, fitted, epochs, stopping, averages)
        steps_timed = StepTimes(self.stopwatch)
        deadline = None if self.options.deadline is None else Deadline(self.options.deadline)
        after_epoch = (deadline, steps_timed, averages, score, stopping, checkpoint)
        callbacks = [one for one in after_epoch if one is not None]
        to_do = Epochs(
            n_epochs=epochs,
            n_steps=steps,
            n_done=checkpoint.n_done,
            callbacks=[*callbacks, *self.options.callbacks],
            verbose=self.options.verbose,
        )
        with warnings.catch_warnings():
            # Right for a late fusion of frozen branches.
            warnings.filterwarnings("ignore", "The model does not have any trainable weights")
            history = self._feed.fit(fitted, self._describe_batches(seed), to_do)
        self._fit_late_fusion(model, trained)
        frame = pd.DataFrame(history.history).rename_axis("epoch").reset_index()
        return FittedModel(model, frame.assign(epoch=frame["epoch"] + 1))

    def predict(self, model: keras.Model, split: str) -> Predictions:
        """Predict the windows of a split, in the order of the selection.

        Parameters
        ----------
        model : keras.Model
            From the representations to probabilities.
        split : {"train", "validation", "test"}
            The split.
        """
        p = self._compute_outputs(model, split)
        return Predictions.from_selection(self.selection.in_split(split), p)

    def build_model(self, seed: int, width: int = 0) -> keras.Model:
        """Build the experiment's model, not yet scaled.

        Parameters
        ----------
        seed : int
            Seed of its weights and dropout.
        width : int, default 0
            Another width than that of the experiment; 0 for the same.
        """
        model = self.experiment.model
        settings = models.ModelSpec(
            branches=model.branches,
            fusion=model.fusion,
            n_classes=len(self.selection.classes),
            kind=self.selection.task.kind,
            width=width or model.width,
            feature_dim=model.feature_dim,
            dropout=model.dropout,
            seed=seed,
            branch_dropout=model.branch_dropout,
            missing_branches=model.missing_branches,
        )
        shapes = {name: x.shape[1:] for name, x in self.representations.output.items()}
        return models.build_model(shapes, settings)

    def _widen(self) -> Experiment:
        """Return the experiment with the width that `target_parameters` asks for.

        Only the width grows, not the features: the same encoder with more channels. It is found
        by building models; none is trained.
        """
        experiment = self.experiment
        target = experiment.model.target_parameters
        if not target:
            return experiment

        def count_parameters(width: int) -> int:
            return self.build_model(experiment.training.seed, width).count_params()

        width = models.find_width(target, count_parameters, experiment.model.width)
        return experiment.replace(width=width, target_parameters=0)

    def _build_trained(
        self, model: keras.Model, seed: int
    ) -> tuple[keras.Model, keras.losses.Loss]:
        """Return what is fitted, with its loss: a late fusion through its branches."""
        settings = self.experiment.training
        loss = build_loss(settings, self.selection.task.kind)
        if settings.auxiliary_loss_weight:
            trained = models.build_auxiliary_model(model, self.experiment.model.dropout, seed)
            return trained, models.AuxiliaryLoss(loss, settings.auxiliary_loss_weight)
        trained, per_branch = models.build_training_model(model)
        return trained, models.BranchLoss(loss) if per_branch else loss

    @functools.cached_property
    def _scaling(self) -> Statistics:
        """The statistics of the training split that scale each representation.

        At most 4096 evenly spread training windows, or a crop of each, are read (512 for medians,
        which need all values at once): enough for either, fast at any size.
        """
        robust = self.experiment.inputs.scaling == "robust"
        n_windows = N_ROBUST_SCALING_WINDOWS if robust else N_SCALING_WINDOWS
        train = self.selection.in_split("train")
        thinned = train.take(slice(None, None, -(-len(train.rows) // n_windows)))
        batch_size = self.experiment.training.batch_size
        key = (
            self.dataset.fingerprint,
            repr(self.processing),
            robust,
            batch_size,
            thinned.rows.tobytes(),
            thinned.tabular.tobytes(),
        )
        if key not in _scalings:
            crop = self._crop_samples()
            options = BatchOptions(shuffle_seed=0 if crop else None, crop=crop)
            arrays = self._feed.compute_representations(self.representations, thinned, options)
            compute = compute_medians_and_spreads if robust else compute_means_and_variances
            if len(_scalings) == N_SCALINGS:
                _scalings.clear()
            _scalings[key] = compute(arrays)
        return _scalings[key]

    @functools.cached_property
    def _feed(self) -> Feed:
        in_pipeline = self.options.representations_in == "pipeline"
        return choose_feed(
            self.dataset,
            self.selection,
            self.experiment.training.batch_size,
            for_training=self.representations if in_pipeline else None,
            for_prediction=None if self._predicts_from_signal() else self.representations,
        )

    def _describe_batches(self, seed: int) -> BatchOptions:
        """Say how training windows are weighted, drawn, cropped and augmented."""
        settings, y = self.experiment.training, self.selection.in_split("train").y
        balanced = settings.sampling == "balanced"
        return BatchOptions(
            shuffle_seed=seed,
            weights=compute_class_weights(y, settings.class_weights),
            crop=self._crop_samples(),
            sampling_weights=compute_sampling_weights(y) if balanced else None,
            augment=build_batch_augmentation(self.crop_signal, self.experiment, seed),
        )

    def _build_predictor(self, model: keras.Model) -> keras.Model:
        """Build what predicts whole windows, once for each model: tracing it takes a second.

        With sliding crops it takes windows in mV, as an export does.
        """
        if not self._predicts_from_signal():
            return model
        if model not in self._predictors:
            self._predictors[model] = build_window_model(
                self.dataset.signal,
                self.representations,
                model,
                self.processing,
                self.selection.task.kind,
            )
        return self._predictors[model]

    def _predicts_from_signal(self) -> bool:
        in_model = self.options.representations_in == "model"
        return in_model or bool(self.experiment.inputs.crop_s)

    def _compute_outputs(self, model: keras.Model, split: str) -> np.ndarray:
        """Compute what the model gives for each window of a split, in their order."""
        return self._feed.predict(self._build_predictor(model), split)

    def _build_validation_score(self, model: keras.Model) -> ValidationScore:
        return ValidationScore(
            lambda: self._compute_outputs(model, "validation"),
            self.selection.in_split("validation"),
            self.stopwatch,
        )

    def _copy_branches(self, model: keras.Model, seed: int) -> None:
        """Train each branch alone and copy its weights into the model."""
        frozen = self.experiment.training.branch_training == "frozen"
        for number, (branch, encoder) in enumerate(self.experiment.model.branches.items()):
            representation = get_representation(branch)
            alone = self.experiment.replace(
                branches={representation: encoder},
                fusion=NO_FUSION,
                branch_training="joint",
                branch_dropout=0.0,
                missing_branches=False,
                auxiliary_loss_weight=0.0,
            )
            windows = self.selection
            if representation != TABULAR:
                windows = dataclasses.replace(windows, tabular=windows.tabular[:, :0])
            options = dataclasses.replace(
                self.options,
                checkpoints=self._place_checkpoint(f"seed{seed}-{branch}"),
                callbacks=(),
            )
            trainer = Trainer(alone, self.dataset, options, windows)
            trainer.stopwatch = self.stopwatch
            # Two equal encoders on one representation get different seeds.
            fitted = trainer.fit_model(seed + number)
            models.copy_branch_weights(model, branch, fitted.model, frozen)
        keras.utils.set_random_seed(seed)

    def _only_fits_late_fusion(self) -> bool:
        """Whether the branches are frozen and nothing else has weights."""
        frozen = self.experiment.training.branch_training == "frozen"
        return frozen and get_fusion_family(self.experiment.model.fusion) == "late"

    def _fit_late_fusion(self, model: keras.Model, trained: keras.Model) -> None:
        """Fit on the validation split what a late fusion learns there."""
        fusion, kind = self.experiment.model.fusion, self.selection.task.kind
        if fusion not in ("late_weighted", "late_stacking"):
            return
        branch_p = self._compute_outputs(trained, "validation")
        y = self.selection.in_split("validation").y
        if fusion == "late_weighted":
            models.set_branch_weights(model, fit_weights(y, branch_p, kind))
        else:
            weights, bias = fit_stacking(y, branch_p, kind)
            models.set_stacking_weights(model, weights, bias)

    def _crop_samples(self) -> int:
        return self.crop_signal.n_samples if self.experiment.inputs.crop_s else 0

    def _place_checkpoint(self, name: str) -> CheckpointPlace | None:
        place = self.options.checkpoints
        return place and dataclasses.replace(place, folder=place.folder / name)
