"""Intermediate fusions that treat the features of a branch as one vector."""

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.fusion.branches import Branches
from ecglib.models.fusion.layers import LowRankProduct
from ecglib.models.layers import seed_stream

# Liu et al. find ranks of a few as good as higher ones.
RANK = 4


def intermediate_concat(branches: Branches):
    """Concatenate the branches' features; a dense layer mixes them."""
    seeds = seed_stream(branches.settings.seed, "intermediate_concat")
    vectors = branches.drop(branches.encode_all())
    return branches.classify(_mix(vectors.values(), branches, seeds))


def intermediate_gated(branches: Branches):
    """Add the branches' features, each times a gate in (0, 1) that all branches decide.

    This is the gated multimodal unit for more than two modalities of Arevalo et al., "Gated
    multimodal units for information fusion" (2017, arXiv:1702.01992). The gates can be found
    as the layers "<branch>_gate", (n_windows, feature_dim).
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_gated")
    vectors = branches.drop(branches.encode_all())
    everything = layers.Concatenate()(list(vectors.values()))
    feature_dim = branches.settings.feature_dim
    gated = []
    for name, vector in vectors.items():
        value = dense(vector, feature_dim, seeds, activation="tanh")
        gate = dense(everything, feature_dim, seeds, activation="sigmoid", name=f"{name}_gate")
        gated.append(layers.Multiply()([value, gate]))
    return branches.classify(layers.Add()(gated))


def intermediate_film(branches: Branches):
    """Let the other branches scale and shift the features of each, then mix as by concatenation.

    This is the feature-wise linear modulation of Perez et al., "FiLM: visual reasoning with a
    general conditioning layer" (2018, arXiv:1709.07871): x -> relu(x * (1 + scale) + shift), with
    scale and shift linear in what modulates. There one modality modulates another; here each is
    modulated by all others, so that none is favoured and their order does not matter. Scale and
    shift can be found as the layers "<branch>_scale" and "<branch>_shift",
    (n_windows, feature_dim).
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_film")
    vectors = branches.drop(branches.encode_all())
    modulated = []
    for name, vector in vectors.items():
        others = [other for key, other in vectors.items() if key != name]
        others = layers.Concatenate()(others) if len(others) > 1 else others[0]
        scale, shift = (
            dense(
                others, branches.settings.feature_dim, seeds, activation=None, name=f"{name}_{part}"
            )
            for part in ("scale", "shift")
        )
        x = layers.Add()([vector, layers.Multiply()([vector, scale]), shift])
        modulated.append(layers.Activation("relu")(x))
    return branches.classify(_mix(modulated, branches, seeds))


def intermediate_bilinear(branches: Branches):
    """Multiply the features of the branches with each other, at low rank.

    This is the low-rank multimodal fusion of Liu et al. (2018, arXiv:1806.00064), see
    `ecglib.models.fusion.layers.LowRankProduct`, of rank 4: bilinear for two branches, trilinear
    for three. As each vector is extended by a 1, it also holds the products of fewer branches and
    the features alone; those are what is left where a branch is missing.
    """
    seeds = seed_stream(branches.settings.seed, "intermediate_bilinear")
    vectors = branches.drop(branches.encode_all())
    product = LowRankProduct(branches.settings.feature_dim, RANK, seed=next(seeds))
    return branches.classify(product(list(vectors.values())))


def _mix(vectors, branches: Branches, seeds):
    """Mix vectors of all branches to one of `features`."""
    x = layers.Concatenate()(list(vectors))
    x = layers.Dropout(branches.settings.dropout, seed=next(seeds))(x)
    return dense(x, branches.settings.feature_dim, seeds)
