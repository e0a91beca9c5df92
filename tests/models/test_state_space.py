import math

import keras
import numpy as np
import pytest
from backends import compute_weight_gradients
from scipy.linalg import block_diag
from scipy.signal import cont2discrete, dlsim

from ecglib.errors import ExperimentError
from ecglib.models import ModelSpec, build_model, state_space
from ecglib.models.compilation import COMPILES
from ecglib.models.state_space import CHUNK, StateSpace

LENGTHS = [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5]
FORWARD, BACKWARD = 0, 1


@pytest.fixture
def random():
    return np.random.default_rng(0)


def make_layer(random, n_channels: int = 3, n_states: int = 4, **options) -> StateSpace:
    """Make a layer with random weights, far from the initial ones."""
    layer = StateSpace(n_states, **options)
    layer.build((None, 10, n_channels))
    pairs = n_channels, n_states // 2
    values = {
        "log_step": np.log(random.uniform(0.01, 0.3, n_channels)),
        "log_decay": np.log(random.uniform(0.1, 2.0, pairs)),
        "frequency": random.uniform(-6, 6, pairs),
        "readout_kernel": random.normal(size=(2, 2, *pairs)),
        "skip": random.normal(size=n_channels),
    }
    for weight in layer.weights:
        weight.assign(values[weight.name])
    return layer


def silence(layer: StateSpace, direction: int) -> None:
    """Remove one direction from the output."""
    readout = keras.ops.convert_to_numpy(layer.readout).copy()
    readout[:, direction] = 0
    layer.readout.assign(readout)


def compute_output(layer, x) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(np.asarray(x, layer.compute_dtype)))


def read_system(layer: StateSpace):
    """Return the step, A, C (2, n_channels, n_pairs) and D of a layer, complex, in float64."""
    w = {v.name: keras.ops.convert_to_numpy(v).astype("float64") for v in layer.weights}
    a = -np.exp(w["log_decay"]) + 1j * w["frequency"]
    c = w["readout_kernel"][0] + 1j * w["readout_kernel"][1]
    return np.exp(w["log_step"]), a, c, w["skip"]


def compute_step_by_step(layer: StateSpace, x: np.ndarray) -> np.ndarray:
    """Run both recurrences over x (n_windows, n_steps, n_channels), one step after the other."""
    step, a, c, d = read_system(layer)
    a_bar = np.exp(a * step[:, None])
    b_bar = (a_bar - 1) / a
    y = x * d
    states = np.zeros((len(x), *a.shape), complex)
    for k in range(x.shape[1]):
        states = a_bar * states + b_bar * x[:, k, :, None]
        y[:, k] += 2 * (c[FORWARD] * states).sum(-1).real
    states = np.zeros_like(states)
    for k in reversed(range(x.shape[1])):
        y[:, k] += 2 * (c[BACKWARD] * states).sum(-1).real
        states = a_bar * states + b_bar * x[:, k, :, None]
    return y


@pytest.mark.parametrize("n_steps", LENGTHS)
def test_the_output_is_that_of_the_recurrence(random, n_steps):
    layer = make_layer(random)
    x = random.normal(size=(4, n_steps, 3))
    np.testing.assert_allclose(compute_output(layer, x), compute_step_by_step(layer, x), atol=2e-5)


def test_one_channel_is_the_real_system_discretized_and_simulated_by_scipy(random):
    """Each pair is [[re, -im], [im, re]]; dlsim returns the states before the input of the step."""
    layer = make_layer(random, n_channels=1)
    step, a, c, d = (value[..., 0] if value.ndim == 1 else value for value in read_system(layer))
    real_a = block_diag(*[[[z.real, -z.imag], [z.imag, z.real]] for z in a[0]])
    real_b = np.tile([[1.0], [0.0]], (a.shape[1], 1))
    rows = [np.stack([2 * z.real, -2 * z.imag], axis=-1).reshape(1, -1) for z in c[:, 0]]
    ad, bd, *_ = cont2discrete((real_a, real_b, rows[0], [[0.0]]), step, method="zoh")
    x = random.normal(size=200)
    _, ahead, _ = dlsim((ad, bd, rows[0] @ ad, rows[0] @ bd + d, 1.0), x)
    _, behind, _ = dlsim((ad, bd, rows[1], [[0.0]], 1.0), x[::-1])
    y = compute_output(layer, x[None, :, None])[0, :, 0]
    np.testing.assert_allclose(y, ahead[:, 0] + behind[::-1, 0], atol=2e-5)


