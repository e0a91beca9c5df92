"""The known datasets by name: open their source, prepare them, open prepared stores."""

import dataclasses
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from ecglib import paths
from ecglib._display import Listing
from ecglib.datasets.options import convert_value, list_options
from ecglib.datasets.problems import DEFAULT_RULES, ProblemRules
from ecglib.datasets.request import find_changes, get_request, is_path, to_plain
from ecglib.datasets.schema import Source
from ecglib.datasets.store import Dataset, find_stores, is_store
from ecglib.datasets.store_files import SUMMARY, read_summary
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownSource:
    """A dataset that can be prepared by name.

    Parameters
    ----------
    description : str
        One line for people.
    module : str
        Module of `ecglib.datasets.sources`.
    opener : str
        Class or function in it that makes the source.
    settings : mapping of str to object, default {}
        Arguments of the opener, and of the module's ``download``, that are fixed.
    options_class : str, default ""
        Dataclass in the module with the options of the opener; "" if they are its keyword
        arguments.
    download_folder : str, default ""
        Folder below ``data/raw`` that the module's ``download`` fills; "" if there is no download.
    needs_files : bool, default True
        Whether the opener's first argument is the path of the published data.

    Examples
    --------
    >>> SOURCES["ptbxl"].settings
    {'sampling_rate_hz': 100.0}
    """

    description: str
    module: str
    opener: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options_class: str = ""
    download_folder: str = ""
    needs_files: bool = True


PREPARED = "; prepared"

#: Every known source by name.
SOURCES = {
    "synthetic": KnownSource(
        description="12 leads, 10 s, 100 Hz, five superclasses; simulated, needs no source",
        module="synthetic",
        opener="SyntheticSource",
        needs_files=False,
    ),
    "synthetic_evidence": KnownSource(
        description="simulated; rhythm, shape and spectrum hold different evidence",
        module="synthetic_evidence",
        opener="SyntheticEvidenceSource",
        needs_files=False,
    ),
    "synthetic_pointing": KnownSource(
        description="simulated; each class at one place, which explanations should find",
        module="synthetic_pointing",
        opener="SyntheticPointingSource",
        needs_files=False,
    ),
    "mitdb": KnownSource(
        description="MIT-BIH Arrhythmia Database, beats; source: its folder, or downloaded",
        module="mitdb",
        opener="MitdbSource",
        download_folder="mitdb",
    ),
    "mitdb_simulated": KnownSource(
        description="the same, and training rhythms simulated from the training patients' beats",
        module="mitdb",
        opener="SimulatedMitdbSource",
        download_folder="mitdb",
    ),
    "mitdb_rhythm": KnownSource(
        description="the same records, windows of 10 s by rhythm",
        module="mitdb",
        opener="MitdbRhythmSource",
        download_folder="mitdb",
    ),
    "ptbxl": KnownSource(
        description="PTB-XL at 100 Hz, six tasks; source: its folder, or downloaded",
        module="ptbxl",
        opener="open_ptbxl",
        settings={"sampling_rate_hz": 100.0},
        download_folder="ptbxl",
    ),
    "ptbxl_500hz": KnownSource(
        description="the same at 500 Hz",
        module="ptbxl",
        opener="open_ptbxl",
        settings={"sampling_rate_hz": 500.0},
        download_folder="ptbxl_500hz",
    ),
    "cinc2017": KnownSource(
        description="CinC Challenge 2017, AF from one lead; source: its folder, or downloaded",
        module="cinc2017",
        opener="open_cinc2017",
        download_folder="cinc2017",
    ),
    "wfdb_folder": KnownSource(
        description="any folder of WFDB records, with a label table or '#Dx:' headers",
        module="wfdb_folder",
        opener="open_wfdb_folder",
        options_class="WfdbFolderOptions",
    ),
    "csv_folder": KnownSource(
        description="any folder of CSV files, one per record, with a label table",
        module="csv_folder",
        opener="open_csv_folder",
        options_class="CsvFolderOptions",
    ),
    "edf_folder": KnownSource(
        description="any folder of EDF or BDF files, one per record, with a label table",
        module="edf_folder",
        opener="open_edf_folder",
        options_class="FileFolderOptions",
    ),
    "arrays": KnownSource(
        description="a .npy file and a label table",
        module="arrays",
        opener="open_arrays",
        options_class="ArraysOptions",
    ),
}


