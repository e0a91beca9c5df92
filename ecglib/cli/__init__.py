"""The command ``ecglib``."""

from ecglib.cli.commands import main
from ecglib.cli.status import run_command

__all__ = [
    "main",
    "run_command",
]
