"""Batch normalization that is fast to train on TensorFlow too."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="ecglib")
class BatchNormalization(keras.layers.BatchNormalization):
    """The batch normalization of Keras, which in training uses TensorFlow's own kernel.

    On TensorFlow, Keras 3 puts statistics, normalization and gradients together from ten passes
    over the values; the kernel needs a few, which more than halves what normalizing costs in a
    training step. The result is the same but for rounding. On another backend, in prediction, in
    float64, and with options that the kernel does not know it is that of Keras.

    Parameters
    ----------
    As those of `keras.layers.BatchNormalization`.

    Input shape
        (n_windows, ..., n_channels).

    Output shape
        As the input.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self._is_known(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        from tensorflow import raw_ops

        # In float32 also where the rest is in float16, as that of Keras.
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
        # The kernel gives the variance of the population, n / (n - 1) times that of the batch.
        n = ops.cast(ops.prod(ops.stack(n_values)), "float32")
        variance = ops.where(n > 1, variance * (n - 1) / n, 0.0)
        for moving, own in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + own * (1.0 - self.momentum))
        return ops.cast(ops.reshape(y, ops.shape(inputs)), self.compute_dtype)

    def _is_known(self, inputs, mask) -> bool:
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
