"""Attention rollout against closed forms and a computation from the weights of the layers."""

import keras
import numpy as np
import pytest
from class_score_helpers import AXES, make_fusion_target
from scipy.special import softmax

from ecglib.errors import EcgError
from ecglib.explain import (
    compute_attention_rollout,
    compute_outputs,
    roll_out_attention,
)
from ecglib.explain.rollout import compute_attention
from ecglib.models import ModelSpec, build_model


def make_branch_target(representation, encoder, shape):
    spec = ModelSpec(
        branches={representation: encoder},
        fusion="none",
        n_classes=2,
        kind="multi_label",
        width=4,
        feature_dim=8,
    )
    return make_fusion_target(build_model({representation: shape}, spec), n_windows=2)


def list_attention(target):
    layers = target.model.layers
    return [layer for layer in layers if isinstance(layer, keras.layers.MultiHeadAttention)]


def test_attention_to_the_token_itself_leaves_every_token_where_it_is():
    found = roll_out_attention([np.eye(6)[None, None]] * 3)

    np.testing.assert_array_equal(found, np.eye(6)[None])


def test_uniform_attention_leaves_half_of_a_token_per_layer_where_it_is():
    n, n_layers = 5, 3

    found = roll_out_attention([np.full((2, 4, n, n), 1 / n)] * n_layers)

    # (J / n + I) / 2 to a power: what has not stayed is spread evenly.
    stays = 0.5**n_layers
    expected = stays * np.eye(n) + (1 - stays) / n
    np.testing.assert_allclose(found, np.stack([expected] * 2), atol=1e-15)


def test_the_first_layer_comes_first():
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet(np.ones(4), size=(2, 1, 1, 4))

    found = roll_out_attention([first, second])

    shortcut = [(x[0, 0] + np.eye(4)) / 2 for x in (first, second)]
    np.testing.assert_allclose(found[0], shortcut[1] @ shortcut[0])
    np.testing.assert_allclose(found.sum(axis=-1), 1)


def test_attention_is_that_of_queries_and_keys():
    target = make_branch_target("time", "cnn_attention", (160, 2))
    (layer,) = list_attention(target)

    (found,) = compute_attention(target.model, [layer], target.inputs)

    given = layer.input[0] if isinstance(layer.input, list | tuple) else layer.input
    x = compute_outputs(keras.Model(target.model.inputs, given), target.inputs)
    query, key = (np.asarray(w) for w in layer.get_weights()[:2])
    q, k = (np.einsum("wtc,chd->whtd", x, kernel) for kernel in (query, key))
    expected = softmax(q @ k.swapaxes(2, 3) / np.sqrt(query.shape[-1]), axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("representation", "encoder", "shape", "grid", "is_pooled_by_attention"),
    [
        ("time", "cnn_attention", (160, 2), (10,), True),
        ("time", "cnn_transformer", (160, 2), (10,), False),
        ("frequency", "cnn_transformer", (40, 2), (5,), False),
        ("spectrogram", "patch_transformer", (16, 12, 2), (4, 3), True),
    ],
)
def test_the_map_is_the_rollout_of_the_tokens_on_the_axes_of_the_input(
    representation, encoder, shape, grid, is_pooled_by_attention
):
    target = make_branch_target(representation, encoder, shape)

    found = compute_attention_rollout(target, representation)

    matrices = compute_attention(target.model, list_attention(target), target.inputs)
    weights = 1 / matrices[0].shape[-1]
    if is_pooled_by_attention:
        (pool,) = [x for x in target.model.layers if isinstance(x, keras.layers.Softmax)]
        weights = compute_outputs(keras.Model(target.model.inputs, pool.output), target.inputs)
    rolled_out = np.eye(matrices[0].shape[-1])
    for matrix in matrices:
        rolled_out = (matrix.mean(axis=1) / 2 + np.eye(matrix.shape[-1]) / 2) @ rolled_out
    tokens = np.sum(weights * rolled_out, axis=1).reshape(2, *grid)
    np.testing.assert_allclose(tokens.reshape(2, -1).sum(axis=1), 1, atol=1e-5)
    center = found.values
    for place, (n_samples, n_tokens) in enumerate(zip(shape, grid, strict=False), start=1):
        # The two samples around the center of the second token, between it and its neighbors.
        size = n_samples // n_tokens
        center = center.take([size + size // 2 - 1, size + size // 2], place).mean(
            place, keepdims=True
        )
        neighbors = tokens.take([0, 2], place).mean(place, keepdims=True)
        tokens = tokens.take([1], place) * (1 - 0.5 / size) + neighbors * 0.5 / size
    np.testing.assert_allclose(center, tokens, atol=1e-6)
    assert found.values.shape == (2, *shape[: len(grid)])
    assert [axis.name for axis in found.axes] == list(AXES[representation][:-1])
    assert (found.method, found.unit) == ("attention rollout", "")


def test_a_branch_without_attention_is_refused():
    target = make_branch_target("time", "cnn", (160, 2))

    with pytest.raises(EcgError, match="'time' has no self-attention"):
        compute_attention_rollout(target, "time")
    with pytest.raises(EcgError, match=r"no branch 'frequency' with an encoder, only \['time'\]"):
        compute_attention_rollout(target, "frequency")