def test_each_direction_reads_only_one_side_of_a_step(random):
    layer = make_layer(random)
    x = random.normal(size=(1, 150, 3))
    changed = x.copy()
    changed[:, 70] += 1.0
    # Each silenced in turn; D acts on the step itself in both.
    for silent, unchanged in ((BACKWARD, slice(0, 70)), (FORWARD, slice(71, None))):
        layer = make_layer(random)
        silence(layer, silent)
        difference = np.abs(compute_output(layer, changed) - compute_output(layer, x))[0]
        assert difference[unchanged].max() < 1e-6
        difference[unchanged] = 1.0
        assert difference.max(axis=1)[60:80].min() > 1e-4


def test_it_is_linear_and_independent_between_windows_and_channels(random):
    layer = make_layer(random)
    one, other = random.normal(size=(2, 3, 150, 3))
    expected = 2 * compute_output(layer, one) - 3 * compute_output(layer, other)
    np.testing.assert_allclose(compute_output(layer, 2 * one - 3 * other), expected, atol=1e-4)
    changed = one.copy()
    changed[0, :, 0] += 1.0
    difference = np.abs(compute_output(layer, changed) - compute_output(layer, one)).max(axis=1)
    assert difference[0, 0] > 0.1
    difference[0, 0] = 0
    assert difference.max() == 0


def test_the_impulse_response_is_that_of_the_system_to_the_end_of_a_long_window():
    """With the initial weights, as in S4D-Lin, and steps slow enough to last 2000 samples."""
    layer = StateSpace(8, seed=3)
    x = np.zeros((1, 2000, 4))
    x[0, 0] = 1.0
    y = compute_output(layer, x)[0]
    step, a, c, d = read_system(layer)
    np.testing.assert_allclose(a, np.tile(-0.5 + 1j * np.pi * np.arange(4), (4, 1)), rtol=1e-6)
    np.testing.assert_allclose(step, [0.001, 0.00464159, 0.0215443, 0.1], rtol=1e-5)
    power = np.exp(a * step[:, None] * np.arange(2000)[:, None, None])
    held = (np.exp(a * step[:, None]) - 1) / a
    expected = 2 * (c[FORWARD] * held * power).sum(-1).real
    expected[0] += d
    np.testing.assert_allclose(y, expected, atol=1e-6)
    assert np.abs(y[-100:, 0]).max() > 1e-4


def test_a_window_may_have_any_length(random):
    """Zeros after the end have no effect, so a padded window, chunked otherwise, gives the same."""
    layer = make_layer(random)
    x = random.normal(size=(2, 40, 3))
    expected = compute_output(layer, x)
    for n_steps in (CHUNK, CHUNK + 1, 300):
        longer = np.pad(x, ((0, 0), (0, n_steps - 40), (0, 0)))
        np.testing.assert_allclose(compute_output(layer, longer)[:, :40], expected, atol=1e-5)


