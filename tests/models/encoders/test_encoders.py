"""Each encoder against the description in its paper."""

from functools import partial

import keras
import numpy as np
import pytest
from backends import compute_gradient
from check import (
    SHAPES,
    build_tiny_model,
    compile_for_training,
    make_labels,
    make_windows,
    scale,
    settle_statistics,
)

from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models.blocks import read_both_directions
from ecglib.models.encoders import inception, load_encoder, resnet, xresnet
from ecglib.models.layers import seed_stream

RANDOM = np.random.default_rng(0)
FEATURES = 10


def build_encoder(encoder, shape, width: int, seed: int = 0) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, encoder(x, width, FEATURES, 0.0, seed))


def count_trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def count_normalization(*channels: int) -> int:
    """Count a scale and a shift for each channel."""
    return 2 * sum(channels)


def count_head(n: int) -> int:
    return n * FEATURES + FEATURES


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


class TestCounts:
    """Numbers of weights, counted from the tables of layers in the papers."""

    def test_resnet1d_wang(self):
        model = build_encoder(load_encoder("time", "resnet1d"), (250, 12), width=64)
        blocks = 3 * (5 + 3) * 128 * 128
        shortcuts = 2 * 128 * 128
        expected = 7 * 12 * 128 + blocks + shortcuts + count_normalization(*[128] * 9)
        assert count_trainable(model) == expected + count_head(256)

    @pytest.mark.parametrize(("depths", "n_layers"), [((2, 2, 2, 2), 26), ((3, 4, 23, 3), 101)])
    def test_xresnet1d(self, depths, n_layers):
        """A ResNet is named after its convolutions, with one for the stem, and the dense layer."""
        encoder = partial(xresnet.xresnet1d, depths=depths)
        model = build_encoder(encoder, (250, 12), width=64)
        n_blocks = sum(depths)
        assert 3 * n_blocks + 2 == n_layers
        stem = 5 * (12 * 32 + 32 * 32 + 32 * 64) + count_normalization(32, 32, 64)
        block = 256 * 64 + 5 * 64 * 64 + 64 * 256 + count_normalization(64, 64, 256)
        # The first block takes the 64 channels of the stem, and its shortcut widens them.
        first = (64 - 256) * 64 + 64 * 256 + count_normalization(256)
        assert count_trainable(model) == stem + n_blocks * block + first + count_head(512)

    def test_inception_time(self):
        model = build_encoder(load_encoder("time", "inception_time"), (250, 12), width=64)
        kernels = (39 + 19 + 9) * 32 * 32
        modules = sum(2 * n * 32 + kernels + count_normalization(128) for n in (12, *[128] * 5))
        shortcuts = sum(n * 128 + count_normalization(128) for n in (12, 128))
        assert count_trainable(model) == modules + shortcuts + count_head(256)

    def test_resnet2d_is_three_stages_of_resnet18(self):
        """ResNet-18 has 11,689,512 weights; subtract omitted parts, add changed ones."""
        model = build_encoder(load_encoder("spectrogram", "resnet2d"), (16, 16, 12), width=64)
        fourth = 9 * 512 * (256 + 3 * 512) + 256 * 512 + count_normalization(*[512] * 5)
        classes = 512 * 1000 + 1000
        stem = 9 * 12 * 64 - 49 * 3 * 64
        place = 4 * 4 * 128
        expected = 11_689_512 - fourth - classes + stem + place
        assert count_trainable(model) == expected + count_head(512)

    def test_random(self):
        """10,000 kernels and 20,000 features at the width of the docstring."""
        model = build_encoder(load_encoder("time", "random"), (250, 2), width=625)
        assert count_trainable(model) == count_head(20_000)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["time", "frequency", "spectrogram", "tabular"])
    def test_a_larger_width_has_more_weights(self, name):
        for encoder in (load_encoder(name, one) for one in REPRESENTATIONS[name].encoders):
            small, large = (build_encoder(encoder, SHAPES[name], width) for width in (1, 4))
            assert count_trainable(small) < count_trainable(large)


