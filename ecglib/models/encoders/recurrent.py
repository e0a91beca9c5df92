"""Encoders that end in an LSTM in each direction."""

from keras import layers

from ecglib.models.blocks import both_directions, convolve, dense
from ecglib.models.encoders.cnn import time_front_end
from ecglib.models.layers import seed_stream


def time_cnn_bilstm(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over time, then an LSTM in each direction.

    Input (n_windows, n_samples, n_leads); the LSTMs see n_samples / 16 steps. Each direction
    gives the output after its own last step, which for the backward one is the *first* step
    of the window, so that both have seen all of it.
    """
    seeds = seed_stream(seed)
    x = both_directions(time_front_end(x, width, seeds), width, seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)


def time_frequency_crnn(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Convolutions over time and frequency, then an LSTM over the frames in each direction.

    After Zihlmann, Perekrestenko and Tschannen, "Convolutional recurrent neural networks for
    electrocardiogram classification" (CinC 2017), who put many more convolutions and layers of
    LSTM on the spectrogram of one lead. Here three convolutions make the frequency axis 8
    times and the time axis 2 times shorter, and one LSTM of `width` units in each direction
    reads the frames; each gives the output after its own last step, as in `time_cnn_bilstm`.

    Input (n_windows, n_frames, n_bins, n_leads).
    """
    seeds = seed_stream(seed)
    x = convolve(x, width, 3, 2, seeds)
    x = convolve(x, width, 3, (1, 2), seeds)
    x = convolve(x, 2 * width, 3, (1, 2), seeds)
    n_frames, n_bins, channels = x.shape[1:]
    x = layers.Reshape((n_frames, n_bins * channels))(x)
    x = layers.Dropout(dropout, seed=next(seeds))(both_directions(x, width, seeds))
    return dense(x, feature_dim, seeds)
