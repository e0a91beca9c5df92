"""The cards of encoders and fusions: a page for each representation, and one for the fusions.

The text is that of the docstrings, the figures are those of ``docs/cards/models.json``
(``python -m docs.cards.measure_models``).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from numpydoc.docscrape import FunctionDoc

from ecglib.experiment.registry import FUSIONS, REPRESENTATIONS, TABULAR
from ecglib.models.encoders import load_encoder
from ecglib.models.fusion.loading import load_fusion
from generate.markdown import format_table

FIGURES = Path(__file__).parents[1] / "cards" / "models.json"
FOLDER = "models"
NO_SOURCE = "It follows no paper."
SIGNALS = {
    "synthetic": "12 leads for 10 s at 100 Hz",
    "mitdb": "2 leads for 4 s at 120 Hz, as of `mitdb`",
}


def write_pages(folder: Path) -> None:
    """Write the page of each representation's encoders, and that of the fusions."""
    (folder / FOLDER).mkdir(exist_ok=True)
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    pages = {f"encoders_{group[0]}": format_encoders(group, figures) for group in group_encoders()}
    pages["fusions"] = format_fusions(figures)
    for name, text in pages.items():
        (folder / FOLDER / f"{name}.md").write_text(text, encoding="utf-8")


def group_encoders() -> list[list[str]]:
    """Group the representations that have the same encoders."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, one in REPRESENTATIONS.items():
        groups.setdefault(tuple(one.encoders.items()), []).append(name)
    return list(groups.values())


def format_encoders(representations: list[str], figures: Mapping[str, Any]) -> str:
    """Format the page of the encoders of some representations."""
    first = representations[0]
    names = " and ".join(f"`{name}`" for name in representations)
    parts = [
        f"# Encoders for {names}",
        f"At `width: {figures['width']}`, `feature_dim: {figures['feature_dim']}` and with a head "
        f"for {figures['n_classes']} classes. Multiply-adds are those of the convolutions and "
        "matrix products of one window, in millions. *Training* is the CPU time of a training step "
        f"of {figures['batch']} windows of {SIGNALS['synthetic']} with one thread, as a multiple "
        f"of that of `{figures['reference']}` (TensorFlow {figures['versions']['tensorflow']}).",
    ]
    for representation in representations:
        if len(representations) > 1:
            parts.append(f"## Figures for `{representation}`")
        parts.append(format_figures(representation, figures))
    for encoder in REPRESENTATIONS[first].encoders:
        function = load_encoder(first, encoder)
        parts += [f"## `{encoder}`", *describe(function)]
    parts += ["## How the figures were made", f"```sh\n{figures['command']}\n```"]
    return "\n\n".join(parts) + "\n"


def format_figures(representation: str, figures: Mapping[str, Any]) -> str:
    """Format the table of the encoders of a representation."""
    rows = []
    for encoder, one in figures["encoders"][representation].items():
        cells: list[object] = [f"[`{encoder}`](#{encoder})"]
        for dataset in SIGNALS:
            cells += [one[dataset]["parameters"], format_millions(one[dataset])]
        cells.insert(1, f"{one['step_ratio']:.1f}")
        rows.append(cells)
    titles, windows = [], []
    for dataset, signal in SIGNALS.items():
        shape = tuple(figures["shapes"][dataset][representation])
        titles += [f"parameters, {shape}", f"10⁶ multiply-adds, {shape}"]
        what = "the tabular values" if representation == TABULAR else "a window"
        windows.append(f"{shape} is the shape of {what} of {signal}")
    table = format_table(["encoder", "training", *titles], rows)
    return f"{table}\n\n{'; '.join(windows)}."


def format_fusions(figures: Mapping[str, Any]) -> str:
    """Format the page of the fusions."""
    branches = ", ".join(f"{name}: {encoder}" for name, encoder in figures["branches"].items())
    rows = [
        [f"[`{name}`](#{name})", one["parameters"], format_millions(one)]
        for name, one in figures["fusions"].items()
    ]
    parts = [
        "# Fusions",
        f"Figures are of `branches: {{{branches}}}` at `width: {figures['width']}` and "
        f"`feature_dim: {figures['feature_dim']}`, for windows of {SIGNALS['synthetic']}.",
        format_table(["fusion", "parameters", "10⁶ multiply-adds"], rows),
    ]
    for name in FUSIONS:
        parts += [f"## `{name}`", *describe(load_fusion(name))]
    parts += ["## How the figures were made", f"```sh\n{figures['command']}\n```"]
    return "\n\n".join(parts) + "\n"


def describe(function: Callable[..., Any]) -> list[str]:
    """Return what the docstring says of an encoder or a fusion, and where its code is described."""
    doc = FunctionDoc(function)
    place = f"{function.__module__}.{function.__name__}"
    parts = (doc["Summary"], doc["Extended Summary"], doc["Notes"] or [NO_SOURCE])
    return [*map(join_lines, filter(None, parts)), f"Code: {{py:func}}`{place}`"]


def join_lines(lines: Iterable[str]) -> str:
    """Join the lines of a section of a docstring."""
    return "\n".join(lines).strip()


def format_millions(one: Mapping[str, int]) -> str:
    """Format the multiply-adds, in millions."""
    return f"{one['multiply_adds'] / 1e6:.3g}"
