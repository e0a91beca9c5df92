"""The encoder whose features are not trained."""

from ecglib._keras import Tensor

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.layers import RandomConvolutions, seed_stream


def random_convolutions(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Random convolutions that are never trained, and a trained linear layer.

    An encoder that does not beat it gains nothing from its training.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    After ROCKET (Dempster, Petitjean and Webb, 2020, arXiv:1910.13051): ``16 * width`` kernels;
    theirs has 10,000, which is ``width=625``. As there, the features are standardized by the
    training windows: by a batch normalization without weights, besides the linear layer the only
    part that adapts to the data.

    Examples
    --------
    >>> x = layers.Input((250, 12))
    >>> random_convolutions(x, width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = RandomConvolutions(16 * width, seed=next(seeds))(x)
    x = layers.BatchNormalization(momentum=0.9, center=False, scale=False)(x)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds, activation=None)
