"""What a model can be made of, one line each, without importing Keras."""

import ast
import functools
from pathlib import Path

from ecglib._display import Listing
from ecglib.errors import require_one_of
from ecglib.experiment.registry import BASELINES, FUSIONS, HANDCRAFTED, REPRESENTATIONS

MODELS = Path(__file__).parents[1] / "models"


def list_encoders(representation: str = "") -> Listing:
    """List the encoders of each representation, and the baselines of trees.

    Parameters
    ----------
    representation : str, default ""
        List those of this representation only; "" for all.

    Returns
    -------
    Listing
        ``"representation:encoder"`` -> what it is.

    Raises
    ------
    ExperimentError
        If there is no such representation.

    Examples
    --------
    >>> list_encoders("tabular")
    Encoders, as in branches={'time': 'cnn'}
      tabular:mlp  Two hidden layers of 4 * width units on all values at once.
    >>> "time:cnn" in list_encoders()
    True
    """
    lines = {
        f"{name}:{encoder}": _read_summary("encoders", place)
        for name, one in REPRESENTATIONS.items()
        for encoder, place in one.encoders.items()
    }
    lines |= {f"{HANDCRAFTED}:{name}": description for name, description in BASELINES.items()}
    if representation:
        require_one_of("representation", representation, [*REPRESENTATIONS, HANDCRAFTED])
        lines = {k: v for k, v in lines.items() if k.startswith(f"{representation}:")}
    return Listing("Encoders, as in branches={'time': 'cnn'}", lines)


def list_fusions() -> Listing:
    """List the fusions of branches.

    Returns
    -------
    Listing
        Fusion -> what it does.

    Examples
    --------
    >>> list(list_fusions())[:2]
    ['early_concat', 'intermediate_concat']
    >>> list_fusions()["late_average"]
    'Average the probabilities of the branches.'
    """
    lines = {name: _read_summary("fusion", place) for name, place in FUSIONS.items()}
    return Listing("Fusions, as in fusion='intermediate_gated'", lines)


def _read_summary(folder: str, place: str) -> str:
    """Read the first line of a function's docstring, without importing its module."""
    module, _, function = place.rpartition(".")
    summary = _read_summaries(MODELS / folder / f"{module}.py")[function]
    return summary.replace("`", "")


@functools.cache
def _read_summaries(path: Path) -> dict[str, str]:
    return {
        node.name: (ast.get_docstring(node) or "").partition("\n")[0]
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
