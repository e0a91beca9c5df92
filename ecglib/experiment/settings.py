"""The settings of an experiment: declared once, in four groups.

A setting is a field of its group: its type, its default and its `Setting`, which holds the help
text and what is accepted. Checks, the hash, the reference of all settings and the settings of a
search are derived from these declarations.
"""

import dataclasses
from typing import Any, TypeVar

from ecglib.datasets.options import Accepted, convert_value
from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.branches import (
    check_branches,
    check_fusion_name,
    check_layer_name,
    check_representation_name,
    sort_branches,
)
from ecglib.experiment.import_paths import is_import_path, pin_import_path
from ecglib.experiment.registry import (
    AUGMENTATIONS,
    BRANCH_TRAININGS,
    CLASS_WEIGHTS,
    CROP_AGGREGATIONS,
    FUSIONS,
    HANDCRAFTED,
    LAYER,
    LOSSES,
    MONITORS,
    NO_FUSION,
    PRECISIONS,
    SAMPLINGS,
    SCALINGS,
    SCHEDULES,
)
from ecglib.splits import LEAKS

MAX_ENSEMBLE_SIZE = 100
# Seeds of an ensemble and of branches are counted from it, and NumPy takes seeds below 2 ** 32.
MAX_SEED = 2**31 - 1

Group = TypeVar("Group")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting(Accepted):
    """What is known of a setting besides its type and default.

    Parameters
    ----------
    choices : collection of str
        The accepted values, where they have names; each item of a tuple.
    minimum, maximum, above, below : float, optional
        Bounds of a number: at least, at most, greater than, less than.
    help : str
        What it decides, for the docs.
    used_by_trees : bool
        Whether it decides something for the baseline of trees, which ignores all others.
    fusion_families : tuple of str
        The families of fusions that have this option; empty where it depends on no fusion.

    Examples
    --------
    >>> Setting(help="Dropout rate.", minimum=0, below=1).below
    1
    """

    help: str
    used_by_trees: bool = False
    fusion_families: tuple[str, ...] = ()


def _setting(default: Any, setting: Setting) -> Any:
    """A dataclass field with this default; a `dict` or `dataclasses.MISSING` as they are meant."""
    metadata = {"setting": setting}
    if default is dict:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _document_settings(group: type[Group]) -> type[Group]:
    """Insert the settings of a group into its docstring, as its parameters."""
    lines = ["Parameters\n    ----------\n"]
    for field in dataclasses.fields(group):  # type: ignore[arg-type]
        lines.append(f"    {field.name} : {format_type(field.type)}\n")
        lines.append(f"        {field.metadata['setting'].help}\n")
    summary, examples = (group.__doc__ or "").split("Examples\n")
    group.__doc__ = f"{summary}{''.join(lines)}\n    Examples\n{examples}"
    return group


