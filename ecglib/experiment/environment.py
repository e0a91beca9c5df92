"""The code, versions and threads that a result depends on besides its experiment."""

import ast
import dataclasses
import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from ecglib.errors import ExperimentError

THREADS_VARIABLE = "ECGLIB_THREADS"
PACKAGE = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = ("ecg-fusion", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pandas")
BACKENDS = {"jax": ("jax", "jaxlib"), "torch": ("torch",)}  # of Keras, besides TensorFlow

# The folders and modules whose code decides what a run predicts. Scores, verdicts and reports are
# computed from the predictions, by whatever code compares the runs.
DECIDING_CODE = (
    "datasets/selection.py",
    "datasets/store.py",
    "datasets/tabular",
    "datasets/units.py",
    "evaluation/calibration.py",
    "evaluation/stacking.py",
    "evaluation/thresholds.py",
    "experiment",
    "models",
    "preprocessing",
    "representations",
    "splits",
    "training",
)
GIT_TIMEOUT_S = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """The code, versions and threads of one training.

    Training that was killed resumes only in an equal environment, and a comparison names what
    differs between runs.

    Parameters
    ----------
    code : str
        Hash of the code that decides a result (`hash_code`).
    commit : str
        Git commit of the checkout; empty without one.
    threads : int
        Number of threads of each operation. The order of sums depends on it, and so do the last
        bits of a result.
    versions : dict of str to str
        Version of Python and of each distribution.

    Examples
    --------
    >>> here = describe_environment(threads=1)
    >>> other = dataclasses.replace(here, threads=4, commit="")
    >>> here.describe_difference(other)
    'threads 1 against 4'
    """

    code: str
    commit: str
    threads: int
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Create an environment from what `to_dict` returns.

        Raises
        ------
        TypeError, ValueError
            If a value is missing or has the wrong type.
        """
        environment = cls(**values)
        texts = [environment.code, environment.commit, *environment.versions.values()]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("code, commit and versions must be text")
        if not isinstance(environment.threads, int):
            raise ValueError(f"threads={environment.threads!r} must be a whole number")
        return environment

    def list_values(self) -> dict[str, str]:
        """List by name what must be equal for equal bits; the commit is for people."""
        return {"code": self.code, "threads": str(self.threads), **self.versions}

    def describe_difference(self, other: "Environment") -> str:
        """Describe in what two environments differ.

        Returns
        -------
        str
            For example "keras 3.14.0 against 3.15.0"; empty if they are equal.
        """
        here, there = self.list_values(), other.list_values()
        names = dict.fromkeys([*here, *there])
        return ", ".join(
            f"{name} {here.get(name, 'none')} against {there.get(name, 'none')}"
            for name in names
            if here.get(name) != there.get(name)
        )


def describe_environment(threads: int) -> Environment:
    """Describe the environment of this process.

    Parameters
    ----------
    threads : int
        Number of threads of each operation.

    Examples
    --------
    >>> describe_environment(threads=2).threads
    2
    """
    versions = {"python": platform.python_version()}
    backend = BACKENDS.get(os.environ.get("KERAS_BACKEND", ""), ())
    versions |= {name: metadata.version(name) for name in (*DISTRIBUTIONS, *backend)}
    return Environment(code=hash_code(), commit=_read_commit(), threads=threads, versions=versions)


def read_threads_variable() -> int:
    """Read the environment variable ``ECGLIB_THREADS``, the number of threads of a run.

    Returns
    -------
    int
        0 if it is not set.

    Raises
    ------
    ExperimentError
        If it is not a whole number from 1.

    Examples
    --------
    >>> os.environ["ECGLIB_THREADS"] = "2"
    >>> read_threads_variable()
    2
    >>> del os.environ["ECGLIB_THREADS"]
    """
    given = os.environ.get(THREADS_VARIABLE, "")
    if given and not (given.isdecimal() and int(given) > 0):
        raise ExperimentError(
            f"{THREADS_VARIABLE}={given!r} must be a whole number from 1. Set it to the number of "
            f"threads of a run, or unset it for 1."
        )
    return int(given or 0)


@functools.cache
def hash_code(folder: Path = PACKAGE, places: tuple[str, ...] = DECIDING_CODE) -> str:
    """Hash the code that decides a result, without comments, docstrings and formatting.

    Parameters
    ----------
    folder : Path, optional
        Folder of the code; by default this package.
    places : tuple of str, optional
        The modules and folders in it that count.

    Returns
    -------
    str
        Twelve hexadecimal digits.

    Examples
    --------
    >>> len(hash_code())
    12
    """
    digest = hashlib.blake2b(digest_size=6)
    for place in places:
        path = folder / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = file.relative_to(folder).as_posix()
            digest.update(f"{name}\0{normalize_source(file.read_text('utf-8'))}\0".encode())
    return digest.hexdigest()


def normalize_source(source: str) -> str:
    """Remove what decides nothing from the source of a module: comments, docstrings, formatting.

    Parameters
    ----------
    source : str
        Python source.

    Raises
    ------
    SyntaxError
        If it is not Python.

    Examples
    --------
    >>> normalize_source("x  =  1  # one")
    'x = 1'
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        match node.body:
            case [ast.Expr(value=ast.Constant(value=str())), *_]:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@functools.cache
def _read_commit() -> str:
    checkout = PACKAGE.parent
    if not (checkout / ".git").exists():
        return ""
    try:
        found = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
