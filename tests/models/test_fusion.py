"""Every fusion against what it is said to compute, and the options that all of them take."""

import itertools

import keras
import numpy as np
import pytest
from backends import compute_gradient, compute_weight_gradients, needs_tensorflow
from check import (
    N_CLASSES,
    SHAPES,
    compiled,
    labels,
    probabilities,
    scale,
    tiny_model,
    windows,
)
from keras import ops
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import FUSIONS
from ecglib.models import (
    AuxiliaryLoss,
    ModelSettings,
    build_auxiliary_model,
    build_model,
    build_training_model,
    set_branch_weights,
    set_stacking_weights,
)
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


def array(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def assert_close(found, expected, atol=1e-6, rtol=1e-7):
    np.testing.assert_allclose(array(found), array(expected), atol=atol, rtol=rtol)


RANDOM = np.random.default_rng(0)
TWO = {"time": "cnn", "frequency": "cnn"}
THREE = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}
JOINT = [name for name in FUSIONS if not name.startswith("late_")]
INTERMEDIATE = [name for name in FUSIONS if name.startswith("intermediate_")]
LATE = [name for name in FUSIONS if name.startswith("late_")]


def tail(model, *names):
    """The part of a model between the features of its branches and its output."""
    inputs = [model.get_layer(f"{name}_features").output for name in names]
    inner = keras.Model(inputs, model.output)
    return lambda *vectors: ops.convert_to_numpy(inner([v.astype("float32") for v in vectors]))


def filled(layer, *arrays):
    layer.set_weights([np.asarray(own) for own in arrays])
    return layer


class TestLowRankProduct:
    z = [RANDOM.normal(size=(5, n)) for n in (2, 3, 4)]

    @pytest.mark.parametrize("rank", [1, 3])
    @pytest.mark.parametrize("n_branches", [2, 3])
    def test_is_the_contraction_of_the_outer_product(self, rank, n_branches):
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
        found = filled(layer, *flat, bias)([x.astype("float32") for x in z])
        assert_close(found, expected, rtol=1e-4, atol=1e-4)

    def test_does_not_depend_on_the_order_of_branches_with_their_factors(self):
        z = [x.astype("float32") for x in self.z]
        layer = LowRankProduct(6, 2)
        first = array(layer(z))
        *factors, bias = layer.get_weights()
        turned = LowRankProduct(6, 2)
        turned.build([x.shape for x in z[::-1]])
        assert_close(filled(turned, *factors[::-1], bias)(z[::-1]), first, atol=1e-5)

    def test_a_branch_of_zeros_leaves_the_products_of_the_others(self):
        z = [self.z[0].astype("float32"), np.zeros((5, 3), "float32")]
        layer = LowRankProduct(4, 1)
        found = array(layer(z))
        first, second, _ = layer.get_weights()
        assert_close(found, (z[0] @ first[:-1] + first[-1]) * second[-1], atol=1e-5)


class TestFilm:
    def test_without_scale_and_shift_is_plain_concatenation(self):
        film = tiny_model(TWO, "intermediate_film", feature_dim=8)
        plain = tiny_model(TWO, "intermediate_concat", feature_dim=8)
        for name, part in itertools.product(TWO, ("scale", "shift")):
            layer = film.get_layer(f"{name}_{part}")
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
        # What comes after, the mixing and the head, is of the same shape in both.
        for one, other in zip(
            plain.trainable_weights[-4:], film.trainable_weights[-4:], strict=True
        ):
            other.assign(one)
        vectors = np.abs(RANDOM.normal(size=(2, 6, 8)))  # features are never negative
        assert_close(tail(film, *TWO)(*vectors), tail(plain, *TWO)(*vectors), atol=1e-6)

    def test_each_branch_is_modulated_by_the_others_only(self):
        model = tiny_model(THREE, "intermediate_film")
        vectors = [model.get_layer(f"{name}_features").output for name in THREE]
        scales = keras.Model(vectors, [model.get_layer(f"{name}_scale").output for name in THREE])
        x = RANDOM.normal(size=(3, 4, 8)).astype("float32")
        before = [array(scale) for scale in scales(list(x))]
        for changed in range(3):
            other = x.copy()
            other[changed] += 1
            after = [array(scale) for scale in scales(list(other))]
            moved = [np.abs(a - b).max() > 1e-4 for a, b in zip(after, before, strict=True)]
            assert moved == [branch != changed for branch in range(3)]


