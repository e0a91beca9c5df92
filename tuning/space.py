"""The search space: what a trial may choose from.

Named values come from the declarations of the settings; of numbers, the values that are searched
are listed here, within the bounds of the declarations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Self

import keras_tuner

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.store import Dataset
from ecglib.errors import require_one_of
from ecglib.experiment.branches import (
    check_encoder_name,
    check_fusion_name,
    describe_kind,
    list_named_representations,
)
from ecglib.experiment.config import list_settings
from ecglib.experiment.import_paths import get_fusion_family, pin_import_path
from ecglib.experiment.registry import (
    AUGMENTATIONS,
    FUSIONS,
    NO_FUSION,
    REPRESENTATIONS,
    TABULAR,
)

CROPS_S = (0.0, 2.5, 5.0)
BANDS_HZ = ((0.5, 40.0), (0.5, 0.0), (1.0, 30.0), (0.05, 150.0))
NO_AUGMENTATION, ALL_AUGMENTATIONS = "none", "all"
SIGNIFICANT_DIGITS = 3  # of a rate: enough, and readable in a file
# Values of numbers; the first is the default. They have to be accepted by the settings.
VALUES: Mapping[str, Sequence[Any]] = {
    "branch_dropout": (0.0, 0.1, 0.3),
    "auxiliary_loss_weight": (0.0, 0.3, 1.0),
    "denoise": (False, True),
    "width": (16, 24, 32),
    "feature_dim": (32, 64, 128),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.5),
    "clip_norm": (0.0, 1.0),
    "ema_decay": (0.0, 0.99),
    "label_smoothing": (0.0, 0.05, 0.1),
    "mixup": (0.0, 0.2),
}
# Lowest and highest value of numbers that are drawn on a logarithmic scale.
LOG_RANGES = {"learning_rate": (3e-4, 1e-2), "weight_decay": (1e-4, 1e-1)}
FUSION_OPTIONS = ("branch_dropout", "branch_training", "auxiliary_loss_weight")
SIMPLE = ("denoise", "scaling", "width", "feature_dim", "dropout", "schedule", "clip_norm")
REGULARIZATION = ("ema_decay", "loss", "label_smoothing", "mixup")
# What a search is about, so that it cannot be the same for all trials.
ALWAYS_SEARCHED = ("branches", "fusion", *FUSION_OPTIONS)


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a dataset and a task leave of the search space.

    Parameters
    ----------
    representations : tuple of str
        Those to choose from.
    crops_s : tuple of float
        Lengths of crops, in s (`list_crop_lengths`).
    bands_hz : tuple of tuple of float
        Low and high edges of the band-pass filter, in Hz.
    kind : {"multi_label", "multi_class"}
        Kind of the task; only multi-class tasks have class weights.
    fixed : mapping of str to object
        Settings that are the same for all trials, which are therefore not searched.
    encoders : mapping of str to tuple of str
        Representation -> encoders of other packages, which are searched as well; import paths with
        the hash of their code, so that a search with changed code is another search.
    fusions : tuple of str
        Fusions of other packages.

    Examples
    --------
    >>> Space(fixed={"width": 8}).crops_s
    (0.0,)
    """

    representations: tuple[str, ...] = tuple(REPRESENTATIONS)
    crops_s: tuple[float, ...] = (0.0,)
    bands_hz: tuple[tuple[float, float], ...] = BANDS_HZ[:1]
    kind: str = "multi_label"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fusions: tuple[str, ...] = ()

    def extend(self, encoders: Mapping[str, Iterable[str]], fusions: Iterable[str]) -> Self:
        """Return the space with encoders and fusions of other packages.

        Parameters
        ----------
        encoders : mapping of str to iterable of str
            Representation -> import paths.
        fusions : iterable of str
            Import paths.

        Raises
        ------
        ExperimentError
            If a representation is not one of the space, or there is no such encoder or fusion.
        """
        for name, paths in encoders.items():
            require_one_of("a representation in encoders", name, self.representations)
            for path in paths:
                check_encoder_name(name, path)
        for fusion in fusions:
            check_fusion_name(fusion)
        pinned = {name: _pin_import_paths(paths) for name, paths in encoders.items()}
        return replace(self, encoders=pinned, fusions=_pin_import_paths(fusions))

    @classmethod
    def from_dataset(cls, dataset: Dataset, task: str, fixed: Mapping[str, Any]) -> Self:
        """Create the space of a dataset's task.

        Parameters
        ----------
        dataset : Dataset
            The prepared store; without tabular columns it has no tabular branch.
        task : str
            Name of the task.
        fixed : mapping of str to object
            Settings of all trials.

        Raises
        ------
        DatasetError
            If the dataset has no such task.
        """
        nyquist_hz = dataset.signal.sampling_rate_hz / 2
        return cls(
            representations=tuple(
                name
                for name in list_named_representations(fixed.get("representation_options", {}))
                if name != TABULAR or dataset.default_tabular
            ),
            crops_s=tuple(list_crop_lengths(dataset.signal)),
            bands_hz=tuple(band for band in BANDS_HZ if max(band) < nyquist_hz),
            kind=dataset.find_task(task).kind,
            fixed=dict(fixed),
        )


def list_crop_lengths(signal: SignalSpec) -> list[float]:
    """List the lengths of crops that the windows of a dataset can be cut into.

    Parameters
    ----------
    signal : SignalSpec
        The signal spec of the dataset.

    Returns
    -------
    list of float
        Lengths in s, 0 for the whole window; only that for windows around beats.

    Examples
    --------
    >>> list_crop_lengths(SignalSpec(100.0, 400, ("I", "II")))
    [0.0, 2.5]
    """
    window_s = signal.n_samples / signal.sampling_rate_hz
    return [s for s in CROPS_S if not s or (s < window_s and not signal.around_beats)]


