"""WFDB headers: what a record is, as header(5) of the WFDB Applications Guide says."""

import math
import os
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from ecglib.errors import RecordError

DEFAULT_RATE_HZ = 250.0
DEFAULT_GAIN = 200.0  # of a signal that is not calibrated
GAP = "~"  # name of a segment in which nothing was recorded
N_FIELDS = 9  # in the line of a signal
N_BYTES = 1 << 16  # of a header that are read at a time
READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # the second on Windows

_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\((-?\d+)\))?(?:/(\S+))?", re.ASCII)


class SignalSpec(NamedTuple):
    """What a header says of one signal.

    Parameters
    ----------
    file
        name of the signal file, in the folder of the header.
    format
        code of the sample format, such as 16 or 212.
    samples_per_frame, skew
        samples in a frame of the record; frames that stand before sample 0.
    byte_offset
        bytes before the first sample in the file.
    gain, baseline, unit
        digital steps in one `unit`, and the digital sample that means 0 `unit`.
    initial, checksum
        first sample, and sum of all samples modulo 65536; None where not given.
    lead
        name of the lead, ``""`` where not given.
    """

    file: str
    format: int
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    unit: str
    initial: int | None
    checksum: int | None
    lead: str


class Coding(NamedTuple):
    """How the samples of one signal are stored: see `SignalSpec`."""

    format: int
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    unit: str


@dataclass(frozen=True, eq=False)
class Layout:
    """How the signals of a record are stored.

    Headers that write it alike, as nearly all of a data set do, share one layout: what follows from
    it is found once, and functions of it are cached by its identity.
    """

    codings: tuple[Coding, ...]

    @cached_property
    def plain(self) -> bool:
        """Whether each frame is one sample of each signal, and none is moved."""
        return all(own.samples_per_frame == 1 and own.skew == 0 for own in self.codings)


class Segment(NamedTuple):
    """A piece of a record of several segments: name of its record, or `GAP`, and its samples."""

    name: str
    n_samples: int


class Header(NamedTuple):
    """What stands in a header file.

    Parameters
    ----------
    path
        the file.
    name
        name of the record.
    sampling_rate_hz
        samples a second (frames, where a frame has several).
    n_samples
        samples of a lead (frames, where a frame has several); None where not given.
    files, layout, initials, checksums, leads
        for each signal its file, how it is stored, first sample, checksum and lead, in order: see
        `SignalSpec`. Empty in the header of a record of several segments.
    segments
        the pieces of a record of several segments, otherwise none.
    comments
        the comment lines, without ``#``.
    """

    path: str
    name: str
    sampling_rate_hz: float
    n_samples: int | None
    files: tuple[str, ...]
    layout: Layout
    initials: tuple[int | None, ...]
    checksums: tuple[int | None, ...]
    leads: tuple[str, ...]
    segments: tuple[Segment, ...]
    comments: tuple[str, ...]

    @property
    def signals(self) -> tuple[SignalSpec, ...]:
        """One a lead; none in the header of a record of several segments."""
        each = zip(
            self.files, self.layout.codings, self.initials, self.checksums, self.leads, strict=True
        )
        return tuple([SignalSpec(file, *coding, *rest) for file, coding, *rest in each])


def read_header(path: str | os.PathLike) -> Header:
    """Read a header.

    Parameters
    ----------
    path
        the header file, with or without ``.hea``.

    Raises
    ------
    RecordError
        ``missing_file``, ``unreadable``, or ``bad_header`` with the line that is wrong.
    """
    path = os.fspath(path).replace(os.sep, "/")
    if not path.endswith(".hea"):
        path += ".hea"
    text = _read_text(path)
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    comments = tuple([line.lstrip("# \t") for line in lines if line[0] == "#"])
    if comments:
        lines = [line for line in lines if line[0] != "#"]
    if not lines:
        raise RecordError("bad_header", f"{path} is empty: it has no record line.")
    first, rest = lines[:1], lines[1:]
    name, n_segments, n_signals, rate_hz, n_samples = _parsed(path, text, _parse_record, first)
    if len(rest) != (n_segments or n_signals):
        raise RecordError(
            "bad_header",
            f"{path} promises {n_segments or n_signals} {'segments' if n_segments else 'signals'} "
            f"in its first line and has lines for {len(rest)}.",
        )
    signals = _parsed(path, text, _parse_signals, [] if n_segments else rest)
    segments = _parsed(path, text, _parse_segments, rest) if n_segments else ()
    return Header(path, name, rate_hz, n_samples, *signals, segments, comments)


