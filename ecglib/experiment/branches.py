"""Names of branches: a representation, numbered from its second encoder on.

``{"time": "cnn", "time_2": "s4d"}`` are two encoders on one view. The model has one input for each
representation, and shows it to all of its branches.
"""

from collections.abc import Collection, Iterable

from ecglib.errors import ExperimentError, require_one_of

NUMBERS = tuple("23456789")


def representation_of(branch: str) -> str:
    """The representation that a branch looks at: ``time`` of ``time`` and of ``time_2``."""
    name, _, number = str(branch).rpartition("_")
    return name if name and number in NUMBERS else branch


def representations_of(branches: Iterable[str]) -> list[str]:
    """What the branches look at, each representation once, in the order of the branches."""
    return list(dict.fromkeys(map(representation_of, branches)))


def names_on(representation: str) -> list[str]:
    """All that branches on a representation can be called, in order."""
    return [representation, *(f"{representation}_{number}" for number in NUMBERS)]


def in_order(branches: dict, representations: Iterable[str]) -> dict:
    """The branches in the order of the representations, then of their numbers."""
    names = [name for own in representations for name in names_on(own)]
    return {name: branches[name] for name in names if name in branches}


def check_branches(branches: dict[str, str], fusion: str, encoders: dict[str, Collection]) -> None:
    """Refuse names of branches or encoders that are unknown or have a gap in their numbers.

    Parameters
    ----------
    branches
        branch -> encoder.
    fusion
        name of the fusion; early ones take no second branch of a view.
    encoders
        representation -> names of its encoders.

    Raises
    ------
    ExperimentError
        A name is unknown, a number is missing, or an early fusion would leave an encoder out.
    """
    for name, encoder in branches.items():
        representation = representation_of(name)
        require_one_of("a representation in branches", representation, encoders)
        require_one_of(f"branches[{name!r}]", encoder, encoders[representation])
    for representation in representations_of(branches):
        names = [name for name in names_on(representation) if name in branches]
        if names != (expected := names_on(representation)[: len(names)]):
            raise ExperimentError(
                f"The branches on {representation!r} are called {names}, expected {expected}. "
                f"Number them without a gap, so that equal models have equal names."
            )
        if len(names) > 1 and fusion.startswith("early_"):
            raise ExperimentError(
                f"fusion={fusion!r} with the branches {names} on one view: an early fusion joins "
                f"views before one encoder, so a second encoder would never be used. Choose an "
                f"intermediate or a late fusion."
            )