def suggest(hp: keras_tuner.HyperParameters, space: Space = Space()) -> dict[str, Any]:
    """Suggest the settings of one trial.

    Every hyperparameter is declared in every call, in the same order, so that one call declares
    the whole space. One that this trial does not use (an encoder of a representation that was not
    chosen, the fusion of a single branch, an option of another fusion) is inactive, and the trial
    has no such setting.

    Parameters
    ----------
    hp : keras_tuner.HyperParameters
        The hyperparameters of the trial.
    space : Space, optional
        What there is to choose from.

    Returns
    -------
    dict of str to object
        Settings of the experiment, as plain values; all that are not fixed and not inactive.

    Examples
    --------
    >>> settings = suggest(keras_tuner.HyperParameters())  # the defaults of the space
    >>> settings["branches"], settings["fusion"], settings["width"]
    ({'time': 'cnn'}, 'none', 16)
    >>> "width" in suggest(keras_tuner.HyperParameters(), Space(fixed={"width": 8}))
    False
    """
    settings = _suggest_model(hp, space)
    if "band_hz" not in space.fixed:
        bands = {f"{low:g}-{high:g}": [low, high] for low, high in space.bands_hz}
        settings["band_hz"] = bands[hp.Choice("band_hz", list(bands))]
    settings |= _choose(hp, space, "crop_s", space.crops_s)
    crops_s = [crop_s for crop_s in space.crops_s if crop_s]
    if crops_s and "crop_s" not in space.fixed:
        with hp.conditional_scope("crop_s", crops_s):
            settings |= _choose(hp, space, "crop_aggregation")
    for name in SIMPLE:
        settings |= _choose(hp, space, name)
    for name, (low, high) in LOG_RANGES.items():
        if name not in space.fixed:
            settings[name] = _round(hp.Float(name, low, high, sampling="log"))
    for name in REGULARIZATION:
        settings |= _choose(hp, space, name)
    if "augment" not in space.fixed:
        names = [NO_AUGMENTATION, *AUGMENTATIONS, ALL_AUGMENTATIONS]
        chosen = hp.Choice("augment", names)
        kinds = [name for name in AUGMENTATIONS if chosen in (name, ALL_AUGMENTATIONS)]
        settings["augment"] = {name: {} for name in kinds}
    return settings | _suggest_balance(hp, space)


def list_searched() -> list[str]:
    """List the settings that a search chooses, where they are not fixed.

    Examples
    --------
    >>> list_searched()[:3]
    ['branches', 'fusion', 'branch_dropout']
    """
    return [
        *ALWAYS_SEARCHED,
        "band_hz",
        "crop_s",
        "crop_aggregation",
        *SIMPLE,
        *LOG_RANGES,
        *REGULARIZATION,
        "augment",
        "sampling",
        "class_weights",
    ]


def _suggest_model(hp: keras_tuner.HyperParameters, space: Space) -> dict[str, Any]:
    """Choose the representations, an encoder for each, a fusion and its options."""
    subsets = [
        "+".join(names)
        for size in range(1, len(space.representations) + 1)
        for names in combinations(space.representations, size)
    ]
    hp.Choice("representations", subsets)
    branches = {}
    for representation in space.representations:
        # Encoders of networks only: the baseline of trees is not searched.
        known = describe_kind(representation).encoders
        encoders = [*known, *space.encoders.get(representation, ())]
        parents = [subset for subset in subsets if representation in subset.split("+")]
        with hp.conditional_scope("representations", parents):
            branches[representation] = hp.Choice(f"{representation}_encoder", encoders)
    options: dict[str, Any] = {}
    with hp.conditional_scope("representations", [s for s in subsets if "+" in s]):
        names = [*FUSIONS, *space.fusions]
        fusion = hp.Choice("fusion", names)
        for name in FUSION_OPTIONS:
            families = list_settings()[name].fusion_families
            fusions = [one for one in names if get_fusion_family(one) in families]
            with hp.conditional_scope("fusion", fusions):
                options |= _choose(hp, space, name)
    chosen = {name: encoder for name, encoder in branches.items() if encoder}
    return {"branches": chosen, "fusion": fusion or NO_FUSION} | options


def _suggest_balance(hp: keras_tuner.HyperParameters, space: Space) -> dict[str, Any]:
    """Choose balanced sampling or class weights, which exclude each other."""
    settings: dict[str, Any] = {}
    if space.fixed.get("class_weights", "none") == "none":
        settings |= _choose(hp, space, "sampling")
    if space.kind == "multi_class" and "class_weights" not in space.fixed:
        if "sampling" not in space.fixed:
            with hp.conditional_scope("sampling", ["uniform"]):
                settings |= _choose(hp, space, "class_weights")
        elif space.fixed["sampling"] == "uniform":
            settings |= _choose(hp, space, "class_weights")
    return settings


def _choose(
    hp: keras_tuner.HyperParameters, space: Space, name: str, values: Sequence[Any] = ()
) -> dict[str, Any]:
    """Choose the value of a setting; nothing if it is fixed or inactive."""
    if name in space.fixed:
        return {}
    accepted = list(values or VALUES.get(name) or list_settings()[name].choices)
    is_boolean = isinstance(accepted[0], bool)  # `Choice` would turn them into numbers
    value = hp.Boolean(name) if is_boolean else hp.Choice(name, accepted)
    return {} if value is None else {name: value}


def _pin_import_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Add the hash of the code to each path, and drop repetitions, which would be drawn twice."""
    return tuple(dict.fromkeys(map(pin_import_path, paths)))


def _round(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
