import keras
import numpy as np
import pytest

from ecglib.models import ModelSpec, build_model
from ecglib.models.compilation import COMPILES


def build(shape: tuple, **options) -> keras.Model:
    settings = ModelSpec(
        branches={"spectrogram": "patch_transformer"},
        fusion="none",
        n_classes=2,
        kind="multi_label",
        **options,
    )
    return build_model({"spectrogram": shape}, settings)


def find_layer(model: keras.Model, kind: str) -> keras.layers.Layer:
    return next(layer for layer in model.layers if type(layer).__name__ == kind)


def predict(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model({"spectrogram": x}))


@pytest.mark.parametrize(
    ("shape", "n_patches"), [((4, 4), 2 * 2), ((5, 7), 3 * 3), ((16, 4), 4 * 2), ((63, 26), 16 * 7)]
)
def test_any_shape_is_cut_into_adjacent_patches(shape, n_patches):
    model = build((*shape, 2), width=4)
    assert find_layer(model, "PositionEmbedding").input.shape == (None, n_patches, 8)
    x = np.random.default_rng(0).normal(size=(3, *shape, 2)).astype("float32")
    assert np.isfinite(predict(model, x)).all()
    # Up to the last frame and bin, in a padded patch.
    x[:, -1, -1] += 10.0
    changed = predict(model, x)
    x[:, -1, -1] -= 10.0
    assert np.abs(changed - predict(model, x)).min() > 1e-6


def test_a_patch_depends_only_on_its_frames_and_bins():
    model = build((8, 12, 2), width=4)
    tokens = keras.Model(model.input, find_layer(model, "Reshape").output)
    x = np.random.default_rng(0).normal(size=(1, 8, 12, 2)).astype("float32")
    weights = keras.ops.convert_to_numpy(find_layer(model, "Conv2D").kernel).reshape(-1, 8)
    patches = [x[0, i : i + 4, j : j + 4].reshape(-1) @ weights for i in (0, 4) for j in (0, 4, 8)]
    np.testing.assert_allclose(predict(tokens, x)[0], patches, atol=1e-5)


@pytest.mark.slow
def test_it_learns_which_of_two_patches_has_the_burst():
    """Both classes have the same content, and differ only in its position."""
    random = np.random.default_rng(1)

    def make_examples(n_windows):
        x = random.normal(0, 0.3, size=(n_windows, 8, 8, 1))
        y = random.integers(2, size=n_windows)
        for window, late in zip(x, y, strict=True):
            window[4 * late : 4 * late + 4, :4] += 2.0
        return x.astype("float32"), np.eye(2, dtype="float32")[y]

    model = build((8, 8, 1), width=4, feature_dim=8, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", jit_compile=COMPILES)
    x, y = make_examples(128)
    model.fit({"spectrogram": x}, y, batch_size=64, epochs=40, shuffle=False, verbose=0)
    x, y = make_examples(100)
    assert ((predict(model, x) > 0.5) == (y > 0.5)).mean() > 0.95
