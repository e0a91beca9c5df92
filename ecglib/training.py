"""One experiment -> one run."""

import ecglib.quiet  # noqa: F401

import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ecglib import folders, graph, models, pipeline, runs
from ecglib.augmentation import build_augmentation
from ecglib.datasets.contract import SignalContract
from ecglib.datasets.store import Dataset, Selection
from ecglib.errors import require_one_of
from ecglib.evaluation import summary, thresholds
from ecglib.evaluation.metrics import has_both_outcomes
from ecglib.experiment import Experiment
from ecglib.representations import build_views

MEMBER_SEED_STEP = 1000
SCALING_WINDOWS = 4096
VIEWS_IN = ("pipeline", "model")


def train(
    experiment: Experiment,
    dataset: Dataset,
    runs_dir: str | Path = "",
    batch: str = "explore",
    verbose: int = 0,
    views_in: str = "pipeline",
) -> runs.Run:
    """Carry out an experiment; a run that exists is opened, not run again.

    The scaling comes from the training part; early stopping, late-fusion weights and thresholds
    from the validation part; the test part is only scored.

    Parameters
    ----------
    experiment
        what to do.
    dataset
        the prepared store that the experiment names.
    runs_dir
        folder of all batches; empty for the usual one (`ecglib.folders`).
    batch
        name of the batch.
    verbose
        0 is silent, 1 shows a bar for each epoch, 2 a line.
    views_in
        where the views are computed: in the ``"pipeline"``, while the batch before is trained
        on, or in the ``"model"``, on the device of the model. It decides speed, not the
        result, which differs by rounding at most; so it is not part of the experiment.

    Returns
    -------
    The finished run.

    Raises
    ------
    EcgError
        the experiment does not fit the dataset (see `Experiment.check`).
    """
    path = runs.run_path(experiment, folders.runs_dir(runs_dir), batch)
    if runs.exists(path):
        return runs.Run(path)
    marks = experiment.check(dataset)
    selection = dataset.select(experiment.task)
    started = time.perf_counter()
    pipeline.configure(experiment.seed)
    views = views_of(experiment, dataset.signal)
    members, histories = [], []
    for member in range(experiment.members):
        seed = experiment.seed + MEMBER_SEED_STEP * member
        model, history = fit(experiment, dataset, selection, views, seed, verbose, (), views_in)
        members.append(model)
        histories.append(history.assign(member=member))
    model = members[0] if len(members) == 1 else models.join_members(members)
    predictor, fed = scorer(experiment, dataset, selection, views, model, views_in)
    predictions = {
        part: predict(predictor, dataset, selection.of(part), fed, experiment.batch_size)
        for part in ("validation", "test")
    }
    kind = selection.task.kind
    limits = thresholds.fit_thresholds(
        predictions["validation"].y, predictions["validation"].p, kind
    )
    metrics = {
        "model": {"parameters": model.count_params(), "seconds": time.perf_counter() - started},
        **{
            part: summary.with_intervals(
                own.y, own.p, limits, kind, selection.classes, own.patients
            )
            for part, own in predictions.items()
        },
    }
    contract = _contract(experiment, dataset, selection, limits, marks)
    history = pd.concat(histories, ignore_index=True)
    return runs.write_run(path, experiment, contract, model, history, predictions, metrics)


def views_of(experiment: Experiment, signal: SignalContract) -> keras.Model:
    """The views of the crops, or of the windows, that the experiment's model looks at."""
    return build_views(
        graph.of_crops(signal, experiment.crop_s),
        list(experiment.branches),
        experiment.band_hz,
        experiment.view_options,
    )


def scorer(
    experiment: Experiment,
    dataset: Dataset,
    selection: Selection,
    views: keras.Model,
    model: keras.Model,
    views_in: str = "pipeline",
) -> tuple[keras.Model, keras.Model | None]:
    """What predicts whole windows, and the views that it is to be fed (see `pipeline.feed`).

    With sliding crops it is the graph that an export writes, fed with the windows in mV.
    """
    require_one_of("views_in", views_in, VIEWS_IN)
    if views_in == "pipeline" and not experiment.crop_s:
        return model, views
    contract = {"kind": selection.task.kind, **_crops(experiment)}
    return graph.window_graph(dataset.signal, views, model, contract), None


