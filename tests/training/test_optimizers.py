import keras
import numpy as np
import pytest

from ecglib.training.optimizers import OneCycle, use_precision


def test_one_cycle_has_its_peak_after_a_quarter():
    schedule = OneCycle(0.1, 400)
    for step, expected in (
        (0, 0.1 / 25),
        (50, (0.1 / 25 + 0.1) / 2),  # half a cosine is in its middle half way
        (100, 0.1),
        (250, (0.1 + 1e-6) / 2),
        (400, 1e-6),
        (500, 1e-6),
    ):
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-3)
    rates = [float(schedule(step)) for step in range(401)]
    assert np.argmax(rates) == 100
    assert (np.diff(rates[:101]) > 0).all()
    assert (np.diff(rates[100:]) < 0).all()
    third = 1e-6 + (0.1 - 1e-6) * (1 + np.cos(np.pi / 3)) / 2
    assert float(schedule(200)) == pytest.approx(third, rel=1e-4)


def test_one_cycle_survives_serialization():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(OneCycle(0.1, 400))
    )
    assert float(again(77)) == float(OneCycle(0.1, 400)(77))


def test_a_gradient_over_all_weights_is_clipped_to_the_norm(compile_small_model):
    """The second moment of AdamW is then 0.001 times the square of what is left of it."""
    for clip_norm, left in ((0.0, (3.0, 4.0)), (1.0, (0.6, 0.8)), (9.0, (3.0, 4.0))):
        _, optimizer = compile_small_model(clip_norm=clip_norm)
        weights = optimizer._trainable_variables
        gradients = [np.zeros(w.shape, np.float32) for w in weights]
        gradients[0][0, 0], gradients[1][0] = 3, 4  # in two weights: one norm for all
        optimizer.apply(gradients)
        (moments,) = [v.numpy() for v in optimizer.variables if "velocity" in v.path]
        largest = np.sort(moments)[-2:]
        assert np.allclose(largest, 0.001 * np.square(left), rtol=1e-4)


def test_a_precision_holds_inside_and_is_reset_even_after_an_error():
    with use_precision("mixed_float16"):
        layer = keras.layers.Dense(2)
    with pytest.raises(ValueError, match="units"), use_precision("mixed_float16"):
        keras.layers.Dense(-2)
    assert (layer.compute_dtype, layer.variable_dtype) == ("float16", "float32")
    assert keras.layers.Dense(2).compute_dtype == "float32"


def test_only_float16_scales_the_loss(compile_small_model):
    for name, scaled in (("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)):
        model, optimizer = compile_small_model(precision=name)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scaled
        assert isinstance(optimizer, keras.optimizers.AdamW)
