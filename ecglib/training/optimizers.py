"""Optimizer, learning-rate schedule and precision, as an experiment chooses them."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ecglib.experiment.settings import TrainingSettings
from ecglib.models.compilation import COMPILES
from ecglib.training.adamw import AveragingAdamW, FlatAdamW

RISING_FRACTION = 0.25  # of a one-cycle schedule
FIRST_RATIO, LAST_RATIO = 1 / 25, 1e-5  # learning rates of a one-cycle schedule, to its maximum


@keras.saving.register_keras_serializable(package="ecglib")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Raise the learning rate in the first quarter of the steps, then lower it.

    Both follow half a cosine, from a 25th of the maximum, to a 100000th of it.

    Parameters
    ----------
    max_learning_rate : float
        The maximum.
    n_steps : int
        All steps of the training.
    name : str, default "one_cycle"
        Name of the schedule.

    Notes
    -----
    Smith and Topin, "Super-convergence" (2018, arXiv:1708.07120), in the form of the fastai
    library, with which the public PTB-XL benchmark (Strodthoff 2021) trains. The momentum is not
    changed.

    Examples
    --------
    >>> schedule = OneCycle(max_learning_rate=1.0, n_steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 25, 100)]
    [0.04, 1.0, 0.0]
    """

    def __init__(self, max_learning_rate: float, n_steps: int, name: str = "one_cycle"):
        super().__init__()
        self.max_learning_rate, self.n_steps, self.name = max_learning_rate, n_steps, name

    def __call__(self, step: Tensor) -> Tensor:
        done = ops.minimum(ops.cast(step, "float32") / self.n_steps, 1.0)
        rising = done < RISING_FRACTION
        fraction = ops.where(
            rising, done / RISING_FRACTION, (done - RISING_FRACTION) / (1 - RISING_FRACTION)
        )
        start, end = ops.where(rising, FIRST_RATIO, 1.0), ops.where(rising, 1.0, LAST_RATIO)
        return self.max_learning_rate * (
            end + (start - end) * (1 + ops.cos(math.pi * fraction)) / 2
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "max_learning_rate": self.max_learning_rate,
            "n_steps": self.n_steps,
            "name": self.name,
        }


def compile_model(
    model: keras.Model, loss: keras.losses.Loss, settings: TrainingSettings, n_steps: int
) -> keras.optimizers.Optimizer:
    """Compile a model to be fitted in a number of steps.

    Parameters
    ----------
    model : keras.Model
        The model to fit.
    loss : keras.losses.Loss
        Its loss.
    settings : TrainingSettings
        Learning rate, schedule, weight decay, clipping, averaging and precision.
    n_steps : int
        All steps of the training.

    Returns
    -------
    keras.optimizers.Optimizer
        The optimizer that updates the weights, without the loss scaling of float16.

    Examples
    --------
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> loss = keras.losses.MeanSquaredError()
    >>> type(compile_model(model, loss, TrainingSettings(ema_decay=0.9), n_steps=10)).__name__
    'AveragingAdamW'
    """
    options = {
        "learning_rate": _build_schedule(settings, n_steps),
        "weight_decay": settings.weight_decay,
        "global_clipnorm": settings.clip_norm or None,
    }
    if settings.ema_decay:
        optimizer = AveragingAdamW(**options, ema_decay=settings.ema_decay)
    else:
        optimizer = FlatAdamW(**options)
    outer = optimizer
    if settings.precision == "mixed_float16":  # small gradients would be 0
        outer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(outer, loss, jit_compile=COMPILES, auto_scale_loss=False)
    # Variables that the first step would create inside its graph cost a second tracing.
    outer.build(model.trainable_variables)
    if settings.ema_decay:
        optimizer.track(model.weights)
    return optimizer


@contextlib.contextmanager
def use_precision(name: str) -> Iterator[None]:
    """Build layers that compute in a precision (a dtype policy of Keras).

    Parameters
    ----------
    name : str
        A name of `ecglib.experiment.registry.PRECISIONS`.

    Examples
    --------
    >>> with use_precision("mixed_bfloat16"):
    ...     keras.layers.Dense(1).compute_dtype
    'bfloat16'
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build_schedule(
    settings: TrainingSettings, n_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    if settings.schedule == "one_cycle":
        return OneCycle(settings.learning_rate, n_steps)
    return keras.optimizers.schedules.CosineDecay(settings.learning_rate, n_steps)
