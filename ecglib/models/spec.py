"""The plain values that a model is built from."""

import dataclasses
from collections.abc import Mapping

from ecglib.datasets.schema import TASK_KINDS
from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.branches import (
    check_branches,
    check_fusion_name,
    get_kind,
    get_representation,
)
from ecglib.experiment.import_paths import get_fusion_family
from ecglib.experiment.registry import FUSIONS, NO_FUSION, REPRESENTATIONS


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What decides a model besides the shapes of its inputs.

    Parameters
    ----------
    branches : mapping of str to str
        Branch -> name of its encoder (`ecglib.experiment.registry.ENCODERS`), or the import path
        of one, as in ``"mypackage.encoders:my_encoder"``. A branch is named
        after its representation. Further encoders on the same representation are numbered, as in
        ``{"time": "cnn", "time_2": "s4d"}``: both take the input "time".
    fusion : str
        A name in `ecglib.experiment.registry.FUSIONS` or an import path; "none" for a single
        branch.
    n_classes : int
        Number of classes.
    kind : {"multi_label", "multi_class"}
        Whether the classes are independent (sigmoid) or mutually exclusive (softmax).
    width : int, default 32
        Channels of the first convolution of each encoder; the later ones follow from it.
    feature_dim : int, default 64
        Number of features of each branch.
    dropout : float, default 0.2
        Fraction of the features dropped in training, in [0, 1).
    seed : int, default 0
        Decides the initial weights and what is dropped. The same settings give the same model, bit
        for bit; the state of other random generators neither matters nor changes.
    branch_dropout : float, default 0.0
        Probability that a whole branch is dropped from a window in training, in [0, 1). At least
        one branch is always kept (`ecglib.models.fusion.layers.BranchDropout`). Not for late
        fusions, which train each branch separately.
    missing_branches : bool, default False
        Whether a window may lack branches. A representation that is NaN throughout then means that
        its branches are missing from that window; otherwise it makes the probabilities NaN. Early
        and intermediate fusions see zeros for missing branches, as with `branch_dropout`, and
        should be trained with that; late fusions combine the remaining branches. A window without
        any branch gets the probabilities of the mean training window.

    Raises
    ------
    ExperimentError
        If a name is unknown, a number is out of range or the values do not fit together.

    Examples
    --------
    >>> settings = ModelSpec(
    ...     branches={"time": "cnn", "spectrogram": "cnn2d"},
    ...     fusion="late_average",
    ...     n_classes=5,
    ...     kind="multi_label",
    ... )
    >>> settings.width
    32
    """

    branches: Mapping[str, str]
    fusion: str
    n_classes: int
    kind: str
    width: int = 32
    feature_dim: int = 64
    dropout: float = 0.2
    seed: int = 0
    branch_dropout: float = 0.0
    missing_branches: bool = False

    def __post_init__(self) -> None:
        self._check_branches()
        self._check_numbers()
        self._check_missing_and_dropped_branches()

    def _check_branches(self) -> None:
        if not self.branches:
            raise ExperimentError(
                "branches={} is empty; give representation: encoder, as in {'time': 'cnn'}."
            )
        for branch in self.branches:
            kind = get_kind(get_representation(branch))
            require_one_of("a representation in branches", kind, REPRESENTATIONS)
        check_branches(dict(self.branches), self.fusion)
        if self.fusion != NO_FUSION:
            check_fusion_name(self.fusion)
        names = list(self.branches)
        if self.fusion == NO_FUSION and len(names) > 1:
            raise ExperimentError(
                f"fusion='none' with the branches {names}; choose one of {list(FUSIONS)}, or keep "
                f"one branch."
            )
        if self.fusion != NO_FUSION and len(names) == 1:
            raise ExperimentError(
                f"fusion={self.fusion!r} with the only branch {names}; use fusion='none', or add "
                f"a branch."
            )

    def _check_numbers(self) -> None:
        require_one_of("kind", self.kind, TASK_KINDS)
        min_classes = 2 if self.kind == "multi_class" else 1
        if self.n_classes < min_classes:
            raise ExperimentError(
                f"n_classes={self.n_classes} must be at least {min_classes} for a {self.kind} task."
            )
        for name, size in (("width", self.width), ("feature_dim", self.feature_dim)):
            if size < 1:
                raise ExperimentError(f"{name}={size} must be at least 1.")
        for name, probability in (
            ("dropout", self.dropout),
            ("branch_dropout", self.branch_dropout),
        ):
            if not 0 <= probability < 1:
                raise ExperimentError(f"{name}={probability} must be at least 0 and below 1.")

    def _check_missing_and_dropped_branches(self) -> None:
        is_late = get_fusion_family(self.fusion) == "late"
        if self.branch_dropout and (self.fusion == NO_FUSION or is_late):
            raise ExperimentError(
                f"branch_dropout={self.branch_dropout} with fusion={self.fusion!r} has no effect: "
                f"no branch is trained together with others. Use an early or intermediate fusion, "
                f"or branch_dropout=0."
            )
        if self.missing_branches and self.fusion == NO_FUSION:
            raise ExperimentError(
                "missing_branches=True with fusion='none': without its only branch the model has "
                "no input. Use missing_branches=False, or add a branch."
            )