def fit(
    experiment: Experiment,
    dataset: Dataset,
    selection: Selection,
    views: keras.Model,
    seed: int,
    verbose: int = 0,
    callbacks: tuple = (),
    views_in: str = "pipeline",
) -> tuple[keras.Model, pd.DataFrame]:
    """Build one model and fit it; the weights of the best epoch are kept.

    Returns
    -------
    The model and its history, one row an epoch.
    """
    keras.utils.set_random_seed(seed)
    own, validation = selection.of("train"), selection.of("validation")
    kind = selection.task.kind
    model = models.build_model(
        {name: view.shape[1:] for name, view in views.output.items()},
        experiment.branches,
        experiment.fusion,
        n_classes=len(selection.classes),
        kind=kind,
        width=experiment.width,
        features=experiment.features,
        dropout=experiment.dropout,
        seed=seed,
    )
    cut = graph.of_crops(dataset.signal, experiment.crop_s)
    crop = cut.n_samples if experiment.crop_s else 0
    models.set_scaling(model, _scaling(dataset, own, views, experiment.batch_size, crop))
    steps = experiment.steps_per_epoch or -(-len(own.rows) // experiment.batch_size)
    trained, per_branch = models.training_view(model)
    predictor, fed = scorer(experiment, dataset, selection, views, model, views_in)
    in_model = views_in == "model"
    fitted = graph.window_graph(cut, views, trained, {}) if in_model else trained
    _compile(fitted, per_branch, experiment, kind, steps)
    batches = pipeline.feed(
        dataset,
        own,
        None if in_model else views,
        experiment.batch_size,
        seed,
        class_weights(own.y, experiment.class_weights),
        crop=crop,
        chances=chances(own.y) if experiment.sampling == "balanced" else None,
        augment=build_augmentation(cut, experiment.augment, seed),
    )
    if not in_model:
        models.check_inputs(model, batches.element_spec[0])
    score = ValidationScore(
        predictor, pipeline.feed(dataset, validation, fed, 4 * experiment.batch_size), validation
    )
    stop = keras.callbacks.EarlyStopping(
        "val_auroc", mode="max", patience=experiment.patience, restore_best_weights=True
    )
    history = fitted.fit(
        batches.repeat(),
        epochs=experiment.epochs,
        steps_per_epoch=steps,
        callbacks=[score, stop, *callbacks],
        shuffle=False,  # the feed shuffles
        verbose=verbose,
    )
    if experiment.fusion == "late_weighted":
        of_branches, _ = scorer(experiment, dataset, selection, views, trained, views_in)
        _weigh_branches(model, of_branches, score.batches, validation.y, kind)
    frame = pd.DataFrame(history.history).rename_axis("epoch").reset_index()
    return model, frame.assign(epoch=frame["epoch"] + 1)


class ValidationScore(keras.callbacks.Callback):
    """Adds ``val_loss`` and ``val_auroc`` of the model that will predict, after each epoch.

    A late fusion is fitted through its branches; what counts is the fused prediction.
    """

    def __init__(self, predictor: keras.Model, batches, validation: Selection):
        super().__init__()
        self.predictor, self.batches, self.validation = predictor, batches, validation

    def on_epoch_end(self, epoch, logs=None):
        """Score the validation part."""
        p = self.predictor.predict(self.batches, verbose=0)
        logs["val_loss"] = _cross_entropy(self.validation, p)
        logs["val_auroc"] = macro_auroc(self.validation.y, p)


def macro_auroc(y: np.ndarray, p: np.ndarray) -> float:
    """Mean AUROC over the classes that have both outcomes; y and p (n_windows, n_classes)."""
    both = has_both_outcomes(y)
    return float(roc_auc_score(y[:, both], p[:, both], average="macro"))


def class_weights(y: np.ndarray, rule: str) -> np.ndarray | None:
    """Weight of each window, shape (n_windows,), with mean 1; None where all are equal.

    ``"balanced"`` weighs a window by the inverse frequency of its class, ``"sqrt"`` by the root
    of that.
    """
    if rule == "none":
        return None
    inverse = 1.0 / y.mean(axis=0)
    weights = y @ (np.sqrt(inverse) if rule == "sqrt" else inverse)
    return weights / weights.mean()


def chances(y: np.ndarray) -> np.ndarray:
    """How likely each window is drawn, shape (n_windows,), with the sum 1.

    Inverse to the share of windows that show its rarest class; windows that show none are
    counted as a class of their own.
    """
    y = np.concatenate([y, 1 - y.max(axis=1, keepdims=True)], axis=1)
    rarest = np.where(y > 0, y.mean(axis=0), np.inf).min(axis=1)
    return 1 / rarest / (1 / rarest).sum()


def predict(
    model: keras.Model, dataset: Dataset, own: Selection, views: keras.Model | None, batch_size: int
) -> runs.Predictions:
    """Probabilities of the windows of a selection, in its order; see `scorer` for the views."""
    batches = pipeline.feed(dataset, own, views, 4 * batch_size)
    p = model.predict(batches, verbose=0)
    return runs.Predictions(own.rows, own.records, own.patients, own.y, p)


def _scaling(dataset, own: Selection, views: keras.Model, batch_size: int, crop: int) -> dict:
    """Mean and variance of each view over the training part.

    At most 4096 evenly spread training windows, or a crop of each, are read: enough for a mean,
    cheap at any size.
    """
    step = -(-len(own.rows) // SCALING_WINDOWS)
    thinned = own.take(slice(None, None, step))
    sums, squares, counts = {}, {}, {}
    seed = 0 if crop else None  # for the places of the crops
    for arrays, _ in pipeline.feed(dataset, thinned, views, batch_size, seed, crop=crop):
        for name, array in arrays.items():
            array = np.asarray(array, np.float64)
            axes = models.scaling_axes(name, array.ndim)
            sums[name] = sums.get(name, 0) + array.sum(axis=axes)
            squares[name] = squares.get(name, 0) + np.square(array).sum(axis=axes)
            counts[name] = counts.get(name, 0) + np.prod([array.shape[a] for a in axes])
    means = {name: sums[name] / counts[name] for name in sums}
    return {
        name: (mean, np.maximum(squares[name] / counts[name] - mean**2, 0.0))
        for name, mean in means.items()
    }


def _compile(fitted: keras.Model, per_branch: bool, experiment: Experiment, kind, steps) -> None:
    """Make a model ready to fit: a late fusion is fitted through its branches."""
    loss = (
        keras.losses.BinaryCrossentropy()
        if kind == "multi_label"
        else keras.losses.CategoricalCrossentropy()
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        experiment.learning_rate, experiment.epochs * steps
    )
    fitted.compile(
        keras.optimizers.AdamW(schedule, weight_decay=experiment.weight_decay),
        models.BranchLoss(loss) if per_branch else loss,
        jit_compile=False,
    )
    # Variables that the first step would make inside its graph cost a second tracing.
    fitted.optimizer.build(fitted.trainable_variables)


def _weigh_branches(model, of_branches, batches, y: np.ndarray, kind: str) -> None:
    branch_p = of_branches.predict(batches, verbose=0)
    models.set_weights_of_branches(model, thresholds.fit_weights(y, branch_p, kind))


def _cross_entropy(own: Selection, p: np.ndarray) -> float:
    """Mean cross-entropy over windows and, multi-label, classes."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    if own.task.kind == "multi_class":
        return float(-np.mean(np.log(p[own.y == 1])))
    return float(-np.mean(own.y * np.log(p) + (1 - own.y) * np.log(1 - p)))


def _contract(experiment, dataset, selection, limits, marks) -> dict:
    """What a record must be to be given to this model, and how its answer is to be read."""
    signal = dataset.signal
    return {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "task": experiment.task,
        "kind": selection.task.kind,
        "classes": selection.classes,
        "thresholds": [float(limit) for limit in limits],
        "part_column": selection.task.part,
        "sampling_rate_hz": signal.sampling_rate_hz,
        "n_samples": signal.n_samples,
        "leads": list(signal.leads),
        "unit": signal.unit,
        "around_beats": signal.around_beats,
        "band_hz": list(experiment.band_hz),
        "representations": list(experiment.branches),
        "view_options": experiment.view_options,
        **_crops(experiment),
        "marks": marks,
    }


def _crops(experiment: Experiment) -> dict:
    """The crops that a window is cut into before the views, and how they are joined."""
    names = ("crop_s", "crop_hop_s", "aggregation")
    return {name: getattr(experiment, name) for name in names}
