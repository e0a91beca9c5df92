import keras
import numpy as np
from check import assert_close, build_tiny_model
from keras import ops

RANDOM = np.random.default_rng(0)
THREE = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}


def test_cross_attention_does_not_depend_on_the_order_of_the_tokens():
    model = build_tiny_model(THREE, "intermediate_cross_attention")
    context = model.get_layer("fusion_token").input
    inner = keras.Model(context, model.output)
    assert context.shape[1:] == (3 * 4, 8)
    x = RANDOM.normal(size=(4, *context.shape[1:])).astype("float32")
    turned = x[:, RANDOM.permutation(x.shape[1])]
    assert_close(inner(turned), inner(x))


def test_branches_exchange_information_only_through_the_bottleneck():
    """In the first layer no branch reads from another; in the second through the bottleneck."""
    model = build_tiny_model(THREE, "intermediate_bottleneck")
    vectors = [model.get_layer(f"{name}_features").output for name in THREE]
    cropped = [x for x in model.layers if isinstance(x, keras.layers.Cropping1D)]
    tokens = [x.output for x in cropped if x.cropping[0] == 0]
    averages = [x for x in model.layers if isinstance(x, keras.layers.Average)]
    inner = keras.Model(vectors, [*tokens, averages[0].output])
    x = RANDOM.normal(size=(3, 4, 8)).astype("float32")
    before = [ops.convert_to_numpy(y) for y in inner(list(x))]
    x[0] += 1
    moved = [
        np.abs(ops.convert_to_numpy(y) - b).max() > 1e-6
        for y, b in zip(inner(list(x)), before, strict=True)
    ]
    first_layer, second_layer, bottleneck = moved[:3], moved[3:6], moved[6]
    assert first_layer == [True, False, False]
    assert second_layer == [True, True, True]
    assert bottleneck
    assert before[6].shape[1] < before[0].shape[1], "as wide as the branches: no bottleneck"
