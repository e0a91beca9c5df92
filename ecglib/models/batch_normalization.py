"""Batch normalization that trains fast on TensorFlow too."""

from ecglib._keras import Tensor

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="ecglib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization as in Keras, which in training uses TensorFlow's fused kernel.

    On TensorFlow, Keras 3 computes statistics, normalization and gradients in ten passes over the
    values; the kernel needs a few, which more than halves the cost of normalization in a training
    step. The result is equal up to rounding. On another backend, in prediction, in float64, and
    with options that the kernel does not support, the computation is that of Keras.

    Input shape
        (n_windows, ..., n_channels).

    Output shape
        As the input.

    Parameters
    ----------
    *args, **kwargs
        As in `keras.layers.BatchNormalization`.

    Examples
    --------
    >>> x = ops.convert_to_tensor([[0.0, 1.0], [2.0, 5.0]])
    >>> y = BatchNormalization(epsilon=1e-7)(x, training=True)
    >>> ops.convert_to_numpy(y).round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if not (training and self._kernel_supports(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        from tensorflow import raw_ops

        # In float32 also where the other layers are in float16, as in Keras.
        x = ops.cast(inputs, "float32")
        n_values = ops.shape(x)[:-1]
        y, mean, variance, *_ = raw_ops.FusedBatchNormV3(
            x=ops.reshape(x, (-1, 1, 1, x.shape[-1])),
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
        )
        # The kernel returns the variance of the population, n / (n - 1) times that of the batch.
        n = ops.cast(ops.prod(ops.stack(n_values)), "float32")
        variance = ops.where(n > 1, variance * (n - 1) / n, 0.0)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return ops.cast(ops.reshape(y, ops.shape(inputs)), self.compute_dtype)

    def _kernel_supports(self, inputs: Tensor, mask: Tensor | None) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and self.trainable
            and mask is None
            and self.center
            and self.scale
            and self.axis in (-1, len(inputs.shape) - 1)
            and not (self.renorm or self.synchronized)
            and self.variable_dtype == "float32"
            and inputs.dtype != "float64"
        )
