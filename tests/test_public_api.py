"""The package's public names are loaded on first use."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ecglib

PUBLIC_NAMES = ecglib.__all__
SLOW_IMPORTS = ("keras", "tensorflow", "pandas", "numpy", "matplotlib", "wfdb")


def names_for_type_checkers():
    """The imports below ``if TYPE_CHECKING``: name -> module."""
    tree = ast.parse(Path(ecglib.__file__).read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {alias.asname: node.module for node in block.body for alias in node.names}


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_is_the_object_of_its_module(name):
    module = importlib.import_module(names_for_type_checkers()[name])

    assert getattr(ecglib, name) is getattr(module, name)
    assert name in dir(ecglib)


def test_type_checkers_see_the_same_names():
    assert sorted(names_for_type_checkers()) == sorted(PUBLIC_NAMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ecglib.trian  # noqa: B018


def test_importing_the_package_imports_nothing_slow():
    code = f"import sys, ecglib; print([m for m in {SLOW_IMPORTS!r} if m in sys.modules])"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "[]"


def test_opening_datasets_and_runs_does_not_import_keras():
    code = (
        "import sys, ecglib; ecglib.prepare, ecglib.Experiment, ecglib.find_runs; "
        "print('keras' in sys.modules)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "False"
