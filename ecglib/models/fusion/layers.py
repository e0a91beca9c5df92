"""The layers that only fusions need."""

import keras
import numpy as np
from keras import ops

from ecglib.models.layers import seed_stream

# The least and, taken from 1, the largest probability whose logarithm is used; the same as in
# `ecglib.evaluation.stacking`. A power of 2: taken from 1, others are rounded in float32, and
# opposite answers of equal certainty would no longer cancel.
SMALLEST_PROBABILITY = 2.0**-23


@keras.saving.register_keras_serializable(package="ecglib")
class FillMissing(keras.layers.Layer):
    """Tell which branches are missing, and put zeros in their place.

    A view that is NaN throughout says that its branch is missing from that window. After the
    scaling zero is the mean of the training windows. A view of which only a part is NaN is
    handed on as it is: that is a fault, not a missing branch. Where every branch is missing all
    count as present, so that what follows never divides by zero.

    Input shape
        A list of n_branches views, (n_windows, ...).

    Output shape
        A list: the views as they came, and last which are present, (n_windows, n_branches).
    """

    def call(self, inputs):
        filled, flags = [], []
        for x in inputs:
            unknown = ops.isnan(x)
            gone = ops.all(unknown, axis=tuple(range(1, len(x.shape))), keepdims=True)
            # Selected in two steps, each of which the converter to ONNX sees to be about NaN;
            # others it turns into products with 0 and 1, and NaN times 0 is NaN.
            filled.append(ops.where(unknown, ops.where(gone, 0.0, np.nan), x))
            flags.append(ops.reshape(ops.cast(gone, self.compute_dtype), (-1, 1)))
        missing = ops.concatenate(flags, axis=1)
        all_missing = ops.min(missing, axis=1, keepdims=True)
        return [*filled, 1 - missing + all_missing]

    def compute_output_shape(self, input_shape):
        return [*input_shape, (input_shape[0][0], len(input_shape))]


