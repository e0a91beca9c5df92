import keras
import numpy as np
import pytest
from check import SHAPES, build_tiny_model
from scipy.interpolate import interp1d
from scipy.signal import correlate

from ecglib.errors import ExperimentError
from ecglib.models.layers import (
    Interpolate,
    MissingIndicator,
    RandomConvolutions,
    WeightedAverage,
    seed_stream,
)

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("n_frames", "n_steps"), [(5, 40), (7, 16), (16, 4), (1, 6)])
def test_interpolation_between_the_middles_is_that_of_scipy(n_frames, n_steps):
    x = RANDOM.normal(size=(2, n_frames, 3))
    middles = (np.arange(n_steps) + 0.5) / n_steps
    if n_frames == 1:
        expected = np.repeat(x, n_steps, axis=1)
    else:
        known = (np.arange(n_frames) + 0.5) / n_frames
        held = (x[:, 0], x[:, -1])
        expected = interp1d(known, x, axis=1, bounds_error=False, fill_value=held)(middles)
    np.testing.assert_allclose(Interpolate(n_steps)(x), expected, atol=1e-6)


def test_interpolation_keeps_the_time_of_an_event():
    """A peak in one of 10 frames is in the middle of its tenth of the samples."""
    x = np.zeros((1, 10, 1), "float32")
    x[0, 3] = 1.0
    y = np.asarray(Interpolate(100)(x))[0, :, 0]
    assert np.average(np.arange(100), weights=y) == pytest.approx(34.5, abs=1e-4)


def test_weighted_average_starts_as_the_mean_and_is_not_trained():
    x = RANDOM.random((4, 3, 2)).astype("float32")
    layer = WeightedAverage()
    np.testing.assert_allclose(layer(x), x.mean(axis=1), atol=1e-6)
    assert layer.trainable_weights == []
    layer.set_weights([np.array([0.2, 0.0, 0.8])])
    np.testing.assert_allclose(layer(x), 0.2 * x[:, 0] + 0.8 * x[:, 2], atol=1e-6)


def test_missing_values_are_0_with_an_indicator():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, -2.0]], "float32")
    expected = [[1, 0, 3, 0, 1, 0], [0, 0, -2, 1, 1, 0]]
    np.testing.assert_array_equal(MissingIndicator()(x), expected)
    np.testing.assert_array_equal(MissingIndicator(rate=0.0)(x, training=True), expected)


def test_in_training_a_fraction_of_the_values_is_treated_as_missing():
    x = RANDOM.normal(size=(2000, 5)).astype("float32")
    x[:, 0] = np.nan
    first, again, other = (
        keras.ops.convert_to_numpy(MissingIndicator(rate=0.1, seed=seed)(x, training=True))
        for seed in (1, 1, 2)
    )
    values, indicators = first[:, :5], first[:, 5:]
    assert (indicators[:, 0] == 1).all()
    assert indicators[:, 1:].mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 8000))
    np.testing.assert_array_equal(values, np.where(indicators == 1, 0, x))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(ExperimentError, match=f"rate={rate}"):
        MissingIndicator(rate=rate)


@pytest.mark.parametrize("n_steps", [20, 100])
def test_random_convolutions_are_those_of_scipy(n_steps):
    """One channel, so that a kernel is a row; a dilated kernel is a row with zeros inserted."""
    layer = RandomConvolutions(12, seed=3)
    x = RANDOM.normal(size=(2, n_steps, 1)).astype("float32")
    pooled = keras.ops.convert_to_numpy(layer(x))
    expected = []
    for dilation, kernels, biases in layer.groups:
        for kernel, bias in zip(np.asarray(kernels)[:, 0].T, np.asarray(biases), strict=True):
            spread = np.zeros(8 * dilation + 1)
            spread[::dilation] = kernel
            padded = np.pad(x[..., 0], ((0, 0), (4 * dilation, 4 * dilation)))
            y = [correlate(row, spread, "valid") for row in padded]
            expected.append((np.mean(np.add(y, bias) > 0, axis=1), np.max(y, axis=1) + bias))
            assert kernel.sum() == pytest.approx(0, abs=1e-5)
            assert -1 <= bias <= 1
    assert len(expected) == 12
    assert [group[0] for group in layer.groups] == ([1, 2] if n_steps == 20 else [1, 2, 4, 8])
    proportions, maxima = zip(*expected, strict=True)
    np.testing.assert_allclose(pooled, np.transpose([*proportions, *maxima]), atol=1e-4)


def test_a_random_kernel_uses_some_of_the_channels():
    layer = RandomConvolutions(200, seed=0)
    layer.build((None, 100, 12))
    used = np.concatenate([np.asarray(kernels).any(axis=0) for _, kernels, _ in layer.groups], 1)
    n_used = used.sum(axis=0)
    # 2 ** uniform(0, log2(10)), truncated: 1 to 9 channels, 1 with a probability of log10(2)
    assert (n_used.min(), n_used.max()) == (1, 9)
    assert (n_used == 1).mean() == pytest.approx(np.log10(2), abs=0.1)


def test_seed_stream_depends_on_seed_and_name_only():
    first = [next(stream) for stream in [seed_stream(1, "a")] for _ in range(3)]
    assert first == [next(stream) for stream in [seed_stream(1, "a")] for _ in range(3)]
    assert len({*first, next(seed_stream(2, "a")), next(seed_stream(1, "b"))}) == 5


def compute_lstm(x, kernel, recurrent, bias):
    """Compute the last output of an LSTM over (n_windows, n_steps, n_channels), step by step."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    n = recurrent.shape[0]
    h = c = np.zeros((len(x), n))
    for step in range(x.shape[1]):
        z = x[:, step] @ kernel + h @ recurrent + bias
        i, f, g, o = (z[:, k * n : (k + 1) * n] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def test_both_directions_of_the_bilstm_read_the_whole_window():
    model = build_tiny_model({"time": "cnn_bilstm"}, "none")
    lstm = next(layer for layer in model.layers if isinstance(layer, keras.layers.Bidirectional))
    n_steps = lstm.input.shape[1]
    assert n_steps == SHAPES["time"][0] // 16
    x = RANDOM.normal(size=(4, *lstm.input.shape[1:])).astype("float32")
    pooled = keras.ops.convert_to_numpy(lstm(x))
    weights = [np.asarray(weight) for weight in lstm.weights]
    np.testing.assert_allclose(pooled[:, :8], compute_lstm(x, *weights[:3]), atol=1e-5)
    np.testing.assert_allclose(pooled[:, 8:], compute_lstm(x[:, ::-1], *weights[3:]), atol=1e-5)
    for step in (0, n_steps - 1):
        changed = x.copy()
        changed[:, step] += 1.0
        difference = np.abs(keras.ops.convert_to_numpy(lstm(changed)) - pooled)
        assert difference[:, :8].max() > 1e-5
        assert difference[:, 8:].max() > 1e-5


def test_attention_depends_on_the_order_of_the_steps():
    """Without positions, swapping two steps of the sequence would change nothing."""
    model = build_tiny_model({"frequency": "cnn_transformer"}, "none")
    embedding = next(x for x in model.layers if type(x).__name__ == "PositionEmbedding")
    embedding.set_weights([RANDOM.normal(size=embedding.embedding.shape)])
    tail = keras.Model(embedding.input, model.output)
    x = RANDOM.normal(size=(2, *embedding.input.shape[1:])).astype("float32")
    forwards = keras.ops.convert_to_numpy(tail(x))
    backwards = keras.ops.convert_to_numpy(tail(x[:, ::-1]))
    assert np.abs(forwards - backwards).max() > 1e-4
