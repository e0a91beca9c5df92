"""The branches of a model, as every fusion takes them."""

from ecglib._keras import Tensor

import dataclasses
from collections.abc import Iterator, Mapping

import keras
from keras import layers

from ecglib.experiment.branches import list_branch_names
from ecglib.models.blocks import dense
from ecglib.models.encoders import Encoder
from ecglib.models.fusion.layers import BranchDropout
from ecglib.models.layers import seed_stream
from ecglib.models.spec import ModelSpec

# Names of layers: the probabilities of the model, and those of each branch of a late fusion.
OUTPUT = "probabilities"
BRANCH_OUTPUT = "branch_probabilities"
ACTIVATIONS = {"multi_label": "sigmoid", "multi_class": "softmax"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Branches:
    """The branches of one model, and the settings that its parts are built from.

    Parameters
    ----------
    inputs : mapping of str to tensor
        Branch -> scaled representation, in the order of the model's inputs; the branches of one
        representation (`ecglib.experiment.branches`) take the same tensor.
    encoders : mapping of str to Encoder
        Branch -> encoder.
    settings : ModelSpec
        The settings of the model.
    present : tensor of shape (n_windows, n_branches), optional
        1 for each branch that is present, 0 for one that is missing; None (the default) where no
        branch may be missing.

    Examples
    --------
    >>> import keras
    >>> from ecglib.models import ModelSpec
    >>> from ecglib.models.encoders import load_encoder
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn"}, fusion="none", n_classes=3, kind="multi_class"
    ... )
    >>> branches = Branches(
    ...     inputs={"time": keras.Input((250, 2))},
    ...     encoders={"time": load_encoder("time", "cnn")},
    ...     settings=settings,
    ... )
    >>> branches.encode_all()["time"].shape
    (None, 64)
    """

    inputs: Mapping[str, Tensor]
    encoders: Mapping[str, Encoder]
    settings: ModelSpec
    present: Tensor | None = None

    def encode_all(self) -> dict[str, Tensor]:
        """Apply each branch's encoder to its input.

        Returns
        -------
        dict of str to tensor of shape (n_windows, feature_dim)
            Branch -> features.
        """
        return {name: self.encode(name, x, self.encoders[name]) for name, x in self.inputs.items()}

    def encode(self, name: str, x: Tensor, encoder: Encoder) -> Tensor:
        """Apply one encoder, from the layer "<name>_scaled" to the layer "<name>_features".

        The seed depends on the name and not on the other branches: a branch starts with the same
        weights alone and in any fusion, and a second branch on the same representation with
        different ones.

        Parameters
        ----------
        name : str
            Name of the branch, or of what takes the place of one.
        x : tensor
            The encoder's input.
        encoder : Encoder
            The encoder.

        Returns
        -------
        tensor of shape (n_windows, feature_dim)
        """
        settings = self.settings
        # In float32: some encoders need it also where the other layers are in float16.
        x = layers.Identity(name=f"{name}_scaled", dtype="float32")(x)
        x = encoder(
            x,
            width=settings.width,
            feature_dim=settings.feature_dim,
            dropout=settings.dropout,
            seed=next(seed_stream(settings.seed, f"{name}_encoder")),
        )
        return layers.Identity(name=f"{name}_features")(x)

    def drop(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Replace missing branches, and in training randomly dropped ones, by zeros.

        Parameters
        ----------
        tensors : mapping of str to tensor
            Branch -> tensor of shape (n_windows, ...).

        Returns
        -------
        mapping of str to tensor
            The same shapes; the same tensors where no branch can be missing or dropped.
        """
        rate = self.settings.branch_dropout
        if not rate and self.present is None:
            return tensors
        seed = next(seed_stream(self.settings.seed, "branch_dropout"))
        layer = BranchDropout(rate, seed, name="branch_dropout")
        values = list(tensors.values())
        dropped = layer(values) if self.present is None else layer(values, present=self.present)
        return dict(zip(tensors, dropped, strict=True))

    def classify(self, x: Tensor, name: str = OUTPUT) -> Tensor:
        """Turn features into probabilities.

        Parameters
        ----------
        x : tensor of shape (n_windows, n_features)
            Features.
        name : str, default "probabilities"
            Name of the last layer.

        Returns
        -------
        tensor of shape (n_windows, n_classes)
            Probabilities in float32.
        """
        part = name if name != OUTPUT else f"{next(iter(self.inputs))}_{OUTPUT}"
        return add_head(
            x,
            n_classes=self.settings.n_classes,
            activation=ACTIVATIONS[self.settings.kind],
            dropout=self.settings.dropout,
            seeds=seed_stream(self.settings.seed, part),
            name=name,
        )


def add_head(
    x: Tensor,
    *,
    n_classes: int,
    activation: str,
    dropout: float,
    seeds: Iterator[int],
    name: str,
) -> Tensor:
    """Turn features into probabilities in float32, by dropout and a dense layer.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_features)
        Features.
    n_classes : int
        Number of classes.
    activation : str
        Activation of the dense layer.
    dropout : float
        Fraction of the features dropped in training.
    seeds : iterator of int
        Seeds of the dropout and of the weights.
    name : str
        Name of the dense layer.

    Returns
    -------
    tensor of shape (n_windows, n_classes)

    Examples
    --------
    >>> x = keras.Input((64,))
    >>> p = add_head(
    ...     x, n_classes=5, activation="sigmoid", dropout=0.2, seeds=seed_stream(0), name="p"
    ... )
    >>> p.shape
    (None, 5)
    """
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, n_classes, seeds, activation, name=name, dtype="float32")


def classify_single_branch(branches: Branches) -> Tensor:
    """Classify the only branch.

    Parameters
    ----------
    branches : Branches
        A single branch.

    Returns
    -------
    tensor of shape (n_windows, n_classes)
        Probabilities.

    Examples
    --------
    >>> from ecglib.models.encoders import load_encoder
    >>> branches = Branches(
    ...     inputs={"time": keras.Input((250, 2))},
    ...     encoders={"time": load_encoder("time", "cnn")},
    ...     settings=ModelSpec(
    ...         branches={"time": "cnn"}, fusion="none", n_classes=3, kind="multi_class"
    ...     ),
    ... )
    >>> classify_single_branch(branches).shape
    (None, 3)
    """
    (features,) = branches.encode_all().values()
    return branches.classify(features)


def find_branches(model: keras.Model) -> list[str]:
    """List the branches of a model that have an encoder, in the order of the inputs.

    Parameters
    ----------
    model : keras.Model
        A model of `build_model` or `build_ensemble`.

    Returns
    -------
    list of str
        Empty for an early fusion, whose one encoder takes all representations, and for an
        ensemble.

    Examples
    --------
    >>> from ecglib.models import ModelSpec, build_model
    >>> settings = ModelSpec(
    ...     branches={"frequency": "mlp", "time": "cnn"},
    ...     fusion="late_average",
    ...     n_classes=2,
    ...     kind="multi_label",
    ... )
    >>> find_branches(build_model({"time": (250, 2), "frequency": (40, 2)}, settings))
    ['time', 'frequency']
    """
    found = {layer.name for layer in model.layers}
    names = [name for x in model.inputs for name in list_branch_names(x.name)]
    return [name for name in names if f"{name}_features" in found]
