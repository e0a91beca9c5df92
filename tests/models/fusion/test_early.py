import keras
import numpy as np
import pytest
from check import N_CLASSES, SHAPES, build_tiny_model, make_windows, predict, scale

from ecglib.models import ModelSpec, build_model

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "names",
    [
        ("frequency", "spectrogram"),
        ("time", "frequency"),
        ("time", "spectrogram"),
        ("spectrogram", "scalogram"),
        ("frequency", "scalogram"),
    ],
)
def test_every_representation_reaches_the_output_with_and_without_a_time_branch(names):
    encoders = {"time": "cnn_bilstm", "frequency": "cnn"}
    encoders |= {"spectrogram": "cnn2d", "scalogram": "cnn2d"}
    model = build_tiny_model({name: encoders[name] for name in names}, "early_concat")
    used = {type(layer).__name__ for layer in model.layers}
    assert ("Bidirectional" in used) == ("time" in names)
    batch = make_windows(names)
    scale(model, batch)
    before = predict(model, batch)
    for name in names:
        changed = {**batch, name: batch[name][::-1]}
        assert np.abs(predict(model, changed) - before).max() > 1e-3


def test_every_representation_gets_as_many_channels_of_equal_variance():
    branches = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}
    model = build_tiny_model(branches, "early_concat")
    concatenation = next(x for x in model.layers if isinstance(x, keras.layers.Concatenate))
    assert concatenation.output.shape[1:] == (SHAPES["time"][0], 3 * 8)
    head = keras.Model(model.inputs, concatenation.output)
    batch = make_windows(branches, 64)
    scale(model, batch)
    batch["spectrogram"] *= 100
    channels = keras.ops.convert_to_numpy(head(batch, training=True))
    time, frequency, spectrogram = np.split(channels, 3, axis=-1)
    assert time.std(axis=(0, 1)) == pytest.approx(1, abs=0.05)
    assert frequency.std(axis=(0, 1)) == pytest.approx(1, abs=0.05)
    # Between two frames the interpolation averages, which leaves a little less than 1.
    assert (np.abs(spectrogram.std(axis=(0, 1)) - 1) < 0.4).all()


@pytest.mark.parametrize(
    "others", [("time",), ("spectrogram",), ("frequency",), ("time", "scalogram")]
)
def test_early_fusion_takes_tabular_values(others):
    encoders = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d", "scalogram": "cnn2d"}
    branches = {**{name: encoders[name] for name in others}, "tabular": "mlp"}
    shapes = {**{name: SHAPES[name] for name in others}, "tabular": (5,)}
    settings = ModelSpec(
        branches=branches,
        fusion="early_concat",
        n_classes=N_CLASSES,
        kind="multi_label",
        width=8,
        feature_dim=8,
    )
    model = build_model(shapes, settings)
    batch = {n: RANDOM.normal(size=(6, *shape)).astype("float32") for n, shape in shapes.items()}
    p = predict(model, batch)
    assert np.isfinite(p).all()
    batch["tabular"] = batch["tabular"][::-1]
    assert np.abs(predict(model, batch) - p).max() > 1e-4
    assert model.get_layer("fused_features").output.shape == (None, 8)


def test_time_series_of_two_lengths_are_joined_at_the_length_of_the_first():
    """A representation by another layer may be a few samples shorter."""
    settings = ModelSpec(
        branches={"time": "cnn", "time_slope": "cnn_bilstm", "frequency_fine": "mlp"},
        fusion="early_concat",
        n_classes=3,
        kind="multi_label",
        width=4,
    )
    shapes = {"time": (128, 2), "time_slope": (120, 4), "frequency_fine": (20, 2)}
    model = build_model(shapes, settings)
    assert model.get_layer("fused_scaled").input.shape == (None, 128, 12)
    batch = {name: RANDOM.normal(size=(4, *shape)) for name, shape in shapes.items()}
    before = predict(model, batch)
    for name in shapes:
        assert np.abs(predict(model, {**batch, name: batch[name][::-1]}) - before).max() > 1e-5
