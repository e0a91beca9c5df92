"""Mixup: pairs of training windows and their labels, mixed with the same weights."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

from typing import Any

import keras
from keras import ops


class Mixup:
    """Mixes the windows of a batch in pairs, and their labels.

    Each window is mixed with the one before it in the (shuffled) batch, with a weight that is drawn
    for it from Beta(`alpha`, `alpha`). It is applied to windows in mV: the filters are linear, the
    representations are not, and so all representations show the same mixture. A tabular value that
    one of the two lacks is missing in the mixture.

    Parameters
    ----------
    alpha : float
        Parameter of the Beta distribution, above 0.
    seed : int
        Decides the weights.

    Notes
    -----
    Zhang et al., "mixup: beyond empirical risk minimization" (2018, arXiv:1710.09412).

    Examples
    --------
    >>> import numpy as np
    >>> mix = Mixup(alpha=0.2, seed=0)
    >>> x, y = mix(np.ones((2, 4, 1), "float32"), np.eye(2, dtype="float32"))
    >>> np.asarray(x).mean().item(), np.asarray(y).sum(axis=1).tolist()
    (1.0, [1.0, 1.0])
    """

    def __init__(self, alpha: float, seed: int):
        self.alpha = alpha
        self.seeds = keras.random.SeedGenerator(seed)

    def __call__(self, x: Any, y: Tensor, *weight: Tensor) -> tuple:
        """Mix one batch; it draws where it stopped.

        A mixture of weighted windows has the cross-entropy that the two would have: weight times
        label is what is mixed.

        Parameters
        ----------
        x : tensor or dict of str to tensor
            Windows, (n_windows, ...).
        y : tensor of shape (n_windows, n_classes)
            Labels.
        *weight : tensor of shape (n_windows,)
            Their weights, if they have any.
        """
        first = keras.random.beta((ops.shape(y)[0],), self.alpha, self.alpha, seed=self.seeds)
        first = ops.where(ops.isnan(first), 1.0, first)  # 0 / 0, where alpha is nearly 0

        def blend(values: Tensor) -> Tensor:
            factor = ops.reshape(first, (-1, *[1] * (len(values.shape) - 1)))
            return factor * values + (1 - factor) * ops.roll(values, 1, axis=0)

        x = {name: blend(values) for name, values in x.items()} if isinstance(x, dict) else blend(x)
        if not weight:
            return x, blend(y)
        mixed = blend(weight[0])
        return x, blend(weight[0][:, None] * y) / mixed[:, None], mixed
