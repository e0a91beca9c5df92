"""From what a command raises to its exit status: one sentence, and no traceback."""

import io
import os
import sys
from collections.abc import Callable

from ecglib.errors import EcgError

INTERRUPTED = 130
NOBODY_READS = 128 + 13  # as of a process that SIGPIPE ends


def run_command(program: str, command: Callable[[], int]) -> int:
    """Run a command, and print what went wrong in one line.

    Parameters
    ----------
    program : str
        Name of the program, which begins the line.
    command : callable
        The command; it returns its exit status.

    Returns
    -------
    int
        The status of the command; 2 if the input is wrong or a file cannot be read or written, 130
        if it was interrupted, 141 if nobody reads the output.

    Examples
    --------
    >>> run_command("ecglib", lambda: 0)
    0
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        status = command()
        sys.stdout.flush()
        return status
    except EcgError as error:
        return _report(program, str(error), 2)
    except BrokenPipeError:  # whoever reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        advice = "Check the path, its permissions and the space on the disk."
        return _report(program, f"{what}. {advice}", 2)
    except KeyboardInterrupt:
        saved = "interrupted; finished work is saved, run the command again to continue"
        return _report(program, saved, INTERRUPTED)


def _report(program: str, message: str, status: int) -> int:
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
    return status
