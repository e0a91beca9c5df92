"""What came of a check of code of another package."""

import dataclasses
import traceback
from collections.abc import Callable

from ecglib.errors import EcgError


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What came of one check.

    Parameters
    ----------
    name : str
        What was checked.
    problem : str, default ""
        What is wrong, and what to do; "" if nothing is.

    Examples
    --------
    >>> CheckResult(name="gradients").passed
    True
    """

    name: str
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


def run_check(name: str, check: Callable[[], str]) -> CheckResult:
    """Carry out one check; what the code of others raises is its problem.

    Parameters
    ----------
    name : str
        What is checked.
    check : callable
        Returns what is wrong, or "".

    Returns
    -------
    CheckResult
        With the error and its line, if the check raised one.

    Examples
    --------
    >>> run_check("division", lambda: str(1 / 0)).problem
    'ZeroDivisionError (...): division by zero'
    """
    try:
        return CheckResult(name=name, problem=check())
    except EcgError as error:
        return CheckResult(name=name, problem=str(error))
    except Exception as error:  # whatever the code of others raises
        places = [one for one in traceback.extract_tb(error.__traceback__) if _is_of_others(one)]
        where = f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""
        text = str(error).strip().splitlines()
        first = text[0] if text else ""
        return CheckResult(name=name, problem=f"{type(error).__name__}{where}: {first}")


def _is_of_others(place: traceback.FrameSummary) -> bool:
    return not any(part in place.filename for part in ("/keras/", "/tensorflow/", "/ecglib/"))
