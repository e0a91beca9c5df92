"""The layers that only fusions need."""

from ecglib._keras import Tensor

from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib.evaluation.stacking import MIN_PROBABILITY
from ecglib.models.layers import Shape, seed_stream


@keras.saving.register_keras_serializable(package="ecglib")
class FillMissing(keras.layers.Layer):
    """Replace missing branches by zeros, and output which branches are present.

    A branch is missing from a window in which its input is NaN throughout. After the scaling zero
    is the mean of the training windows. An input that is only partly NaN is passed on unchanged:
    that is a fault, not a missing branch. Where every branch is missing, all count as present, so
    that later layers never divide by zero.

    Input shape
        A list of n_branches tensors, (n_windows, ...).

    Output shape
        A list: the inputs, and as the last item which are present, (n_windows, n_branches).

    Examples
    --------
    >>> time = np.array([[1.0, 2.0], [np.nan, np.nan]])
    >>> frequency = np.array([[3.0], [4.0]])
    >>> filled, _, present = FillMissing()([time, frequency])
    >>> ops.convert_to_numpy(filled).tolist()
    [[1.0, 2.0], [0.0, 0.0]]
    >>> ops.convert_to_numpy(present).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """

    def call(self, inputs: list[Tensor]) -> list[Tensor]:
        filled, flags = [], []
        for x in inputs:
            is_nan = ops.isnan(x)
            is_missing = ops.all(is_nan, axis=tuple(range(1, len(x.shape))), keepdims=True)
            # Selected in two steps, each of which the converter to ONNX recognizes as a selection
            # of NaN; others it turns into products with 0 and 1, and NaN times 0 is NaN.
            filled.append(ops.where(is_nan, ops.where(is_missing, 0.0, np.nan), x))
            flags.append(ops.reshape(ops.cast(is_missing, self.compute_dtype), (-1, 1)))
        missing = ops.concatenate(flags, axis=1)
        all_missing = ops.min(missing, axis=1, keepdims=True)
        return [*filled, 1 - missing + all_missing]

    def compute_output_shape(self, input_shape: list[Shape]) -> list[Shape]:
        return [*input_shape, (input_shape[0][0], len(input_shape))]


