"""Getting ECGs in: one module a source, the prepared store, integrity."""

from pathlib import Path

from ecglib import folders
from ecglib.datasets.store import Dataset, find_stores, is_store, write_store
from ecglib.errors import DatasetError

DESCRIPTIONS = {
    "synthetic": "12 leads, 10 s, 100 Hz, five superclasses; made on the spot, needs no source",
    "mitdb": "MIT-BIH Arrhythmia Database; source: its folder, or downloaded with wfdb",
}


def open_source(name: str, data_dir: str | Path, source: str | Path | None = None):
    """The source of that name, ready to be written to a store.

    Parameters
    ----------
    name
        a key of `DESCRIPTIONS`.
    data_dir
        where a download goes.
    source
        folder that holds the data as published.

    Raises
    ------
    DatasetError
        there is no source of that name, or it does not find its files.
    """
    if name == "synthetic":
        from ecglib.datasets.synthetic import SyntheticSource

        if source:
            raise DatasetError(f"Dataset 'synthetic' takes no source, {str(source)!r} was given.")
        return SyntheticSource()
    if name == "mitdb":
        from ecglib.datasets import mitdb

        return mitdb.MitdbSource(source or mitdb.download(Path(data_dir) / "raw" / "mitdb"))
    raise DatasetError(f"No source is called {name!r}. Known: {list(DESCRIPTIONS)}.")


def prepare(
    name: str,
    data_dir: str | Path = "",
    source: str | Path | None = None,
    progress: bool = True,
) -> Dataset:
    """Prepare a dataset once, or open what has been prepared.

    Parameters
    ----------
    name
        a key of `DESCRIPTIONS`, or the path of a store.
    data_dir
        folder of the stores; empty for the usual one (`ecglib.folders`).
    source
        folder that holds the data as published. Without it a store that exists is opened,
        and only where there is none the data is downloaded.
    progress
        show a progress bar.

    Raises
    ------
    DatasetError
        see `open_source`, `open_dataset` and `store.write_store`.
    """
    made_here, data_dir = name == "synthetic", folders.data_dir(data_dir)
    if is_store(name) or (not source and not made_here and find_stores(data_dir, name)):
        return open_dataset(name, data_dir)
    return write_store(open_source(name, data_dir, source or None), data_dir, progress)


def open_dataset(name: str, data_dir: str | Path = "") -> Dataset:
    """Open a prepared store by the dataset's name, by its folder's name or by path.

    Raises
    ------
    DatasetError
        there is none, or a name fits several stores.
    """
    data_dir = folders.data_dir(data_dir)
    for path in (Path(name), data_dir / name):
        if is_store(path):
            return Dataset(path)
    stores = find_stores(data_dir, name)
    if not stores:
        raise DatasetError(
            f"No prepared store of {name!r} below {data_dir}. Run `ecglib prepare {name}` first."
        )
    if len(stores) > 1:
        raise DatasetError(
            f"{len(stores)} stores of {name!r} below {data_dir}: {[p.name for p in stores]}. Give "
            f"the folder name of the one you mean, or remove the others."
        )
    return Dataset(stores[0])