def format_type(kind: Any) -> str:
    """Format the type of a field as Python writes it.

    Examples
    --------
    >>> format_type(int), format_type(tuple[float, float])
    ('int', 'tuple[float, float]')
    """
    return kind.__name__ if kind in (bool, int, float, str) else str(kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingsGroup:
    """Checks the values of a group against the declarations of its settings.

    Raises
    ------
    ExperimentError
        If a value has the wrong type, is out of range or unknown.

    Examples
    --------
    >>> TrainingSettings(epochs=0)
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: epochs=0 must be at least 1.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            setting = field.metadata["setting"]
            self._set(
                field.name, convert_value(field.name, value, field.type, setting, ExperimentError)
            )
        self._check_together()

    def _check_together(self) -> None:
        """Check values that depend on each other; groups that have such override it."""

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


@_document_settings
@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings(SettingsGroup):
    """What is predicted, and from which windows.

    Examples
    --------
    >>> DataSettings(dataset="mitdb", fingerprint="0123", task="aami").n_folds
    0
    """

    dataset: str = _setting(
        dataclasses.MISSING, Setting(help="Name of the dataset.", used_by_trees=True)
    )
    fingerprint: str = _setting(
        dataclasses.MISSING,
        Setting(help="Fingerprint of its prepared store.", used_by_trees=True),
    )
    task: str = _setting(dataclasses.MISSING, Setting(help="Name of the task.", used_by_trees=True))
    n_folds: int = _setting(
        0,
        Setting(
            help="Number of folds of a cross-validation over the patients of the training and "
            "validation splits, at least 3; the test split is not used. 0 for the splits of the "
            "dataset.",
            minimum=0,
            used_by_trees=True,
        ),
    )
    fold: int = _setting(
        0,
        Setting(
            help="The fold that takes the place of the test split, from 1; the next one validates.",
            minimum=0,
            used_by_trees=True,
        ),
    )
    allow_leaks: tuple[str, ...] = _setting(
        (),
        Setting(
            help="Kinds of leak that are accepted by name; every number then carries the caveat.",
            choices=LEAKS,
            used_by_trees=True,
        ),
    )

    def _check_together(self) -> None:
        if not (self.n_folds == self.fold == 0 or 1 <= self.fold <= self.n_folds >= 3):
            raise ExperimentError(
                f"n_folds={self.n_folds} with fold={self.fold}: a cross-validation needs at least "
                f"3 folds and a fold from 1 to n_folds. Use 0 for both to train on the splits of "
                f"the dataset."
            )


@_document_settings
@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSettings(SettingsGroup):
    """How a window is filtered, represented, cropped, scaled and augmented.

    Examples
    --------
    >>> InputSettings(band_hz=[1, 30]).band_hz
    (1.0, 30.0)
    """

    band_hz: tuple[float, float] = _setting(
        (0.5, 40.0),
        Setting(
            help="Band-pass filter before every representation: low and high edge in Hz; 0 leaves "
            "that side open.",
            minimum=0,
            used_by_trees=True,
        ),
    )
    notch_hz: float = _setting(
        0.0,
        Setting(
            help="Mains frequency that a notch filter removes with its harmonics, in Hz: 50 or 60; "
            "0 for no notch.",
            minimum=0,
            used_by_trees=True,
        ),
    )
    denoise: bool = _setting(
        False,
        Setting(
            help="Whether to denoise by soft thresholds in a wavelet transform, after the filters "
            "(`ecglib.preprocessing.WaveletDenoise`).",
            used_by_trees=True,
        ),
    )
    scaling: str = _setting(
        "standard",
        Setting(
            help="Statistics of the training split that scale each lead or bin: 'standard' takes "
            "mean and standard deviation, 'robust' median and interquartile range.",
            choices=SCALINGS,
        ),
    )
    representation_options: dict[str, dict[str, Any]] = _setting(
        dict,
        Setting(
            help="Options of the representations, for example {'spectrogram': {'window_s': 0.5}}; "
            "those of a representation without a branch are dropped. A word after the name makes "
            "another representation of this kind, beside or in place of the first: "
            "{'spectrogram_fine': {'window_s': 0.2}}. It may be computed by a layer of another "
            "package, named by its import path: "
            "{'time_mine': {'layer': 'mypackage.layers:MyLayer'}}."
        ),
    )
    crop_s: float = _setting(
        0.0,
        Setting(
            help="Length of the crops that the model sees, in s; 0 for the whole window. It trains "
            "on one random crop of each window and epoch, and predicts from sliding crops.",
            minimum=0,
        ),
    )
    crop_hop_s: float = _setting(
        0.0,
        Setting(
            help="Distance between the starts of two sliding crops, in s; 0 for half a crop.",
            minimum=0,
        ),
    )
    crop_aggregation: str = _setting(
        "mean",
        Setting(
            help="How the probabilities of a window's sliding crops are joined: 'mean' or 'max'. "
            "The public PTB-XL benchmark (Strodthoff 2021) takes crops of 2.5 s and the maximum; "
            "the mean does not rise with the number of crops.",
            choices=CROP_AGGREGATIONS,
        ),
    )
    augment: dict[str, dict[str, Any]] = _setting(
        dict,
        Setting(
            help="Augmentations of the training windows, in mV, before the representations: name "
            "-> options, for example {'noise': {'snr_db': 20}} "
            "(`ecglib.preprocessing.augmentation`)."
        ),
    )

    def _check_together(self) -> None:
        low_hz, high_hz = self.band_hz
        if high_hz and low_hz >= high_hz:
            raise ExperimentError(
                f"band_hz={self.band_hz} must be a low and a high edge in Hz, in this order; 0 "
                f"leaves a side open."
            )
        for representation in self.representation_options:
            check_representation_name("a representation in representation_options", representation)
        self._pin_layers()
        for augmentation in self.augment:
            require_one_of("an augmentation in augment", augmentation, AUGMENTATIONS)
        self._set(
            "augment", {name: self.augment[name] for name in AUGMENTATIONS if name in self.augment}
        )
        if not self.crop_s:  # without crops these decide nothing
            self._set("crop_hop_s", 0.0)
            self._set("crop_aggregation", CROP_AGGREGATIONS[0])

    def _pin_layers(self) -> None:
        """Add the hash of the source to the layers of other packages."""
        pinned = {}
        for representation, options in self.representation_options.items():
            pinned[representation] = dict(options)
            if LAYER in options:
                check_layer_name(representation, options[LAYER])
                pinned[representation][LAYER] = pin_import_path(options[LAYER])
        self._set("representation_options", pinned)

    @property
    def layers(self) -> dict[str, str]:
        """Representation -> import path of its layer, of those by layers of other packages."""
        return {
            representation: options[LAYER]
            for representation, options in self.representation_options.items()
            if LAYER in options
        }


@_document_settings
@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings(SettingsGroup):
    """What the network is made of.

    Examples
    --------
    >>> ModelSettings(branches={"frequency": "mlp", "time": "cnn"}, fusion="late_average").branches
    {'time': 'cnn', 'frequency': 'mlp'}
    """

    branches: dict[str, str] = _setting(
        dataclasses.MISSING,
        Setting(
            help="Representation -> encoder, for example {'time': 'cnn'}. Further encoders on one "
            "representation are numbered, {'time': 'cnn', 'time_2': 's4d'}. {'handcrafted': "
            "'random_forest'} or 'gradient_boosting' is the baseline of trees, always alone. An "
            "encoder of another package is named by its import path, "
            "{'time': 'mypackage.encoders:my_encoder'}.",
            used_by_trees=True,
        ),
    )
    fusion: str = _setting(
        NO_FUSION,
        Setting(
            help="How the branches are joined; 'none' for one branch. An import path names a "
            "fusion of another package, 'mypackage.fusions:intermediate_mine'.",
            used_by_trees=True,
        ),
    )
    branch_dropout: float = _setting(
        0.0,
        Setting(
            help="Probability that a branch is dropped from a training window, never all of them.",
            minimum=0,
            below=1,
            fusion_families=("early", "intermediate"),
        ),
    )
    missing_branches: bool = _setting(
        False,
        Setting(
            help="Whether a branch may be missing at prediction: its representation is then NaN.",
            fusion_families=("early", "intermediate", "late"),
        ),
    )
    ensemble_size: int = _setting(
        1,
        Setting(
            help="Number of equal models with different seeds whose probabilities are averaged: "
            "the ensemble control that a fusion has to beat.",
            minimum=1,
            maximum=MAX_ENSEMBLE_SIZE,
        ),
    )
    target_parameters: int = _setting(
        0,
        Setting(
            help="Number of parameters to which a single branch is widened, by the `width` that "
            "comes nearest: the size control that a fusion has to beat; 0 for `width` as it is.",
            minimum=0,
        ),
    )
    width: int = _setting(32, Setting(help="Base number of channels of an encoder.", minimum=1))
    feature_dim: int = _setting(
        64, Setting(help="Length of the feature vector of a branch.", minimum=1)
    )
    dropout: float = _setting(
        0.2, Setting(help="Dropout rate before the heads.", minimum=0, below=1)
    )

    def _check_together(self) -> None:
        _check_model(self.branches, self.fusion)
        branches = {name: pin_import_path(encoder) for name, encoder in self.branches.items()}
        self._set("branches", sort_branches(branches))
        self._set("fusion", pin_import_path(self.fusion))
        if self.ensemble_size > 1 and len(self.branches) > 1:
            raise ExperimentError(
                f"ensemble_size={self.ensemble_size} with {len(self.branches)} branches: the "
                f"ensemble control repeats a single branch. Use one branch, or ensemble_size=1."
            )
        if self.target_parameters and (self.ensemble_size > 1 or len(self.branches) > 1):
            raise ExperimentError(
                f"target_parameters={self.target_parameters} with {len(self.branches)} branches "
                f"and ensemble_size={self.ensemble_size}: the size control is one model of a "
                f"single branch. Use one branch and ensemble_size=1, or target_parameters=0."
            )

    @property
    def import_paths(self) -> tuple[str, ...]:
        """The encoders and the fusion of other packages, with the hash of their code."""
        return tuple(
            name for name in (*self.branches.values(), self.fusion) if is_import_path(name)
        )


@_document_settings
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings(SettingsGroup):
    """How the model is trained.

    Examples
    --------
    >>> TrainingSettings(dropout=0.1)
    Traceback (most recent call last):
    ...
    TypeError: TrainingSettings.__init__() got an unexpected keyword argument 'dropout'
    >>> TrainingSettings(seed=3).epochs
    20
    """

    branch_training: str = _setting(
        "joint",
        Setting(
            help="How the branches get their weights: 'joint' trains them within the fusion. "
            "Otherwise each is first trained alone; 'warm' then trains the whole fusion from "
            "there, 'frozen' only what joins the branches.",
            choices=BRANCH_TRAININGS,
            fusion_families=("intermediate", "late"),
        ),
    )
    auxiliary_loss_weight: float = _setting(
        0.0,
        Setting(
            help="Weight of a loss of each branch beside that of the fusion; 0 for none.",
            minimum=0,
            fusion_families=("intermediate",),
        ),
    )
    epochs: int = _setting(
        20, Setting(help="Maximum number of passes over the training split.", minimum=1)
    )
    steps_per_epoch: int = _setting(
        0, Setting(help="Batches in an epoch; 0 for the whole training split.", minimum=0)
    )
    batch_size: int = _setting(64, Setting(help="Windows in a batch.", minimum=1))
    learning_rate: float = _setting(3e-3, Setting(help="Maximum learning rate of AdamW.", above=0))
    schedule: str = _setting(
        "cosine",
        Setting(
            help="'cosine' decays from `learning_rate` to 0; 'one_cycle' rises to it in the first "
            "quarter of the steps, then decays (`ecglib.training.optimizers.OneCycle`).",
            choices=SCHEDULES,
        ),
    )
    weight_decay: float = _setting(1e-2, Setting(help="Weight decay of AdamW.", minimum=0))
    clip_norm: float = _setting(
        0.0,
        Setting(help="Maximum norm of the gradient over all weights; 0 for no limit.", minimum=0),
    )
    ema_decay: float = _setting(
        0.0,
        Setting(
            help="Decay of the exponential moving average of the weights that is validated and "
            "saved (`ecglib.training.adamw.AveragingAdamW`); 0 for the weights themselves.",
            minimum=0,
            below=1,
        ),
    )
    loss: str = _setting(
        "cross_entropy",
        Setting(
            help="'cross_entropy', or 'focal' (Lin et al. 2017, gamma 2, no alpha), which gives "
            "less weight to easy windows.",
            choices=LOSSES,
        ),
    )
    label_smoothing: float = _setting(
        0.0,
        Setting(
            help="Fraction of each label that is spread evenly over the classes (multi-label: over "
            "yes and no).",
            minimum=0,
            below=1,
        ),
    )
    mixup: float = _setting(
        0.0,
        Setting(
            help="Alpha of the Beta distribution of the weights with which pairs of training "
            "windows, in mV, and their labels are mixed (`ecglib.training.mixup`); 0 for no mixup.",
            minimum=0,
        ),
    )
    sampling: str = _setting(
        "uniform",
        Setting(
            help="'uniform' shows each training window once an epoch; 'balanced' draws as many, "
            "each in inverse proportion to the frequency of its rarest class. Trees see every "
            "window once, weighted accordingly.",
            choices=SAMPLINGS,
            used_by_trees=True,
        ),
    )
    class_weights: str = _setting(
        "none",
        Setting(
            help="Weights of the windows of a multi-class task in the loss: 'none', 'balanced' "
            "(inverse class frequency) or 'sqrt' (its square root).",
            choices=CLASS_WEIGHTS,
            used_by_trees=True,
        ),
    )
    monitor: str = _setting(
        "auroc",
        Setting(
            help="Validation score that chooses the epoch: macro 'auroc', macro 'f1' with "
            "thresholds fitted there, or 'none': all epochs are trained and the last is used.",
            choices=MONITORS,
        ),
    )
    patience: int = _setting(
        5,
        Setting(
            help="Epochs without a better score before training stops; unused without `monitor`.",
            minimum=0,
        ),
    )
    precision: str = _setting(
        "float32",
        Setting(
            help="'float32', or 'mixed_float16' or 'mixed_bfloat16' on a device that computes "
            "faster with them; the weights stay float32.",
            choices=PRECISIONS,
        ),
    )
    seed: int = _setting(
        0,
        Setting(
            help="Seed of weights, dropout and order; of an ensemble, of its first model.",
            minimum=0,
            maximum=MAX_SEED,
            used_by_trees=True,
        ),
    )

    def _check_together(self) -> None:
        if self.sampling == "balanced" and self.class_weights != "none":
            raise ExperimentError(
                f"sampling='balanced' with class_weights={self.class_weights!r} corrects for rare "
                f"classes twice. Use one of them."
            )
        if self.monitor == "none":  # it then decides nothing
            self._set("patience", type(self).patience)


def _check_model(branches: dict[str, str], fusion: str) -> None:
    if not branches:
        raise ExperimentError(
            "branches={} is empty; give representation: encoder, as in {'time': 'cnn'}."
        )
    check_branches(branches, fusion)
    if len(branches) > 1 and HANDCRAFTED in branches:
        raise ExperimentError(
            f"branches={branches}: the baseline {branches[HANDCRAFTED]!r} cannot be fused with a "
            f"network. Give it a separate experiment, with fusion='none'."
        )
    if len(branches) == 1 and fusion != NO_FUSION:
        raise ExperimentError(f"fusion={fusion!r} with one branch; use fusion='none'.")
    if len(branches) > 1:
        if fusion == NO_FUSION:
            raise ExperimentError(
                f"fusion='none' with {len(branches)} branches; choose one of {list(FUSIONS)}."
            )
        check_fusion_name(fusion)
