"""How a model is trained: loss, schedule, optimizer, what happens after each epoch.

Everything here is a choice of the `Experiment`; `ecglib.training.trainer` puts it to work.
"""

import ecglib._keras  # noqa: F401

import contextlib
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ecglib.errors import RunError
from ecglib.experiment import Experiment

FOCUS = 2.0  # gamma of the focal loss
RISING = 0.25  # share of a one-cycle schedule
FIRST, LAST = 1 / 25, 1e-5  # learning rates of a one-cycle schedule, of the highest
MONITORED = {"auroc": "val_auroc", "f1": "val_f1"}


def base_loss(experiment: Experiment, kind: str) -> keras.losses.Loss:
    """The loss of one answer, on probabilities (n_windows, n_classes).

    The focal loss multiplies the cross-entropy by (1 - p) ** 2, where p is the probability of
    what was observed: Lin et al., "Focal loss for dense object detection" (2017), without alpha.
    """
    smoothing = {"label_smoothing": experiment.label_smoothing}
    if experiment.loss == "focal" and kind == "multi_label":
        return keras.losses.BinaryFocalCrossentropy(gamma=FOCUS, **smoothing)
    if experiment.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=FOCUS, **smoothing)
    if kind == "multi_label":
        return keras.losses.BinaryCrossentropy(**smoothing)
    return keras.losses.CategoricalCrossentropy(**smoothing)


