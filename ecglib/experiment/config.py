"""What decides a result, as plain values: validated, hashed, written and read."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.branches import (
    check_branches,
    in_order,
    representation_of,
    representations_of,
)
from ecglib.splits import LEAKS, require_no_leak

# The classical baseline: trees on values that describe a window (`ecglib.training.trees`).
BASELINES = ("random_forest", "gradient_boosting")
# What `ecglib.models` builds, and the baseline; a test keeps them in step. They stand here as well
# so that an experiment can be checked before Keras is imported.
ENCODERS = {
    "time": (
        *("cnn", "cnn_bilstm", "cnn_attention", "cnn_transformer", "resnet1d", "xresnet1d"),
        *("inception_time", "s4d", "random"),
    ),
    "frequency": ("cnn", "cnn_transformer", "mlp", "resnet1d"),
    "spectrogram": ("cnn2d", "resnet2d", "crnn", "patch_transformer"),
    "scalogram": ("cnn2d", "resnet2d", "crnn", "patch_transformer"),
    "tabular": ("mlp",),
    "handcrafted": BASELINES,
}
FUSIONS = (
    "early_concat",
    "intermediate_concat",
    "intermediate_gated",
    "intermediate_film",
    "intermediate_bilinear",
    "intermediate_attention",
    "intermediate_cross_attention",
    "intermediate_bottleneck",
    "late_average",
    "late_weighted",
    "late_product",
    "late_stacking",
)
LEAST = {
    **dict.fromkeys(("ensemble_size", "width", "feature_dim", "epochs", "batch_size"), 1),
    **dict.fromkeys(
        ("target_parameters", "steps_per_epoch", "patience", "seed", "weight_decay"), 0
    ),
    **dict.fromkeys(
        ("crop_s", "crop_hop_s", "notch_hz", "branch_dropout", "auxiliary_loss_weight"), 0
    ),
    **dict.fromkeys(("label_smoothing", "clip_norm", "ema_decay", "mixup"), 0),
}
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
SAMPLINGS = ("uniform", "balanced")
AGGREGATIONS = ("mean", "max")
SCALINGS = ("standard", "robust")
LOSSES = ("cross_entropy", "focal")
SCHEDULES = ("cosine", "one_cycle")
MONITORS = ("auroc", "f1", "none")
BRANCH_TRAININGS = ("joint", "warm", "frozen")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
# Models are about equally large if neither has over a quarter more parameters than the other: one
# widened branch is then the size control of several fusions.
SAME_SIZE = 1.25
# In the order in which they are applied: what the heart and the body do, then the electrodes.
AUGMENTATIONS = ("shift", "gain", "baseline_wander", "noise", "time_mask", "lead_dropout")
# What decides something for trees; the rest says how a network is built, fed and trained.
OF_TREES = {
    *("dataset", "fingerprint", "task", "branches", "fusion", "band_hz", "notch_hz", "denoise"),
    *("n_folds", "fold", "sampling", "class_weights", "seed", "allow_leaks"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides a result. Two equal experiments give the same run.

    Parameters
    ----------
    dataset
        name of the dataset.
    fingerprint
        fingerprint of its prepared store.
    task
        name of the task.
    n_folds
        more than 0: cross-validation. The patients of the training and validation parts are dealt
        to that many folds, from 3, and the test part is not looked at
        (`ecglib.splits.cross_validation`).
    fold
        which of them takes the place of the test part, from 1.
    branches
        representation -> encoder, for example ``{"time": "cnn"}``; further encoders on the same
        view are numbered, ``{"time": "cnn", "time_2": "s4d"}``: the same information seen by
        other encoders, a control of what a further view adds. ``{"handcrafted": "random_forest"}``
        or ``"gradient_boosting"`` is the classical baseline, always alone. What only a network
        has (width, epochs, crops, augmentations, ...) decides nothing for it and is set to its
        default, so that it may stand beside networks in a batch.
    fusion
        how the branches are joined; ``"none"`` for a single branch.
    branch_dropout
        chance that a whole branch is dropped from a training window, never all of them; of early
        and intermediate fusions.
    missing_branches
        whether a branch may be missing at prediction: its view is then NaN throughout.
    branch_training
        how the branches of an intermediate or late fusion come by their weights: ``"joint"``
        trains them within the fusion. Otherwise each is first trained by itself, by the same
        recipe; ``"warm"`` then trains the fusion from there, ``"frozen"`` only what joins them.
    auxiliary_loss_weight
        weight of a loss of each branch by itself, beside that of an intermediate fusion; 0 for
        none.
    ensemble_size
        this many equal models with other seeds, their probabilities averaged: the
        ensemble control that a fusion has to beat.
    target_parameters
        this many parameters: a single branch is built with the `width`, at least the one given,
        that brings it nearest (`ecglib.training.trainer.widened`), the size control that a fusion has to
        beat; 0 for `width` as it is.
    band_hz
        band-pass of every view, low and high edge in Hz; 0 leaves that side open.
    notch_hz
        frequency of the mains that is taken out with its harmonics, in Hz: 50 or 60; 0 for none.
    denoise
        soft thresholds in a wavelet transform, after the filters
        (`ecglib.preprocessing.WaveletDenoise`).
    scaling
        by what each lead or bin of a view is scaled, from the training part: ``"standard"`` takes
        mean and deviation, ``"robust"`` median and interquartile range, which outliers do not
        move.
    representation_options
        settings of the views, for example ``{"spectrogram": {"window_s": 0.5}}``;
        those of a view that no branch looks at are dropped.
    crop_s
        length of the crops that the model looks at, in s; 0 for the whole window. It is trained
        on one random crop of each window and pass, and predicts from sliding crops.
    crop_hop_s
        from the start of a sliding crop to the start of the next, in s; 0 for half a crop.
    crop_aggregation
        ``"mean"`` or ``"max"`` of the probabilities of a window's sliding crops. The public
        PTB-XL benchmark (Strodthoff 2021) takes crops of 2.5 s and the maximum; the mean does
        not rise with the number of crops. Without crops this and `crop_hop_s` decide nothing
        and are set to their defaults.
    augment
        what is done to the training windows, in mV, before the views: augmentation -> options,
        for example ``{"noise": {"snr_db": 20}}`` (`ecglib.preprocessing.augmentation`).
    sampling
        ``"uniform"`` shows each training window once a pass; ``"balanced"`` draws as many, each
        window as likely as its rarest class is rare. Trees look at every window, and weigh each
        as often as it would be drawn.
    width
        base number of channels of every encoder.
    feature_dim
        length of a branch's feature vector.
    dropout
        dropout rate before the heads.
    epochs
        most passes over the training part.
    steps_per_epoch
        batches in an epoch, 0 for all of the training part.
    batch_size
        windows in a batch.
    learning_rate
        the highest learning rate of AdamW.
    schedule
        ``"cosine"`` falls from `learning_rate` to 0; ``"one_cycle"`` rises to it in the first
        quarter, then falls (`ecglib.training.recipe.OneCycle`).
    weight_decay
        weight decay of AdamW.
    clip_norm
        gradients whose norm, over all weights, is larger are shortened to it; 0 for none.
    ema_decay
        decay of the moving average of the weights that is validated, kept and saved
        (`ecglib.training.recipe.AveragingAdamW`); 0 for the weights themselves.
    loss
        ``"cross_entropy"`` or ``"focal"`` (Lin et al. 2017, gamma 2, no alpha), which counts
        windows less that are easy.
    label_smoothing
        share of each label that is dealt evenly to the classes (multi-label: to yes and no).
    mixup
        alpha of the Beta distribution from which the shares are drawn that blend pairs of
        training windows, in mV, and their labels (`ecglib.training.recipe.mix`); 0 for none.
    monitor
        the validation score that chooses the epoch: macro ``"auroc"``, macro ``"f1"`` with
        thresholds fitted there, or ``"none"``: all epochs are done and the last one counts.
    patience
        epochs without a better score before training stops; without `monitor` it decides nothing
        and is set to its default.
    precision
        ``"float32"``, or what the models compute in on a device that is faster at it:
        ``"mixed_float16"`` or ``"mixed_bfloat16"``, the weights in float32.
    class_weights
        ``"none"``, ``"sqrt"`` or ``"balanced"`` (inverse frequency), multi-class.
    seed
        seed of weights, dropout and order; with `members`, of the first member.
    allow_leaks
        kinds of leak that this experiment accepts by name (`ecglib.splits.patients.LEAKS`).

    Raises
    ------
    ExperimentError
        a value is of the wrong type, out of range or unknown.
    """

    dataset: str
    fingerprint: str
    task: str
    branches: dict[str, str]
    n_folds: int = 0
    fold: int = 0
    fusion: str = "none"
    branch_dropout: float = 0.0
    missing_branches: bool = False
    branch_training: str = "joint"
    auxiliary_loss_weight: float = 0.0
    ensemble_size: int = 1
    target_parameters: int = 0
    band_hz: tuple[float, float] = (0.5, 40.0)
    notch_hz: float = 0.0
    denoise: bool = False
    scaling: str = "standard"
    representation_options: dict[str, dict] = dataclasses.field(default_factory=dict)
    crop_s: float = 0.0
    crop_hop_s: float = 0.0
    crop_aggregation: str = "mean"
    augment: dict[str, dict] = dataclasses.field(default_factory=dict)
    sampling: str = "uniform"
    width: int = 32
    feature_dim: int = 64
    dropout: float = 0.2
    epochs: int = 20
    steps_per_epoch: int = 0
    batch_size: int = 64
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    weight_decay: float = 1e-2
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    monitor: str = "auroc"
    patience: int = 5
    precision: str = "float32"
    class_weights: str = "none"
    seed: int = 0
    allow_leaks: tuple[str, ...] = ()

    def __post_init__(self):
        # Lists come from JSON, YAML and papermill; equal experiments must have equal values.
        for name in ("band_hz", "allow_leaks"):
            self._set(name, tuple(_typed(name, getattr(self, name), list | tuple)))
        for field in dataclasses.fields(self):
            if field.type in (bool, int, float, str):
                self._set(field.name, _typed(field.name, getattr(self, field.name), field.type))
        _check_branches(self.branches, self.fusion)
        self._set("branches", in_order(self.branches, ENCODERS))
        for representation in _typed("representation_options", self.representation_options, dict):
            require_one_of("a representation in representation_options", representation, ENCODERS)
        # Settings of a view that no branch looks at decide nothing.
        used = {
            n: own for n, own in self.representation_options.items() if n in self.representations
        }
        self._set("representation_options", used)
        for augmentation, options in _typed("augment", self.augment, dict).items():
            require_one_of("an augmentation in augment", augmentation, AUGMENTATIONS)
            _typed(f"augment[{augmentation!r}]", options, dict)
        self._set("augment", {n: self.augment[n] for n in AUGMENTATIONS if n in self.augment})
        self._check_numbers()
        self._set("band_hz", tuple(float(edge) for edge in self.band_hz))
        require_one_of("class_weights", self.class_weights, CLASS_WEIGHTS)
        require_one_of("scaling", self.scaling, SCALINGS)
        require_one_of("sampling", self.sampling, SAMPLINGS)
        require_one_of("crop_aggregation", self.crop_aggregation, AGGREGATIONS)
        require_one_of("schedule", self.schedule, SCHEDULES)
        require_one_of("loss", self.loss, LOSSES)
        require_one_of("monitor", self.monitor, MONITORS)
        require_one_of("precision", self.precision, PRECISIONS)
        require_one_of("branch_training", self.branch_training, BRANCH_TRAININGS)
        if self.sampling == "balanced" and self.class_weights != "none":
            raise ExperimentError(
                f"sampling='balanced' with class_weights={self.class_weights!r} corrects for rare "
                f"classes twice; use one of them."
            )
        if not self.crop_s:
            self._set("crop_hop_s", 0.0)
            self._set("crop_aggregation", AGGREGATIONS[0])
        if self.monitor == "none":
            self._set("patience", type(self).patience)
        for leak in self.allow_leaks:
            require_one_of("allow_leaks", leak, LEAKS)
        if "handcrafted" in self.branches:
            self._forget_the_network()

    def _forget_the_network(self) -> None:
        """Set what decides nothing for trees to its default, after it was checked."""
        if self.ensemble_size > 1 or self.target_parameters or self.representation_options:
            raise ExperimentError(
                f"ensemble_size={self.ensemble_size}, target_parameters={self.target_parameters} and representation_options="
                f"{self.representation_options} with the classical baseline {self.branches!r}: trees are an "
                f"ensemble already, cannot be widened, and their features have no settings. Leave "
                f"all three out."
            )
        for field in dataclasses.fields(self):
            if field.name not in OF_TREES:
                made = field.default is dataclasses.MISSING
                self._set(field.name, field.default_factory() if made else field.default)

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)

    def _check_numbers(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ExperimentError(f"{name}={getattr(self, name)}, expected at least {least}.")
        for name in ("dropout", "branch_dropout", "label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                given = getattr(self, name)
                raise ExperimentError(f"{name}={given}, expected at least 0 and below 1.")
        self._check_fusion_options()
        if not (self.n_folds == self.fold == 0 or 1 <= self.fold <= self.n_folds >= 3):
            raise ExperimentError(
                f"n_folds={self.n_folds} with fold={self.fold}, expected at least three folds and one "
                f"of their numbers from 1, or both 0 for the parts of the dataset."
            )
        if self.learning_rate <= 0:
            raise ExperimentError(f"learning_rate={self.learning_rate}, expected above 0.")
        if len(self.band_hz) != 2:
            raise ExperimentError(f"band_hz={self.band_hz}, expected a low and a high edge in Hz.")
        if self.ensemble_size > 1 and len(self.branches) > 1:
            raise ExperimentError(
                f"ensemble_size={self.ensemble_size} with {len(self.branches)} branches; the ensemble control "
                f"repeats a single branch."
            )
        if self.target_parameters and (self.ensemble_size > 1 or len(self.branches) > 1):
            raise ExperimentError(
                f"target_parameters={self.target_parameters} with {len(self.branches)} branches and "
                f"ensemble_size={self.ensemble_size}; the size control is one model of a single branch."
            )

    def _check_fusion_options(self) -> None:
        """What each option of a fusion needs."""
        needed = {
            "branch_dropout": ("early", "intermediate"),
            "missing_branches": ("early", "intermediate", "late"),
            "branch_training": ("intermediate", "late"),
            "auxiliary_loss_weight": ("intermediate",),
        }
        for name, families in needed.items():
            changed = getattr(self, name) != getattr(type(self), name)
            if changed and not self.fusion.startswith(families):
                raise ExperimentError(
                    f"{name}={getattr(self, name)} with fusion={self.fusion!r}; it is an option of "
                    f"{', '.join(families)} fusions. Leave it out, or choose one of those."
                )

    @classmethod
    def from_parameters(cls, parameters: Mapping, dataset: str, fingerprint: str) -> "Experiment":
        """The experiment that a notebook's parameters describe; other parameters are ignored."""
        own = {f.name for f in dataclasses.fields(cls)} - {"dataset", "fingerprint"}
        values = {name: value for name, value in parameters.items() if name in own}
        return cls(dataset=dataset, fingerprint=fingerprint, **values)

    def check(self, dataset) -> list[str]:
        """Refuse to be carried out on a dataset that does not fit, before anything is trained.

        Parameters
        ----------
        dataset
            the opened store (`ecglib.datasets.store.Dataset`).

        Returns
        -------
        The caveats that the run will carry: the dataset's (synthetic data, patients unknown) and
        the allowed leaks.

        Raises
        ------
        ExperimentError
            another dataset, a filter above Nyquist, crops that do not fit the windows, class
            weights for a multi-label task, a class without positives in training, or an empty
            part.
        DatasetError
            no such task, or no such tabular column.
        LeakError
            a leak that the experiment does not allow by name.
        """
        if self.fingerprint != dataset.fingerprint:
            raise ExperimentError(
                f"The experiment is for {self.dataset}-{self.fingerprint}, the store given is "
                f"{dataset.name}-{dataset.fingerprint}. Open that store, or make a new experiment."
            )
        _check_filters(self.band_hz, self.notch_hz, dataset.signal.sampling_rate_hz)
        if self.crop_s:
            _check_crops(self.crop_s, self.crop_hop_s, dataset.signal)
        dataset.check_tabular(self.tabular_columns(dataset))
        selection = dataset.select(self.task, (), self.n_folds, self.fold)
        if selection.task.kind == "multi_label" and self.class_weights != "none":
            raise ExperimentError(
                f"class_weights={self.class_weights!r} with the multi-label task {self.task!r}; "
                f"use 'none'."
            )
        counts = selection.counts()
        if empty := [part for part in counts if not (selection.part == part).any()]:
            raise ExperimentError(
                f"The parts {empty} of task {self.task!r} hold no window. Choose another split."
            )
        if absent := list(counts.index[counts["train"] == 0]):
            raise ExperimentError(
                f"No window of the training part shows {absent} (task {self.task!r}), so they "
                f"cannot be learned. Choose a task without them or another split."
            )
        where = f"dataset {dataset.name!r}, task {self.task!r}"
        if self.n_folds:
            caveats = [
                *dataset.caveats,
                f"cross-validation in {self.n_folds} folds, the test part was not looked at",
            ]
            report = dataset.leak_report(selection)
        else:
            caveats, report = list(dataset.caveats), dataset.summary["leaks"][selection.task.part]
        return caveats + require_no_leak(report, self.allow_leaks, where)

    def tabular_columns(self, dataset) -> tuple[str, ...]:
        """The tabular values that the model looks at; none without a tabular branch.

        Those of ``representation_options["tabular"]["columns"]``, or the dataset's usual ones.
        """
        if "tabular" not in self.representations:
            return ()
        return tuple(
            self.representation_options.get("tabular", {}).get("columns", dataset.default_tabular)
        )

    def to_dict(self) -> dict:
        """The values, as JSON holds them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits that differ as soon as a value differs."""
        return _hash(self.to_dict())

    @property
    def model_hash(self) -> str:
        """As `hash`, seed and fold left out: equal for the runs of one model."""
        return _hash(self.to_dict() | {"seed": None, "fold": None})

    @property
    def representations(self) -> list[str]:
        """The views that the model looks at, each once."""
        return representations_of(self.branches)

    @property
    def named_branches(self) -> tuple[str, ...]:
        """Each branch as its view and encoder, ``("time:cnn", "time:s4d")``."""
        return tuple(f"{representation_of(b)}:{own}" for b, own in self.branches.items())

    @property
    def model(self) -> str:
        """Readable name of the model, for example ``intermediate_gated(time:cnn + ...)``."""
        branches = " + ".join(self.named_branches)
        name = branches if len(self.branches) == 1 else f"{self.fusion}({branches})"
        name += f" widened to about {self.target_parameters:,}" if self.target_parameters else ""
        return name if self.ensemble_size == 1 else f"{self.ensemble_size} x {name}"

    @property
    def role(self) -> str:
        """``"baseline"`` (trees), ``"ensemble"``, ``"widened"``, ``"single"`` or ``"fusion"``."""
        if "handcrafted" in self.branches:
            return "baseline"
        if self.ensemble_size > 1:
            return "ensemble"
        if self.target_parameters:
            return "widened"
        return "single" if len(self.branches) == 1 else "fusion"

    @property
    def run_name(self) -> str:
        """Name of the run's folder: readable words, then the hash."""
        branches = "+".join(name.replace(":", "-") for name in self.named_branches)
        words = [branches] if len(self.branches) == 1 else [self.fusion, branches]
        if self.ensemble_size > 1:
            words.insert(0, f"{self.ensemble_size}x")
        if self.target_parameters:
            words.insert(0, f"widened{self.target_parameters}")
        if self.n_folds:
            words.append(f"fold{self.fold}of{self.n_folds}")
        return "_".join([*words, f"seed{self.seed}", self.hash])


def _hash(values: dict) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _typed(name: str, value, wanted):
    """The value as the wanted type; whole numbers may stand for floats, nothing else converts."""
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        wanted = getattr(wanted, "__name__", str(wanted))
        raise ExperimentError(f"{name}={value!r} is {type(value).__name__}, expected {wanted}.")
    return value


def _check_filters(band_hz: tuple[float, float], notch_hz: float, rate_hz: float) -> None:
    low, high = band_hz
    nyquist = rate_hz / 2
    if not (0 <= low < nyquist and (high == 0 or low < high < nyquist)):
        raise ExperimentError(
            f"band_hz={band_hz} at {rate_hz:g} Hz: expected low < high, both below {nyquist:g} Hz "
            f"(Nyquist), or 0 for an open side. Lower the edge, or prepare the dataset at a higher "
            f"rate."
        )
    if notch_hz >= nyquist:
        raise ExperimentError(
            f"notch_hz={notch_hz:g} at {rate_hz:g} Hz: expected below {nyquist:g} Hz (Nyquist). "
            f"Use 0: mains of that frequency cannot be in these windows."
        )


def _check_crops(crop_s: float, hop_s: float, signal) -> None:
    window_s = signal.n_samples / signal.sampling_rate_hz
    sample_s = 1 / signal.sampling_rate_hz
    if signal.around_beats:
        raise ExperimentError(
            f"crop_s={crop_s:g} with windows around a beat: a crop elsewhere would show another "
            f"beat than the labelled one. Use crop_s=0."
        )
    if crop_s > window_s:
        raise ExperimentError(
            f"crop_s={crop_s:g} is longer than the windows of {window_s:g} s. Give a crop of at "
            f"most {window_s:g} s, or 0 for the whole window."
        )
    for name, given_s in (("crop_s", crop_s), ("crop_hop_s", hop_s)):
        if given_s and given_s < sample_s:
            raise ExperimentError(
                f"{name}={given_s:g} s is less than a sample, {sample_s:g} s. Give a length in s."
            )


def _check_branches(branches: dict, fusion: str) -> None:
    if not isinstance(branches, dict) or not branches:
        raise ExperimentError(
            f"branches={branches!r}, expected representation: encoder, as in {{'time': 'cnn'}}."
        )
    check_branches(branches, fusion, ENCODERS)
    if len(branches) > 1 and "handcrafted" in branches:
        raise ExperimentError(
            f"branches={branches}: the classical baseline {branches['handcrafted']!r} cannot be fused "
            f"with a network. Give it an experiment of its own, fusion='none'."
        )
    if len(branches) == 1 and fusion != "none":
        raise ExperimentError(f"fusion={fusion!r} with one branch; use fusion='none'.")
    if len(branches) > 1:
        if fusion == "none":
            raise ExperimentError(
                f"fusion='none' with {len(branches)} branches; choose one of {list(FUSIONS)}."
            )
        require_one_of("fusion", fusion, FUSIONS)
