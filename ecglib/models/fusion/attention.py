"""Intermediate fusions in which the branches attend to each other, as tokens."""

from keras import layers

from ecglib.models.blocks import attend, attention_pool, dense, transformer_block
from ecglib.models.fusion.branches import Branches
from ecglib.models.fusion.layers import LearnedTokens
from ecglib.models.layers import PositionEmbedding, seed_stream

N_TOKENS = 4  # of a branch
N_BOTTLENECKS = 2  # fewer than the tokens of a branch, or there is no bottleneck
# What one branch writes into the bottleneck in the first layer, the others read in the second.
N_LAYERS = 2


def intermediate_attention(branches: Branches):
    """Let the branches, as tokens, attend to each other; a learned query pools them.

    Self-attention as in Vaswani et al. (2017, arXiv:1706.03762) over one token a branch, told
    apart by a learned embedding; pooled as in Lee et al. (2019, arXiv:1810.00825).
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_attention")
    tokens = list(split_into_tokens(branches, seeds, n_tokens=1).values())
    x = PositionEmbedding(seed=next(seeds), name="branch_embedding")(
        layers.Concatenate(axis=1)(tokens)
    )
    attended = attend(layers.LayerNormalization()(x), seeds)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    return branches.classify(attention_pool(x, seeds))


def intermediate_cross_attention(branches: Branches):
    """Let one learned fusion token query the tokens of all branches, twice.

    The token first asks the same of every window, then in the light of what it heard. This is
    the cross-attention of Jaegle et al., "Perceiver: general perception with iterative attention"
    (2021, arXiv:2103.03206), with a single latent; the branches see nothing of each other. Each
    gives `N_TOKENS` tokens, see `split_into_tokens`.
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_cross_attention")
    tokens = split_into_tokens(branches, seeds)
    context = layers.LayerNormalization()(layers.Concatenate(axis=1)(list(tokens.values())))
    x = LearnedTokens(1, seed=next(seeds), name="fusion_token")(context)
    for _ in range(N_LAYERS):
        asked = attend(layers.LayerNormalization()(x), seeds, context)
        x = layers.Add()([x, layers.Dropout(branches.settings.dropout, seed=next(seeds))(asked)])
        hidden = dense(layers.LayerNormalization()(x), 2 * x.shape[-1], seeds)
        x = layers.Add()([x, dense(hidden, x.shape[-1], seeds, activation=None)])
    return branches.classify(layers.Flatten()(layers.LayerNormalization()(x)))


def intermediate_bottleneck(branches: Branches):
    """Let the branches exchange through a few shared tokens only.

    These are the attention bottlenecks of Nagrani et al., "Attention bottlenecks for multimodal
    fusion" (2021, arXiv:2107.00135): in each layer every branch attends, with weights of its own,
    to its tokens and the bottleneck's; the bottleneck goes on as the mean of what the branches
    made of it. As there, one head serves all branches and its logits are averaged: that is the
    head of the average of their features. A branch gives `N_TOKENS` tokens, see
    `split_into_tokens`, and the bottleneck has `N_BOTTLENECKS`.
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_bottleneck")
    tokens = split_into_tokens(branches, seeds)
    shared = LearnedTokens(N_BOTTLENECKS, seed=next(seeds), name="bottleneck")(
        next(iter(tokens.values()))
    )
    for _ in range(N_LAYERS):
        heard = []
        for name, own in tokens.items():
            x = layers.Concatenate(axis=1)([own, shared])
            x = transformer_block(x, branches.settings.dropout, seeds)
            tokens[name] = layers.Cropping1D((0, N_BOTTLENECKS))(x)
            heard.append(layers.Cropping1D((N_TOKENS, 0))(x))
        shared = layers.Average()(heard)
    pooled = [
        layers.GlobalAveragePooling1D()(layers.LayerNormalization()(own)) for own in tokens.values()
    ]
    return branches.classify(layers.Average()(pooled))


def split_into_tokens(branches: Branches, seeds, n_tokens: int = N_TOKENS) -> dict:
    """Give each branch tokens of `features` channels, each linear in its vector of features.

    The papers attend over the sequence inside each branch. The encoders pool that away, and each
    in a way of its own, so the tokens are aspects of a branch and not moments of the window.
    Branch and aspect are told apart by the weights that made them. Encoders that give their
    sequence would be taken in here.

    Returns
    -------
    dict of str to tensor of shape (n_windows, n_tokens, feature_dim)
    """
    feature_dim = branches.settings.feature_dim
    return {
        name: layers.Reshape((n_tokens, feature_dim))(
            dense(vector, n_tokens * feature_dim, seeds, activation=None)
        )
        for name, vector in branches.drop(branches.encode_all()).items()
    }
