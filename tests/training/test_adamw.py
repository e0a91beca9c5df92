"""The optimizer on one vector, against that of Keras."""

import keras
import numpy as np
import pytest

from ecglib.training.adamw import FlatAdamW
from ecglib.training.optimizers import OneCycle

SHAPES = ((5, 3, 4), (4,), (), (1,), (4, 2))
OPTIONS = {
    "default": {},
    "no decay": {"weight_decay": 0.0},
    "schedule": {"learning_rate": OneCycle(0.1, 20)},
    "moments": {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3},
    "clipped": {"global_clipnorm": 1.0},
}


def make_weights(constraint=None):
    rng = np.random.default_rng(0)
    weights = [keras.Variable(rng.standard_normal(shape), dtype="float32") for shape in SHAPES]
    for weight in weights:
        weight.constraint = constraint
    return weights


def train(optimizer, weights, n_steps=20):
    rng = np.random.default_rng(1)
    optimizer.build(weights)
    for _ in range(n_steps):
        gradients = [rng.standard_normal(shape).astype("float32") for shape in SHAPES]
        optimizer.apply([keras.ops.convert_to_tensor(one) for one in gradients], weights)
    return [keras.ops.convert_to_numpy(weight) for weight in weights]


@pytest.mark.parametrize("name", OPTIONS)
def test_twenty_steps_are_those_of_keras(name):
    expected = train(keras.optimizers.AdamW(**OPTIONS[name]), make_weights())
    found = train(FlatAdamW(**OPTIONS[name]), make_weights())
    # The norm of all gradients is summed in another order.
    tolerance = 1e-6 if name == "clipped" else 0
    for one, other, start in zip(found, expected, make_weights(), strict=True):
        assert np.allclose(one, other, rtol=tolerance, atol=0)
        assert not np.allclose(one, start)


def test_a_constraint_holds_after_a_step():
    weights = make_weights(keras.constraints.NonNeg())
    expected = make_weights(keras.constraints.NonNeg())
    train(keras.optimizers.AdamW(0.1), expected)
    for one, other in zip(train(FlatAdamW(0.1), weights), expected, strict=True):
        assert np.array_equal(one, keras.ops.convert_to_numpy(other))
        assert (one >= 0).all()


def test_a_weight_without_gradient_is_named_and_the_others_are_trained():
    weights = [keras.Variable([1.0], name="used"), keras.Variable([1.0], name="unused")]
    optimizer = FlatAdamW(0.1, weight_decay=0.0)
    optimizer.build(weights)
    with pytest.warns(UserWarning, match="unused"):
        optimizer.apply([keras.ops.ones(1), None], weights)
    assert [float(weight[0]) for weight in weights] == [pytest.approx(0.9, rel=1e-5), 1.0]


def test_a_compiled_model_learns_the_same_weights_under_either_optimizer():
    x = np.random.default_rng(0).standard_normal((64, 4)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")
    found = []
    for build in (keras.optimizers.AdamW, FlatAdamW):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4,))
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(8, "relu")(inputs))
        model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
        model.compile(build(0.01), "binary_crossentropy", auto_scale_loss=False)
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        found.append([keras.ops.convert_to_numpy(weight) for weight in model.weights])
    for one, other in zip(*found, strict=True):
        assert np.allclose(one, other, rtol=1e-6, atol=1e-7)


def test_the_step_is_counted_and_an_optimizer_is_built_by_its_first_step():
    optimizer, weight = FlatAdamW(0.1), keras.Variable([1.0])
    for _ in range(2):
        optimizer.apply([keras.ops.ones(1)], [weight])
    assert int(optimizer.iterations) == 2
    assert sum(v.path.endswith("momentum") for v in optimizer.variables) == 1