def _read_text(path: str) -> str:
    file = open_file(path)
    try:
        content = os.read(file, N_BYTES)
        while more := os.read(file, N_BYTES):
            content += more
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(file)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parsed(path: str, text: str, parse, lines: list[str]) -> tuple:
    """What is parsed from these lines of the text; if one is wrong, the error names it."""
    try:
        return parse(lines)
    except ValueError as error:
        for line in lines if len(lines) > 1 else ():
            _parsed(path, text, parse, [line])  # raises at the first that is wrong
        number = list(map(str.strip, text.split("\n"))).index(lines[0]) + 1
        kind = parse.__name__.removeprefix("_parse_").removesuffix("s")
        raise RecordError(
            "bad_header",
            f"{path}, line {number} is no {kind} line of a WFDB header ({error}): "
            f"{lines[0][:100]!r}",
        ) from None


def _parse_record(lines: list[str]) -> tuple[str, int, int, float, int | None]:
    fields = lines[0].split()
    if len(fields) < 2:
        raise ValueError("it has no number of signals")
    name, slash, segments = fields[0].partition("/")
    n_segments, n_signals = int(segments) if slash else 0, int(fields[1])
    rate_hz = float(fields[2].partition("/")[0]) if len(fields) > 2 else DEFAULT_RATE_HZ
    n_samples = int(fields[3]) if len(fields) > 3 else 0
    if n_segments < bool(slash) or n_signals < 0 or n_samples < 0:
        raise ValueError("segments must be 1 or more, signals and samples 0 or more")
    if not 0 < rate_hz < math.inf:
        raise ValueError("the sampling rate is not above 0 Hz")
    return name, n_segments, n_signals, rate_hz, n_samples or None


def _parse_segments(lines: list[str]) -> tuple[Segment, ...]:
    rows = [line.split() for line in lines]
    if any(len(row) != 2 or int(row[1]) < 0 for row in rows):
        raise ValueError("it is not a name and a number of samples")
    return tuple([Segment(name, int(n_samples)) for name, n_samples in rows])


def _parse_signals(lines: list[str]) -> tuple:
    """Files, layout, first samples, checksums and leads: a column of all lines at a time."""
    rows = [line.split(None, N_FIELDS - 1) for line in lines]
    columns = list(zip(*rows, strict=False))
    if len(columns) < N_FIELDS:  # a line is short
        rows = [row + [""] * (N_FIELDS - len(row)) for row in rows]
        columns = list(zip(*rows, strict=True)) or [()] * N_FIELDS
    files, codes, gains, resolutions, zeros, initials, checksums, blocks, leads = columns
    layout = _layout(codes, gains, resolutions, zeros, blocks)
    return files, layout, _ints(initials), _ints(checksums), leads


def _ints(texts: tuple[str, ...]) -> tuple[int | None, ...]:
    return tuple([int(text) if text else None for text in texts])


@lru_cache(maxsize=1024)
def _layout(*columns: tuple[str, ...]) -> Layout:
    return Layout(tuple([_coding(*fields) for fields in zip(*columns, strict=True)]))


@lru_cache(maxsize=1024)
def _coding(code: str, gain: str, resolution: str, zero: str, block: str) -> Coding:
    coded, scaled = _FORMAT.fullmatch(code), _GAIN.fullmatch(gain or "0")
    if not coded or not scaled:
        raise ValueError(f"{gain if coded else code!r} is no {'gain' if coded else 'format'}")
    format_, per_frame, skew, offset = coded.groups()
    steps, baseline, unit = scaled.groups()
    if per_frame and int(per_frame) == 0:
        raise ValueError("a frame has no samples")
    if not math.isfinite(float(steps)):
        raise ValueError("the gain is infinite")
    for number in (resolution, block):  # a field that is missing moves all that follow it
        int(number or 0)
    return Coding(
        int(format_),
        int(per_frame or 1),
        int(skew or 0),
        int(offset or 0),
        float(steps) or DEFAULT_GAIN,
        int(baseline or zero or 0),
        unit or "mV",
    )


def open_file(path: str) -> int:
    """Open a file of a record for reading: a descriptor, for the functions of `os`.

    Through file objects, reading the two short files of a record takes half as long again.

    Raises
    ------
    RecordError
        ``missing_file`` or ``unreadable``.
    """
    try:
        return os.open(path, READ_ONLY)
    except FileNotFoundError:
        raise RecordError(
            "missing_file", f"{path} does not exist. Get it from where the record came from."
        ) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: str, error: Exception) -> RecordError:
    """The error of a file that is there and cannot be read."""
    return RecordError("unreadable", f"{path} cannot be read: {error}")
