"""The known datasets by name: open their source, prepare them, open what is prepared."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ecglib import paths
from ecglib.datasets.store import Dataset, find_stores, is_store
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, did_you_mean

DESCRIPTIONS = {
    "synthetic": "12 leads, 10 s, 100 Hz, five superclasses; made on the spot, needs no source",
    "mitdb": "MIT-BIH Arrhythmia Database, beats; source: its folder, or downloaded with wfdb",
    "mitdb_simulated": "the same, and rhythms made of the training patients' beats to learn from",
    "mitdb_rhythm": "the same records, windows of 10 s by rhythm",
    "ptbxl": "PTB-XL at 100 Hz, six tasks; source: its folder, or downloaded with wfdb",
    "ptbxl_500hz": "the same at 500 Hz",
    "cinc2017": "CinC Challenge 2017, AF from one lead; source: its folder, or downloaded",
    "wfdb_folder": "any folder of WFDB records, with a label table or '#Dx:' headers",
    "arrays": "a .npy file and a label table",
}
# What makes each source: module and function or class, the values that are fixed, and, where the
# data can be downloaded, the folder below data/raw.
_MAKERS = {
    "synthetic": ("synthetic", "SyntheticSource", {}, None),
    "mitdb": ("mitdb", "MitdbSource", {}, "mitdb"),
    "mitdb_simulated": ("mitdb", "SimulatedMitdbSource", {}, "mitdb"),
    "mitdb_rhythm": ("mitdb", "MitdbRhythmSource", {}, "mitdb"),
    "ptbxl": ("ptbxl", "open_ptbxl", {"sampling_rate_hz": 100.0}, "ptbxl"),
    "ptbxl_500hz": ("ptbxl", "open_ptbxl", {"sampling_rate_hz": 500.0}, "ptbxl_500hz"),
    "cinc2017": ("cinc2017", "open_cinc2017", {}, "cinc2017"),
    "wfdb_folder": ("wfdb_folder", "open_wfdb_folder", {}, None),
    "arrays": ("arrays", "open_arrays", {}, None),
}


def open_source(
    name: str,
    data_dir: str | Path,
    source: str | Path | None = None,
    options: Mapping | None = None,
):
    """The source of that name, ready to be written to a store.

    Parameters
    ----------
    name
        a key of `DESCRIPTIONS`.
    data_dir
        where a download goes.
    source
        folder (``arrays``: file) that holds the data as published.
    options
        further values for what makes the source, such as `wfdb_folder.WfdbFolderOptions`.

    Raises
    ------
    DatasetError
        there is no source of that name, it does not know an option, or does not find its files.
    """
    if name not in _MAKERS:
        hint = did_you_mean(name, _MAKERS)
        raise DatasetError(f"No source is called {name!r}. Known: {list(DESCRIPTIONS)}.{hint}")
    module_name, maker_name, fixed, below = _MAKERS[name]
    module = importlib.import_module(f"ecglib.datasets.sources.{module_name}")
    maker = getattr(module, maker_name)
    made_here = name == "synthetic"
    options = _checked_options(name, maker, fixed, dict(options or {}), needs_source=not made_here)
    if made_here:
        if source:
            raise DatasetError(f"Dataset 'synthetic' takes no source, {str(source)!r} was given.")
        return maker(**options)
    if not source:
        if below is None:
            raise DatasetError(f"Dataset {name!r} needs a source: where the data lies.")
        source = module.download(Path(data_dir) / "raw" / below, **fixed)
    if not Path(source).exists():
        raise DatasetError(f"The source {source} is not there. Give the path of the data.")
    options_class = _find_options_class(maker)
    if options_class is not None:
        return maker(source, options_class(**options))
    return maker(source, **fixed, **options)


def prepare(
    name: str,
    data_dir: str | Path = "",
    source: str | Path | None = None,
    progress: bool = True,
    *,
    options: Mapping | None = None,
    keep: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strict: bool = False,
) -> Dataset:
    """Prepare a dataset once, or open what has been prepared.

    Parameters
    ----------
    name
        a key of `DESCRIPTIONS`, or the name or path of a store.
    data_dir
        folder of the stores; empty for the usual one (`ecglib.paths`).
    source
        folder that holds the data as published. Without it a store that exists is opened,
        and only where there is none the data is downloaded.
    progress
        show a progress bar.
    options
        see `open_source`.
    keep, exclude, strict
        what becomes of records that have a problem, see `writing.write_store`.

    Raises
    ------
    DatasetError
        see `open_source`, `open_dataset` and `writing.write_store`.
    """
    made_here, data_dir = name == "synthetic", paths.data_dir(data_dir)
    asked_anew = source or options or keep or exclude or strict or made_here
    if is_store(name) or (not asked_anew and find_stores(data_dir, name)):
        return open_dataset(name, data_dir)
    return write_store(
        open_source(name, data_dir, source or None, options),
        data_dir,
        progress,
        keep=keep,
        exclude=exclude,
        strict=strict,
    )


def open_dataset(name: str, data_dir: str | Path = "") -> Dataset:
    """Open a prepared store by the dataset's name, by its folder's name or by path.

    Raises
    ------
    DatasetError
        there is none, or a name fits several stores.
    """
    data_dir = paths.data_dir(data_dir)
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


def _find_options_class(maker: Callable) -> type | None:
    """Return the dataclass that holds the options of a source, if it has one."""
    parameter = inspect.signature(maker).parameters.get("options")
    return parameter.annotation if parameter is not None else None


def _checked_options(name: str, maker, fixed: dict, options: dict, needs_source: bool) -> dict:
    options_class = _find_options_class(maker)
    if options_class is not None:
        parameters = list(inspect.signature(options_class).parameters.values())
    else:
        parameters = list(inspect.signature(maker).parameters.values())[int(needs_source) :]
    known = [p.name for p in parameters if p.name not in fixed]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise DatasetError(f"Dataset {name!r} has no option {option!r}; it has {known}.{hint}")
    needed = {p.name for p in parameters if p.default is p.empty} - set(fixed)
    if missing := needed - set(options):
        raise DatasetError(
            f"Dataset {name!r} also needs {sorted(missing)}: give each, for example "
            f"--set {sorted(missing)[0]}=..."
        )
    return options
