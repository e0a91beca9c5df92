"""One experiment -> one run."""

import ecglib._keras  # noqa: F401

import dataclasses
import shutil
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from ecglib import models, paths, runs
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.errors import require_one_of
from ecglib.evaluation import calibration, summary, thresholds
from ecglib.evaluation.stacking import fit_stacking
from ecglib.experiment import Experiment
from ecglib.experiment.branches import representation_of
from ecglib.models import end_to_end
from ecglib.preprocessing.augmentation import build_augmentation
from ecglib.training import class_balance, input_pipeline, recipe, trees
from ecglib.training.normalization import means_and_variances, medians_and_ranges
from ecglib.training.validation import ValidationScore, validation_scores

MEMBER_SEED_STEP = 1000
SCALING_WINDOWS, ROBUST_SCALING_WINDOWS = 4096, 512
COMPUTED_IN = ("pipeline", "model")


def train(
    experiment: Experiment,
    dataset: Dataset,
    runs_dir: str | Path = "",
    batch: str = "explore",
    verbose: int = 0,
    representations_in: str = "model",
) -> runs.Run:
    """Carry out an experiment; a run that exists is opened, not run again.

    The scaling comes from the training part; early stopping, late-fusion weights and thresholds
    from the validation part; the test part is only scored. Of the classical baseline the trees come
    from the training part, calibration and thresholds from the validation part.

    Training that was killed goes on after the last epoch that it finished, with the same bits: a
    hidden folder beside the run holds what that needs, until the run is finished. The batches of
    the epochs before are made once more, so that the feed goes on as well.

    Parameters
    ----------
    experiment
        what to do.
    dataset
        the prepared store that the experiment names.
    runs_dir
        folder of all batches; empty for the usual one (`ecglib.paths`).
    batch
        name of the batch.
    verbose
        0 is silent, 1 shows a bar for each epoch, 2 a line.
    representations_in
        where the views are computed: in the ``"model"``, on its device, or in the
        ``"pipeline"``, while the batch before is trained on; training then waits for views that
        take longer than a step. It decides speed, not the result, which differs by rounding at
        most; so it is not part of the experiment.

    Returns
    -------
    The finished run.

    Raises
    ------
    EcgError
        the experiment does not fit the dataset (see `Experiment.check`).
    """
    path = runs.run_path(experiment, paths.runs_dir(runs_dir), batch)
    if runs.exists(path):
        return runs.Run(path)
    caveats = experiment.check(dataset)
    selection = selection_of(experiment, dataset)
    started = time.perf_counter()
    input_pipeline.configure(experiment.seed)
    kept = path.with_name(f".{path.name}.checkpoint")
    if experiment.role == "baseline":
        model, cost, history, raw = _trees(experiment, dataset, selection)
    else:
        model, cost, history, raw = _network(
            experiment, dataset, selection, verbose, representations_in, kept
        )
    kind, own = selection.task.kind, raw["validation"]
    calibrate = calibration.fit_calibration(own.y, own.p, kind)
    predictions = {part: dataclasses.replace(own, p=calibrate(own.p)) for part, own in raw.items()}
    own = predictions["validation"]
    limits = thresholds.fit_thresholds(own.y, own.p, kind, selection.classes)
    metrics = {"model": cost | {"seconds": time.perf_counter() - started}}
    for part, own in predictions.items():
        scores = summary.with_intervals(own.y, own.p, limits, kind, selection.classes, own.patients)
        before = raw[part].p
        metrics[part] = scores | summary.calibration_scores(own.y, before, own.p, kind)
    contract = _contract(experiment, dataset, selection, limits, calibrate, caveats)
    run = runs.write_run(path, experiment, contract, model, history, predictions, metrics)
    shutil.rmtree(kept, ignore_errors=True)
    _warn_of_never_predicted(metrics)
    return run


def _warn_of_never_predicted(metrics: dict) -> None:
    for part in ("validation", "test"):
        if names := metrics[part]["never_predicted"]:
            warnings.warn(
                f"No window of the {part} part was given {', '.join(names)}: their F1 is 0 and "
                f"they have no precision. Look at their counts and curves; class_weights, "
                f"sampling='balanced' or loss='focal' may help.",
                stacklevel=3,
            )


def _network(experiment, dataset, selection, verbose, representations_in, kept):
    """A fitted model, what it costs, its history, and its predictions by part."""
    views = views_of(experiment, dataset)
    wide = widened(experiment, selection, views)
    model, history = _fit_members(
        wide, dataset, selection, views, verbose, representations_in, kept
    )
    predictor, fed = scorer(experiment, dataset, selection, views, model, representations_in)
    raw = {
        part: predict(predictor, dataset, selection.in_split(part), fed, experiment.batch_size)
        for part in ("validation", "test")
    }
    size = {"parameters": model.count_params(), "width": wide.width}
    return model, size | {"multiply_adds": models.multiply_adds(model)}, history, raw


