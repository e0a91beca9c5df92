"""The errors this package raises on purpose.

Each message says what was given, what was expected and what to do. All of them are
``ValueError``, so that code that knows nothing of this package can catch them.
"""

import difflib
from collections.abc import Iterable


class EcgError(ValueError):
    """Base of every error raised on purpose by ecglib."""


class DatasetError(EcgError):
    """A source, a prepared store or a signal is not what it should be."""


class RecordError(DatasetError):
    """One record is not what it should be; the others may be.

    Parameters
    ----------
    kind
        what is wrong, in one word (`ecglib.datasets.problems.KINDS`).
    message
        what was found, what was expected, what to do.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class LeakError(EcgError):
    """The parts of a split share a patient or a signal."""


class ExperimentError(EcgError):
    """The values of an experiment do not fit together."""


class RunError(EcgError):
    """A run folder is missing something or cannot be compared."""


class BatchError(EcgError):
    """A batch file, or a parameter in it, is wrong."""


def did_you_mean(given: object, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` to end a message with, or nothing where no choice is near."""
    close = difflib.get_close_matches(str(given), list(choices), 1)
    return f" Did you mean {close[0]!r}?" if close else ""


def require_one_of(what: str, given: object, choices: Iterable[str]) -> None:
    """Refuse a name that is no choice.

    Raises
    ------
    ExperimentError
        `given` is not among `choices`.
    """
    choices = list(choices)
    if given not in choices:
        hint = did_you_mean(given, choices)
        raise ExperimentError(f"{what}={given!r}, expected one of {choices}.{hint}")
