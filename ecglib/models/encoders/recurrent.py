"""Encoders that end in an LSTM in each direction."""

from ecglib._keras import Tensor

from keras import layers

from ecglib.models.blocks import convolve, dense, read_both_directions
from ecglib.models.encoders.cnn import time_front_end
from ecglib.models.layers import seed_stream


def time_cnn_bilstm(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
    """Convolutions over time, then an LSTM in each direction.

    Each direction returns the output of its last step, which for the backward one is the *first*
    step of the window, so that both have read all of it.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_samples, n_leads)
        Scaled time series; the LSTMs read n_samples / 16 steps.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Examples
    --------
    >>> time_cnn_bilstm(layers.Input((250, 12)), width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = read_both_directions(time_front_end(x, width, seeds), width, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)


def time_frequency_crnn(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Convolutions over time and frequency, then an LSTM over the frames in each direction.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_frames, n_bins, n_leads)
        Scaled spectrogram or scalogram; the frequency axis is shortened 8 times, the time axis 2
        times.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    After Zihlmann, Perekrestenko and Tschannen, "Convolutional recurrent neural networks for
    electrocardiogram classification" (CinC 2017), who apply many more convolutions and layers of
    LSTM to the spectrogram of one lead. Here there are three convolutions, and one LSTM of `width`
    units in each direction reads the frames; each returns the output of its last step, as in
    `time_cnn_bilstm`.

    Examples
    --------
    >>> x = layers.Input((32, 26, 12))
    >>> time_frequency_crnn(x, width=8, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 3, 2, seeds)
    x = convolve(x, width, 3, (1, 2), seeds)
    x = convolve(x, 2 * width, 3, (1, 2), seeds)
    n_frames, n_bins, channels = x.shape[1:]
    x = layers.Reshape((n_frames, n_bins * channels))(x)
    x = layers.Dropout(dropout, seed=next(seeds))(read_both_directions(x, width, seeds))
    return dense(x, feature_dim, seeds)
