"""Intermediate fusions that treat the features of a branch as one vector."""

from ecglib._keras import Tensor

from collections.abc import Iterable, Iterator

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.fusion.branches import Branches
from ecglib.models.fusion.layers import LowRankProduct
from ecglib.models.layers import seed_stream

# Liu et al. find that a rank of a few is as good as higher ones.
RANK = 4


def intermediate_concat(branches: Branches) -> Tensor:
    """Concatenate the branches' features; a dense layer mixes them.

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_concat",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("time_features").output.shape
    (None, 64)
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_concat")
    features = branches.drop(branches.encode_all())
    return branches.classify(_mix(features.values(), branches, seeds))


def intermediate_gated(branches: Branches) -> Tensor:
    """Add the branches' features, each multiplied by a gate in (0, 1) computed from all branches.

    The gates are the layers "<branch>_gate", (n_windows, feature_dim).

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Notes
    -----
    This is the gated multimodal unit for more than two modalities of Arevalo et al., "Gated
    multimodal units for information fusion" (2017, arXiv:1702.01992).

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_gated",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("time_gate").output.shape
    (None, 64)
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_gated")
    features = branches.drop(branches.encode_all())
    all_features = layers.Concatenate()(list(features.values()))
    feature_dim = branches.settings.feature_dim
    gated = []
    for name, x in features.items():
        value = dense(x, feature_dim, seeds, activation="tanh")
        gate = dense(all_features, feature_dim, seeds, activation="sigmoid", name=f"{name}_gate")
        gated.append(layers.Multiply()([value, gate]))
    return branches.classify(layers.Add()(gated))


def intermediate_film(branches: Branches) -> Tensor:
    """Let the other branches scale and shift the features of each, then mix as by concatenation.

    Scale and shift are the layers "<branch>_scale" and "<branch>_shift",
    (n_windows, feature_dim).

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Notes
    -----
    This is the feature-wise linear modulation of Perez et al., "FiLM: visual reasoning with a
    general conditioning layer" (2018, arXiv:1709.07871): x -> relu(x * (1 + scale) + shift), with
    scale and shift linear in the modulating features. There one modality modulates another; here
    each is modulated by all others, so that none is favored and their order does not matter.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_film",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("time_scale").output.shape
    (None, 64)
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_film")
    feature_dim = branches.settings.feature_dim
    features = branches.drop(branches.encode_all())
    modulated = []
    for name, x in features.items():
        others = [other for key, other in features.items() if key != name]
        context = layers.Concatenate()(others) if len(others) > 1 else others[0]
        scale = dense(context, feature_dim, seeds, activation=None, name=f"{name}_scale")
        shift = dense(context, feature_dim, seeds, activation=None, name=f"{name}_shift")
        x = layers.Add()([x, layers.Multiply()([x, scale]), shift])
        modulated.append(layers.Activation("relu")(x))
    return branches.classify(_mix(modulated, branches, seeds))


def intermediate_bilinear(branches: Branches) -> Tensor:
    """Multiply the features of the branches with each other, at low rank.

    Parameters
    ----------
    branches : Branches
        At least two branches.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Notes
    -----
    This is the low-rank multimodal fusion of Liu et al. (2018, arXiv:1806.00064), see
    `ecglib.models.fusion.layers.LowRankProduct`, of rank 4: bilinear for two branches, trilinear
    for three. As each vector is extended by a 1, it also holds the products of fewer branches and
    the features alone; those remain where a branch is missing.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_bilinear",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> [type(layer).__name__ for layer in model.layers].count("LowRankProduct")
    1
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_bilinear")
    features = branches.drop(branches.encode_all())
    product = LowRankProduct(branches.settings.feature_dim, RANK, seed=next(seeds))
    return branches.classify(product(list(features.values())))


def _mix(vectors: Iterable[Tensor], branches: Branches, seeds: Iterator[int]) -> Tensor:
    """Mix the vectors of all branches to one of length `feature_dim`."""
    x = layers.Concatenate()(list(vectors))
    x = layers.Dropout(branches.settings.dropout, seed=next(seeds))(x)
    return dense(x, branches.settings.feature_dim, seeds)
