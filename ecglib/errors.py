"""The errors this package raises on purpose.

Each message says what was given, what was expected and what to do. All of them are
``ValueError``, so that code that knows nothing of this package can catch them.
"""


class EcgError(ValueError):
    """Base of every error raised on purpose by ecglib."""


class DatasetError(EcgError):
    """A source, a prepared store or a signal is not what it should be."""


class LeakError(EcgError):
    """The parts of a split share a patient or a signal."""


class ExperimentError(EcgError):
    """The values of an experiment do not fit together."""


class RunError(EcgError):
    """A run folder is missing something or cannot be compared."""


class BatchError(EcgError):
    """A batch file, or a parameter in it, is wrong."""