@keras.saving.register_keras_serializable(package="ecglib")
class BranchDropout(keras.layers.Layer):
    """Replace whole branches by zeros: random ones in training, missing ones always.

    At least one branch of each window is kept; if all were to be dropped, each is equally likely
    to be kept. Kept branches are not scaled up: in prediction a window with a missing branch then
    looks like such a window in training, and so does a window without missing branches.

    Input shape
        A list of n_branches tensors (n_windows, ...); as the argument `present`, where branches
        may be missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        As the list.

    Parameters
    ----------
    rate : float
        Probability that a branch is dropped in training, in [0, 1).
    seed : int, optional
        Seed of the random choice.
    **kwargs
        Options of `keras.layers.Layer`.

    Notes
    -----
    This is the modality dropout of Neverova et al., "ModDrop: adaptive multi-modal gesture
    recognition" (2016, arXiv:1501.00102).

    Examples
    --------
    >>> layer = BranchDropout(0.5, seed=0)
    >>> time, frequency = layer([np.ones((100, 3)), np.ones((100, 3))], training=True)
    >>> kept = ops.convert_to_numpy(time + frequency)
    >>> sorted(set(kept.ravel().tolist()))
    [1.0, 2.0]
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(
        self, inputs: list[Tensor], present: Tensor | None = None, training: bool = False
    ) -> list[Tensor]:
        if present is None and not (training and self.rate):
            return list(inputs)
        if present is None:
            present = ops.ones((ops.shape(inputs[0])[0], len(inputs)), "float32")
        mask = ops.cast(present, "float32")
        if training and self.rate:
            mask = mask * self._draw_mask(mask)
        # One column per branch, with as many axes as its tensor.
        columns = [
            ops.cast(ops.reshape(mask[:, b], (-1, *[1] * (len(x.shape) - 1))), x.dtype)
            for b, x in enumerate(inputs)
        ]
        return [x * column for x, column in zip(inputs, columns, strict=True)]

    def _draw_mask(self, present: Tensor) -> Tensor:
        """Draw which branches are kept: those with a number above the rate, and the maximum."""
        numbers = keras.random.uniform(
            (ops.shape(present)[0], present.shape[1]), seed=self.seed_generator
        )
        numbers = ops.where(present > 0, numbers, -1.0)
        maximum = ops.max(numbers, axis=1, keepdims=True)
        return ops.cast((numbers >= self.rate) | (numbers >= maximum), "float32")

    def compute_output_shape(self, input_shape: list[Shape]) -> list[Shape]:
        return list(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class LearnedTokens(keras.layers.Layer):
    """Output the same learned vectors for each window.

    Input shape
        (n_windows, n_steps, n_channels): only the number of windows and of channels matter.

    Output shape
        (n_windows, n_tokens, n_channels).

    Parameters
    ----------
    n_tokens : int
        Number of vectors.
    seed : int, optional
        Seed of the initial values, drawn from a normal distribution of standard deviation 0.02.
    **kwargs
        Options of `keras.layers.Layer`.

    Examples
    --------
    >>> tuple(LearnedTokens(4)(np.zeros((2, 10, 3))).shape)
    (2, 4, 3)
    """

    def __init__(self, n_tokens: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.n_tokens = n_tokens
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        self.embedding = self.add_weight(
            name="embedding",
            shape=(self.n_tokens, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed),
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.broadcast_to(self.embedding, (ops.shape(inputs)[0], *self.embedding.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.n_tokens, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_tokens": self.n_tokens, "seed": self.seed}


@keras.saving.register_keras_serializable(package="ecglib")
class LowRankProduct(keras.layers.Layer):
    """Multiply every feature of each branch by every feature of the others, at low rank.

    Input shape
        A list of n_branches tensors (n_windows, n_features), of any lengths.

    Output shape
        (n_windows, units).

    Parameters
    ----------
    units : int
        Length of the output.
    rank : int
        Rank of the weight tensor of each output.
    seed : int, default 0
        Seed of the factors; each output of a factor starts with about the variance of its input.
    **kwargs
        Options of `keras.layers.Layer`.

    Notes
    -----
    With each vector z extended by a 1, the outer product of all vectors holds every product of
    features of one, two, up to all branches. It is contracted with a weight tensor of the given
    rank without ever being formed, as in Liu et al., "Efficient low-rank multimodal fusion with
    modality-specific factors" (2018, arXiv:1806.00064): the sum over the rank of the products
    over the branches of z @ factor.

    Examples
    --------
    >>> layer = LowRankProduct(units=8, rank=4)
    >>> tuple(layer([np.zeros((2, 5)), np.zeros((2, 3))]).shape)
    (2, 8)
    """

    def __init__(self, units: int, rank: int, seed: int = 0, **kwargs: Any):
        # In float32 also where the other layers are in float16: a product of many overflows there.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.units = units
        self.rank = rank
        self.seed = seed

    def build(self, input_shape: list[Shape]) -> None:
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

    def call(self, inputs: list[Tensor]) -> Tensor:
        product: Tensor = 1.0
        for x, factor in zip(inputs, self.factors, strict=True):
            # The last row of the factor belongs to the 1.
            product = product * (ops.matmul(x, factor[:-1]) + factor[-1])
        product = ops.reshape(product, (-1, self.rank, self.units))
        return ops.sum(product, axis=1) + self.bias

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "units": self.units, "rank": self.rank, "seed": self.seed}


def compute_log_odds(p: Tensor, kind: str) -> Tensor:
    """Compute the input of the activation from its output; for a softmax, up to a constant.

    Parameters
    ----------
    p : tensor
        Probabilities, clipped to [`MIN_PROBABILITY`, 1 - `MIN_PROBABILITY`].
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent (sigmoid) or mutually exclusive (softmax).

    Returns
    -------
    tensor
        Log odds, or logarithms of the probabilities.

    Examples
    --------
    >>> round(float(compute_log_odds(np.array(0.9), "multi_label")), 3)
    2.197
    """
    p = ops.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return ops.log(p) - ops.log(1 - p) if kind == "multi_label" else ops.log(p)


def compute_probabilities(x: Tensor, kind: str) -> Tensor:
    """Compute the probabilities of log odds.

    Parameters
    ----------
    x : tensor of shape (..., n_classes)
        Log odds.
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent (sigmoid) or mutually exclusive (softmax).

    Returns
    -------
    tensor of shape (..., n_classes)

    Examples
    --------
    >>> ops.convert_to_numpy(compute_probabilities(np.zeros(4), "multi_class")).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return ops.sigmoid(x) if kind == "multi_label" else ops.softmax(x, axis=-1)


