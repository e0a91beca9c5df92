"""Import the encoders and fusions of other packages.

A module is imported once. If a file of it has changed since, as it does while it is written beside
a notebook, it is imported again, so that what is built is what the files hold.
"""

import contextlib
import importlib
import importlib.util
import json
import random
import sys
import traceback
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ecglib.errors import ExperimentError
from ecglib.experiment.import_paths import ImportPath
from ecglib.experiment.sources import Source, find_root, hash_sources, list_sources

LAYERS_OF_ECGLIB = "ecglib>"  # with which their registered names begin
_IMPORTED: dict[str, str] = {}  # module -> digest of its source when it was imported


def import_attribute(name: str) -> Any:
    """Import what an import path names.

    Parameters
    ----------
    name : str
        The import path. With a hash the source has to have this hash.

    Returns
    -------
    object
        The attribute of the module.

    Raises
    ------
    ExperimentError
        If there is no such module or attribute, the source has changed, or importing it fails.

    Examples
    --------
    >>> import_attribute("json.decoder:JSONDecoder").__name__
    'JSONDecoder'
    """
    path = ImportPath.parse(name)
    sources = list_sources(path.module)
    found = hash_sources(sources)
    if path.code and path.code != found:
        raise ExperimentError(
            f"The code of {path.module}:{path.attribute} has changed: the experiment was made with "
            f"@{path.code}, {sources[path.module].file} and what it imports are @{found}. Restore "
            f"that code, or create the experiment again with '{path.module}:{path.attribute}'."
        )
    module = _import_module(path.module, sources)
    try:
        return getattr(module, path.attribute)
    except AttributeError:
        raise ExperimentError(
            f"{name!r}: {sources[path.module].file} does not define {path.attribute!r}. Check the "
            f"name after the colon."
        ) from None


def import_layers(file: Path, names: Iterable[str]) -> None:
    """Import the modules that define the layers of a saved network, if ecglib does not define all.

    A network of Keras's and ecglib's layers needs no other module, whatever function has built it.
    A file that names a module does not make Python look for it in more places: one that lies in the
    working directory alone is not imported.

    Parameters
    ----------
    file : Path
        The network, a ``.keras`` file.
    names : iterable of str
        The import paths of its experiment, with the hashes of their code.

    Raises
    ------
    ExperimentError
        If a module is not installed, or its code is not that of the training.

    Examples
    --------
    >>> import tempfile
    >>> import keras
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "model.keras")
    ...     keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(file)
    ...     import_layers(file, ["no_such_module:encode@0123abcd"])  # not needed
    """
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"))
    if all(name.startswith(LAYERS_OF_ECGLIB) for name in _list_registered_names(config)):
        return
    for name in names:
        module = ImportPath.parse(name).module
        top = module.partition(".")[0]
        if importlib.util.find_spec(top) is None:
            raise ExperimentError(
                f"It has layers of another package, and was built by the module {module!r}, which "
                f"is not installed here. Install the package that has it (pip install ...), or add "
                f"the folder that holds {top}.py or {top}/ to PYTHONPATH."
            )
        import_attribute(name)


def _list_registered_names(config: Any) -> Iterator[str]:
    """List the names of the registered classes in a configuration, but for those of Keras."""
    if isinstance(config, dict):
        name = config.get("registered_name")
        if isinstance(name, str) and ">" in name:
            yield name
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _list_registered_names(part)


@contextlib.contextmanager
def seed_layers(seed: int) -> Iterator[None]:
    """Give the layers that are created in the block seeds, where they have none.

    Keras draws the default seed of a layer or initializer from the generator of Python's `random`,
    whose state is the same after the block as before.

    Parameters
    ----------
    seed : int
        Decides these seeds.

    Examples
    --------
    >>> def build_kernel():
    ...     layer = keras.layers.Dense(2)
    ...     layer.build((None, 3))
    ...     return layer.get_weights()[0].tolist()
    >>> import keras
    >>> with seed_layers(1):
    ...     first = build_kernel()
    >>> with seed_layers(1):
    ...     again = build_kernel()
    >>> first == again
    True
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _import_module(name: str, sources: Mapping[str, Source]) -> ModuleType:
    """Import a module, again if one of its sources has changed."""
    loaded = [one for one in sources if one in sys.modules]
    if any(_IMPORTED.get(one) != sources[one].digest for one in loaded):
        _forget(loaded)
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        sys.path.append(str(find_root(name)))
    writes_bytecode = not sys.dont_write_bytecode
    # Bytecode is told from changed source by the second only.
    sys.dont_write_bytecode = True
    try:
        module = importlib.import_module(name)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ExperimentError(
            f"The module {name!r} cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno}). Correct it; `python -c 'import {name}'` "
            f"shows the whole traceback."
        ) from error
    finally:
        sys.dont_write_bytecode = not writes_bytecode
    _IMPORTED.update({one: sources[one].digest for one in sources if one in sys.modules})
    return module


def _forget(names: list[str]) -> None:
    """Remove modules, so that they are imported again; also from the package that they are in."""
    for name in names:
        sys.modules.pop(name)
        package, _, child = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(child, None)