def list_datasets(data_dir: str | Path = "") -> Listing:
    """List the datasets that can be prepared by name, and the other stores that are prepared.

    Parameters
    ----------
    data_dir : str or Path, default ""
        Folder of the stores; "" for the default (`ecglib.paths.data_dir`).

    Returns
    -------
    Listing
        Name, as for `prepare` -> what it is, and whether it is prepared.

    Examples
    --------
    >>> list_datasets("nowhere")["synthetic_evidence"]
    'simulated; rhythm, shape and spectrum hold different evidence'
    """
    lines = {name: source.description for name, source in SOURCES.items()}
    for store in find_stores(paths.data_dir(data_dir)):
        name = store.name.rpartition("-")[0]
        if name not in SOURCES:
            lines[store.name] = "a prepared store"
        elif not lines[name].endswith(PREPARED):
            lines[name] += PREPARED
    return Listing("Datasets, as in ecglib.prepare('synthetic')", lines)


def open_source(
    name: str,
    data_dir: str | Path,
    source: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Source:
    """Open a known source, downloading it if necessary.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.
    data_dir : str or Path
        Folder of the stores; downloads go to ``raw`` in it.
    source : str or Path, optional
        Folder (``arrays``: file) that holds the data as published. By default it is downloaded.
    options : mapping of str to object, optional
        Options of the source, such as those of `wfdb_folder.WfdbFolderOptions`.

    Returns
    -------
    Source
        The source, ready for `write_store`.

    Raises
    ------
    DatasetError
        If there is no source of that name, it has no such option, or its files are missing.

    Examples
    --------
    >>> open_source("synthetic", "data", options={"n_patients": 10}).signal.sampling_rate_hz
    100.0
    """
    if name not in SOURCES:
        hint = did_you_mean(name, SOURCES)
        raise DatasetError(f"No source is called {name!r}. Known: {list(SOURCES)}.{hint}")
    known = SOURCES[name]
    module = importlib.import_module(f"ecglib.datasets.sources.{known.module}")
    opener = getattr(module, known.opener)
    options_class = getattr(module, known.options_class) if known.options_class else None
    parameters = _list_parameters(options_class or opener)
    if known.needs_files and not options_class:
        parameters = parameters[1:]  # the path
    options = dict(options or {})
    _check_options(name, options, [p for p in parameters if p.name not in known.settings])
    types = list_options(options_class or opener)
    options = {key: convert_value(key, value, types[key][1]) for key, value in options.items()}
    arguments: dict[str, Any] = {**known.settings, **options}
    if options_class:
        arguments = {"options": options_class(**options)}
    if not known.needs_files:
        if source:
            raise DatasetError(
                f"Dataset {name!r} is simulated and takes no source, but source={str(source)!r}. "
                f"Leave the source out."
            )
        return _check_source(cast(Source, opener(**arguments)), parameters)
    if not source:
        if not known.download_folder:
            raise DatasetError(
                f"Dataset {name!r} needs a source. Give the path of the data after the name: "
                f"`ecglib prepare {name} PATH`, or prepare({name!r}, path)."
            )
        source = module.download(Path(data_dir) / "raw" / known.download_folder, **known.settings)
    if not Path(source).exists():
        raise DatasetError(f"The source {source} does not exist. Give the path of the data.")
    return _check_source(cast(Source, opener(source, **arguments)), parameters)


def prepare(
    name: str | Path,
    source: str | Path | None = None,
    *,
    data_dir: str | Path = "",
    progress: bool = True,
    options: Mapping[str, Any] | None = None,
    rules: ProblemRules = DEFAULT_RULES,
) -> Dataset:
    """Prepare a dataset once, or open its store if it is prepared.

    Parameters
    ----------
    name : str or Path
        A key of `SOURCES`, or the name or path of a store.
    source : str or Path, optional
        Folder (``arrays``: file) that holds the data as published. Without it an existing store is
        opened, and only if there is none the data is downloaded.
    data_dir : str or Path, default ""
        Folder of the stores; "" for the default (`ecglib.paths.data_dir`).
    progress : bool, default True
        Whether to show a progress bar.
    options : mapping of str to object, optional
        Options of the source, see `open_source`.
    rules : ProblemRules, default DEFAULT_RULES
        Which problems exclude a record, see `write_store`.

    Returns
    -------
    Dataset
        The opened store.

    Raises
    ------
    DatasetError
        As for `open_source`, `open_dataset` and `write_store`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 10})
    ...     again = open_dataset("synthetic", folder)
    >>> dataset.fingerprint == again.fingerprint
    True
    """
    name, data_dir = _require_name(name), paths.data_dir(data_dir)
    is_specific = bool(source or options) or rules != DEFAULT_RULES
    is_simulated = name in SOURCES and not SOURCES[name].needs_files
    can_reuse = name != "" and not is_specific and not is_simulated
    if is_store(name):
        if is_specific:
            raise DatasetError(
                f"{name} is a prepared store: its source, options and rules cannot be changed. "
                f"Leave them out, or give the name of the dataset to prepare another store."
            )
        return open_dataset(name, data_dir)
    if can_reuse and find_stores(data_dir, name):
        dataset = open_dataset(name, data_dir)
        _print_settings(name, dataset)
        return dataset
    if _is_path(name):
        raise _make_missing_error(name, data_dir)
    return write_store(
        open_source(name, data_dir, source or None, options),
        data_dir,
        progress=progress,
        rules=rules,
    )


def open_dataset(name: str | Path, data_dir: str | Path = "") -> Dataset:
    """Open a prepared store.

    Parameters
    ----------
    name : str or Path
        Name of the dataset, name of the store's folder, or its path.
    data_dir : str or Path, default ""
        Folder of the stores; "" for the default (`ecglib.paths.data_dir`).

    Returns
    -------
    Dataset
        The opened store.

    Raises
    ------
    DatasetError
        If there is no such store, or several.

    Examples
    --------
    >>> open_dataset("ptbxl", "nowhere")
    Traceback (most recent call last):
    ecglib.errors.DatasetError: No prepared store of 'ptbxl' in nowhere. Run `ecglib prepare ptbxl`.
    """
    name, data_dir = _require_name(name), paths.data_dir(data_dir)
    for path in (Path(name), data_dir / name):
        if name and is_store(path):
            return Dataset(path)
    stores = find_stores(data_dir, name) if name else []
    if not stores:
        raise _make_missing_error(name, data_dir)
    if len(stores) > 1:
        first, second = (get_request(read_summary(path)) for path in stores[:2])
        raise DatasetError(
            f"{len(stores)} stores of {name!r} in {data_dir}: {[p.name for p in stores]}. What "
            f"differs between the first two: {'; '.join(find_changes(first, second))}. Give the "
            f"folder name of one, or remove the others."
        )
    return Dataset(stores[0])


def _require_name(name: object) -> str:
    """Refuse what is no name, and say what it is for."""
    if isinstance(name, str | Path):
        return str(name)
    if isinstance(name, Dataset):
        raise DatasetError(f"Dataset {name.name!r} is open already. Give it to ecglib.train.")
    raise DatasetError(
        f"{type(name).__name__} was given, expected the name of a dataset; ecglib.list_datasets() "
        f"lists them. For arrays: ecglib.write_store(ecglib.ArraysSource(...), folder)."
    )


def _print_settings(name: str, dataset: Dataset) -> None:
    """Say with which settings a store was prepared that is asked for by its name only."""
    if name not in SOURCES:
        return
    known = SOURCES[name]
    module = importlib.import_module(f"ecglib.datasets.sources.{known.module}")
    parameters = _list_parameters(getattr(module, known.options_class or known.opener))
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    found = {"options": dataset.summary["options"], "rules": dataset.summary["rules"]}
    usual = {
        "options": {key: defaults.get(key) for key in found["options"]} | {**known.settings},
        "rules": DEFAULT_RULES.to_request(),
    }
    if changes := find_changes(to_plain(usual), found):
        print(
            f"Opened the store {dataset.path.name}, which was prepared with {'; '.join(changes)}. "
            f"For another, give its options and source.",
            file=sys.stderr,
        )


def _make_missing_error(name: str, data_dir: Path) -> DatasetError:
    if name in SOURCES:
        return DatasetError(
            f"No prepared store of {name!r} in {data_dir}. Run `ecglib prepare {name}`."
        )
    if _is_path(name):
        return DatasetError(
            f"{name} is not the folder of a prepared store: it has no {SUMMARY}. Give such a "
            f"folder, or the name of a dataset (`ecglib datasets`)."
        )
    prepared = sorted({path.name for path in find_stores(data_dir)})
    return DatasetError(
        f"No store in {data_dir} is called {name!r}; prepared there: {prepared}. Give one of "
        f"these, or prepare a known dataset (`ecglib datasets`).{did_you_mean(name, SOURCES)}"
    )


def _is_path(name: str) -> bool:
    return bool({"/", os.sep} & set(name))


def _check_source(source: Source, parameters: list[inspect.Parameter]) -> Source:
    """Refuse a source that leaves an option out of its request: other options, the same store."""
    names = {p.name for p in parameters if not is_path(p.annotation)}
    if forgotten := sorted(names - set(source.options)):
        raise DatasetError(
            f"Source {source.name!r} leaves {forgotten} out of its options, so that another value "
            f"would open the same store. Add them to `options` of the source."
        )
    return source


def _list_parameters(function: Callable) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _check_options(
    name: str, options: Mapping[str, Any], parameters: list[inspect.Parameter]
) -> None:
    known = [parameter.name for parameter in parameters]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise DatasetError(f"Dataset {name!r} has no option {option!r}; it has {known}.{hint}")
    required = {p.name for p in parameters if p.default is p.empty}
    if missing := sorted(required - set(options)):
        raise DatasetError(
            f"Dataset {name!r} also needs {missing}: give each, for example --set "
            f"{missing[0]}=..., or options={{{missing[0]!r}: ...}}."
        )
