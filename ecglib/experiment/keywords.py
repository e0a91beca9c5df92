"""The settings of an experiment as keywords of a function."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ecglib.datasets.store import Dataset, require_dataset
from ecglib.errors import ExperimentError, did_you_mean
from ecglib.experiment.config import Experiment, list_fields
from ecglib.experiment.import_paths import MAIN
from ecglib.experiment.settings import format_type

OF_THE_DATASET = ("dataset", "fingerprint")
PLACEHOLDER = "    **settings\n"

Function = TypeVar("Function", bound=Callable[..., Any])


def show_settings(function: Function) -> Function:
    """Show every setting in the signature and the docstring of a function that takes them.

    Parameters
    ----------
    function : callable
        Takes ``**settings``; its docstring has a parameter of that name.

    Returns
    -------
    callable
        The same function. Completion and help read what was added.

    Examples
    --------
    >>> @show_settings
    ... def train(data, **settings):
    ...     pass
    >>> "learning_rate" in inspect.signature(train).parameters
    True
    """
    parameters = list(inspect.signature(function).parameters.values())
    fixed = [one for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD]
    by_keyword = [one for one in fixed if one.kind is inspect.Parameter.KEYWORD_ONLY]
    others = [one for one in fixed if one not in by_keyword]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=field.type,
            default=_get_default(name, field),
        )
        for name, field in _list_keywords().items()
    ]
    signature = inspect.signature(function).replace(parameters=[*others, *added, *by_keyword])
    vars(function)["__signature__"] = signature
    lines = [
        f"    {name} : {format_type(field.type)}\n        {field.metadata['setting'].help}\n"
        for name, field in _list_keywords().items()
    ]
    function.__doc__ = (function.__doc__ or "").replace(PLACEHOLDER, PLACEHOLDER + "".join(lines))
    return function


def build_experiment(
    data: Dataset,
    experiment: Experiment | None,
    settings: Mapping[str, Any],
    others: Mapping[str, Any],
) -> Experiment:
    """Build the experiment that a user describes by keywords.

    Parameters
    ----------
    data : Dataset
        The prepared store.
    experiment : Experiment or None
        Its settings hold where no keyword says otherwise; without it the defaults do.
    settings : mapping of str to object
        The keywords.
    others : mapping of str to object
        The other parameters of the function by name, to suggest them.

    Returns
    -------
    Experiment
        All settings; the task is the dataset's first one where none is named.

    Raises
    ------
    DatasetError
        If `data` is no dataset.
    ExperimentError
        If `experiment` is none, a name is unknown, or as for `Experiment`.

    Examples
    --------
    >>> build_experiment("synthetic", None, {"branches": {"time": "cnn"}}, {})
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: 'synthetic' is a name, ...
    """
    if isinstance(data, Experiment):
        raise ExperimentError(
            "The experiment was given first. The dataset comes first: train(data, experiment)."
        )
    require_dataset(data)
    if isinstance(experiment, Mapping):
        raise ExperimentError(
            "The settings were given as a mapping. Give them as keywords: train(data, **settings)."
        )
    if experiment is not None and not isinstance(experiment, Experiment):
        raise ExperimentError(
            f"{type(experiment).__name__} was given, expected an experiment or settings as "
            f"keywords, as in train(data, branches={{'time': 'cnn'}})."
        )
    known = _list_keywords()
    for name in settings:
        if name in OF_THE_DATASET:
            raise ExperimentError(f"{name}={settings[name]!r} is that of the data. Leave it out.")
        if name not in known:
            hint = did_you_mean(name, [*known, *others])
            listed = "" if hint else f" All are: {', '.join(known)}."
            raise ExperimentError(
                f"There is no setting {name!r}.{hint}{listed} help(ecglib.train) describes them."
            )
    branches = settings.get("branches", {} if experiment is None else experiment.model.branches)
    if not isinstance(branches, Mapping) or not branches:
        raise ExperimentError(
            f"branches={branches!r}, expected representations with their encoders, as in "
            f"branches={{'time': 'cnn'}}. ecglib.list_encoders() lists them."
        )
    _refuse_functions(branches, settings.get("fusion"))
    if experiment is not None:
        return experiment.replace(**settings)
    return Experiment.from_flat(settings, data)


def _list_keywords() -> dict[str, dataclasses.Field]:
    """List the settings that a user gives by name: the model first, then the others."""
    fields = list_fields()
    names = dict.fromkeys(("branches", "fusion", *fields))
    return {name: fields[name] for name in names if name not in OF_THE_DATASET}


def _refuse_functions(branches: Mapping[str, Any], fusion: Any) -> None:
    """Refuse a function in place of its import path, which every process can look up."""
    given = {f"branches[{name!r}]": encoder for name, encoder in branches.items()}
    for what, value in (given | {"fusion": fusion}).items():
        if callable(value):
            module, name = getattr(value, "__module__", ""), getattr(value, "__name__", "")
            where = f"{module}:{name}" if module != MAIN else f"my_module:{name}"
            file = " Put it into a file, my_module.py." if module == MAIN else ""
            raise ExperimentError(
                f"{what} is a function, expected a name. Give its import path, {where!r}.{file}"
            )


def _get_default(name: str, field: dataclasses.Field) -> Any:
    if name == "task":
        return ""  # the dataset's first one
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
