import keras
import numpy as np
import pytest
import tensorflow as tf

from ecglib.errors import RunError
from ecglib.experiment import Experiment
from ecglib.training import recipe


def made(**changes):
    values = {"dataset": "small", "fingerprint": "f", "task": "letters"}
    return Experiment(**(values | {"branches": {"time": "cnn"}} | changes))


def test_one_cycle_has_its_peak_after_a_quarter():
    rate = recipe.OneCycle(0.1, 400)
    for step, expected in (
        (0, 0.1 / 25),
        (50, (0.1 / 25 + 0.1) / 2),  # half a cosine is in its middle half way
        (100, 0.1),
        (250, (0.1 + 1e-6) / 2),
        (400, 1e-6),
        (500, 1e-6),
    ):
        assert float(rate(step)) == pytest.approx(expected, rel=1e-3)
    rates = [float(rate(step)) for step in range(401)]
    assert np.argmax(rates) == 100
    assert (np.diff(rates[:101]) > 0).all()
    assert (np.diff(rates[100:]) < 0).all()
    third = 1e-6 + (0.1 - 1e-6) * (1 + np.cos(np.pi / 3)) / 2
    assert float(rate(200)) == pytest.approx(third, rel=1e-4)


def test_one_cycle_survives_serialisation():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(recipe.OneCycle(0.1, 400))
    )
    assert float(again(77)) == float(recipe.OneCycle(0.1, 400)(77))


P = np.array([[0.7, 0.2, 0.1], [0.05, 0.15, 0.8]], np.float32)
Y = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def test_focal_is_cross_entropy_times_the_squared_chance_of_being_wrong():
    observed = np.where(Y == 1, P, 1 - P)
    own = recipe.base_loss(made(loss="focal"), "multi_label")(Y, P)
    assert float(own) == pytest.approx(np.mean(-((1 - observed) ** 2) * np.log(observed)), 1e-4)
    observed = P[Y == 1]
    own = recipe.base_loss(made(loss="focal"), "multi_class")(Y, P)
    assert float(own) == pytest.approx(np.mean(-((1 - observed) ** 2) * np.log(observed)), 1e-4)


def test_label_smoothing_deals_a_share_to_all_answers():
    smooth = made(label_smoothing=0.3)
    y = 0.7 * Y + 0.3 / 2
    expected = -np.mean(y * np.log(P) + (1 - y) * np.log(1 - P))
    assert float(recipe.base_loss(smooth, "multi_label")(Y, P)) == pytest.approx(expected, 1e-4)
    expected = -np.mean(np.sum((0.7 * Y + 0.1) * np.log(P), axis=1))
    assert float(recipe.base_loss(smooth, "multi_class")(Y, P)) == pytest.approx(expected, 1e-4)


def small_model(seed=0):
    keras.utils.set_random_seed(seed)
    x = keras.Input((4,))
    y = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dense(3)(x))
    return keras.Model(x, keras.layers.Dense(1, activation="sigmoid")(y))


def compiled(seed=0, **changes):
    model = small_model(seed)
    return model, recipe.compile_model(model, keras.losses.BinaryCrossentropy(), made(**changes), 9)


def test_a_gradient_over_all_weights_is_shortened_to_the_norm():
    """The second moment of AdamW is then 0.001 times the square of what was left of it."""
    for clip_norm, left in ((0.0, (3.0, 4.0)), (1.0, (0.6, 0.8)), (9.0, (3.0, 4.0))):
        _, optimizer = compiled(clip_norm=clip_norm)
        weights = optimizer._trainable_variables
        gradients = [np.zeros(w.shape, np.float32) for w in weights]
        gradients[0][0, 0], gradients[1][0] = 3, 4  # in two weights: one norm for all
        optimizer.apply(gradients)
        moments = {v.path: v.numpy() for v in optimizer.variables if "velocity" in v.path}
        largest = sorted(float(m.max()) for m in moments.values())[-2:]
        assert np.allclose(largest, 0.001 * np.square(left), rtol=1e-4)