def test_gradients_are_those_of_finite_differences(random, monkeypatch):
    monkeypatch.setattr(state_space, "CHUNK", 4)
    layer = make_layer(random, n_channels=2, dtype="float64")
    inputs = keras.Input((10, 2), dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    x, y = random.normal(size=(2, 3, 10, 2))

    def loss(predicted):
        return keras.ops.sum(keras.ops.square(keras.ops.subtract(predicted, y)))

    gradients = compute_weight_gradients(model, keras.ops.convert_to_tensor(x), loss)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        start = keras.ops.convert_to_numpy(weight).copy()
        for index in np.ndindex(start.shape):
            losses = []
            for change in (1e-3, -1e-3):
                moved = start.copy()
                moved[index] += change
                weight.assign(moved)
                losses.append(float(loss(model(x))))
            numeric = (losses[0] - losses[1]) / 2e-3
            found = float(gradient[index])
            assert found == pytest.approx(numeric, rel=1e-4, abs=5e-3), (weight.path, index)
        weight.assign(start)


@pytest.mark.parametrize(("log_step", "log_decay"), [(-12, -25), (3, 6), (-12, 6), (3, -25)])
def test_outputs_and_gradients_are_finite_far_from_the_initial_weights(random, log_step, log_decay):
    inputs = keras.Input((200, 2))
    layer = StateSpace(4, seed=1)
    model = keras.Model(inputs, layer(inputs))
    layer.log_step.assign(np.full(2, log_step))
    layer.log_decay.assign(np.full((2, 2), log_decay))
    x = random.normal(size=(2, 200, 2)).astype("float32")
    assert np.isfinite(compute_output(layer, x)).all()
    gradients = compute_weight_gradients(model, keras.ops.convert_to_tensor(x), keras.ops.mean)
    assert all(np.isfinite(keras.ops.convert_to_numpy(g)).all() for g in gradients)


def test_under_mixed_precision_it_is_computed_in_float32(random):
    """A slow state sums 2000 samples, and in float16 would stop changing long before the end."""
    mixed, exact = StateSpace(8, seed=1, dtype="mixed_float16"), StateSpace(8, seed=1)
    x = random.uniform(1, 2, size=(1, 2000, 2)).astype("float16")
    y = mixed(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    expected = compute_output(exact, x)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), expected, rtol=1e-3, atol=1e-3)


def test_seeds_decide_the_weights_and_the_layer_is_rebuilt_from_its_configuration():
    layer = StateSpace(6, seed=1, name="filter")
    rebuilt = StateSpace.from_config(layer.get_config())
    assert rebuilt.get_config() == layer.get_config()
    other = StateSpace(6, seed=2)
    for each in (layer, rebuilt, other):
        each.build((None, 10, 3))
    for weight, same in zip(layer.weights, rebuilt.weights, strict=True):
        np.testing.assert_array_equal(weight, same)
    assert not np.array_equal(layer.readout, other.readout)
    assert len(np.unique(layer.readout)) == 2 * 2 * 3 * 3


def test_wrong_arguments_and_inputs_are_refused():
    for n_states in (0, 3, -2):
        with pytest.raises(ExperimentError, match="even number"):
            StateSpace(n_states)
    with pytest.raises(ExperimentError, match="n_steps known"):
        StateSpace()(keras.Input((None, 3)))


@pytest.mark.slow
def test_it_learns_to_remember_the_first_samples_for_300_steps():
    """Two samples decide the label, noise follows, and only the last step is used."""
    random = np.random.default_rng(5)

    def make_examples(n_windows):
        x = random.normal(0, 0.3, size=(n_windows, 300, 1))
        y = random.integers(2, size=(n_windows, 1))
        x[:, :2, 0] += 4 * (2 * y - 1)
        return x.astype("float32"), y.astype("float32")

    inputs = keras.Input((300, 1))
    x = keras.layers.Dense(8, kernel_initializer=keras.initializers.GlorotUniform(1))(inputs)
    x = StateSpace(8, seed=1)(x)[:, -1]
    start = keras.initializers.GlorotUniform(2)
    output = keras.layers.Dense(1, "sigmoid", kernel_initializer=start)(x)
    model = keras.Model(inputs, output)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", jit_compile=COMPILES)
    model.fit(*make_examples(256), batch_size=64, epochs=20, shuffle=False, verbose=0)
    x, y = make_examples(200)
    assert ((keras.ops.convert_to_numpy(model(x)) > 0.5) == (y > 0.5)).mean() > 0.95


def test_s4d_has_the_size_of_the_published_model():
    """About 2 million: four layers of 512 channels, most of it in their gated units."""
    settings = ModelSpec(
        branches={"time": "s4d"}, fusion="none", n_classes=5, kind="multi_label", width=256
    )
    model = build_model({"time": (250, 12)}, settings)
    layer = 512 * (1 + 4 + 4 + 4 * 4 + 1) + 2 * (512 * 512 + 512) + 2 * 512
    places = math.ceil(250 / 16) * 512
    around = 12 * 512 + 512 + places + 512 + (512 * 64 + 64) + (64 * 5 + 5)
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == 4 * layer + around
    assert 2.0e6 < 4 * layer + around < 2.3e6