class TestTokens:
    def test_the_fusion_token_asks_a_set(self):
        """Cross-attention does not depend on the order of the tokens that are asked."""
        model = tiny_model(THREE, "intermediate_cross_attention")
        context = model.get_layer("fusion_token").input
        inner = keras.Model(context, model.output)
        assert context.shape[1:] == (3 * 4, 8)
        x = RANDOM.normal(size=(4, *context.shape[1:])).astype("float32")
        turned = x[:, RANDOM.permutation(x.shape[1])]
        assert_close(inner(turned), inner(x))

    def test_branches_exchange_through_the_bottleneck_alone(self):
        """In the first layer no branch sees another; in the second it sees what they wrote."""
        model = tiny_model(THREE, "intermediate_bottleneck")
        vectors = [model.get_layer(f"{name}_features").output for name in THREE]
        cropped = [x for x in model.layers if isinstance(x, keras.layers.Cropping1D)]
        own = [x.output for x in cropped if x.cropping[0] == 0]
        shared = [x for x in model.layers if isinstance(x, keras.layers.Average)]
        inner = keras.Model(vectors, [*own, shared[0].output])
        x = RANDOM.normal(size=(3, 4, 8)).astype("float32")
        before = [array(y) for y in inner(list(x))]
        x[0] += 1
        moved = [
            np.abs(array(y) - b).max() > 1e-6 for y, b in zip(inner(list(x)), before, strict=True)
        ]
        first_layer, second_layer, bottleneck = moved[:3], moved[3:6], moved[6]
        assert first_layer == [True, False, False]
        assert second_layer == [True, True, True]
        assert bottleneck
        assert before[6].shape[1] < before[0].shape[1], "as wide as the branches: no bottleneck"

    def test_learned_tokens_are_the_same_for_every_window(self):
        layer = LearnedTokens(3, seed=1)
        tokens = array(layer(np.full((4, 2, 5), np.inf, "float32")))
        assert tokens.shape == (4, 3, 5)
        np.testing.assert_array_equal(tokens, np.broadcast_to(layer.get_weights()[0], (4, 3, 5)))


P = RANDOM.dirichlet([1, 1, 1], size=(7, 4)).astype("float32")  # windows, branches, classes


class TestLateLayers:
    def test_product_of_experts_is_the_normalised_geometric_mean(self):
        root = np.prod(P.astype("float64"), axis=1) ** (1 / 4)
        expected = root / root.sum(axis=-1, keepdims=True)
        assert_close(ProductOfExperts("multi_class")(P), expected)
        yes, no = root, np.prod(1 - P.astype("float64"), axis=1) ** (1 / 4)
        found = ProductOfExperts("multi_label")(P)
        assert_close(found, yes / (yes + no))
        assert_close(found, expit(logit(P).mean(axis=1)), atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("layer", [ProductOfExperts, Stacking])
    def test_branches_may_stand_in_any_order_and_be_quite_certain(self, layer, kind):
        assert_close(layer(kind)(P[:, ::-1]), layer(kind)(P))
        layer = layer(kind)
        certain = np.zeros((1, 2, 3), "float32")
        certain[:, :, 0] = 1
        found = array(layer(certain))
        assert np.isfinite(found).all()
        assert_close(found, certain[:, 0], atol=1e-5)
        contrary = certain.copy()
        contrary[:, 1] = [0, 1, 0]
        expected = [[0.5, 0.5, 0]]
        assert_close(layer(contrary), expected, atol=1e-3)

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
        filled(layer, weights, [fit.intercept_[0] for fit in fits])
        decided = np.stack([fit.decision_function(x[:, :, k]) for k, fit in enumerate(fits)], 1)
        assert_close(layer(P), expit(decided), atol=1e-5)

    def test_stacking_of_exclusive_classes_by_hand(self):
        layer = Stacking("multi_class")
        layer.build(P.shape)
        weights, bias = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3)
        expected = softmax((np.log(P) * weights).sum(axis=1) + bias, axis=1)
        assert_close(filled(layer, weights, bias)(P), expected, atol=1e-5)

    @pytest.mark.parametrize(
        "make",
        [
            WeightedAverage,
            *(
                lambda k=kind, c=layer: c(k)
                for layer in (ProductOfExperts, Stacking)
                for kind in KINDS
            ),
        ],
    )
    def test_missing_branches_have_no_say(self, make):
        present = RANDOM.integers(2, size=(7, 4)).astype("float32")
        present[:4] = np.eye(4)
        present[4, :2] = 1
        for p, there, found in zip(P, present > 0, make()(P, present=present), strict=True):
            assert_close(found, make()(p[there][None])[0])

    def test_the_weights_of_present_branches_are_brought_to_one(self):
        layer = WeightedAverage()
        layer.build((None, 3, 2))
        filled(layer, [0.6, 0.4, 0.0])
        p = RANDOM.random((3, 3, 2)).astype("float32")
        present = np.array([[0, 1, 1], [0, 0, 1], [1, 1, 1]], "float32")
        expected = [p[0, 1], p[1, 2], 0.6 * p[2, 0] + 0.4 * p[2, 1]]
        assert_close(layer(p, present=present), expected)


