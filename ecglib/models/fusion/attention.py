"""Intermediate fusions in which the branches attend to each other, as tokens."""

from ecglib._keras import Tensor

from collections.abc import Iterator

from keras import layers

from ecglib.models.blocks import attend, attention_pool, dense, transformer_block
from ecglib.models.fusion.branches import Branches
from ecglib.models.fusion.layers import LearnedTokens
from ecglib.models.layers import PositionEmbedding, seed_stream

N_TOKENS = 4  # per branch
N_BOTTLENECKS = 2  # fewer than the tokens of a branch, otherwise it would be no bottleneck
# What one branch writes into the bottleneck in the first layer, the others read in the second.
N_LAYERS = 2


def intermediate_attention(branches: Branches) -> Tensor:
    """Let the branches, as tokens, attend to each other; a learned query pools them.

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
    Self-attention as in Vaswani et al. (2017, arXiv:1706.03762) over one token per branch,
    distinguished by a learned embedding; pooled as in Lee et al. (2019, arXiv:1810.00825).

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_attention",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("branch_embedding").output.shape
    (None, 2, 64)
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_attention")
    tokens = list(split_into_tokens(branches, seeds, n_tokens=1).values())
    embedding = PositionEmbedding(seed=next(seeds), name="branch_embedding")
    x = embedding(layers.Concatenate(axis=1)(tokens))
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    return branches.classify(attention_pool(x, seeds))


def intermediate_cross_attention(branches: Branches) -> Tensor:
    """Let one learned fusion token query the tokens of all branches, twice.

    The first query is the same for every window, the second depends on the answer to the first.
    Each branch has `N_TOKENS` tokens, see `split_into_tokens`.

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
    This is the cross-attention of Jaegle et al., "Perceiver: general perception with iterative
    attention" (2021, arXiv:2103.03206), with a single latent; the branches do not attend to each
    other.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_cross_attention",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("fusion_token").output.shape
    (None, 1, 64)
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_cross_attention")
    tokens = split_into_tokens(branches, seeds)
    context = layers.LayerNormalization()(layers.Concatenate(axis=1)(list(tokens.values())))
    x = LearnedTokens(1, seed=next(seeds), name="fusion_token")(context)
    for _ in range(N_LAYERS):
        attended = attend(layers.LayerNormalization()(x), seeds, context)
        dropout = layers.Dropout(branches.settings.dropout, seed=next(seeds))
        x = layers.Add()([x, dropout(attended)])
        hidden = dense(layers.LayerNormalization()(x), 2 * x.shape[-1], seeds)
        x = layers.Add()([x, dense(hidden, x.shape[-1], seeds, activation=None)])
    return branches.classify(layers.Flatten()(layers.LayerNormalization()(x)))


def intermediate_bottleneck(branches: Branches) -> Tensor:
    """Let the branches exchange information only through a few shared tokens.

    A branch has `N_TOKENS` tokens, see `split_into_tokens`, and the bottleneck `N_BOTTLENECKS`.

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
    These are the attention bottlenecks of Nagrani et al., "Attention bottlenecks for multimodal
    fusion" (2021, arXiv:2107.00135): in each layer every branch attends, with separate weights,
    to its tokens and those of the bottleneck, and the bottleneck becomes the mean of its updates
    by the branches. As there, one head serves all branches and its logits are averaged: that is
    the head of the average of their features.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "frequency": "mlp"},
    ...     fusion="intermediate_bottleneck",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> model = build_model({"time": (250, 2), "frequency": (40, 2)}, settings)
    >>> model.get_layer("bottleneck").output.shape
    (None, 2, 64)
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_bottleneck")
    tokens = split_into_tokens(branches, seeds)
    learned = LearnedTokens(N_BOTTLENECKS, seed=next(seeds), name="bottleneck")
    bottleneck = learned(next(iter(tokens.values())))
    for _ in range(N_LAYERS):
        updates = []
        for name, branch_tokens in tokens.items():
            x = layers.Concatenate(axis=1)([branch_tokens, bottleneck])
            x = transformer_block(x, branches.settings.dropout, seeds)
            tokens[name] = layers.Cropping1D((0, N_BOTTLENECKS))(x)
            updates.append(layers.Cropping1D((N_TOKENS, 0))(x))
        bottleneck = layers.Average()(updates)
    pooled = [
        layers.GlobalAveragePooling1D()(layers.LayerNormalization()(branch_tokens))
        for branch_tokens in tokens.values()
    ]
    return branches.classify(layers.Average()(pooled))


def split_into_tokens(
    branches: Branches, seeds: Iterator[int], n_tokens: int = N_TOKENS
) -> dict[str, Tensor]:
    """Compute tokens of `feature_dim` channels for each branch, each linear in its features.

    Parameters
    ----------
    branches : Branches
        The branches.
    seeds : iterator of int
        Seeds of the weights.
    n_tokens : int, default 4
        Number of tokens per branch.

    Returns
    -------
    dict of str to tensor of shape (n_windows, n_tokens, feature_dim)
        Branch -> tokens.

    Notes
    -----
    The papers attend over the sequence inside each branch. The encoders pool that sequence, each
    in a different way, so the tokens are aspects of a branch and not moments of the window. Branch
    and aspect are distinguished by the weights that compute them. Encoders that return their
    sequence would be supported here.

    Examples
    --------
    >>> from ecglib.models import ModelSpec
    >>> from ecglib.models.encoders import load_encoder
    >>> branches = Branches(
    ...     inputs={"frequency": layers.Input((40, 2))},
    ...     encoders={"frequency": load_encoder("frequency", "mlp")},
    ...     settings=ModelSpec(
    ...         branches={"frequency": "mlp"}, fusion="none", n_classes=2, kind="multi_label"
    ...     ),
    ... )
    >>> split_into_tokens(branches, seed_stream(0))["frequency"].shape
    (None, 4, 64)
    """
    feature_dim = branches.settings.feature_dim
    return {
        name: layers.Reshape((n_tokens, feature_dim))(
            dense(features, n_tokens * feature_dim, seeds, activation=None)
        )
        for name, features in branches.drop(branches.encode_all()).items()
    }
