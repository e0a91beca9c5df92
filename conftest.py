"""The examples in the docstrings of the package run as tests; those that need Keras are slow."""

from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "ecglib"
ROOMS_WITH_KERAS = (
    "preprocessing",
    "representations",
    "models",
    "training",
    "inference",
    "explain",
    "robustness",
)


def pytest_collection_modifyitems(items):
    """Mark the examples that import Keras as slow."""
    folders = {PACKAGE / room for room in ROOMS_WITH_KERAS}
    for item in items:
        if isinstance(item, pytest.DoctestItem) and folders & set(item.path.parents):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _run_examples_in_an_empty_folder(request):
    """Run each example in an empty folder, so that it leaves no file in the checkout."""
    if isinstance(request.node, pytest.DoctestItem):
        folder = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)
