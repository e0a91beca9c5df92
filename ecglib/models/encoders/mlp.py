"""The encoder without convolutions."""

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.layers import seed_stream


def mlp(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Two hidden layers of ``4 * width`` units on all values at once.

    The multilayer perceptron of Wang, Yan and Oates, "Time series classification from scratch"
    (IJCNN 2017) has three of 500; ``width=125`` gives it these units.

    Input (n_windows, n_bins, n_leads) or (n_windows, n_values).
    """
    seeds = seed_stream(seed)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = dense(x, 4 * width, seeds)
        x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
