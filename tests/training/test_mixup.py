import numpy as np
import pytest
import tensorflow as tf

from ecglib.training.mixup import Mixup


def mix_numbered(alpha=0.4, n=4096, weight=None, seed=0):
    """Mix windows that hold their number, with one of two classes as label."""
    number = np.arange(n, dtype=np.float32)
    x = np.stack([number, np.ones(n, np.float32)], axis=1)[:, None]
    y = np.eye(2, dtype=np.float32)[np.arange(n) % 2]
    given = (x, y) if weight is None else (x, y, weight)
    batches = tf.data.Dataset.from_tensors(given).map(Mixup(alpha, seed))
    return [x, y, *(np.asarray(part) for part in next(iter(batches)))]


def test_a_mixture_is_of_two_neighbours_and_of_their_labels_alike():
    _, y, mixed, labels = mix_numbered()
    number = np.arange(1, 4096)
    fraction = mixed[1:, 0, 0] - (number - 1)  # fraction * number + (1 - fraction) * (number - 1)
    assert -1e-3 < fraction.min() < fraction.max() < 1 + 1e-3
    expected = fraction[:, None] * y[1:] + (1 - fraction)[:, None] * y[:-1]
    assert np.allclose(labels[1:], expected, atol=2e-3)
    assert np.allclose(labels.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(mixed[..., 1], 1, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_weights_of_a_mixture_have_the_moments_of_the_beta_distribution(alpha):
    _, y, _, labels = mix_numbered(alpha)
    fraction = labels[y == 1]
    assert fraction.mean() == pytest.approx(0.5, abs=0.03)
    assert fraction.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_mixtures_repeat_with_the_seed_and_have_no_nan_at_the_edge():
    first, again, other = (mix_numbered(seed=seed)[2] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    _, _, mixed, labels = mix_numbered(alpha=1e-3)
    assert np.isfinite(mixed).all()
    assert np.isfinite(labels).all()


def test_a_mixture_of_weighted_windows_has_the_cross_entropy_of_both():
    weight = np.where(np.arange(4096) % 2, 1.8, 0.2).astype(np.float32)
    _, y, _, labels, mixed = mix_numbered(weight=weight)
    fraction = (mix_numbered()[3] * y).sum(axis=1)[:, None]  # the same draw, without weights
    both = fraction * weight[:, None] * y + (1 - fraction) * np.roll(weight[:, None] * y, 1, axis=0)
    assert np.allclose(mixed[:, None] * labels, both, atol=1e-5)
    assert np.allclose(labels.sum(axis=1), 1, atol=1e-5)
