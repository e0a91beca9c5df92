"""The source of a module and of the modules that it imports, found without importing any.

What counts as the code of an encoder is the file that defines it, and each file of the same folder
or package that it imports, directly or through another. Installed packages besides its own do not
count, nor does ecglib: their versions are recorded with each run. Comments, docstrings and
formatting decide nothing.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ecglib.errors import ExperimentError
from ecglib.experiment.environment import PACKAGE, normalize_source

EVERYTHING = "*"  # among the names of a module: it has what another module has


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """The source of one module.

    Parameters
    ----------
    file : Path
        Its file.
    digest : str
        Hash of what decides something in it.
    imports : tuple of str
        Names that it imports, absolute: modules, and attributes of modules.
    names : frozenset of str
        Names that it defines; "*" if it imports all names of a module.

    Examples
    --------
    >>> source = list_sources("ecglib.experiment.registry")["ecglib.experiment.registry"]
    >>> source.file.name, "ENCODERS" in source.names
    ('registry.py', True)
    """

    file: Path
    digest: str
    imports: tuple[str, ...]
    names: frozenset[str]


def list_sources(module: str) -> dict[str, Source]:
    """List the sources of a module and of those that it imports from its folder or package.

    The module is looked for where Python would find it, and in the working directory.

    Parameters
    ----------
    module : str
        Name of the module.

    Returns
    -------
    dict of str to Source
        Name of the module -> its source; the given one first.

    Raises
    ------
    ExperimentError
        If the module does not exist, or a source cannot be read.

    Examples
    --------
    >>> list(list_sources("json.decoder"))
    ['json.decoder', 'json.scanner', 'json', 'json.encoder']
    """
    importlib.invalidate_caches()
    top, root = module.partition(".")[0], find_root(module)
    sources: dict[str, Source] = {}
    queue = [module]
    while queue:
        name = queue.pop(0)
        if name in sources or (file := _find_file(name, root)) is None:
            continue
        sources[name] = source = _read_source(file, name)
        queue += [one for one in source.imports if _belongs(one, top, root)]
    if module not in sources:
        raise ExperimentError(
            f"There is no module {module!r} in {root}. Check the name; a file my_encoders.py is "
            f"the module 'my_encoders', a file mypackage/encoders.py 'mypackage.encoders'."
        )
    return sources


def hash_sources(sources: Mapping[str, Source]) -> str:
    """Hash the sources of modules.

    Returns
    -------
    str
        Eight hexadecimal digits.

    Examples
    --------
    >>> len(hash_sources(list_sources("json.decoder")))
    8
    """
    digest = hashlib.blake2b(digest_size=4)
    for name in sorted(sources):
        digest.update(f"{name}\0{sources[name].digest}\0".encode())
    return digest.hexdigest()


def find_root(module: str) -> Path:
    """Find the folder that the top package of a module lies in.

    Parameters
    ----------
    module : str
        Name of the module.

    Returns
    -------
    Path
        A folder in which Python looks for modules, or else the working directory.

    Raises
    ------
    ExperimentError
        If the top package is in neither, or has no source.

    Examples
    --------
    >>> find_root("ecglib.models") == PACKAGE.parent
    True
    """
    top = module.partition(".")[0]
    root = _find_installed(top)
    if root is None and _exists(Path.cwd() / top):
        root = Path.cwd()
    if root is None:
        raise ExperimentError(
            f"There is no module {top!r} to import {module!r} from: it is not installed, and not "
            f"in {Path.cwd()}. Install the package that has it (pip install ...), or start in the "
            f"folder that holds {top}.py or {top}/; another folder can be added with PYTHONPATH."
        )
    return root


def _find_installed(top: str) -> Path | None:
    """Find the folder of a top package where Python looks for it; this imports nothing."""
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module without a specification, such as that of a notebook
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    if not spec.has_location or not str(spec.origin).endswith(".py"):
        raise ExperimentError(
            f"The module {top!r} has no Python source ({spec.origin}), so its code cannot be "
            f"hashed. Name a function of a module that is a .py file."
        )
    return Path(str(spec.origin)).parent


def _exists(place: Path) -> bool:
    return place.with_name(f"{place.name}.py").is_file() or any(place.glob("*.py"))


def _find_file(name: str, root: Path) -> Path | None:
    """Find the file of a module; None for a folder without one, or an attribute of a module."""
    place = root.joinpath(*name.split("."))
    files = [place / "__init__.py", place.with_name(f"{place.name}.py")]
    return next((file for file in files if file.is_file()), None)


def _belongs(name: str, top: str, root: Path) -> bool:
    """Return whether an imported name is of the same package, or lies beside it."""
    other = name.partition(".")[0]
    if other == top:
        return True
    return other != PACKAGE.name and root not in _list_installation_folders() and bool(other)


@functools.cache
def _list_installation_folders() -> frozenset[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return frozenset(Path(sysconfig.get_path(name)) for name in names)


def _read_source(file: Path, module: str) -> Source:
    try:
        status = file.stat()
        return _parse_source(file, module, (status.st_mtime_ns, status.st_size))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        problem = error.msg if isinstance(error, SyntaxError) else error
        raise ExperimentError(
            f"The module {module!r} cannot be read: {problem} ({file}{line}). Correct the file."
        ) from None


@functools.lru_cache(maxsize=1000)
def _parse_source(file: Path, module: str, version: tuple[int, int]) -> Source:
    text = importlib.util.decode_source(file.read_bytes())
    tree = ast.parse(text)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    digest = hashlib.blake2b(normalize_source(text).encode(), digest_size=16).hexdigest()
    return Source(
        file=file,
        digest=digest,
        imports=tuple(dict.fromkeys(_list_imports(tree, package))),
        names=frozenset(_list_names(tree.body)),
    )


def _list_imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(parents if node.level else ()), *filter(None, [node.module])]
            # Each name may be a module of the package, or an attribute of its `__init__`.
            yield from (".".join([*parts, alias.name]) for alias in node.names)
            yield ".".join(parts)


def _list_names(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """List the names that statements at the top of a module define."""
    for statement in statements:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (one.asname or one.name.partition(".")[0] for one in aliases)
            case ast.If() | ast.Try():
                yield from _list_names([*statement.body, *statement.orelse])
            case ast.Assign(targets=targets):
                nodes = [node for one in targets for node in ast.walk(one)]
                yield from (node.id for node in nodes if isinstance(node, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