def _trees(experiment: Experiment, dataset: Dataset, selection: Selection):
    """As `_network`, of the classical baseline: its recipe stands for the model.

    Its parameters are the nodes of its trees, and its history is one row: trees have no epochs.
    """
    filters = {"notch_hz": experiment.notch_hz, "denoise": experiment.denoise}
    x, names = trees.features(dataset, selection, experiment.band_hz, **filters)
    own, kind = selection.in_split("train"), selection.task.kind
    fitted = trees.fit_baseline(
        *(experiment.branches["handcrafted"], x[selection.part == "train"], own.y, kind),
        *(experiment.seed, class_balance.weights_of(experiment, own.y)),
    )
    p = trees.predict_baseline(fitted, x, len(selection.classes), kind)
    raw = {}
    for part in ("train", "validation", "test"):
        own = selection.in_split(part)
        own_p = p[selection.part == part]
        raw[part] = runs.Predictions(own.rows, own.records, own.patients, own.y, own_p)
    train = raw.pop("train")
    row = {"epoch": 1, "loss": calibration.log_loss(train.y, train.p, kind)}
    row |= validation_scores(selection.in_split("validation"), raw["validation"].p) | {"member": 0}
    cost = {"parameters": trees.n_nodes(fitted), "multiply_adds": None}
    return trees.recipe_of(fitted, names), cost, pd.DataFrame([row]), raw


def _fit_members(experiment, dataset, selection, views, verbose, representations_in, kept):
    """The model, an ensemble if the experiment asks for one, and the history of its members."""
    members, histories = [], []
    for member in range(experiment.ensemble_size):
        seed = experiment.seed + MEMBER_SEED_STEP * member
        with input_pipeline.accelerators().scope():
            model, history = fit(
                *(experiment, dataset, selection, views, seed, verbose),
                representations_in=representations_in,
                kept=kept / f"seed{seed}.npz",
            )
        members.append(model)
        histories.append(history.assign(member=member))
    model = members[0] if len(members) == 1 else models.join_members(members)
    return model, pd.concat(histories, ignore_index=True)


def widened(experiment: Experiment, selection: Selection, views: keras.Model) -> Experiment:
    """The experiment with the width that its `target_parameters` asks for; itself where it asks for none.

    Only the width grows, not the features: the same encoder with more channels. It is found by
    building models, none is trained.

    Raises
    ------
    ExperimentError
        the branch has more parameters at its `width` already.
    """
    if not experiment.target_parameters:
        return experiment

    def count(width: int) -> int:
        own = dataclasses.replace(experiment, width=width)
        return _built(own, selection, views, experiment.seed).count_params()

    width = models.width_of_size(experiment.target_parameters, count, experiment.width)
    return dataclasses.replace(experiment, width=width, target_parameters=0)


def views_of(experiment: Experiment, dataset: Dataset) -> keras.Model:
    """The views of the crops, or of the windows, that the experiment's model looks at."""
    return end_to_end.views_of(dataset.signal, _processing(experiment, dataset))


def selection_of(experiment: Experiment, dataset: Dataset) -> Selection:
    """The windows of the experiment's task, with the tabular values that its model looks at."""
    columns = experiment.tabular_columns(dataset)
    folds, fold = experiment.n_folds, experiment.fold
    return dataset.select(experiment.task, columns, folds, fold)


def scorer(
    experiment: Experiment,
    dataset: Dataset,
    selection: Selection,
    views: keras.Model,
    model: keras.Model,
    representations_in: str = "model",
) -> tuple[keras.Model, keras.Model | None]:
    """What predicts whole windows, and the views that it is to be fed (see `pipeline.feed`).

    With sliding crops it is the graph that an export writes, fed with the windows in mV.
    """
    require_one_of("representations_in", representations_in, COMPUTED_IN)
    if representations_in == "pipeline" and not experiment.crop_s:
        return model, views
    contract = {"kind": selection.task.kind, **_processing(experiment, dataset)}
    return end_to_end.window_graph(dataset.signal, views, model, contract), None