@keras.saving.register_keras_serializable(package="ecglib")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up along half a cosine in the first quarter of the steps, down along another one.

    Smith and Topin, "Super-convergence" (2018, arXiv:1708.07120), in the form of the fastai
    library, which the public PTB-XL benchmark (Strodthoff 2021) trains with: from a 25th of the
    highest learning rate, to a 100000th of it. The momentum stays as it is.

    Parameters
    ----------
    highest : float
        The highest learning rate.
    n_steps : int
        All steps of the training.
    """

    def __init__(self, highest: float, n_steps: int, name: str = "one_cycle"):
        super().__init__()
        self.highest, self.n_steps, self.name = highest, n_steps, name

    def __call__(self, step):
        done = ops.minimum(ops.cast(step, "float32") / self.n_steps, 1.0)
        rising = done < RISING
        share = ops.where(rising, done / RISING, (done - RISING) / (1 - RISING))
        start, end = ops.where(rising, FIRST, 1.0), ops.where(rising, 1.0, LAST)
        return self.highest * (end + (start - end) * (1 + ops.cos(math.pi * share)) / 2)

    def get_config(self):
        return {"highest": self.highest, "n_steps": self.n_steps, "name": self.name}


@keras.saving.register_keras_serializable(package="ecglib")
class AveragingAdamW(keras.optimizers.AdamW):
    """AdamW that keeps an exponential moving average of all weights of a model.

    Keras's own (``use_ema``) leaves out the statistics of batch normalisation, which then belong
    to other weights than the averaged ones, and starts from the first, random weights. Here the
    statistics are averaged alike, and in step t the decay is at most (1 + t) / (10 + t), so that
    the random beginning is soon forgotten.

    Parameters
    ----------
    averaging : float
        The decay: what is left of the average in a step.
    """

    def __init__(self, *args, averaging: float = 0.99, **kwargs):
        super().__init__(*args, **kwargs)
        self.averaging = averaging
        self.averaged, self.averages = [], []

    def watch(self, weights: list) -> None:
        """Average these weights from now on."""
        self.averaged = [w for w in weights if w.dtype == "float32"]
        self.averages = [self.add_variable_from_reference(w, name="average") for w in self.averaged]
        for average, weight in zip(self.averages, self.averaged, strict=True):
            average.assign(weight)

    def apply(self, grads, trainable_variables=None):
        """One step, and the averages after it."""
        super().apply(grads, trainable_variables)
        step = ops.cast(self.iterations, "float32")
        left = ops.minimum(self.averaging, (1 + step) / (10 + step))
        for average, weight in zip(self.averages, self.averaged, strict=True):
            average.assign(average + (1 - left) * (weight - average))

    def get_config(self):
        return {**super().get_config(), "averaging": self.averaging}


def compile_model(
    fitted: keras.Model, loss: keras.losses.Loss, experiment: Experiment, n_steps: int
) -> keras.optimizers.Optimizer:
    """Make a model ready to fit in that many steps; the optimizer that updates its weights."""
    own = {
        "learning_rate": _schedule(experiment, n_steps),
        "weight_decay": experiment.weight_decay,
        "global_clipnorm": experiment.clip_norm or None,
    }
    if experiment.ema_decay:
        optimizer = AveragingAdamW(**own, averaging=experiment.ema_decay)
    else:
        optimizer = keras.optimizers.AdamW(**own)
    scaled = optimizer
    if experiment.precision == "mixed_float16":  # small gradients would be 0
        scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    fitted.compile(scaled, loss, jit_compile=False, auto_scale_loss=False)
    # Variables that the first step would make inside its graph cost a second tracing.
    scaled.build(fitted.trainable_variables)
    if experiment.ema_decay:
        optimizer.watch(fitted.weights)
    return optimizer


def _schedule(experiment: Experiment, n_steps: int):
    if experiment.schedule == "one_cycle":
        return OneCycle(experiment.learning_rate, n_steps)
    return keras.optimizers.schedules.CosineDecay(experiment.learning_rate, n_steps)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Build layers that compute in this precision (a dtype policy of Keras)."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def mix(alpha: float, seed: int) -> Callable:
    """What blends the windows of a batch in pairs, and their labels in the same shares.

    Zhang et al., "mixup: beyond empirical risk minimization" (2018, arXiv:1710.09412). Each
    window is blended with the one before it in the (shuffled) batch, with a share of its own,
    drawn from Beta(`alpha`, `alpha`). It is applied to windows in mV: the filters are linear, the
    views are not, and so all views show the same blend. A tabular value that one of the two
    lacks is missing in the blend.

    Returns
    -------
    callable
        For ``tf.data.Dataset.map``, from and to ``(x, y)`` or ``(x, y, weight)``. It draws where
        it stopped, so it must not be called in parallel. A blend of weighted windows has the
        cross-entropy that the two would have: weight times label is what is blended.
    """
    seeds = keras.random.SeedGenerator(seed)

    def blended(x, y, *weight):
        share = keras.random.beta((ops.shape(y)[0],), alpha, alpha, seed=seeds)
        share = ops.where(ops.isnan(share), 1.0, share)  # 0 / 0, where alpha is nearly 0

        def blend(values):
            own = ops.reshape(share, (-1, *[1] * (len(values.shape) - 1)))
            return own * values + (1 - own) * ops.roll(values, 1, axis=0)

        x = {name: blend(values) for name, values in x.items()} if isinstance(x, dict) else blend(x)
        if not weight:
            return x, blend(y)
        mixed = blend(weight[0])
        return x, blend(weight[0][:, None] * y) / mixed[:, None], mixed

    return blended


class UseAverages(keras.callbacks.Callback):
    """Between two epochs the model has the averaged weights, in an epoch its own.

    So what is validated, kept as best and saved is the same. `keras.callbacks.SwapEMAWeights`
    does not do: it swaps by adding and subtracting, which rounds the weights.
    """

    def __init__(self, optimizer: AveragingAdamW):
        super().__init__()
        self.optimizer = optimizer
        self.own: list[np.ndarray] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Go on with the model's own weights."""
        for weight, own in zip(self.optimizer.averaged, self.own, strict=bool(self.own)):
            weight.assign(own)

    def on_epoch_end(self, epoch, logs=None):
        """Keep the model's own weights and put the averages in their place."""
        self.own = _values(self.optimizer.averaged)
        for weight, average in zip(self.optimizer.averaged, self.optimizer.averages, strict=True):
            weight.assign(average)


