"""AdamW on one vector of all weights, and with averages of the weights."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import math
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.models.compilation import COMPILES
from ecglib.training.devices import uses_several_devices


@keras.saving.register_keras_serializable(package="ecglib")
class FlatAdamW(keras.optimizers.AdamW):
    """AdamW that updates all weights as one vector.

    The numbers are those of `keras.optimizers.AdamW`, which traces some fifty operations for each
    weight tensor. Here there are as many for all weights together, so that the first step of a
    training takes less time, and each further step fewer operations. Training on several devices
    is left to Keras.

    Parameters
    ----------
    *args, **kwargs
        As of `keras.optimizers.AdamW`: `learning_rate`, `weight_decay`, `beta_1`, `beta_2`,
        `epsilon` and a way of clipping. Its other options have no effect.

    Notes
    -----
    Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR 2019, arXiv:1711.05101).

    Examples
    --------
    >>> optimizer = FlatAdamW(learning_rate=0.1, weight_decay=0.0)
    >>> weights = [keras.Variable([1.0, 2.0]), keras.Variable(3.0)]
    >>> optimizer.build(weights)
    >>> optimizer.apply([ops.array([1.0, -1.0]), ops.array(2.0)], weights)
    >>> ops.convert_to_numpy(weights[0]).round(4)
    array([0.9, 2.1], dtype=float32)
    """

    def build(self, var_list: Sequence[keras.Variable]) -> None:
        """Create the moments of the weights that are trained."""
        self._is_flat = not uses_several_devices()
        if not self._is_flat:
            super().build(var_list)
        elif not self.built:
            keras.optimizers.Optimizer.build(self, var_list)
            n_weights = sum(math.prod(weight.shape) for weight in var_list)
            self._momentum, self._velocity = (
                self.add_variable((n_weights,), initializer="zeros", name=name)
                for name in ("momentum", "velocity")
            )

    def apply(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Do one step."""
        if trainable_variables is not None and not self.built:
            self.build(trainable_variables)
        if not self._is_flat or not grads:
            super().apply(grads, trainable_variables)
            return
        weights = trainable_variables or self._trainable_variables
        if any(gradient is None for gradient in grads):
            self._filter_empty_gradients(grads, weights)  # warns
            pairs = zip(grads, weights, strict=True)
            grads = [ops.zeros(w.shape) if gradient is None else gradient for gradient, w in pairs]
        (gradient,) = self._clip_gradients([_join(grads)])
        values = self._update_moments(gradient, _join(weights))
        for weight, value in zip(weights, _split(values, weights), strict=True):
            value = ops.reshape(value, weight.shape)
            weight.assign(weight.constraint(value) if weight.constraint else value)
        self.iterations.assign_add(1)

    def _update_moments(self, gradient: Tensor, weights: Tensor) -> Tensor:
        """Update the moments, and return the weights after the step."""
        rate, step = self.learning_rate, ops.cast(self.iterations + 1, "float32")
        weights = weights - weights * self.weight_decay * rate
        momentum = self._momentum + (gradient - self._momentum) * (1 - self.beta_1)
        velocity = self._velocity + (ops.square(gradient) - self._velocity) * (1 - self.beta_2)
        self._momentum.assign(momentum)
        self._velocity.assign(velocity)
        # The moments begin at 0 and are too small at first.
        first, second = (1 - ops.power(beta, step) for beta in (self.beta_1, self.beta_2))
        corrected = rate * ops.sqrt(second) / first
        return weights - momentum * corrected / (ops.sqrt(velocity) + self.epsilon)


@keras.saving.register_keras_serializable(package="ecglib")
class AveragingAdamW(FlatAdamW):
    """AdamW that keeps an exponential moving average of all weights of a model.

    The ``use_ema`` of Keras leaves out the statistics of batch normalization, which then belong to
    other weights than the averaged ones, and starts from the initial random weights. Here the
    statistics are averaged too, and in step t the decay is at most (1 + t) / (10 + t), so that the
    initial weights are soon forgotten.

    Parameters
    ----------
    *args, **kwargs
        As of `FlatAdamW`.
    ema_decay : float, default 0.99
        What is left of the average after a step.

    Examples
    --------
    >>> optimizer = AveragingAdamW(learning_rate=0.1, ema_decay=0.9)
    >>> weight = keras.Variable([1.0])
    >>> optimizer.build([weight])
    >>> optimizer.track([weight])
    >>> optimizer.apply([ops.array([1.0])], [weight])
    >>> bool(weight[0] < optimizer.averages[0][0] < 1.0)
    True
    """

    def __init__(self, *args: Any, ema_decay: float = 0.99, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.ema_decay = ema_decay
        # In an object, as Keras would take a list of variables for the optimizer's.
        self._pairs = types.SimpleNamespace(averaged=[], averages=[])

    @property
    def averaged(self) -> list[keras.Variable]:
        """The weights that are averaged."""
        return self._pairs.averaged

    @property
    def averages(self) -> list[keras.Variable]:
        """Their averages."""
        return self._pairs.averages

    def track(self, weights: Sequence[keras.Variable]) -> None:
        """Average these weights from now on."""
        averaged = [w for w in weights if w.dtype == "float32"]
        averages = [self.add_variable_from_reference(w, name="average") for w in averaged]
        for average, weight in zip(averages, averaged, strict=True):
            average.assign(weight)
        self._pairs = types.SimpleNamespace(averaged=averaged, averages=averages)

    def apply(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Do one step, and update the averages after it.

        On JAX, where an optimizer cannot see the statistics of batch normalization, the loop over
        the batches updates the averages.
        """
        super().apply(grads, trainable_variables)
        if not COMPILES:
            self.update_averages()

    def update_averages(self) -> None:
        """Update the averages after a step."""
        step = ops.cast(self.iterations, "float32")
        decay = ops.minimum(self.ema_decay, (1 + step) / (10 + step))
        for average, weight in zip(self.averages, self.averaged, strict=True):
            average.assign(average + (1 - decay) * (weight - average))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ema_decay": self.ema_decay}


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return ops.concatenate([ops.reshape(tensor, (-1,)) for tensor in tensors])


def _split(values: Tensor, weights: Sequence[keras.Variable]) -> Sequence[Tensor]:
    """Cut a vector into the parts of the weights; `ops.split` does not do a single part."""
    ends = np.cumsum([math.prod(weight.shape) for weight in weights])[:-1]
    return ops.split(values, ends.tolist()) if len(ends) else [values]