def fit(
    experiment: Experiment,
    dataset: Dataset,
    selection: Selection,
    views: keras.Model,
    seed: int,
    verbose: int = 0,
    callbacks: tuple = (),
    representations_in: str = "model",
    kept: Path | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Build one model and fit it; the weights of the best epoch are kept.

    Parameters
    ----------
    kept
        the file from which training that was killed goes on (`ecglib.training.recipe.Checkpoint`); the
        other parameters are those of `train`.

    Returns
    -------
    The model and its history, one row an epoch.
    """
    experiment = widened(experiment, selection, views)
    keras.utils.set_random_seed(seed)
    own, validation = selection.in_split("train"), selection.in_split("validation")
    kind = selection.task.kind
    cut = end_to_end.of_crops(dataset.signal, experiment.crop_s)
    with recipe.precision(experiment.precision):
        model = _built(experiment, selection, views, seed)
        trained, loss = _trained(model, experiment, kind, seed)
    crop = cut.n_samples if experiment.crop_s else 0
    models.set_scaling(model, _scaling(experiment, dataset, own, views, crop))
    if experiment.branch_training != "joint":
        branches = (dataset, selection, seed, verbose, representations_in, kept)
        experiment = _take_branches(model, experiment, *branches)
    predictor, fed = scorer(experiment, dataset, selection, views, model, representations_in)
    in_model = representations_in == "model"
    fitted = end_to_end.window_graph(cut, views, trained, {}) if in_model else trained
    steps = experiment.steps_per_epoch or -(-len(own.rows) // experiment.batch_size)
    optimizer = recipe.compile_model(fitted, loss, experiment, experiment.epochs * steps)
    batches = _training_batches(experiment, dataset, own, None if in_model else views, cut, seed)
    if not in_model:
        models.check_inputs(model, batches.element_spec[0])
    score = ValidationScore(
        predictor,
        input_pipeline.feed(dataset, validation, fed, 4 * experiment.batch_size),
        validation,
    )
    averages = recipe.UseAverages(optimizer) if experiment.ema_decay else None
    stop = recipe.early_stopping(experiment)
    checkpoint = recipe.Checkpoint(kept, fitted, experiment.epochs, stop, averages)
    batches = batches.repeat()
    with warnings.catch_warnings():
        # Right of a late fusion of frozen branches.
        warnings.filterwarnings("ignore", "The model does not have any trainable weights")
        history = fitted.fit(
            batches.skip(checkpoint.n_done * steps) if checkpoint.n_done else batches,
            epochs=experiment.epochs,
            steps_per_epoch=steps,
            callbacks=[*filter(None, (averages, score, stop, checkpoint)), *callbacks],
            shuffle=False,  # the feed shuffles
            initial_epoch=checkpoint.n_done,
            verbose=verbose,
        )
    if experiment.fusion in ("late_weighted", "late_stacking"):
        of_branches, _ = scorer(experiment, dataset, selection, views, trained, representations_in)
        branch_p = of_branches.predict(score.batches, verbose=0)
        _join_branches(model, experiment.fusion, branch_p, validation.y, kind)
    frame = pd.DataFrame(history.history).rename_axis("epoch").reset_index()
    return model, frame.assign(epoch=frame["epoch"] + 1)


def _take_branches(
    model, experiment, dataset, selection, seed: int, verbose, representations_in, kept
):
    """Train each branch by itself and give its weights to the model; what is left to do then."""
    frozen = experiment.branch_training == "frozen"
    for number, (name, encoder) in enumerate(experiment.branches.items()):
        representation = representation_of(name)
        own = dataclasses.replace(
            experiment,
            **{"branches": {representation: encoder}, "fusion": "none", "branch_training": "joint"},
            **{"branch_dropout": 0.0, "missing_branches": False, "auxiliary_loss_weight": 0.0},
        )
        windows = selection
        if representation != "tabular":
            windows = dataclasses.replace(selection, tabular=selection.tabular[:, :0])
        alone, _ = fit(
            *(own, dataset, windows, views_of(own, dataset)),
            seed + number,  # two equal encoders on one view are to differ
            verbose,
            representations_in=representations_in,
            kept=kept and kept.with_name(f"{kept.stem}-{name}.npz"),
        )
        models.take_branch(model, name, alone, frozen)
    keras.utils.set_random_seed(seed)
    if frozen and experiment.fusion.startswith("late_"):
        return dataclasses.replace(experiment, epochs=1)  # one pass for its scores
    return experiment


def _built(experiment: Experiment, selection: Selection, views: keras.Model, seed: int):
    """The experiment's model of these views, not yet scaled."""
    return models.build_model(
        {name: view.shape[1:] for name, view in views.output.items()},
        experiment.branches,
        experiment.fusion,
        n_classes=len(selection.classes),
        kind=selection.task.kind,
        width=experiment.width,
        feature_dim=experiment.feature_dim,
        dropout=experiment.dropout,
        seed=seed,
        branch_dropout=experiment.branch_dropout,
        missing_branches=experiment.missing_branches,
    )


def _training_batches(experiment, dataset, own: Selection, views: keras.Model | None, cut, seed):
    """One pass over the training part, as the experiment weighs, draws, crops and changes it.

    What is blended is blended in mV, so that the views then come after the feed.
    """
    batches = input_pipeline.feed(
        dataset,
        own,
        None if experiment.mixup else views,
        experiment.batch_size,
        seed,
        class_balance.class_weights(own.y, experiment.class_weights),
        crop=cut.n_samples if experiment.crop_s else 0,
        sampling_weights=class_balance.sampling_weights(own.y)
        if experiment.sampling == "balanced"
        else None,
        augment=build_augmentation(cut, experiment.augment, seed),
    )
    if not experiment.mixup:
        return batches
    batches = batches.map(recipe.mix(experiment.mixup, seed))
    if views is not None:
        seen = {"num_parallel_calls": input_pipeline.AT_ONCE, "deterministic": True}
        batches = batches.map(lambda x, *rest: (views(_as_listed(x)), *rest), **seen)
    return batches.prefetch(input_pipeline.AHEAD)


def _as_listed(x):
    """Windows, or windows and tabular values, as the views take them."""
    return [x["signal"], x["tabular"]] if isinstance(x, dict) else x


def predict(
    model: keras.Model, dataset: Dataset, own: Selection, views: keras.Model | None, batch_size: int
) -> runs.Predictions:
    """Probabilities of the windows of a selection, in its order; see `scorer` for the views."""
    batches = input_pipeline.feed(dataset, own, views, 4 * batch_size)
    p = model.predict(batches, verbose=0)
    return runs.Predictions(own.rows, own.records, own.patients, own.y, p)


def _scaling(experiment, dataset, own: Selection, views: keras.Model, crop: int) -> dict:
    """Centre and squared spread of each view over the training part, as the experiment says.

    At most 4096 evenly spread training windows, or a crop of each, are read (512 for medians,
    which need all values at once): enough for either, cheap at any size.
    """
    robust = experiment.scaling == "robust"
    n_windows = ROBUST_SCALING_WINDOWS if robust else SCALING_WINDOWS
    thinned = own.take(slice(None, None, -(-len(own.rows) // n_windows)))
    seed = 0 if crop else None  # for the places of the crops
    batches = input_pipeline.feed(dataset, thinned, views, experiment.batch_size, seed, crop=crop)
    arrays = ({name: np.asarray(x) for name, x in batch[0].items()} for batch in batches)
    return (medians_and_ranges if robust else means_and_variances)(arrays)


def _trained(model: keras.Model, experiment: Experiment, kind: str, seed: int):
    """What is fitted, with its loss: a late fusion through its branches."""
    loss = recipe.base_loss(experiment, kind)
    if experiment.auxiliary_loss_weight:
        view = models.auxiliary_view(model, experiment.dropout, seed)
        return view, models.AuxiliaryLoss(loss, experiment.auxiliary_loss_weight)
    view, per_branch = models.training_view(model)
    return view, models.BranchLoss(loss) if per_branch else loss


def _join_branches(model, fusion: str, branch_p: np.ndarray, y: np.ndarray, kind: str) -> None:
    """Fit what a late fusion learns on the validation part."""
    if fusion == "late_weighted":
        models.set_weights_of_branches(model, thresholds.fit_weights(y, branch_p, kind))
    else:
        models.set_stacking(model, *fit_stacking(y, branch_p, kind))


def _contract(experiment, dataset, selection, limits, calibrate, caveats) -> dict:
    """What a record must be to be given to this model, and how its answer is to be read."""
    signal = dataset.signal
    return {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "task": experiment.task,
        "kind": selection.task.kind,
        "classes": selection.classes,
        "calibration": {"scale": list(calibrate.scale), "bias": list(calibrate.bias)},
        "thresholds": [float(limit) for limit in limits],
        "part_column": selection.task.part,
        "sampling_rate_hz": signal.sampling_rate_hz,
        "n_samples": signal.n_samples,
        "leads": list(signal.leads),
        "unit": signal.unit,
        "around_beats": signal.around_beats,
        **_processing(experiment, dataset),
        "caveats": caveats,
    }


def _processing(experiment: Experiment, dataset: Dataset) -> dict:
    """What is done to a window before the model, and with what the model says of its crops."""
    options = experiment.representation_options
    if columns := experiment.tabular_columns(dataset):
        options = options | {"tabular": options.get("tabular", {}) | {"columns": list(columns)}}
    return {
        "band_hz": list(experiment.band_hz),
        "notch_hz": experiment.notch_hz,
        "denoise": experiment.denoise,
        "representations": experiment.representations,
        "representation_options": options,
        "crop_s": experiment.crop_s,
        "crop_hop_s": experiment.crop_hop_s,
        "crop_aggregation": experiment.crop_aggregation,
    }
