"""Imports run one way, from the command line down to the errors."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ecglib"
FILES = sorted(PACKAGE.rglob("*.py"))
# A room imports only from the rooms before it.
ROOMS = (
    "errors",
    "paths",
    "_display",
    "_keras",
    "splits",
    "datasets",
    "experiment",
    "preprocessing",
    "representations",
    "evaluation",
    "models",
    "runs",
    "training",
    "inference",
    "explain",
    "robustness",
    "plots",
    "display",
    "batch",
    "cli",
    "__main__",
)
# Within datasets, the same for its inner rooms and modules.
DATASETS = (
    "options",
    "units",
    "leads",
    "schema",
    "tables",
    "labels",
    "problems",
    "quality",
    "duplicates",
    "wfdb",
    "formats",
    "tabular",
    "selection",
    "store",
    "writer",
    "sources",
    "catalog",
)
# A method that leads on from an object to a later room imports it when it is used.
LEADING_ON = {("_display.py", "display"), ("runs/run.py", "inference")}
NEEDS_KERAS = {
    "_keras",
    "preprocessing",
    "representations",
    "models",
    "training",
    "inference",
    "explain",
    "robustness",
}


def imported_modules(path):
    """The modules of ecglib that a file imports, type-only imports included."""
    for parts in every_import(path):
        if (path.relative_to(PACKAGE).as_posix(), *parts[:1]) not in LEADING_ON:
            yield parts


def every_import(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1:] for name in names if name.split(".")[0] == "ecglib")


def place(parts, order):
    """The place in the order of the first part that has one; None for the package itself."""
    return order.index(parts[0]) if parts and parts[0] in order else None


def parts_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def test_every_module_at_the_top_has_a_place_in_the_order():
    names = {parts_of(path)[0] for path in FILES if parts_of(path)}
    assert names == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: ".".join(parts_of(path)) or "ecglib")
def test_a_room_imports_only_from_rooms_before_it(path):
    room = place(parts_of(path), ROOMS)
    for imported in imported_modules(path):
        found = place(imported, ROOMS)
        if room is not None and found is not None:
            assert found <= room, f"{path} imports ecglib.{'.'.join(imported)}"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if parts_of(path)[:1] == ("datasets",)],
    ids=lambda path: ".".join(parts_of(path)),
)
def test_within_datasets_too(path):
    room = place(parts_of(path)[1:], DATASETS)
    for imported in imported_modules(path):
        found = place(imported[1:], DATASETS) if imported[:1] == ["datasets"] else None
        if room is not None and found is not None:
            assert found <= room, f"{path} imports ecglib.{'.'.join(imported)}"


@pytest.mark.parametrize(("file", "room"), sorted(LEADING_ON))
def test_what_leads_on_is_imported_on_use_only(file, room):
    assert any(parts[:1] == [room] for parts in every_import(PACKAGE / file))
    module = ".".join(parts_of(PACKAGE / file))
    code = f"import sys, ecglib.{module}; print('ecglib.{room}' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_no_module_takes_part_in_a_circle():
    graph = {parts_of(path): set(imported_from(path)) for path in FILES}
    order, done = [], set()
    while ready := [m for m in graph if m not in done and graph[m] - {m} <= done]:
        done.update(ready)
        order += ready
    assert set(graph) == done, sorted(".".join(m) for m in set(graph) - done)


def imported_from(path):
    """The files that a file imports from; a package stands for its __init__."""
    known = {parts_of(other) for other in FILES}
    for parts in imported_modules(path):
        while tuple(parts) not in known:
            parts = parts[:-1]
        if parts:
            yield tuple(parts)


def test_only_what_runs_on_tensorflow_alone_imports_it():
    pattern = re.compile(r"^\s*(import|from) tensorflow", re.MULTILINE)
    files = {path.name for path in FILES if pattern.search(path.read_text())}
    feeding = {"input_pipeline.py", "devices.py"}
    assert files == feeding | {"batch_normalization.py", "converters.py", "gradients.py"}


@pytest.mark.parametrize("room", sorted(set(ROOMS) - NEEDS_KERAS - {"__main__"}))
def test_rooms_that_need_no_keras_do_not_import_it(room):
    for path in FILES:
        if parts_of(path)[:1] == (room,):
            top_level = ast.parse(path.read_text()).body
            for node in top_level:
                names = {alias.name for alias in getattr(node, "names", [])}
                assert "keras" not in names, path
                assert not any(m[:1] == [r] for r in NEEDS_KERAS for m in modules_of(node)), path


def modules_of(node):
    module = getattr(node, "module", None) or ""
    for alias in getattr(node, "names", []):
        name = f"{module}.{alias.name}" if module else alias.name
        if name.split(".")[0] == "ecglib":
            yield name.split(".")[1:]
