"""An experiment: everything that decides a result, as plain values in four groups."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ecglib._display import Displayed
from ecglib.datasets.options import convert_value
from ecglib.datasets.store import Dataset, require_dataset
from ecglib.errors import ExperimentError, did_you_mean
from ecglib.experiment.branches import get_kind, get_representation, list_representations
from ecglib.experiment.import_paths import get_fusion_family, get_label
from ecglib.experiment.registry import HANDCRAFTED, LAYER
from ecglib.experiment.settings import (
    DataSettings,
    InputSettings,
    ModelSettings,
    Setting,
    SettingsGroup,
    TrainingSettings,
    format_type,
)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Experiment(Displayed):
    """Everything that decides a result. Equal experiments give the same run.

    Files, notebooks and searches hold the settings flat, in one mapping, as their names are unique
    across the groups: see `from_flat` and `to_flat`. Settings that decide nothing are set to their
    defaults, so that experiments that compute the same are equal: options of representations
    without a branch, and for trees everything that only a network uses.

    Parameters
    ----------
    data : DataSettings
        What is predicted, and from which windows.
    inputs : InputSettings
        How a window is filtered, represented, cropped, scaled and augmented.
    model : ModelSettings
        What the network is made of.
    training : TrainingSettings
        How it is trained.

    Raises
    ------
    ExperimentError
        If a value has the wrong type, is out of range or unknown, or if settings contradict each
        other.

    Examples
    --------
    >>> experiment = Experiment.from_flat(
    ...     {
    ...         "dataset": "synthetic",
    ...         "fingerprint": "0123",
    ...         "task": "superdiagnostic",
    ...         "branches": {"time": "cnn", "frequency": "mlp"},
    ...         "fusion": "late_average",
    ...         "seed": 3,
    ...     }
    ... )
    >>> experiment.model_name
    'late_average(time:cnn + frequency:mlp)'
    >>> experiment.training.seed
    3
    >>> experiment.replace(seed=4).model_hash == experiment.model_hash
    True
    """

    data: DataSettings
    inputs: InputSettings
    model: ModelSettings
    training: TrainingSettings

    GROUPS: ClassVar[Mapping[str, type[SettingsGroup]]] = {
        "data": DataSettings,
        "inputs": InputSettings,
        "model": ModelSettings,
        "training": TrainingSettings,
    }

    def __post_init__(self) -> None:
        self._check_fusion_options()
        # Options of a representation without a branch decide nothing.
        options = self.inputs.representation_options
        used = {name: options[name] for name in options if name in self.representations}
        if used != options:
            self._set("inputs", dataclasses.replace(self.inputs, representation_options=used))
        self._check_named_representations()
        if HANDCRAFTED in self.model.branches:
            self._reset_network_settings()

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], dataset: Dataset | None = None) -> Self:
        """Create an experiment from one mapping of all settings.

        Parameters
        ----------
        values : mapping of str to object
            Setting -> value; settings with a default may be left out.
        dataset : Dataset, optional
            Gives `dataset` and `fingerprint` in place of the values, and its first task where none
            is named.

        Raises
        ------
        ExperimentError
            If a name is unknown or a needed setting is missing, or as for `Experiment`.
        """
        if not isinstance(values, Mapping):
            raise ExperimentError(
                f"The settings are {type(values).__name__}, expected a mapping of names to values. "
                f"The settings come first, the dataset second: from_flat(settings, dataset)."
            )
        if dataset is not None:
            require_dataset(dataset)
            store = {"dataset": dataset.name, "fingerprint": dataset.fingerprint}
            values = {**values, **store, "task": values.get("task") or dataset.default_task}
        fields = list_fields()
        for name in values:
            if name not in fields:
                hint = did_you_mean(name, fields)
                raise ExperimentError(
                    f"Unknown setting {name!r}. An experiment has {list(fields)}.{hint}"
                )
        missing = [n for n, field in fields.items() if _is_required(field) and n not in values]
        if missing:
            raise ExperimentError(f"The settings {missing} are missing. Give each of them a value.")
        return cls(
            **{
                group: settings(**{n: values[n] for n in _field_names(settings) if n in values})
                for group, settings in cls.GROUPS.items()
            }  # type: ignore[arg-type]
        )

    @classmethod
    def from_namespace(cls, namespace: Mapping[str, Any], dataset: Dataset) -> Self:
        """Create the experiment that the parameters of a notebook describe.

        Parameters
        ----------
        namespace : mapping of str to object
            The parameters, or ``globals()`` of the notebook; names that are no settings are
            ignored.
        dataset : Dataset
            The prepared store.

        Raises
        ------
        ExperimentError
            As for `from_flat`.
        """
        values = {name: namespace[name] for name in list_fields() if name in namespace}
        return cls.from_flat(values, dataset)

    def __repr__(self) -> str:
        values = {"task": self.data.task, "dataset": self.data.dataset, **self.list_changes()}
        settings = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return f"Experiment({settings})"

    def list_changes(self) -> dict[str, Any]:
        """List the settings that differ from their defaults, but for dataset and task.

        Returns
        -------
        dict of str to object
            Setting -> value, with the values that JSON holds.
        """
        of_dataset = [field.name for field in dataclasses.fields(DataSettings)][:3]
        defaults = {name: _default(field) for name, field in list_fields().items()}
        defaults = json.loads(json.dumps(defaults, default=lambda value: None))
        return {
            name: value
            for name, value in self.to_flat().items()
            if name not in of_dataset and value != defaults[name]
        }

    def to_flat(self) -> dict[str, Any]:
        """Return all settings as one mapping, with the values that JSON holds."""
        values: dict[str, Any] = {}
        for group in self.GROUPS:
            values |= dataclasses.asdict(getattr(self, group))
        return json.loads(json.dumps(values))

    def replace(self, **changes: Any) -> Self:
        """Return the experiment with other values of some settings.

        Raises
        ------
        ExperimentError
            As for `from_flat`.
        """
        return self.from_flat(self.to_flat() | changes)

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits that differ as soon as a value differs."""
        return _hash(self.to_flat())

    @property
    def model_hash(self) -> str:
        """The hash without seed and fold: equal for the runs of one model."""
        return _hash(self.to_flat() | {"seed": None, "fold": None})

    @property
    def representations(self) -> list[str]:
        """The representations that the branches take, each once."""
        return list_representations(self.model.branches)

    @property
    def branch_names(self) -> tuple[str, ...]:
        """Each branch as its representation and encoder, ``("time:cnn", "time:s4d")``."""
        return tuple(
            f"{get_representation(branch)}:{encoder}"
            for branch, encoder in self.model.branches.items()
        )

    @property
    def model_name(self) -> str:
        """Readable name of the model, for example ``intermediate_gated(time:cnn + ...)``."""
        model = self.model
        name = " + ".join(self.branch_names)
        if len(model.branches) > 1:
            name = f"{model.fusion}({name})"
        if model.target_parameters:
            name += " (same size as the fusion)"
        return name if model.ensemble_size == 1 else f"{model.ensemble_size} x {name}"

    @property
    def role(self) -> str:
        """``"baseline"`` (trees), ``"ensemble"``, ``"widened"``, ``"single"`` or ``"fusion"``."""
        if HANDCRAFTED in self.model.branches:
            return "baseline"
        if self.model.ensemble_size > 1:
            return "ensemble"
        if self.model.target_parameters:
            return "widened"
        return "single" if len(self.model.branches) == 1 else "fusion"

    @property
    def run_name(self) -> str:
        """Name of the run's folder: readable words, then the hash."""
        model, data = self.model, self.data
        branches = [
            f"{get_representation(branch)}-{get_label(encoder)}"
            for branch, encoder in model.branches.items()
        ]
        words = ["+".join(branches)]
        if len(model.branches) > 1:
            words.insert(0, get_label(model.fusion))
        if model.ensemble_size > 1:
            words.insert(0, f"{model.ensemble_size}x")
        if model.target_parameters:
            words.insert(0, f"widened{model.target_parameters}")
        if data.n_folds:
            words.append(f"fold{data.fold}of{data.n_folds}")
        return "_".join([*words, f"seed{self.training.seed}", self.hash])

    def _check_named_representations(self) -> None:
        """Refuse another representation of a kind without anything that distinguishes it."""
        for name in self.representations:
            kind = get_kind(name)
            if name != kind and not self.inputs.representation_options.get(name):
                raise ExperimentError(
                    f"branches={self.model.branches}: representation_options has nothing for "
                    f"{name!r}. Give it options, which distinguish it from {kind!r}, or the "
                    f"{LAYER!r} that computes it."
                )

    def _check_fusion_options(self) -> None:
        for settings in (self.model, self.training):
            for field in dataclasses.fields(settings):
                families = field.metadata["setting"].fusion_families
                value = getattr(settings, field.name)
                fits = not families or get_fusion_family(self.model.fusion) in families
                if value != field.default and not fits:
                    raise ExperimentError(
                        f"{field.name}={value} with fusion={self.model.fusion!r}: it is an option "
                        f"of {', '.join(families)} fusions. Leave it out, or choose one of those."
                    )

    def _reset_network_settings(self) -> None:
        """Set what decides nothing for trees to its default, after it was checked."""
        model, options = self.model, self.inputs.representation_options
        if model.ensemble_size > 1 or model.target_parameters or options:
            raise ExperimentError(
                f"ensemble_size={model.ensemble_size}, target_parameters="
                f"{model.target_parameters} and representation_options={options} with the baseline "
                f"{model.branches!r}: trees are an ensemble already, cannot be widened, and their "
                f"inputs have no options. Leave all three out."
            )
        for group, settings in self.GROUPS.items():
            current = getattr(self, group)
            kept = {
                field.name: getattr(current, field.name)
                for field in dataclasses.fields(settings)
                if field.metadata["setting"].used_by_trees
            }
            self._set(group, settings(**kept))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _field_names(group: type[SettingsGroup]) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]