class TestResidual:
    def test_a_bottleneck_block_starts_as_the_identity(self):
        x = keras.Input((24, 4 * xresnet.EXPANSION))
        block = keras.Model(x, xresnet.bottleneck_block(x, 4, 1, seed_stream(0)))
        given = RANDOM.normal(size=(3, 24, 16)).astype("float32")
        for training in (False, True):
            rectified = np.maximum(given, 0)
            np.testing.assert_allclose(
                values(block(given, training=training)), rectified, atol=1e-6
            )

    def test_a_shortcut_averages_before_it_convolves(self):
        """With the last scale at 0 a block of stride 2 returns the means of pairs of steps."""
        x = keras.Input((7, 4 * xresnet.EXPANSION))
        block = keras.Model(x, xresnet.bottleneck_block(x, 4, 2, seed_stream(0)))
        given = RANDOM.normal(size=(2, 7, 16)).astype("float32")
        pairs = [given[:, i : i + 2].mean(axis=1) for i in range(0, 7, 2)]
        expected = np.maximum(np.stack(pairs, axis=1), 0)
        np.testing.assert_allclose(values(block(given, training=True)), expected, atol=1e-6)

    def test_a_basic_block_without_its_convolutions_is_the_identity(self):
        x = keras.Input((24, 6))
        block = keras.Model(x, resnet.basic_block(x, 6, (5, 3), 1, seed_stream(0)))
        for weight in block.trainable_weights:
            if weight.path.endswith("kernel"):
                weight.assign(np.zeros(weight.shape))
        given = RANDOM.normal(size=(2, 24, 6)).astype("float32")
        np.testing.assert_allclose(values(block(given)), np.maximum(given, 0), atol=1e-6)

    @pytest.mark.parametrize("shape", [(7, 3), (7, 4, 3)])
    def test_a_shortcut_takes_every_second_step_from_the_first(self, shape):
        x = keras.Input(shape)
        given = RANDOM.normal(size=(1, *shape)).astype("float32")
        expected = given[(slice(None), *[slice(None, None, 2)] * (len(shape) - 1))]
        taken = keras.Model(x, resnet.take_every(x, 2))
        np.testing.assert_array_equal(values(taken(given)), expected)
        # A batch of one window has a gradient: see `take_every`.
        slope = compute_gradient(lambda x: keras.ops.sum(taken(x)), given)
        assert slope.sum() == expected.size

    def test_inception_has_a_shortcut_around_every_three_modules(self):
        """With all kernels of the modules at 0 the input still receptive_fieldes the output."""
        model = build_encoder(load_encoder("time", "inception_time"), SHAPES["time"], width=8)
        added = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
        around = {layer for addition in added for layer in _find_shortcut_convolutions(addition)}
        assert (len(added), len(around)) == (2, 2)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv1D) and layer not in around:
                layer.kernel.assign(np.zeros(layer.kernel.shape))
        x = RANDOM.normal(size=(2, *SHAPES["time"])).astype("float32")
        assert np.abs(values(model(x))[0] - values(model(x))[1]).max() > 1e-3
        next(iter(around)).kernel.assign(np.zeros(next(iter(around)).kernel.shape))
        assert np.ptp(values(model(x)), axis=0).max() == 0


def _find_shortcut_convolutions(addition) -> list:
    """Find convolutions that are connected to an addition only by a normalization."""
    found = []
    for x in addition.input:
        layer = x._keras_history.operation
        if isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer.input._keras_history.operation)
    return found


@pytest.mark.parametrize(
    ("encoder", "receptive_field"),
    [
        # stem 7; (5, 3) at step 1; 5 at step 1, 3 at step 2; 5 at step 2, 3 at step 4
        ("resnet1d", 1 + 6 + 4 + 2 + 4 + 4 + 8 + 8),
        # six kernels of 39
        ("inception_time", 1 + 6 * 38),
    ],
)
def test_the_receptive_field_of_a_pooled_step(encoder, receptive_field):
    n = 400
    model = build_encoder(load_encoder("time", encoder), (n, 1), width=4)
    pooled = next(x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling1D))
    steps = keras.Model(model.input, pooled.input)
    for weight in model.trainable_weights:
        if weight.path.endswith("kernel"):  # none negative: no ReLU blocks, nothing cancels
            weight.assign(np.abs(values(weight)))
    middle = pooled.input.shape[1] // 2
    x = RANDOM.uniform(1, 2, size=(1, n, 1)).astype("float32")
    gradient = compute_gradient(lambda x: keras.ops.sum(steps(x)[:, middle]), x)
    seen = np.flatnonzero(gradient[0, :, 0])
    assert seen[-1] - seen[0] + 1 == receptive_field


