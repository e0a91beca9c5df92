"""Import the modules that a saved network needs, and seed the layers of other packages."""

import contextlib
import json
import random
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ecglib.experiment.importing import import_attribute, require_installed

LAYERS_OF_ECGLIB = "ecglib>"  # with which their registered names begin


def import_layers(file: Path, names: Iterable[str]) -> None:
    """Import the modules that define the layers of a saved network, if ecglib does not define all.

    A network of Keras's and ecglib's layers needs no other module, whatever function has built it.
    A module has to be installed (`ecglib.experiment.importing.require_installed`).

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
        require_installed(name)
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
