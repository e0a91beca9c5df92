"""Import what import paths name: encoders, fusions and representations of other packages.

A module is imported once. If a file of it has changed since, as it does while it is written beside
a notebook, it is imported again, so that what is built is what the files hold.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ecglib.errors import ExperimentError
from ecglib.experiment.environment import PACKAGE
from ecglib.experiment.import_paths import ImportPath
from ecglib.experiment.sources import Source, find_root, hash_sources, list_sources

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


def require_installed(name: str) -> None:
    """Refuse an import path whose module Python would not find by itself.

    A file that names a module does not make Python look for it in more places: one that lies in the
    working directory alone is not found, unless it was imported before.

    Parameters
    ----------
    name : str
        The import path.

    Raises
    ------
    ExperimentError
        If its top package is neither installed nor in a folder of PYTHONPATH.

    Examples
    --------
    >>> require_installed("json.decoder:JSONDecoder")
    >>> require_installed("no_such_module:encode@0123abcd")
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: The module 'no_such_module' is not installed here. ...
    """
    module = ImportPath.parse(name).module
    top = module.partition(".")[0]
    if importlib.util.find_spec(top) is None:
        raise ExperimentError(
            f"The module {module!r} is not installed here. Install the package that has it (pip "
            f"install ...), or add the folder that holds {top}.py or {top}/ to PYTHONPATH."
        )


def _import_module(name: str, sources: Mapping[str, Source]) -> ModuleType:
    """Import a module, again if one of its sources has changed."""
    top = name.partition(".")[0]
    loaded = [one for one in sources if one in sys.modules]
    is_old = any(_IMPORTED.get(one) != sources[one].digest for one in loaded)
    if is_old and top != PACKAGE.name:
        _forget(loaded)
    if importlib.util.find_spec(top) is None:
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
