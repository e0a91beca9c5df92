"""The reference of settings, from their declarations in `ecglib.experiment.settings`.

One file for each group of settings, and one each for the options of representations and of
augmentations. ``docs/reference/settings.md`` includes them.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecglib.experiment import Experiment
from ecglib.experiment.registry import AUGMENTATIONS, REPRESENTATIONS
from ecglib.experiment.settings import Setting, format_type

FOLDER = "settings"
SUFFIX = ".rst.txt"  # included, so no page of the site
# Arguments that a layer gets from the dataset and the experiment.
GIVEN = ("sampling_rate", "seed", "kwargs")


def write_pages(folder: Path) -> None:
    """Write the files that the page of settings includes."""
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    for name, group in Experiment.GROUPS.items():
        entries = [format_setting(field) for field in dataclasses.fields(group)]
        (target / f"{name}{SUFFIX}").write_text("\n".join(entries))
    representations = {
        name: f"ecglib.representations.{one.layer}" for name, one in REPRESENTATIONS.items()
    }
    augmentations = {
        name: f"ecglib.preprocessing.augmentation.{layer}" for name, layer in AUGMENTATIONS.items()
    }
    for name, layers in (("representations", representations), ("augmentations", augmentations)):
        (target / f"{name}{SUFFIX}").write_text(format_options(layers))


def format_setting(field: dataclasses.Field[Any]) -> str:
    """Format a setting as an entry: type, default and what is accepted, then its help."""
    setting: Setting = field.metadata["setting"]
    facts = [f"``{format_type(field.type).replace('typing.', '')}``"]
    if (default := get_default(field)) is not dataclasses.MISSING:
        facts.append(f"default ``{default!r}``")
    if accepted := setting.describe().replace("`", "``"):
        facts.append(f"one of {accepted}" if setting.choices and field.type is str else accepted)
    if setting.fusion_families:
        facts.append(f"only for {', '.join(setting.fusion_families)} fusions")
    elif setting.used_by_trees:
        facts.append("also for the baseline of trees")
    return f".. confval:: {field.name}\n\n   {'; '.join(facts)}.\n\n   {setting.help}\n"


def get_default(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field; `dataclasses.MISSING` if it needs a value."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def format_options(layers: Mapping[str, str]) -> str:
    """Format a table of the options of layers.

    Parameters
    ----------
    layers : mapping of str to str
        Name in an experiment -> full name of the layer.
    """
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - name",
        "     - options with their defaults",
        "     - described at",
    ]
    for name, place in layers.items():
        layer = import_layer(place)
        parameters = inspect.signature(layer).parameters.values()
        options = [
            f"``{one.name}: {one.default!r}``" for one in parameters if one.name not in GIVEN
        ]
        lines += [
            f"   * - ``{name}``",
            f"     - {', '.join(options) or 'none'}",
            f"     - `{layer.__name__}`",
        ]
    return "\n".join(lines) + "\n"


def import_layer(place: str) -> type:
    """Import a layer by its full name."""
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(module), name)