class TestStackedModel:
    def test_weights_reach_the_answer(self):
        model, batch = tiny_model(TWO, "late_stacking"), windows(TWO)
        fitted, per_branch = build_training_model(model)
        assert per_branch
        p = probabilities(fitted, batch).astype("float64")
        weights, bias = RANDOM.normal(size=(2, N_CLASSES)), RANDOM.normal(size=N_CLASSES)
        set_stacking_weights(model, weights, bias)
        expected = expit((logit(p) * weights).sum(axis=1) + bias)
        assert_close(probabilities(model, batch), expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("weights", "bias"),
        [
            (np.ones(2), np.zeros(N_CLASSES)),
            (np.ones((N_CLASSES, 2)), np.zeros(N_CLASSES)),
            (np.ones((2, N_CLASSES)), np.zeros(2)),
            (np.full((2, N_CLASSES), np.nan), np.zeros(N_CLASSES)),
        ],
    )
    def test_wrong_weights_are_refused(self, weights, bias):
        with pytest.raises(ExperimentError, match=r"must have \(2, 3\) and \(3,\).*'frequency'"):
            set_stacking_weights(tiny_model(TWO, "late_stacking"), weights, bias)

    def test_other_fusions_are_not_stacked(self):
        with pytest.raises(ExperimentError, match="fusion='late_stacking'"):
            set_stacking_weights(tiny_model(TWO, "late_weighted"), np.ones((2, 3)), np.zeros(3))


