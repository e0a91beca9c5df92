"""Names of branches: a representation, numbered from its second encoder on.

``{"time": "cnn", "time_2": "s4d"}`` are two encoders on one representation. The model has one input
for each representation, and gives it to all of its branches.
"""

from collections.abc import Iterable

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.registry import ENCODERS

NUMBERS = tuple("23456789")


def get_representation(branch: str) -> str:
    """Return the representation that a branch takes.

    Examples
    --------
    >>> get_representation("time_2")
    'time'
    """
    name, _, number = str(branch).rpartition("_")
    return name if name and number in NUMBERS else branch


def list_representations(branches: Iterable[str]) -> list[str]:
    """List the representations of branches, each once, in the order of the branches.

    Examples
    --------
    >>> list_representations(["time", "time_2", "tabular"])
    ['time', 'tabular']
    """
    return list(dict.fromkeys(map(get_representation, branches)))


def list_branch_names(representation: str) -> list[str]:
    """List all names that branches on a representation can have, in order.

    Examples
    --------
    >>> list_branch_names("time")[:3]
    ['time', 'time_2', 'time_3']
    """
    return [representation, *(f"{representation}_{number}" for number in NUMBERS)]


def sort_branches(branches: dict[str, str]) -> dict[str, str]:
    """Sort branches by representation, in the order of the registry, then by number.

    Examples
    --------
    >>> sort_branches({"frequency": "mlp", "time": "cnn"})
    {'time': 'cnn', 'frequency': 'mlp'}
    """
    names = [name for one in ENCODERS for name in list_branch_names(one)]
    return {name: branches[name] for name in names if name in branches}


def check_branches(branches: dict[str, str], fusion: str) -> None:
    """Refuse branches or encoders that are unknown, or numbers with a gap.

    Parameters
    ----------
    branches : dict of str to str
        Branch -> encoder.
    fusion : str
        Name of the fusion; early ones take no second branch of a representation.

    Raises
    ------
    ExperimentError
        If a name is unknown, a number is missing, or an early fusion would not use an encoder.

    Examples
    --------
    >>> check_branches({"time": "cnn", "time_2": "s4d"}, "late_average")
    """
    for name, encoder in branches.items():
        representation = get_representation(name)
        if representation not in ENCODERS and encoder in ENCODERS:
            raise ExperimentError(
                f"branches={{{name!r}: {encoder!r}}} names the encoder first. The representation "
                f"comes first: {{{encoder!r}: {name!r}}}."
            )
        require_one_of("a representation in branches", representation, ENCODERS)
        require_one_of(f"branches[{name!r}]", encoder, ENCODERS[representation])
    for representation in list_representations(branches):
        names = [name for name in list_branch_names(representation) if name in branches]
        if names != (expected := list_branch_names(representation)[: len(names)]):
            raise ExperimentError(
                f"The branches on {representation!r} are called {names}, expected {expected}. "
                f"Number them without a gap, so that equal models have equal names."
            )
        if len(names) > 1 and fusion.startswith("early_"):
            raise ExperimentError(
                f"fusion={fusion!r} with the branches {names} on one representation: an early "
                f"fusion joins the representations before one encoder, so a second encoder would "
                f"never be used. Choose an intermediate or a late fusion."
            )
