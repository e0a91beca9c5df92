"""The API reference: a page for each package, and for each of its names by autosummary."""

import ecglib._keras

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from sphinx.pycode import ModuleAnalyzer

import ecglib
from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS
from ecglib.robustness.registry import DISTURBANCES

FOLDER = "api"
ENCODERS = dict.fromkeys(
    place for one in REPRESENTATIONS.values() for place in one.encoders.values()
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A module and those of its names that a page shows.

    Parameters
    ----------
    module : str
        Its docstring introduces the section.
    names : sequence of str
        Full names of functions and classes.
    constants : mapping of str to str
        Name -> its doc comment.
    """

    module: str
    names: Sequence[str]
    constants: dict[str, str]


# Title of a page -> its modules. The first gives the page its name.
PAGES = {
    "Datasets": ("ecglib.datasets",),
    "Splits": ("ecglib.splits",),
    "Experiment": ("ecglib.experiment",),
    "Preprocessing": ("ecglib.preprocessing", "ecglib.preprocessing.augmentation"),
    "Representations": ("ecglib.representations",),
    "Models": ("ecglib.models", "ecglib.models.encoders", "ecglib.models.fusion"),
    "Training": (
        "ecglib.training",
        "ecglib.training.adamw",
        "ecglib.training.optimizers",
        "ecglib.training.trees",
    ),
    "Runs": ("ecglib.runs",),
    "Evaluation": ("ecglib.evaluation",),
    "Inference": ("ecglib.inference",),
    "Explanations": ("ecglib.explain",),
    "Robustness": ("ecglib.robustness",),
    "Batches": ("ecglib.batch",),
    "Plots": ("ecglib.plots",),
    "Tuning": (
        "tuning",
        "tuning.settings",
        "tuning.search",
        "tuning.space",
        "tuning.result",
        "tuning.trials",
        "tuning.finalists",
        "tuning.importance",
        "tuning.optimism",
        "tuning.winner",
        "tuning.plots",
    ),
    "Errors": ("ecglib.errors",),
}

# What a package loads by its place in the registry, besides the names in its `__all__`.
REGISTERED = {
    "ecglib.models.encoders": [f"ecglib.models.encoders.{place}" for place in ENCODERS],
    "ecglib.models.fusion": [f"ecglib.models.fusion.{place}" for place in FUSIONS.values()],
    "ecglib.robustness": [f"ecglib.robustness.{one.function}" for one in DISTURBANCES.values()],
}


def write_pages(folder: Path) -> None:
    """Write the page of each package to a folder of the API reference."""
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    files = set()
    for title, modules in PAGES.items():
        sections = list_sections(modules)
        (target / get_file(modules)).write_text(format_page(title, sections))
        files |= {get_file(modules)}
        files |= {f"{name}.rst" for section in sections for name in section.names}
    for path in target.glob("*.rst"):
        if path.name not in files:  # of a name that is gone
            path.unlink()


def show_signature(
    app: Any, kind: str, name: str, value: Any, *rest: Any
) -> tuple[str, str] | None:
    """Show the arguments of a Keras layer, which autodoc does not find."""
    if kind != "class" or not issubclass(value, keras.layers.Layer):
        return None
    signature = inspect.signature(value)
    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return str(inspect.Signature(bare)), ""


def get_file(modules: Sequence[str]) -> str:
    """Return the name of the page of some modules."""
    return f"{modules[0].rpartition('.')[2]}.rst"


def list_files() -> list[str]:
    """List the pages that autosummary reads, as paths from ``docs``."""
    return [f"generated/{FOLDER}/{get_file(modules)}" for modules in PAGES.values()]


def list_sections(modules: Sequence[str]) -> list[Section]:
    """List the sections of a page; a name stands in the first section that has it."""
    sections: list[Section] = []
    shown: list[object] = []
    for module in modules:
        section = list_section(module)
        new = {name: value for name in section.names if (value := find_value(name)) not in shown}
        sections.append(dataclasses.replace(section, names=list(new)))
        shown += new.values()
    return sections


def find_value(name: str) -> object:
    """Return what a full name means."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def list_section(module_name: str) -> Section:
    """List what is public in a module: its ``__all__``, or else what it defines."""
    module = importlib.import_module(module_name)
    public = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and is_documented(value) and value.__module__ == module_name
    ]
    documented = [name for name in public if is_documented(getattr(module, name))]
    others = [
        name
        for name, place in ecglib._MODULES.items()
        if name not in public and find_page(place) == module_name
    ]
    return Section(
        module=module_name,
        names=[
            *(get_full_name(module_name, name) for name in sorted({*documented, *others})),
            *REGISTERED.get(module_name, []),
        ],
        constants={
            name: read_comment(module_name, name) for name in public if name not in documented
        },
    )


def is_documented(value: object) -> bool:
    """Return whether a value is a function or a class."""
    return inspect.isroutine(value) or inspect.isclass(value)


def find_page(place: str) -> str:
    """Find the first module of the page that a module below it belongs to."""
    firsts = (modules[0] for modules in PAGES.values())
    return next((first for first in firsts if f"{place}.".startswith(f"{first}.")), "")


def get_full_name(module_name: str, name: str) -> str:
    """Return the name by which a user imports something."""
    return f"ecglib.{name}" if name in ecglib.__all__ else f"{module_name}.{name}"


def read_comment(package: str, name: str) -> str:
    """Read the doc comment (``#:``) of a constant in the module that defines it.

    Raises
    ------
    LookupError
        If it has none.
    """
    for module_name, module in sorted(sys.modules.items()):
        if module_name.startswith(package) and hasattr(module, name):
            comments = ModuleAnalyzer.for_module(module_name).find_attr_docs()
            if ("", name) in comments:
                return " ".join(comments["", name]).strip()
    raise LookupError(f"The constant {package}.{name} has no comment that begins with #: above it.")


def format_page(title: str, sections: Sequence[Section]) -> str:
    """Format a page as reStructuredText."""
    blocks = [title, "=" * len(title)]
    for section in sections:
        if section is not sections[0]:
            blocks += ["", section.module, "-" * len(section.module)]
        blocks += ["", f".. automodule:: {section.module}", "   :no-members:"]
        if section.names:
            package = section.module.partition(".")[0]
            blocks += ["", f".. currentmodule:: {package}"]
            blocks += ["", ".. autosummary::", "   :toctree:", "   :nosignatures:", ""]
            blocks += [f"   ~{name.removeprefix(f'{package}.')}" for name in section.names]
        if section.constants:
            blocks += ["", ".. rubric:: Constants"]
        for name, comment in section.constants.items():
            blocks += ["", f".. py:data:: {name}", f"   :module: {section.module}"]
            blocks += ["", f"   {comment}"]
    return "\n".join(blocks) + "\n"
