"""The command ``ecglib``."""

from ecglib.cli.commands import main

__all__ = [
    "main",
]