def early_stopping(experiment: Experiment) -> keras.callbacks.EarlyStopping | None:
    """What keeps the weights of the best epoch and stops; None where the last epoch counts."""
    if experiment.monitor == "none":
        return None
    return keras.callbacks.EarlyStopping(
        MONITORED[experiment.monitor],
        mode="max",
        patience=experiment.patience,
        restore_best_weights=True,
    )


class Checkpoint(keras.callbacks.Callback):
    """Writes after each epoch all that the next one depends on, and goes on from there.

    `keras.callbacks.BackupAndRestore` keeps weights, optimizer and epoch, but neither the seeds of
    dropout, nor the history, nor what early stopping knows, whose best weights it forgets. Here
    training that was killed goes on with the same bits, if the feed goes on as well: by `n_done`
    epochs.

    A file that does not fit the model is no checkpoint of it, and training begins anew.

    Parameters
    ----------
    path
        the file; empty for none.
    fitted
        the compiled model.
    n_epochs
        all epochs of the training.
    stop, averages
        the callbacks that have a state of their own; they come before this one.
    """

    def __init__(
        self,
        path: Path | None,
        fitted: keras.Model,
        n_epochs: int,
        stop: keras.callbacks.EarlyStopping | None = None,
        averages: UseAverages | None = None,
    ):
        super().__init__()
        self.path, self.stop, self.averages = path, stop, averages
        self.variables = [*fitted.variables, *fitted.optimizer.variables]
        self.rows: list[dict] = []
        self.found = self._read()
        self.n_done = 0
        if self.found:
            self.rows = self.found["told"]["rows"]
            self.n_done = n_epochs if self.found["told"]["stopped"] else len(self.rows)

    def on_train_begin(self, logs=None):
        """Restore what was found."""
        if not self.found:
            return
        for variable, value in zip(self.variables, self.found["variables"], strict=True):
            variable.assign(value)
        if self.averages:
            self.averages.own = self.found["own"]
        if self.stop:
            for name, value in self.found["told"]["stop"].items():
                setattr(self.stop, name, value)
            self.stop.best_weights = self.found["best"]
        names = self.rows[0]
        self.model.history.history = {n: [row[n] for row in self.rows] for n in names}
        self.found = None

    def on_epoch_end(self, epoch, logs=None):
        """Write the state; a file appears whole or not at all."""
        self.rows.append({name: float(value) for name, value in logs.items()})
        if not self.path:
            return
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, **self._state())
            os.replace(partial, self.path)
        except OSError as error:
            raise RunError(
                f"Writing the checkpoint {self.path} failed: {error}. See to the disk (space, "
                f"rights) and run it again; it goes on after the last checkpoint."
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def _state(self) -> dict:
        names = ("wait", "best", "best_epoch", "stopped_epoch") if self.stop else ()
        told = {
            "rows": self.rows,
            "stopped": bool(self.model.stop_training),
            "stop": {name: getattr(self.stop, name) for name in names},
        }
        arrays = {
            "variables": _values(self.variables),
            "best": self.stop.best_weights if self.stop else [],
            "own": self.averages.own if self.averages else [],
        }
        named = {f"{n}-{i}": array for n, own in arrays.items() for i, array in enumerate(own)}
        return {"told": json.dumps(told), **named}

    def _read(self) -> dict | None:
        if not self.path:
            return None
        try:
            with np.load(self.path) as arrays:
                told = json.loads(str(arrays["told"]))
                found = {n: _numbered(arrays, n) for n in ("variables", "best", "own")}
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):  # none, or of another version
            return None
        shapes = [tuple(variable.shape) for variable in self.variables]
        fits = [value.shape for value in found["variables"]] == shapes and told["rows"]
        return found | {"told": told} if fits else None


def _values(variables: list) -> list[np.ndarray]:
    """Copies: what Keras gives may share its memory with the variable."""
    return [np.array(variable.numpy()) for variable in variables]


def _numbered(arrays, name: str) -> list[np.ndarray]:
    n = sum(key.startswith(f"{name}-") for key in arrays)
    return [arrays[f"{name}-{i}"] for i in range(n)]