def list_fields() -> dict[str, dataclasses.Field]:
    """List the fields of all settings by name, in the order of the groups.

    Examples
    --------
    >>> list_fields()["epochs"].default
    20
    """
    return {
        field.name: field
        for group in Experiment.GROUPS.values()
        for field in dataclasses.fields(group)
    }


def list_settings() -> dict[str, Setting]:
    """List the declarations of all settings by name, in the order of the groups.

    Examples
    --------
    >>> list_settings()["monitor"].choices
    ('auroc', 'f1', 'none')
    """
    return {name: field.metadata["setting"] for name, field in list_fields().items()}


def find_setting_problems(values: Mapping[str, Any]) -> dict[str, ExperimentError]:
    """Find every setting that is wrong, where `Experiment` raises the first error.

    Parameters
    ----------
    values : mapping of str to object
        Setting -> value; names that are no settings are ignored.

    Returns
    -------
    dict of str to ExperimentError
        Setting -> what is wrong with its value, and the name of a group -> what is wrong with
        values of the group together. Contradictions between groups are not found.

    Examples
    --------
    >>> list(find_setting_problems({"epochs": 0, "width": -1, "dropout": 1.5, "seed": 3}))
    ['width', 'dropout', 'epochs']
    >>> list(find_setting_problems({"epochs": 0, "branches": {"time": "lstn"}}))
    ['model', 'epochs']
    """
    problems: dict[str, ExperimentError] = {}
    for group, settings in Experiment.GROUPS.items():
        given = {name: values[name] for name in _field_names(settings) if name in values}
        wrong: dict[str, ExperimentError] = {}
        for field in dataclasses.fields(settings):
            if field.name in given:
                accepted = field.metadata["setting"]
                try:
                    convert_value(
                        field.name, given[field.name], field.type, accepted, ExperimentError
                    )
                except ExperimentError as error:
                    wrong[field.name] = error
        is_complete = all(
            field.name in given for field in dataclasses.fields(settings) if _is_required(field)
        )
        if is_complete and not wrong:
            try:
                settings(**given)
            except ExperimentError as error:
                wrong[group] = error
        problems |= wrong
    return problems


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def describe_settings() -> str:
    """Return the reference of all settings as a Markdown table, from their declarations.

    Examples
    --------
    >>> print(describe_settings().splitlines()[0])
    | setting | group | type | default | accepted | what it decides |
    """
    lines = [
        "| setting | group | type | default | accepted | what it decides |",
        "|---|---|---|---|---|---|",
    ]
    for group, settings in Experiment.GROUPS.items():
        for field in dataclasses.fields(settings):
            setting = field.metadata["setting"]
            default = "needed" if _is_required(field) else f"`{_default(field)!r}`"
            cells = [
                f"`{field.name}`",
                group,
                f"`{format_type(field.type)}`",
                default,
                _describe_accepted(setting),
                setting.help,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: dataclasses.Field) -> Any:
    if field.default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _describe_accepted(setting: Setting) -> str:
    families = ", ".join(setting.fusion_families)
    parts = (setting.describe(), f"{families} fusions" if families else "")
    return "; ".join(part for part in parts if part)


def _hash(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
