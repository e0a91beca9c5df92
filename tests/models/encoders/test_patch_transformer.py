import keras
import numpy as np
import pytest

from ecglib.models import ModelSettings, build_model


def built(shape: tuple, **options) -> keras.Model:
    settings = ModelSettings(
        branches={"spectrogram": "patch_transformer"},
        fusion="none",
        n_classes=2,
        kind="multi_label",
        **options,
    )
    return build_model({"spectrogram": shape}, settings)


def layer_of(model: keras.Model, kind: str) -> keras.layers.Layer:
    return next(layer for layer in model.layers if type(layer).__name__ == kind)


def answer(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model({"spectrogram": x}))


@pytest.mark.parametrize(
    ("shape", "n_patches"), [((4, 4), 2 * 2), ((5, 7), 3 * 3), ((16, 4), 4 * 2), ((63, 26), 16 * 7)]
)
def test_any_picture_is_cut_to_patches_side_by_side(shape, n_patches):
    model = built((*shape, 2), width=4)
    assert layer_of(model, "PositionEmbedding").input.shape == (None, n_patches, 8)
    x = np.random.default_rng(0).normal(size=(3, *shape, 2)).astype("float32")
    assert np.isfinite(answer(model, x)).all()
    # To the last frame and bin, which stand in a patch that is filled up.
    x[:, -1, -1] += 10.0
    changed = answer(model, x)
    x[:, -1, -1] -= 10.0
    assert np.abs(changed - answer(model, x)).min() > 1e-6


def test_a_patch_is_a_product_with_its_own_frames_and_bins_only():
    model = built((8, 12, 2), width=4)
    tokens = keras.Model(model.input, layer_of(model, "Reshape").output)
    x = np.random.default_rng(0).normal(size=(1, 8, 12, 2)).astype("float32")
    weights = keras.ops.convert_to_numpy(layer_of(model, "Conv2D").kernel).reshape(-1, 8)
    patches = [x[0, i : i + 4, j : j + 4].reshape(-1) @ weights for i in (0, 4) for j in (0, 4, 8)]
    np.testing.assert_allclose(answer(tokens, x)[0], patches, atol=1e-5)


def test_it_learns_which_of_two_patches_holds_the_burst():
    """The content is the same in both classes: without the place this cannot be told."""
    random = np.random.default_rng(1)

    def made(n_windows):
        x = random.normal(0, 0.3, size=(n_windows, 8, 8, 1))
        y = random.integers(2, size=n_windows)
        for window, late in zip(x, y, strict=True):
            window[4 * late : 4 * late + 4, :4] += 2.0
        return x.astype("float32"), np.eye(2, dtype="float32")[y]

    model = built((8, 8, 1), width=4, feature_dim=8, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", jit_compile=False)
    x, y = made(128)
    model.fit({"spectrogram": x}, y, batch_size=64, epochs=40, shuffle=False, verbose=0)
    x, y = made(100)
    assert ((answer(model, x) > 0.5) == (y > 0.5)).mean() > 0.95
