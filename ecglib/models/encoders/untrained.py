"""The baseline everyone forgets: features that nobody trained."""

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.layers import RandomConvolutions, seed_stream


def random_convolutions(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Random convolutions that are never trained, and a trained linear layer.

    What a trained encoder does not beat, its training did not bring. After ROCKET (Dempster,
    Petitjean and Webb, 2020, arXiv:1910.13051): ``16 * width`` kernels, theirs 10,000, which is
    ``width=625``. As there, the features are standardized by the training windows: by a batch
    normalization without weights, the only thing here that adapts but for the linear layer.

    Input (n_windows, n_samples, n_leads).
    """
    seeds = seed_stream(seed)
    x = RandomConvolutions(16 * width, seed=next(seeds))(x)
    x = layers.BatchNormalization(momentum=0.9, center=False, scale=False)(x)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds, activation=None)