class TestBranchDropout:
    x = [np.ones((20_000, n), "float32") for n in (1, 2, 3)]

    def draw(self, rate, present=None, seed=0):
        kept = BranchDropout(rate, seed=seed)(self.x, present=present, training=True)
        for own in kept:  # whole branches
            assert (np.ptp(array(own), axis=1) == 0).all()
        return np.stack([array(own)[:, 0] for own in kept], axis=1)

    @pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
    def test_branches_are_dropped_at_this_rate_but_never_all(self, rate):
        kept = self.draw(rate)
        assert set(np.unique(kept)) == {0, 1}  # nothing is scaled up
        assert kept.any(axis=1).all()
        # Each is dropped with the rate, less its third of the windows in which all would be.
        expected = 1 - rate + rate**3 / 3
        assert_close(kept.mean(axis=0), expected, atol=0.015)

    def test_the_last_present_branch_stays(self):
        present = np.zeros((20_000, 3), "float32")
        present[:, 1] = 1
        present[:10_000, 2] = 1
        kept = self.draw(0.5, present)
        assert (kept <= present).all()
        assert kept.any(axis=1).all()
        assert_close(kept[:10_000, 1:].mean(axis=0), 0.5 + 0.125, atol=0.02)

    def test_prediction_drops_nothing_and_seeds_decide(self):
        layer = BranchDropout(0.5, seed=0)
        for own, x in zip(layer(self.x), self.x, strict=True):
            np.testing.assert_array_equal(own, x)
        np.testing.assert_array_equal(self.draw(0.5), self.draw(0.5))
        assert (self.draw(0.5) != self.draw(0.5, seed=1)).any()
        first, second = (array(layer(self.x, training=True)[0]) for _ in range(2))
        assert (first != second).any()

    @pytest.mark.parametrize("fusion", JOINT)
    def test_every_joint_fusion_trains_with_it(self, fusion):
        """Same weights at the start, another loss in training, gradients everywhere, no NaN."""
        plain, model = (tiny_model(TWO, fusion, dropout=0.0, branch_dropout=r) for r in (0, 0.5))
        batch = windows(TWO)
        for one in (plain, model):
            scale(one, batch)
        np.testing.assert_array_equal(probabilities(model, batch), probabilities(plain, batch))
        y = labels("multi_label")
        fitted = compiled(model, "multi_label", "sgd")
        gradients = compute_weight_gradients(fitted, batch, lambda p: fitted.loss(y, p))
        for weight, own in zip(fitted.trainable_weights, gradients, strict=True):
            assert np.isfinite(array(own)).all(), weight.path
            assert np.abs(array(own)).max() > 0, weight.path
        trained = ops.convert_to_numpy(model(batch, training=True))
        untouched = ops.convert_to_numpy(plain(batch, training=True))
        rows = np.abs(trained - untouched).max(axis=1)
        assert (rows > 1e-6).any()

    def test_it_is_fitted_with_branches_missing_and_is_saved(self, tmp_path):
        options = {"branch_dropout": 0.5, "missing_branches": True}
        model, batch = tiny_model(TWO, "intermediate_concat", **options), windows(TWO)
        scale(model, batch)
        batch = without(batch, time=[0, 1], frequency=[2])
        fitted = compiled(model, "multi_label", "sgd")
        history = fitted.fit(batch, labels("multi_label"), epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        found = probabilities(loaded, batch)
        assert_close(found, probabilities(model, batch))
        again, drop = (one.get_layer("branch_dropout") for one in (loaded, model))
        assert (again.rate, again.seed) == (drop.rate, drop.seed) == (0.5, drop.seed)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"branch_dropout": 1.0}, "branch_dropout=1.0 must be at least 0 and below 1"),
            ({"branch_dropout": 0.2, "fusion": "late_average"}, "fusion='late_average'"),
            (
                {"missing_branches": True, "fusion": "none", "branches": {"time": "cnn"}},
                "Use missing_branches=False",
            ),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, changes, message):
        values = {"branches": TWO, "fusion": "intermediate_concat", **changes}
        with pytest.raises(ExperimentError, match=message):
            tiny_model(values.pop("branches"), values.pop("fusion"), **values)


def without(batch: dict, **rows) -> dict:
    """The batch with views that are NaN in these rows."""
    batch = {name: x.copy() for name, x in batch.items()}
    for name, own in rows.items():
        batch[name][own] = np.nan
    return batch