class Watch(keras.callbacks.Callback):
    """All weights after each step, and at each end of an epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


def fitted(ema):
    x = np.random.default_rng(0).standard_normal((24, 4)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")
    model, optimizer = compiled(ema_decay=ema, learning_rate=0.05)
    start, watch = model.get_weights(), Watch()
    averages = [recipe.UseAverages(optimizer)] if ema else []
    model.fit(x, y, 8, 3, callbacks=[*averages, watch], shuffle=False, verbose=0)
    return model, start, watch


def test_the_weights_and_statistics_between_epochs_are_the_moving_average():
    model, start, watch = fitted(0.6)
    average, expected = [np.float64(w) for w in start], []
    for step, weights in enumerate(watch.steps, start=1):
        left = min(0.6, (1 + step) / (10 + step))
        average = [left * a + (1 - left) * w for a, w in zip(average, weights, strict=True)]
        if step % 3 == 0:
            expected.append(average)
    assert len(expected) == len(watch.epochs) == 3
    for averages, seen in zip(expected, watch.epochs, strict=True):
        assert all(np.allclose(a, w, atol=1e-5) for a, w in zip(averages, seen, strict=True))
    moved = np.abs(watch.steps[-1][4] - watch.epochs[-1][4]).max()  # the mean of the batches
    assert moved > 1e-3
    kept = zip(model.get_weights(), watch.epochs[-1], strict=True)
    assert all(np.array_equal(a, b) for a, b in kept)


def test_averaging_does_not_change_a_bit_of_the_training():
    _, _, averaged = fitted(0.6)
    _, _, plain = fitted(0.0)
    for one, two in zip(averaged.steps, plain.steps, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def blended(alpha=0.4, n=4096, weight=None, seed=0):
    """Windows that tell their number in two leads, and labels that are one of two classes."""
    number = np.arange(n, dtype=np.float32)
    x = np.stack([number, np.ones(n, np.float32)], axis=1)[:, None]
    y = np.eye(2, dtype=np.float32)[np.arange(n) % 2]
    given = (x, y) if weight is None else (x, y, weight)
    batches = tf.data.Dataset.from_tensors(given).map(recipe.mix(alpha, seed))
    return [x, y, *(np.asarray(part) for part in next(iter(batches)))]


def test_a_blend_is_of_two_neighbours_and_its_labels_are_in_the_same_shares():
    _, y, mixed, labels = blended()
    number = np.arange(1, 4096)
    share = mixed[1:, 0, 0] - (number - 1)  # share * number + (1 - share) * (number - 1)
    assert -1e-3 < share.min() < share.max() < 1 + 1e-3
    expected = share[:, None] * y[1:] + (1 - share)[:, None] * y[:-1]
    assert np.allclose(labels[1:], expected, atol=2e-3)
    assert np.allclose(labels.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(mixed[..., 1], 1, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_shares_of_a_blend_have_the_moments_of_the_beta_distribution(alpha):
    _, y, _, labels = blended(alpha)
    share = labels[y == 1]
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_blends_are_the_same_for_the_same_seed_and_of_no_nan_at_the_edge():
    first, again, other = (blended(seed=seed)[2] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    _, _, mixed, labels = blended(alpha=1e-3)
    assert np.isfinite(mixed).all()
    assert np.isfinite(labels).all()


def test_a_blend_of_weighted_windows_has_the_cross_entropy_of_both():
    weight = np.where(np.arange(4096) % 2, 1.8, 0.2).astype(np.float32)
    _, y, _, labels, mixed = blended(weight=weight)
    share = (blended()[3] * y).sum(axis=1)[:, None]  # the same draw, without weights
    both = share * weight[:, None] * y + (1 - share) * np.roll(weight[:, None] * y, 1, axis=0)
    assert np.allclose(mixed[:, None] * labels, both, atol=1e-5)
    assert np.allclose(labels.sum(axis=1), 1, atol=1e-5)


def test_a_precision_holds_inside_and_is_taken_back_even_after_an_error():
    with recipe.precision("mixed_float16"):
        layer = keras.layers.Dense(2)
    with pytest.raises(ValueError, match="units"), recipe.precision("mixed_float16"):
        keras.layers.Dense(-2)
    assert (layer.compute_dtype, layer.variable_dtype) == ("float16", "float32")
    assert keras.layers.Dense(2).compute_dtype == "float32"


def test_only_float16_scales_the_loss():
    for name, scaled in (("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)):
        model, own = compiled(precision=name)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scaled
        assert isinstance(own, keras.optimizers.AdamW)


def test_a_file_that_does_not_fit_is_no_checkpoint(tmp_path):
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")

    def start(path, **changes):
        model, _ = compiled(**changes)
        return model, recipe.Checkpoint(path, model, 5)

    path = tmp_path / "made" / "one.npz"
    model, checkpoint = start(path)
    model.fit(x, y, epochs=2, callbacks=[checkpoint], verbose=0)
    assert [p.name for p in path.parent.iterdir()] == ["one.npz"]
    assert start(path)[1].n_done == 2
    assert start(path, ema_decay=0.9)[1].n_done == 0  # more variables
    path.write_bytes(path.read_bytes()[:-100])
    assert start(path)[1].n_done == 0
    assert start(None)[1].n_done == 0


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    model, _ = compiled()
    path = tmp_path / "one.npz"
    path.write_bytes(b"the last one")
    checkpoint = recipe.Checkpoint(path, model, 5)
    checkpoint.set_model(model)
    model.stop_training = False

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match=r"No space left.*goes on after the last checkpoint"):
        checkpoint.on_epoch_end(0, {"loss": 1.0})
    assert path.read_bytes() == b"the last one"
    assert list(tmp_path.iterdir()) == [path]
