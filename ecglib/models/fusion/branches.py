"""What every fusion is given: the branches of a model, and what is done to each of them."""

import dataclasses
from collections.abc import Callable

from keras import layers

from ecglib.models.blocks import dense
from ecglib.models.fusion.layers import BranchDropout
from ecglib.models.layers import seed_stream

OUTPUT = "probabilities"
BRANCH_OUTPUT = "branch_probabilities"
ACTIVATIONS = {"multi_label": "sigmoid", "multi_class": "softmax"}


@dataclasses.dataclass(frozen=True)
class Branches:
    """The branches of one model, and the plain values that its parts are made of.

    Parameters
    ----------
    views : dict[str, tensor]
        Branch -> scaled input, in the order of the model's inputs; the branches of one
        representation (`ecglib.experiment.branches`) are given the same.
    encoders : dict[str, Callable]
        Branch -> encoder, see `ecglib.models.encoders`.
    n_classes, kind, width, feature_dim, dropout, seed, branch_dropout
        See `ecglib.models.build_model`.
    present : tensor or None
        (n_windows, n_branches), 1 for each branch that is there, 0 for one that is missing; None
        where none may be missing.
    """

    views: dict
    encoders: dict[str, Callable]
    n_classes: int
    kind: str
    width: int
    feature_dim: int
    dropout: float
    seed: int
    branch_dropout: float = 0.0
    present: object = None

    def encode_each(self) -> dict:
        """Apply to each view its encoder; return branch -> (n_windows, feature_dim)."""
        return {
            name: encode(
                name, x, self.encoders[name], self.width, self.feature_dim, self.dropout, self.seed
            )
            for name, x in self.views.items()
        }

    def keep(self, tensors: dict) -> dict:
        """Put zeros for the branches that are missing, and in training for those dropped."""
        if not self.branch_dropout and self.present is None:
            return tensors
        seed = next(seed_stream(self.seed, "branch_dropout"))
        drop = BranchDropout(self.branch_dropout, seed, name="branch_dropout")
        options = {} if self.present is None else {"present": self.present}
        return dict(zip(tensors, drop(list(tensors.values()), **options), strict=True))

    def classify(self, x, name: str = OUTPUT):
        """Turn a vector of features into probabilities, (n_windows, n_classes)."""
        part = name if name != OUTPUT else f"{next(iter(self.views))}_{OUTPUT}"
        seeds = seed_stream(self.seed, part)
        activation = ACTIVATIONS[self.kind]
        return head(x, self.n_classes, activation, self.dropout, seeds, name)


def encode(name: str, x, encoder: Callable, width, feature_dim, dropout, seed):
    """Apply one encoder, from the layer "<name>_view" to the layer "<name>_features".

    The seed depends on the name and not on the other branches: a branch starts with the same
    weights alone and in any fusion, and a second branch on the same view with others.
    """
    branch_seed = next(seed_stream(seed, f"{name}_encoder"))
    # In float32, as it comes: some encoders want it so also where the rest is in float16.
    x = layers.Identity(name=f"{name}_view", dtype="float32")(x)
    x = encoder(x, width=width, feature_dim=feature_dim, dropout=dropout, seed=branch_seed)
    return layers.Identity(name=f"{name}_features")(x)


def head(x, n_classes: int, activation, dropout: float, seeds, name: str):
    """Turn a vector of features into probabilities in float32."""
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, n_classes, seeds, activation, name=name, dtype="float32")


def alone(branches: Branches):
    """Classify the only branch."""
    (vector,) = branches.encode_each().values()
    return branches.classify(vector)
