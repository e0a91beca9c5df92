"""Trains an experiment, calibrates and scores it, and writes the run."""

import ecglib._keras  # noqa: F401

import shutil
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from threadpoolctl import threadpool_limits

from ecglib.datasets.store import Dataset
from ecglib.evaluation.summary import evaluate
from ecglib.experiment import (
    Contract,
    Environment,
    Experiment,
    Processing,
    check_experiment,
    describe_environment,
)
from ecglib.experiment.keywords import build_experiment, show_settings
from ecglib.paths import runs_dir as find_runs_dir
from ecglib.runs import Result, Run, run_exists, write_run
from ecglib.training.callbacks import CheckpointPlace, check_callbacks
from ecglib.training.devices import count_threads, make_deterministic
from ecglib.training.tracking import build_epoch_log, check_tracking, track_run
from ecglib.training.trainer import Fitted, Trainer, TrainerOptions
from ecglib.training.tree_trainer import TreeTrainer


@show_settings
def train(
    data: Dataset,
    experiment: Experiment | None = None,
    *,
    batch: str | Path = "explore",
    verbose: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    representations_in: str = "model",
    **settings: Any,
) -> Run:
    """Train an experiment and write its run; a run that exists is opened instead.

    The scaling comes from the training split; early stopping, late-fusion weights, calibration and
    thresholds from the validation split; the test split is only scored.

    Training that was killed resumes after its last finished epoch, with the same bits: a hidden
    folder beside the run holds the checkpoints until the run is finished. The batches of the
    epochs before are made once more, so that the input pipeline continues as well. Checkpoints of
    other code, versions or threads are not used, with a warning.

    The environment variables ``ECGLIB_TENSORBOARD`` and ``ECGLIB_MLFLOW`` track runs
    (`ecglib.training.track_run`); they change nothing of a result.

    Parameters
    ----------
    data : Dataset
        The prepared store, from `ecglib.prepare`.
    experiment : Experiment, optional
        Settings that hold where no keyword says otherwise; without it the defaults do.
    batch : str or Path, default "explore"
        Name of the batch, below the default folder of runs (`ecglib.paths.runs_dir`), or the path
        of its folder.
    verbose : int, default 0
        0 is silent, 1 shows a bar for each epoch, 2 a line.
    callbacks : sequence of keras.callbacks.Callback, default ()
        Called during training, to watch it; their logs have ``val_auroc`` and ``val_f1``. They are
        not part of the experiment, so they must not change the training: what does is a setting.
        They are not called for a run that exists, nor for trees.
    representations_in : {"model", "pipeline"}
        Where the representations are computed (`ecglib.training.trainer.TrainerOptions`).
    **settings
        The settings of the experiment; `branches` is needed.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    EcgError
        If a setting is unknown or wrong, the experiment does not fit the dataset
        (`ecglib.experiment.check_experiment`), a file cannot be written, or MLflow is to track the
        run and is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     run = train(data, branches={"frequency": "mlp"}, epochs=1, batch=folder)
    ...     again = train(data, run.experiment, seed=1, batch=folder)
    >>> list(run.metrics), run.caveats, again.experiment.training.seed
    (['model', 'validation', 'test'], ('synthetic data',), 1)
    """
    others = {"batch": batch, "verbose": verbose, "callbacks": callbacks}
    experiment = build_experiment(data, experiment, settings, others)
    check_callbacks(callbacks)
    path = _find_batch_dir(batch) / experiment.run_name
    if run_exists(path):
        run = Run(path)
        track_run(run)
        return run
    caveats = check_experiment(experiment, data)
    check_tracking()
    started = time.perf_counter()
    make_deterministic(experiment.training.seed)
    environment = describe_environment(count_threads())
    checkpoint_dir = path.with_name(f".{path.name}.checkpoint")
    with threadpool_limits(environment.threads):  # of NumPy and SciPy
        if experiment.role == "baseline":
            fitted = TreeTrainer(experiment, data).fit()
        else:
            options = TrainerOptions(
                verbose=verbose,
                representations_in=representations_in,
                checkpoints=CheckpointPlace(folder=checkpoint_dir, environment=environment),
                callbacks=[*build_epoch_log(path, experiment.model.ensemble_size), *callbacks],
            )
            fitted = Trainer(experiment, data, options).fit()
        result = _evaluate(fitted, experiment, data, caveats, environment)
    result.metrics["model"]["seconds"] = time.perf_counter() - started
    run = write_run(path, experiment, result)
    shutil.rmtree(checkpoint_dir, ignore_errors=True)
    track_run(run)
    _warn_of_never_predicted(run.metrics)
    return run


def _find_batch_dir(batch: str | Path) -> Path:
    """Return the folder of a batch, given by its name or as a path."""
    path = Path(batch)
    return path if len(path.parts) > 1 else find_runs_dir() / path


def _evaluate(
    fitted: Fitted,
    experiment: Experiment,
    dataset: Dataset,
    caveats: tuple[str, ...],
    environment: Environment,
) -> Result:
    """Calibrate, choose thresholds, score, and describe what a record must be."""
    evaluated = evaluate(fitted.predictions)
    validation = evaluated.predictions["validation"]
    contract = Contract(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        task=experiment.data.task,
        kind=validation.kind,
        classes=validation.classes,
        part_column=dataset.find_task(experiment.data.task).part,
        signal=dataset.signal,
        processing=Processing.from_experiment(experiment, dataset),
        calibration_scale=tuple(evaluated.calibration.scale),
        calibration_bias=tuple(evaluated.calibration.bias),
        thresholds=tuple(float(threshold) for threshold in evaluated.thresholds),
        caveats=caveats,
    )
    return Result(
        model=fitted.model,
        history=fitted.history,
        predictions=evaluated.predictions,
        metrics={"model": dict(fitted.cost)} | evaluated.scores,
        contract=contract,
        environment=environment,
    )


def _warn_of_never_predicted(metrics: dict[str, Any]) -> None:
    for split in ("validation", "test"):
        if names := metrics[split]["never_predicted"]:
            warnings.warn(
                f"No window of the {split} split was predicted as {', '.join(names)}: their F1 is "
                f"0 and they have no precision. Look at their counts and curves; class_weights, "
                f"sampling='balanced' or loss='focal' may help.",
                stacklevel=3,
            )
