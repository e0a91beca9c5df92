"""Small prepared stores, and that of MIT-BIH where the data is."""

import pytest
from made import shared_data, small_source

from ecglib.datasets.store import Dataset
from ecglib.datasets.writer import write_store


@pytest.fixture(scope="session")
def small_store(tmp_path_factory) -> Dataset:
    return write_store(small_source(), tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="session")
def small_class_store(tmp_path_factory) -> Dataset:
    source = small_source(kind="multi_class")
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="session")
def mitdb_store(tmp_path_factory) -> Dataset:
    from ecglib.datasets.sources.mitdb import MitdbSource

    source = MitdbSource(shared_data("mitdb"))
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)
