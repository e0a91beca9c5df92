from functools import partial

import keras
import numpy as np
import pytest
from backends import needs_tensorflow
from check import assert_close
from keras import ops
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from ecglib.models.fusion.layers import (
    BranchDropout,
    FillMissing,
    LearnedTokens,
    LowRankProduct,
    ProductOfExperts,
    Stacking,
)
from ecglib.models.layers import WeightedAverage

KINDS = ["multi_label", "multi_class"]
RANDOM = np.random.default_rng(0)


def array(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def set_weights(layer, *arrays):
    layer.set_weights([np.asarray(values) for values in arrays])
    return layer


class TestLowRankProduct:
    z = [RANDOM.normal(size=(5, n)) for n in (2, 3, 4)]

    @pytest.mark.parametrize("rank", [1, 3])
    @pytest.mark.parametrize("n_branches", [2, 3])
    def test_it_is_the_contraction_of_the_outer_product(self, rank, n_branches):
        """Liu et al.: the tensor of rank r, and all products, written out."""
        z = self.z[:n_branches]
        layer = LowRankProduct(6, rank)
        layer.build([x.shape for x in z])
        factors = [RANDOM.normal(size=(x.shape[1] + 1, rank, 6)) for x in z]
        bias = RANDOM.normal(size=6)
        flat = [factor.reshape(len(factor), -1) for factor in factors]
        extended = [np.append(x, np.ones((5, 1)), axis=1) for x in z]
        axes = "abc"[:n_branches]
        weight = np.einsum(",".join(f"{a}rh" for a in axes) + f"->{axes}h", *factors)
        outer = np.einsum(",".join(f"w{a}" for a in axes) + f"->w{axes}", *extended)
        expected = np.einsum(f"w{axes},{axes}h->wh", outer, weight) + bias
        found = set_weights(layer, *flat, bias)([x.astype("float32") for x in z])
        assert_close(found, expected, rtol=1e-4, atol=1e-4)

    def test_the_order_of_the_branches_with_their_factors_does_not_matter(self):
        z = [x.astype("float32") for x in self.z]
        layer = LowRankProduct(6, 2)
        first = array(layer(z))
        *factors, bias = layer.get_weights()
        turned = LowRankProduct(6, 2)
        turned.build([x.shape for x in z[::-1]])
        assert_close(set_weights(turned, *factors[::-1], bias)(z[::-1]), first, atol=1e-5)

    def test_a_branch_of_zeros_leaves_the_products_of_the_others(self):
        z = [self.z[0].astype("float32"), np.zeros((5, 3), "float32")]
        layer = LowRankProduct(4, 1)
        found = array(layer(z))
        first, second, _ = layer.get_weights()
        assert_close(found, (z[0] @ first[:-1] + first[-1]) * second[-1], atol=1e-5)


def test_learned_tokens_are_the_same_for_every_window():
    layer = LearnedTokens(3, seed=1)
    tokens = array(layer(np.full((4, 2, 5), np.inf, "float32")))
    assert tokens.shape == (4, 3, 5)
    np.testing.assert_array_equal(tokens, np.broadcast_to(layer.get_weights()[0], (4, 3, 5)))


class TestBranchDropout:
    x = [np.ones((20_000, n), "float32") for n in (1, 2, 3)]

    def draw(self, rate, present=None, seed=0):
        """Return which branches are kept, (n_windows, n_branches)."""
        dropped = BranchDropout(rate, seed=seed)(self.x, present=present, training=True)
        branches = [array(branch) for branch in dropped]
        for branch in branches:  # whole branches
            assert (np.ptp(branch, axis=1) == 0).all()
        return np.stack([branch[:, 0] for branch in branches], axis=1)

    @pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
    def test_branches_are_dropped_at_this_rate_but_never_all(self, rate):
        kept = self.draw(rate)
        assert set(np.unique(kept)) == {0, 1}  # nothing is scaled up
        assert kept.any(axis=1).all()
        # Dropped at the rate, minus a third of the windows in which all three would be.
        expected = 1 - rate + rate**3 / 3
        assert_close(kept.mean(axis=0), expected, atol=0.015)

    def test_the_last_present_branch_is_kept(self):
        present = np.zeros((20_000, 3), "float32")
        present[:, 1] = 1
        present[:10_000, 2] = 1
        kept = self.draw(0.5, present)
        assert (kept <= present).all()
        assert kept.any(axis=1).all()
        assert_close(kept[:10_000, 1:].mean(axis=0), 0.5 + 0.125, atol=0.02)

    def test_prediction_drops_nothing_and_seeds_decide(self):
        layer = BranchDropout(0.5, seed=0)
        for branch, x in zip(layer(self.x), self.x, strict=True):
            np.testing.assert_array_equal(branch, x)
        np.testing.assert_array_equal(self.draw(0.5), self.draw(0.5))
        assert (self.draw(0.5) != self.draw(0.5, seed=1)).any()
        first, second = (array(layer(self.x, training=True)[0]) for _ in range(2))
        assert (first != second).any()


class TestFillMissing:
    def test_only_a_branch_that_is_nan_throughout_is_missing(self):
        x = [np.ones((5, 2, 2), "float32"), np.ones((5, 3), "float32")]
        x[0][1] = x[1][2] = x[0][3] = x[1][3] = np.nan
        x[0][4, 0, 0] = np.nan
        *filled, present = (array(output) for output in FillMissing()(x))
        np.testing.assert_array_equal(present, [[1, 1], [0, 1], [1, 0], [1, 1], [1, 1]])
        for branch, before in zip(filled, x, strict=True):
            missing = np.isnan(before).reshape(5, -1).all(axis=1)
            np.testing.assert_array_equal(branch[~missing], before[~missing])
            assert (branch[missing] == 0).all()

    @needs_tensorflow
    def test_no_nan_reaches_the_probabilities_in_onnx(self, tmp_path):
        """The converter turns selections into products, where NaN times 0 is NaN."""
        onnxruntime = pytest.importorskip("onnxruntime")
        inputs = [keras.Input(shape, name=name) for name, shape in (("a", (4, 2)), ("b", (3,)))]
        *filled, present = FillMissing()(inputs)
        heads = [keras.layers.Dense(2, "sigmoid")(keras.layers.Flatten()(x)) for x in filled]
        p = keras.layers.Concatenate(axis=1)([keras.layers.Reshape((1, 2))(x) for x in heads])
        joined = [join(p, present=present) for join in (WeightedAverage(), Stacking(KINDS[0]))]
        model = keras.Model(inputs, keras.layers.Add()(joined))
        x = [RANDOM.normal(size=(5, *one.shape[1:])).astype("float32") for one in inputs]
        x[0][[1, 3]] = x[1][[2, 3]] = np.nan
        expected = array(model(x))
        assert np.isfinite(expected).all()
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        (found,) = session.run(None, {"a": x[0], "b": x[1]})
        assert_close(found, expected, atol=1e-5)


P = RANDOM.dirichlet([1, 1, 1], size=(7, 4)).astype("float32")  # windows, branches, classes


class TestLateFusionLayers:
    def test_product_of_experts_is_the_normalized_geometric_mean(self):
        root = np.prod(P.astype("float64"), axis=1) ** (1 / 4)
        expected = root / root.sum(axis=-1, keepdims=True)
        assert_close(ProductOfExperts("multi_class")(P), expected)
        yes, no = root, np.prod(1 - P.astype("float64"), axis=1) ** (1 / 4)
        found = ProductOfExperts("multi_label")(P)
        assert_close(found, yes / (yes + no))
        assert_close(found, expit(logit(P).mean(axis=1)), atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("layer", [ProductOfExperts, Stacking])
    def test_branches_may_have_any_order_and_be_certain(self, layer, kind):
        assert_close(layer(kind)(P[:, ::-1]), layer(kind)(P))
        layer = layer(kind)
        certain = np.zeros((1, 2, 3), "float32")
        certain[:, :, 0] = 1
        found = array(layer(certain))
        assert np.isfinite(found).all()
        assert_close(found, certain[:, 0], atol=1e-5)
        opposite = certain.copy()
        opposite[:, 1] = [0, 1, 0]
        expected = [[0.5, 0.5, 0]]
        assert_close(layer(opposite), expected, atol=1e-3)

    @pytest.mark.parametrize("kind", KINDS)
    def test_stacking_starts_as_the_product_and_is_not_trained(self, kind):
        layer = Stacking(kind)
        assert_close(layer(P), ProductOfExperts(kind)(P))
        assert layer.trainable_weights == []

    def test_stacking_is_the_regression_of_scikit_learn(self):
        x = logit(P.astype("float64"))
        y = RANDOM.integers(2, size=(7, 3))
        y[:2] = [[0, 0, 0], [1, 1, 1]]
        fits = [LogisticRegression().fit(x[:, :, k], y[:, k]) for k in range(3)]
        layer = Stacking("multi_label")
        layer.build(P.shape)
        weights = np.stack([fit.coef_[0] for fit in fits], axis=1)
        set_weights(layer, weights, [fit.intercept_[0] for fit in fits])
        decided = np.stack([fit.decision_function(x[:, :, k]) for k, fit in enumerate(fits)], 1)
        assert_close(layer(P), expit(decided), atol=1e-5)

    def test_stacking_of_exclusive_classes_by_hand(self):
        layer = Stacking("multi_class")
        layer.build(P.shape)
        weights, bias = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3)
        expected = softmax((np.log(P) * weights).sum(axis=1) + bias, axis=1)
        assert_close(set_weights(layer, weights, bias)(P), expected, atol=1e-5)

    @pytest.mark.parametrize(
        "create",
        [
            WeightedAverage,
            partial(ProductOfExperts, "multi_label"),
            partial(ProductOfExperts, "multi_class"),
            partial(Stacking, "multi_label"),
            partial(Stacking, "multi_class"),
        ],
    )
    def test_missing_branches_have_no_influence(self, create):
        present = RANDOM.integers(2, size=(7, 4)).astype("float32")
        present[:4] = np.eye(4)
        present[4, :2] = 1
        present[5:, 0] = 1
        combined = create()(P, present=present)
        for p, is_present, found in zip(P, present > 0, combined, strict=True):
            assert_close(found, create()(p[is_present][None])[0])

    def test_the_weights_of_present_branches_are_scaled_to_one(self):
        layer = WeightedAverage()
        layer.build((None, 3, 2))
        set_weights(layer, [0.6, 0.4, 0.0])
        p = RANDOM.random((3, 3, 2)).astype("float32")
        present = np.array([[0, 1, 1], [0, 0, 1], [1, 1, 1]], "float32")
        expected = [p[0, 1], p[1, 2], 0.6 * p[2, 0] + 0.4 * p[2, 1]]
        assert_close(layer(p, present=present), expected)
