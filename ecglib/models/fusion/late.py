"""Late fusions: each branch answers by itself, and the answers are joined.

The branches are trained each by its own loss (`ecglib.models.training_view`), so nothing here is
trained by the gradient. A branch that is missing from a window has no say in it.
"""

from keras import layers

from ecglib.models.fusion.branches import BRANCH_OUTPUT, OUTPUT, Branches
from ecglib.models.fusion.layers import ProductOfExperts, Stacking
from ecglib.models.layers import WeightedAverage


def stacked_branches(branches: Branches):
    """Classify each branch by itself; return (n_windows, n_branches, n_classes)."""
    vectors = branches.encode_each()
    heads = [branches.classify(x, f"{name}_probabilities") for name, x in vectors.items()]
    rows = [layers.Reshape((1, head.shape[-1]), dtype="float32")(head) for head in heads]
    return layers.Concatenate(axis=1, name=BRANCH_OUTPUT, dtype="float32")(rows)


def late_average(branches: Branches):
    """Average the branches' probabilities."""
    join = layers.GlobalAveragePooling1D(name=OUTPUT, dtype="float32")
    options = {} if branches.present is None else {"mask": branches.present}
    return join(stacked_branches(branches), **options)


def late_weighted(branches: Branches):
    """Average the branches' probabilities with weights that are set after training."""
    return _joined(branches, WeightedAverage(name=OUTPUT, dtype="float32"))


def late_product(branches: Branches):
    """Take the normalised geometric mean of the branches' probabilities (`ProductOfExperts`)."""
    return _joined(branches, ProductOfExperts(branches.kind, name=OUTPUT, dtype="float32"))


def late_stacking(branches: Branches):
    """Join the branches by a logistic regression that is fitted after training (`Stacking`)."""
    return _joined(branches, Stacking(branches.kind, name=OUTPUT, dtype="float32"))


def _joined(branches: Branches, join):
    options = {} if branches.present is None else {"present": branches.present}
    return join(stacked_branches(branches), **options)