class TestMissingBranches:
    def test_only_a_view_of_nothing_but_nan_is_missing(self):
        x = [np.ones((5, 2, 2), "float32"), np.ones((5, 3), "float32")]
        x[0][1] = x[1][2] = x[0][3] = x[1][3] = np.nan
        x[0][4, 0, 0] = np.nan
        *views, present = (array(own) for own in FillMissing()(x))
        np.testing.assert_array_equal(present, [[1, 1], [0, 1], [1, 0], [1, 1], [1, 1]])
        for own, before in zip(views, x, strict=True):
            gone = np.isnan(before).reshape(5, -1).all(axis=1)
            np.testing.assert_array_equal(own[~gone], before[~gone])
            assert (own[gone] == 0).all()

    @pytest.mark.parametrize("fusion", FUSIONS)
    def test_no_nan_reaches_answers_or_gradients(self, fusion, tmp_path):
        model = tiny_model(THREE, fusion, missing_branches=True)
        plain, whole = tiny_model(THREE, fusion), windows(THREE)
        for one in (model, plain):
            scale(one, whole)
        assert_close(probabilities(model, whole), probabilities(plain, whole), atol=1e-6)
        batch = without(whole, time=[0, 3], frequency=[1, 3], spectrogram=[1, 3])
        p = probabilities(model, batch)
        assert ((p > 0) & (p < 1)).all()
        assert_close(p[4:], probabilities(plain, whole)[4:])
        assert (np.abs(p[:2] - probabilities(plain, whole)[:2]).max(axis=1) > 1e-5).all()
        assert_close(model.predict(batch, verbose=0), p, atol=1e-5)

        path = tmp_path / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path, safe_mode=True)
        assert_close(probabilities(loaded, batch), p)

        y = labels("multi_label")
        fitted = compiled(model, "multi_label", "sgd")
        gradients = compute_weight_gradients(fitted, batch, lambda outputs: fitted.loss(y, outputs))
        for weight, own in zip(fitted.trainable_weights, gradients, strict=True):
            assert np.isfinite(array(own)).all(), weight.path
            assert np.abs(array(own)).max() > 0, weight.path

    @needs_tensorflow
    def test_no_nan_reaches_answers_in_onnx(self, tmp_path):
        """Its converter makes products of selections, where NaN times 0 is NaN."""
        onnxruntime = pytest.importorskip("onnxruntime")
        views = [keras.Input(shape, name=name) for name, shape in (("a", (4, 2)), ("b", (3,)))]
        *found, present = FillMissing()(views)
        heads = [keras.layers.Dense(2, "sigmoid")(keras.layers.Flatten()(x)) for x in found]
        p = keras.layers.Concatenate(axis=1)([keras.layers.Reshape((1, 2))(x) for x in heads])
        joined = [join(p, present=present) for join in (WeightedAverage(), Stacking(KINDS[0]))]
        model = keras.Model(views, keras.layers.Add()(joined))
        x = [RANDOM.normal(size=(5, *view.shape[1:])).astype("float32") for view in views]
        x[0][[1, 3]] = x[1][[2, 3]] = np.nan
        expected = array(model(x))
        assert np.isfinite(expected).all()
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        (got,) = session.run(None, {"a": x[0], "b": x[1]})
        assert_close(got, expected, atol=1e-5)

    @pytest.mark.parametrize("fusion", ["early_concat", "intermediate_bilinear", "late_product"])
    def test_the_gradient_at_the_input_is_finite_and_zero_where_nothing_is(self, fusion):
        model, whole = tiny_model(TWO, fusion, missing_branches=True), windows(TWO)
        scale(model, whole)
        batch = without(whole, time=[0])

        def of_time(x):
            return ops.sum(model([x, ops.convert_to_tensor(batch["frequency"])])[:, 0])

        slope = compute_gradient(of_time, batch["time"])
        assert np.isfinite(slope).all()
        assert (slope[0] == 0).all()
        assert (np.abs(slope[1:]).max(axis=(1, 2)) > 0).all()

    @pytest.mark.parametrize("fusion", INTERMEDIATE)
    def test_a_missing_branch_looks_as_a_dropped_one(self, fusion):
        model, batch = tiny_model(TWO, fusion, missing_branches=True), windows(TWO)
        scale(model, batch)
        vectors = [
            np.array(
                array(keras.Model(model.inputs, model.get_layer(f"{name}_features").output)(batch))
            )
            for name in TWO
        ]
        vectors[0][:] = 0
        expected = tail(tiny_model(TWO, fusion), *TWO)(*vectors)
        found = probabilities(model, without(batch, time=slice(None)))
        assert_close(found, expected, atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("fusion", LATE)
    def test_a_late_fusion_of_what_is_left(self, fusion, kind):
        """The branches start with the same weights in a fusion of two as in one of three."""
        whole = windows(THREE)
        three, two = (
            tiny_model(branches, fusion, kind, missing_branches=True)
            for branches in (THREE, {n: THREE[n] for n in ("time", "spectrogram")})
        )
        for model in (three, two):
            scale(model, {x.name: whole[x.name] for x in model.inputs})
        expected = probabilities(two, {x.name: whole[x.name] for x in two.inputs})
        found = probabilities(three, without(whole, frequency=slice(None)))
        assert_close(found, expected, atol=1e-5)

    def test_a_weighted_branch_that_is_missing_leaves_its_weight_to_the_others(self):
        model = tiny_model(THREE, "late_weighted", missing_branches=True)
        whole = windows(THREE)
        set_branch_weights(model, [0.5, 0.125, 0.375])
        p = probabilities(build_training_model(model)[0], whole)
        found = probabilities(model, without(whole, time=slice(None)))
        assert_close(found, 0.25 * p[:, 1] + 0.75 * p[:, 2])

    def test_without_the_option_nan_is_not_hidden(self):
        model = tiny_model(TWO, "intermediate_concat")
        p = probabilities(model, without(windows(TWO), time=[0]))
        assert np.isnan(p[0]).all()
        assert np.isfinite(p[1:]).all()


class TestAuxiliary:
    @pytest.mark.parametrize("fusion", INTERMEDIATE)
    def test_the_heads_are_trained_and_the_model_stays_as_it_is(self, fusion):
        model, batch = tiny_model(TWO, fusion), windows(TWO)
        scale(model, batch)
        before, n_weights = probabilities(model, batch), len(model.weights)
        fitted = build_auxiliary_model(model, dropout=0.2, seed=1)
        p = probabilities(fitted, batch)
        assert p.shape == (len(before), 1 + 2, N_CLASSES)
        assert_close(p[:, 0], before)
        for number, name in enumerate(TWO):
            alone = tiny_model({name: "cnn"}, "none")
            scale(alone, {name: batch[name]})
            expected = probabilities(alone, {name: batch[name]})
            assert_close(p[:, 1 + number], expected)

        loss, y = AuxiliaryLoss(keras.losses.BinaryCrossentropy(), 0.3), labels("multi_label")
        gradients = compute_weight_gradients(fitted, batch, lambda outputs: loss(y, outputs))
        assert len(gradients) == len(model.trainable_weights) + 2 * 2
        for weight, own in zip(fitted.trainable_weights, gradients, strict=True):
            assert np.abs(array(own)).max() > 0, weight.path
        fitted.compile("sgd", loss, jit_compile=False)
        fitted.fit(batch, y, verbose=0)
        assert np.abs(probabilities(model, batch) - before).max() > 1e-4
        assert len(model.weights) == n_weights
        assert model.output_shape == (None, N_CLASSES)

    def test_the_loss_is_that_of_the_fusion_and_the_weight_times_those_of_the_branches(self):
        p = RANDOM.dirichlet([1, 1, 1], size=(4, 3)).astype("float32")
        y = np.eye(3, dtype="float32")[[0, 1, 2, 1]]
        weight = np.array([1.0, 2.0, 0.0, 0.5], "float32")
        each = [log_loss(y, p[:, b], sample_weight=weight, normalize=False) for b in range(3)]
        loss = AuxiliaryLoss(keras.losses.CategoricalCrossentropy(), 0.25)
        expected = (each[0] + 0.25 * (each[1] + each[2])) / 4
        assert float(loss(y, p, sample_weight=weight)) == pytest.approx(expected, rel=1e-5)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        assert float(again(y, p)) == float(loss(y, p))

    @pytest.mark.parametrize(
        ("branches", "fusion"),
        [(TWO, "early_concat"), (TWO, "late_average"), ({"time": "cnn"}, "none")],
    )
    def test_models_without_joined_features_are_refused(self, branches, fusion):
        with pytest.raises(ExperimentError, match="need an intermediate fusion"):
            build_auxiliary_model(tiny_model(branches, fusion), 0.2, 0)


@pytest.mark.parametrize(
    "others", [("time",), ("spectrogram",), ("frequency",), ("time", "scalogram")]
)
def test_early_fusion_takes_tabular_values(others):
    encoders = {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d", "scalogram": "cnn2d"}
    branches = {**{name: encoders[name] for name in others}, "tabular": "mlp"}
    shapes = {**{name: SHAPES[name] for name in others}, "tabular": (5,)}
    settings = ModelSettings(
        branches=branches,
        fusion="early_concat",
        n_classes=N_CLASSES,
        kind="multi_label",
        width=8,
        feature_dim=8,
    )
    model = build_model(shapes, settings)
    batch = {n: RANDOM.normal(size=(6, *shape)).astype("float32") for n, shape in shapes.items()}
    p = probabilities(model, batch)
    assert np.isfinite(p).all()
    batch["tabular"] = batch["tabular"][::-1]
    assert np.abs(probabilities(model, batch) - p).max() > 1e-4
    joined = next(x for x in model.layers if x.name == "fused_features")
    assert joined.output.shape == (None, 8)
