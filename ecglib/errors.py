"""The errors this package raises on purpose, and the check of a name against its choices.

A message says what was wrong with the value, what is accepted and what to do. All errors are
``ValueError``, so that code that knows nothing of this package can catch them.
"""

import difflib
from collections.abc import Iterable


class EcgError(ValueError):
    """Base class of every error raised on purpose by ecglib.

    Examples
    --------
    >>> issubclass(DatasetError, EcgError) and issubclass(EcgError, ValueError)
    True
    """


class DatasetError(EcgError):
    """A source, a prepared store or a signal is not as it should be.

    Examples
    --------
    >>> try:
    ...     raise RecordError("truncated", "100.dat has 10 bytes, expected 20.")
    ... except DatasetError as error:
    ...     print(error)
    100.dat has 10 bytes, expected 20.
    """


class RecordError(DatasetError):
    """One record is not as it should be; others may be.

    Parameters
    ----------
    kind : str
        Kind of the problem, a key of `ecglib.datasets.problems.KINDS`.
    message : str
        What was found, what was expected and what to do.

    Examples
    --------
    >>> RecordError("truncated", "100.dat has 10 bytes, expected 20.").kind
    'truncated'
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class LeakError(EcgError):
    """Two splits share a patient or a signal.

    Examples
    --------
    >>> from ecglib.splits import check_leaks
    >>> report = {
    ...     "shared_patients": {"count": 2, "examples": []},
    ...     "identical_signals": {"count": 0, "examples": []},
    ...     "near_identical_records": {"count": 0, "examples": []},
    ... }
    >>> check_leaks(report, allowed=[], where="dataset 'mitdb', task 'aami'")
    Traceback (most recent call last):
    ...
    ecglib.errors.LeakError: ...
    """


class ExperimentError(EcgError):
    """The settings of an experiment are wrong or do not fit together.

    Examples
    --------
    >>> from ecglib.experiment import Experiment
    >>> Experiment.from_flat({"task": "rhythm", "widht": 8})
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: ... Did you mean 'width'?
    """


class RunError(EcgError):
    """A run folder is incomplete or cannot be compared.

    Examples
    --------
    >>> from ecglib.runs import find_runs
    >>> find_runs("runs/none")
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """


class DamagedRunError(RunError):
    """A file of a run is not the one that was written.

    Examples
    --------
    >>> issubclass(DamagedRunError, RunError)
    True
    """


class EntryError(EcgError):
    """Predictions of another framework do not fit the batch that they are entered into.

    Examples
    --------
    >>> import ecglib
    >>> ecglib.enter("fusion", "none.csv", name="resnet", parameters=1000)
    Traceback (most recent call last):
    ...
    ecglib.errors.EntryError: none.csv cannot be read: No such file or directory. ...
    """


class BatchError(EcgError):
    """A batch file, or a parameter in it, is wrong.

    Examples
    --------
    >>> from ecglib.batch import BatchFile
    >>> BatchFile.read("none.yaml")
    Traceback (most recent call last):
    ...
    ecglib.errors.BatchError: The batch file none.yaml cannot be read: ...
    """


def did_you_mean(given: object, choices: Iterable[str]) -> str:
    """Suggest the choice that a name was probably meant to be.

    That is the most similar one, or one of which the name is a word (``gated`` of
    ``intermediate_gated``) or the initials (``lr`` of ``learning_rate``).

    Parameters
    ----------
    given : object
        What the user wrote.
    choices : iterable of str
        The names that are accepted.

    Returns
    -------
    str
        ``" Did you mean 'x'?"``, to end a message with; "" if no choice is similar.

    Examples
    --------
    >>> did_you_mean("spectrogramm", ["time", "spectrogram"])
    " Did you mean 'spectrogram'?"
    >>> did_you_mean("lr", ["epochs", "learning_rate"])
    " Did you mean 'learning_rate'?"
    """
    name, names = str(given), list(choices)
    found = difflib.get_close_matches(name, names, 1)
    found += [one for one in names if name in one.split("_")]
    found += [one for one in names if name == "".join(word[:1] for word in one.split("_"))]
    return f" Did you mean {found[0]!r}?" if found else ""


def require_one_of(what: str, given: object, choices: Iterable[str]) -> None:
    """Check that a name is one of the choices.

    Parameters
    ----------
    what : str
        Name of the setting.
    given : object
        What the user wrote.
    choices : iterable of str
        The names that are accepted.

    Raises
    ------
    ExperimentError
        If `given` is not one of `choices`.

    Examples
    --------
    >>> require_one_of("fusion", "early_concat", ["early_concat", "late_mean"])
    >>> require_one_of("scale", "zscore", ["none", "window"])
    Traceback (most recent call last):
    ecglib.errors.ExperimentError: scale='zscore', expected one of ['none', 'window'].
    """
    choices = list(choices)
    if given not in choices:
        hint = did_you_mean(given, choices)
        raise ExperimentError(f"{what}={given!r}, expected one of {choices}.{hint}")