@keras.saving.register_keras_serializable(package="ecglib")
class BranchDropout(keras.layers.Layer):
    """Put zeros for whole branches: in training for some at random, always for missing ones.

    This is the modality dropout of Neverova et al., "ModDrop: adaptive multi-modal gesture
    recognition" (2016, arXiv:1501.00102). Of each window at least one branch is kept; were all
    to be dropped, each is as likely to stay. What is kept is not scaled up: in prediction a
    window with a missing branch then looks as such a window did in training, and so does one
    that lacks nothing.

    Parameters
    ----------
    rate : float
        Chance that a branch is dropped in training, at least 0, below 1.
    seed : int or None
        Seed of which are dropped.

    Input shape
        A list of n_branches tensors (n_windows, ...); as the argument `present`, where branches
        may be missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        As the list.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, present=None, training=False):
        if present is None and not (training and self.rate):
            return list(inputs)
        if present is None:
            present = ops.ones((ops.shape(inputs[0])[0], len(inputs)), "float32")
        kept = ops.cast(present, "float32")
        if training and self.rate:
            kept = kept * self._drawn(kept)
        # One column a branch, with as many axes as its tensor.
        columns = [
            ops.cast(ops.reshape(kept[:, b], (-1, *[1] * (len(x.shape) - 1))), x.dtype)
            for b, x in enumerate(inputs)
        ]
        return [x * column for x, column in zip(inputs, columns, strict=True)]

    def _drawn(self, present):
        """Draw which branches stay: those whose number is large, and the one with the largest."""
        numbers = keras.random.uniform(
            (ops.shape(present)[0], present.shape[1]), seed=self.seed_generator
        )
        numbers = ops.where(present > 0, numbers, -1.0)
        largest = ops.max(numbers, axis=1, keepdims=True)
        return ops.cast((numbers >= self.rate) | (numbers >= largest), "float32")

    def compute_output_shape(self, input_shape):
        return list(input_shape)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class LearnedTokens(keras.layers.Layer):
    """Give each window the same few learned vectors.

    Parameters
    ----------
    n_tokens : int
        Number of vectors.
    seed : int or None
        Seed of the initial values, drawn from a normal distribution of deviation 0.02.

    Input shape
        (n_windows, n_steps, n_channels): only the number of windows and of channels matter.

    Output shape
        (n_windows, n_tokens, n_channels).
    """

    def __init__(self, n_tokens: int, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.n_tokens = n_tokens
        self.seed = seed

    def build(self, input_shape):
        self.embedding = self.add_weight(
            name="embedding",
            shape=(self.n_tokens, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed),
        )

    def call(self, inputs):
        return ops.broadcast_to(self.embedding, (ops.shape(inputs)[0], *self.embedding.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n_tokens, input_shape[2])

    def get_config(self):
        return {**super().get_config(), "n_tokens": self.n_tokens, "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class LowRankProduct(keras.layers.Layer):
    """Multiply every feature of each branch with every feature of the others, at low rank.

    With each vector z extended by a 1, the outer product of all vectors holds every product of
    features of one, two, up to all branches. It is contracted with a weight tensor of the given
    rank without ever being formed, as in Liu et al., "Efficient low-rank multimodal fusion with
    modality-specific factors" (2018, arXiv:1806.00064): the sum over the rank of the products
    over the branches of z @ factor.

    Parameters
    ----------
    units : int
        Length of the output.
    rank : int
        Rank of the weight tensor of each output.
    seed : int
        Seed of the factors; each output of a factor starts with about the variance of its input.

    Input shape
        A list of n_branches tensors (n_windows, n_features), of any lengths.

    Output shape
        (n_windows, units).
    """

    def __init__(self, units: int, rank: int, seed: int = 0, **kwargs):
        # In float32 also where the rest is in float16: a product of many overflows there.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.units = units
        self.rank = rank
        self.seed = seed

    def build(self, input_shape):
        seeds = seed_stream(self.seed)
        self.factors = [
            self.add_weight(
                name=f"kernel_{branch}",
                shape=(shape[-1] + 1, self.rank * self.units),
                initializer=keras.initializers.LecunNormal(seed=next(seeds)),
            )
            for branch, shape in enumerate(input_shape)
        ]
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs):
        product = 1.0
        for x, factor in zip(inputs, self.factors, strict=True):
            # The last row of the factor belongs to the 1.
            product = product * (ops.matmul(x, factor[:-1]) + factor[-1])
        product = ops.reshape(product, (-1, self.rank, self.units))
        return ops.sum(product, axis=1) + self.bias

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.units)

    def get_config(self):
        own = {"units": self.units, "rank": self.rank, "seed": self.seed}
        return {**super().get_config(), **own}


def log_odds(p, kind: str):
    """Return what a head gave before its activation; of a softmax, up to a constant."""
    p = ops.clip(p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return ops.log(p) - ops.log(1 - p) if kind == "multi_label" else ops.log(p)


def probabilities(x, kind: str):
    """Return the probabilities of log odds."""
    return ops.sigmoid(x) if kind == "multi_label" else ops.softmax(x, axis=-1)


def mean_of_present(x, present):
    """Average (n_windows, n_branches, n_classes) over the branches; None: all are present."""
    if present is None:
        return ops.mean(x, axis=1)
    counts = ops.sum(present, axis=1, keepdims=True)
    return ops.sum(x * present[:, :, None], axis=1) / counts


@keras.saving.register_keras_serializable(package="ecglib")
class ProductOfExperts(keras.layers.Layer):
    """Multiply the branches' probabilities, take the root, and bring them to the sum 1.

    This is the product of experts of Hinton, "Training products of experts by minimizing
    contrastive divergence" (Neural Computation 14, 2002), with the root of the logarithmic
    opinion pool (Heskes, NIPS 1998): the normalized geometric mean. The root leaves the decision
    as it is and keeps branches that agree from growing surer together than any of them is. Of
    independent classes each is such a product over "yes" and "no": the mean of the logits.

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent or exclude each other.

    Input shape
        (n_windows, n_branches, n_classes); as the argument `present`, where branches may be
        missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        (n_windows, n_classes).
    """

    def __init__(self, kind: str, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def call(self, inputs, present=None):
        return probabilities(mean_of_present(log_odds(inputs, self.kind), present), self.kind)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable(package="ecglib")
class Stacking(keras.layers.Layer):
    """Logistic regression on the branches' log odds, fitted on validation, not by the gradient.

    Each class has a weight for each branch, on what that branch says of this class, and a bias:
    the stacking of Wolpert (Neural Networks 5, 1992) in the form that Ting and Witten, "Issues in
    stacked generalization" (JAIR 10, 1999), found best, on log odds. The weights start equal,
    where this is `ProductOfExperts`; `ecglib.models.set_stacking_weights` sets them. A branch that is
    missing is taken to say the mean of what the others say.

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent or exclude each other.

    Input shape
        (n_windows, n_branches, n_classes), with all but the first known; as the argument
        `present`, where branches may be missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        (n_windows, n_classes).
    """

    def __init__(self, kind: str, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def build(self, input_shape):
        _, n_branches, n_classes = input_shape
        self.branch_weights = self.add_weight(
            name="branch_weights",
            shape=(n_branches, n_classes),
            initializer=keras.initializers.Constant(1.0 / n_branches),
            trainable=False,
        )
        self.bias = self.add_weight(
            name="bias", shape=(n_classes,), initializer="zeros", trainable=False
        )

    def call(self, inputs, present=None):
        x = log_odds(inputs, self.kind)
        if present is not None:
            x = ops.where(present[:, :, None] > 0, x, mean_of_present(x, present)[:, None])
        return probabilities(ops.sum(x * self.branch_weights, axis=1) + self.bias, self.kind)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}
