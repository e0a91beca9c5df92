"""Small prepared stores, and that of MIT-BIH if the data is present."""

import pytest
from helpers import find_shared_data, make_small_source

from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store


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