def average_present(x: Tensor, present: Tensor | None) -> Tensor:
    """Average over the branches that are present.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_branches, n_classes)
        Values of each branch.
    present : tensor of shape (n_windows, n_branches) or None
        1 for each branch that is present, 0 for one that is missing; None if none is missing.

    Returns
    -------
    tensor of shape (n_windows, n_classes)

    Examples
    --------
    >>> x = np.array([[[1.0], [3.0]]])
    >>> float(average_present(x, None)[0, 0])
    2.0
    >>> float(average_present(x, np.array([[0.0, 1.0]]))[0, 0])
    3.0
    """
    if present is None:
        return ops.mean(x, axis=1)
    counts = ops.sum(present, axis=1, keepdims=True)
    return ops.sum(x * present[:, :, None], axis=1) / counts


@keras.saving.register_keras_serializable(package="ecglib")
class ProductOfExperts(keras.layers.Layer):
    """Compute the normalized geometric mean of the branches' probabilities.

    Input shape
        (n_windows, n_branches, n_classes); as the argument `present`, where branches may be
        missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        (n_windows, n_classes).

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent or mutually exclusive.
    **kwargs
        Options of `keras.layers.Layer`.

    Notes
    -----
    This is the product of experts of Hinton, "Training products of experts by minimizing
    contrastive divergence" (Neural Computation 14, 2002), with the root of the logarithmic
    opinion pool (Heskes, NIPS 1998). The root does not change the decision, and keeps branches
    that agree from becoming more certain together than any of them is. For independent classes
    each class is such a product over "yes" and "no": the mean of the logits.

    Examples
    --------
    >>> p = np.array([[[0.9], [0.1]]])  # two branches that contradict each other
    >>> round(float(ProductOfExperts("multi_label")(p)[0, 0]), 4)
    0.5
    """

    def __init__(self, kind: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.kind = kind

    def call(self, inputs: Tensor, present: Tensor | None = None) -> Tensor:
        log_odds = compute_log_odds(inputs, self.kind)
        return compute_probabilities(average_present(log_odds, present), self.kind)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable(package="ecglib")
class Stacking(keras.layers.Layer):
    """Logistic regression on the branches' log odds, fitted on the validation split.

    Each class has a bias, and a weight for each branch's log odds of this class. The initial
    weights are equal, which is `ProductOfExperts`; `ecglib.models.set_stacking_weights` sets
    them. A missing branch is replaced by the mean log odds of the others.

    Input shape
        (n_windows, n_branches, n_classes), with all but the first known; as the argument
        `present`, where branches may be missing, (n_windows, n_branches) of 1 and 0.

    Output shape
        (n_windows, n_classes).

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent or mutually exclusive.
    **kwargs
        Options of `keras.layers.Layer`.

    Notes
    -----
    This is the stacking of Wolpert (Neural Networks 5, 1992) in the form that Ting and Witten,
    "Issues in stacked generalization" (JAIR 10, 1999), found best.

    Examples
    --------
    >>> layer = Stacking("multi_label")
    >>> layer.build((None, 2, 1))
    >>> layer.set_weights([np.array([[1.0], [0.0]]), np.array([0.0])])  # only the first branch
    >>> round(float(layer(np.array([[[0.9], [0.1]]]))[0, 0]), 4)
    0.9
    """

    def __init__(self, kind: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.kind = kind

    def build(self, input_shape: Shape) -> None:
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

    def call(self, inputs: Tensor, present: Tensor | None = None) -> Tensor:
        x = compute_log_odds(inputs, self.kind)
        if present is not None:
            x = ops.where(present[:, :, None] > 0, x, average_present(x, present)[:, None])
        weighted = ops.sum(x * self.branch_weights, axis=1) + self.bias
        return compute_probabilities(weighted, self.kind)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}