def test_both_directions_of_the_crnn_read_the_first_and_the_last_frame():
    model = build_tiny_model({"spectrogram": "crnn"}, "none")
    batch = make_windows(["spectrogram"])
    scale(model, batch)
    lstm = next(x for x in model.layers if isinstance(x, keras.layers.Bidirectional))
    pooled = keras.Model(model.inputs, lstm.output)
    before = values(pooled(batch))
    for frame in (0, -1):
        changed = {"spectrogram": batch["spectrogram"].copy()}
        changed["spectrogram"][:, frame] += 0.3
        difference = np.abs(values(pooled(changed)) - before)
        assert difference[:, :8].max() > 1e-5
        assert difference[:, 8:].max() > 1e-5


def test_both_directions_are_equal_on_a_palindrome():
    x = keras.Input((9, 3))
    model = keras.Model(x, read_both_directions(x, 4, seed_stream(0)))
    weights = model.get_weights()
    model.set_weights([*weights[:3], *weights[:3]])
    half = RANDOM.normal(size=(2, 5, 3)).astype("float32")
    pooled = values(model(np.concatenate([half, half[:, 3::-1]], axis=1)))
    np.testing.assert_allclose(pooled[:, :4], pooled[:, 4:], atol=1e-6)
    assert not np.array_equal(weights[0], weights[3])


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("frequency", "resnet1d"), ("spectrogram", "resnet2d"), ("time", "cnn_transformer")],
)
def test_pooling_keeps_the_position(name, encoder):
    """Without the position embedding, reversing the axis of its output would change nothing."""
    model = build_tiny_model({name: encoder}, "none")
    embedding = next(x for x in model.layers if type(x).__name__ == "PositionEmbedding")
    embedding.set_weights([RANDOM.normal(size=embedding.embedding.shape)])
    batch = make_windows([name])
    scale(model, batch)
    before = values(model(batch))
    embedding.set_weights([np.asarray(embedding.embedding)[..., ::-1, :]])
    assert np.abs(values(model(batch)) - before).max() > 1e-3


def test_random_kernels_are_not_trained():
    model, batch = build_tiny_model({"time": "random"}, "none"), make_windows(["time"])
    scale(model, batch)
    settle_statistics(model, batch)
    layer = next(x for x in model.layers if type(x).__name__ == "RandomConvolutions")
    pooled = keras.Model(model.inputs, layer.output)
    before, kernels = values(pooled(batch)), layer.get_weights()
    model.trainable = True  # as for fine-tuning
    fitted = compile_for_training(
        model, "multi_label", keras.optimizers.AdamW(0.01, weight_decay=0.1)
    )
    heads = [values(weight).copy() for weight in model.trainable_weights]
    fitted.fit(batch, make_labels("multi_label"), epochs=2, verbose=0)
    for kernel, after in zip(kernels, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(after, kernel)
    np.testing.assert_array_equal(values(pooled(batch)), before)
    # Two dense layers are trained, that of the features and that of the classes.
    assert [head.shape for head in heads] == [(256, 8), (8,), (8, 3), (3,)]
    for head, after in zip(heads, model.trainable_weights, strict=True):
        assert not np.array_equal(head, after)


def test_random_is_linear_in_the_features_of_its_kernels():
    model = build_encoder(load_encoder("time", "random"), SHAPES["time"], width=2)
    layer = next(x for x in model.layers if type(x).__name__ == "RandomConvolutions")
    head = keras.Model(layer.output, model.output)
    a, b = RANDOM.normal(size=(2, 1, 64)).astype("float32")
    middle = (values(head(a)) + values(head(b))) / 2
    np.testing.assert_allclose(values(head((a + b) / 2)), middle, atol=1e-4)


def test_one_lead_needs_no_bottleneck():
    x = keras.Input((40, 1))
    module = keras.Model(x, inception.inception_module(x, 3, seed_stream(0)))
    assert count_trainable(module) == (39 + 19 + 9) * 3 + 3 + count_normalization(12)
