"""Small prepared stores, and that of MIT-BIH if the data is present."""

import gc
import sys
from collections import Counter

import pytest
from helpers import find_shared_data, make_small_source

from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store

# TensorFlow holds a million objects, all of which a full collection visits: a twelfth of the time.
gc.set_threshold(20_000, 10, 10)


def pytest_collection_modifyitems(items):
    """Begin with the files of many slow tests: the last to end are short ones on every core."""
    n_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -n_slow[item.path])


@pytest.fixture
def module_folder(tmp_path, monkeypatch):
    """A working directory for modules called tested_..., which is not on the path of Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    yield tmp_path
    for name in [one for one in sys.modules if one.startswith("tested_")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def small_store(tmp_path_factory) -> Dataset:
    return write_store(make_small_source(), tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="session")
def small_class_store(tmp_path_factory) -> Dataset:
    source = make_small_source(kind="multi_class")
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="session")
def mitdb_store(tmp_path_factory) -> Dataset:
    from ecglib.datasets.sources.mitdb import MitdbSource

    source = MitdbSource(find_shared_data("mitdb"))
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)
