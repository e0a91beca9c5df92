"""The encoder without convolutions."""

from ecglib._keras import Tensor

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.layers import seed_stream


def mlp(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Two hidden layers of ``4 * width`` units on all values at once.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_bins, n_leads) or (n_windows, n_values)
        Scaled spectrum or tabular values.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    The multilayer perceptron of Wang, Yan and Oates, "Time series classification from scratch"
    (IJCNN 2017) has three hidden layers of 500 units; ``width=125`` gives 500 units.

    Examples
    --------
    >>> mlp(layers.Input((40, 12)), width=32, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = dense(x, 4 * width, seeds)
        x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
