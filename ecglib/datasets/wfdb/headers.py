"""WFDB headers, as header(5) of the WFDB Applications Guide describes them."""

import itertools
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeVar

from ecglib.datasets.wfdb.files import make_unreadable_error, open_file
from ecglib.errors import RecordError

DEFAULT_RATE_HZ = 250.0
DEFAULT_GAIN = 200.0  # of a signal that is not calibrated
GAP = "~"  # name of a segment in which nothing was recorded
N_FIELDS = 9  # in a signal line
BLOCK_BYTES = 1 << 16  # bytes of a header that are read at a time
RATES_HZ = (1e-6, 1e9)  # what a header may say
MAX_INT = 2**31 - 1  # of all whole numbers but these two
MAX_SAMPLES = MAX_BYTES = 2**48

_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\((-?\d+)\))?(?:/(\S+))?", re.ASCII)

T = TypeVar("T")


class SignalHeader(NamedTuple):
    """What a header says of one signal.

    Parameters
    ----------
    file : str
        Name of the signal file, relative to the folder of the header.
    format : int
        Code of the sample format, such as 16 or 212.
    samples_per_frame : int
        Samples of the signal in a frame of the record.
    skew : int
        Frames before sample 0.
    byte_offset : int
        Bytes before the first sample in the file.
    gain : float
        Digital steps per `unit`.
    baseline : int
        Digital sample that means 0 `unit`.
    unit : str
        Physical unit.
    initial : int or None
        First sample; None where not given.
    checksum : int or None
        Sum of all samples modulo 65536; None where not given.
    lead : str
        Name of the lead, ``""`` where not given.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 3\\nr1.dat 16 200/mV 16 0 5 9 0 II\\n")
    ...     (signal,) = read_header(f"{folder}/r1").signals
    >>> signal.lead, signal.file, signal.format, signal.gain, signal.unit
    ('II', 'r1.dat', 16, 200.0, 'mV')
    >>> signal.initial, signal.checksum
    (5, 9)
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
    """How the samples of one signal are stored, see `SignalHeader`.

    Where the header gives no gain, or the gain 0, the signal is not calibrated and `gain` is
    `DEFAULT_GAIN`.

    Examples
    --------
    >>> coding = Coding(
    ...     format=212,
    ...     samples_per_frame=1,
    ...     skew=0,
    ...     byte_offset=0,
    ...     gain=200.0,
    ...     baseline=1024,
    ...     unit="mV",
    ...     is_calibrated=True,
    ... )
    >>> (1124 - coding.baseline) / coding.gain  # of the digital sample 1124, in mV
    0.5
    """

    format: int
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    unit: str
    is_calibrated: bool


@dataclass(frozen=True, eq=False)
class Layout:
    """How the signals of a record are stored.

    Headers with the same columns, as in nearly all records of a dataset, share one layout: what
    follows from it is computed once, and functions of it are cached by its identity.

    Parameters
    ----------
    codings : tuple of Coding
        One per signal.

    Examples
    --------
    >>> coding = Coding(
    ...     format=212,
    ...     samples_per_frame=1,
    ...     skew=0,
    ...     byte_offset=0,
    ...     gain=200.0,
    ...     baseline=1024,
    ...     unit="mV",
    ...     is_calibrated=True,
    ... )
    >>> Layout((coding, coding)).is_plain, Layout((coding, coding._replace(skew=3))).is_plain
    (True, False)
    """

    codings: tuple[Coding, ...]

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The samples of each signal in a frame of all."""
        counts = [coding.samples_per_frame for coding in self.codings]
        ends = itertools.accumulate(counts)
        return tuple([slice(end - n, end) for n, end in zip(counts, ends, strict=True)])

    @cached_property
    def is_plain(self) -> bool:
        """Whether each frame is one sample of each signal, and no signal is skewed."""
        return all(coding.samples_per_frame == 1 and coding.skew == 0 for coding in self.codings)


class Segment(NamedTuple):
    """A segment of a record: the name of its record, or `GAP`, and its number of samples.

    Examples
    --------
    >>> segments = (Segment("r1", 2500), Segment(GAP, 500))
    >>> sum(segment.n_samples for segment in segments)
    3000
    """

    name: str
    n_samples: int


class Header(NamedTuple):
    """The parsed contents of a WFDB header.

    Parameters
    ----------
    path : str
        Path of the header.
    name : str
        Name of the record.
    sampling_rate_hz : float
        Frames per second: samples per second of a signal with one sample in a frame.
    has_rate : bool
        Whether the header says it; otherwise it is `DEFAULT_RATE_HZ`.
    n_samples : int or None
        Samples (or frames) per lead; None where not given.
    files : tuple of str
        Signal file of each signal.
    layout : Layout
        How the signals are stored.
    initials, checksums : tuple of int or None
        First sample and checksum of each signal, see `SignalHeader`.
    leads : tuple of str
        Name of each lead.
    segments : tuple of Segment
        The segments of a record of several, otherwise empty. The header of such a record has no
        signals.
    comments : tuple of str
        The comment lines, without ``#``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "all.hea").write_text("all/2 1 250 5\\nr1 2\\n~ 3\\n# age: 42\\n")
    ...     header = read_header(f"{folder}/all")
    >>> header.name, header.sampling_rate_hz, header.n_samples, header.comments
    ('all', 250.0, 5, ('age: 42',))
    >>> [segment.name for segment in header.segments], header.signals
    (['r1', '~'], ())
    """

    path: str
    name: str
    sampling_rate_hz: float
    has_rate: bool
    n_samples: int | None
    files: tuple[str, ...]
    layout: Layout
    initials: tuple[int | None, ...]
    checksums: tuple[int | None, ...]
    leads: tuple[str, ...]
    segments: tuple[Segment, ...]
    comments: tuple[str, ...]

    @property
    def sampling_rates_hz(self) -> tuple[float, ...]:
        """Samples per second of each lead."""
        codings = self.layout.codings
        return tuple([self.sampling_rate_hz * coding.samples_per_frame for coding in codings])

    @property
    def signals(self) -> tuple[SignalHeader, ...]:
        """One per lead; none in the header of a record of several segments."""
        columns = zip(
            self.files, self.layout.codings, self.initials, self.checksums, self.leads, strict=True
        )
        return tuple(
            [
                SignalHeader(
                    file=file,
                    format=coding.format,
                    samples_per_frame=coding.samples_per_frame,
                    skew=coding.skew,
                    byte_offset=coding.byte_offset,
                    gain=coding.gain,
                    baseline=coding.baseline,
                    unit=coding.unit,
                    initial=initial,
                    checksum=checksum,
                    lead=lead,
                )
                for file, coding, initial, checksum, lead in columns
            ]
        )


class _RecordLine(NamedTuple):
    """The first line of a header."""

    name: str
    n_segments: int
    n_signals: int
    sampling_rate_hz: float
    has_rate: bool
    n_samples: int | None


class _SignalLines(NamedTuple):
    """The signal lines of a header, column by column."""

    files: tuple[str, ...]
    layout: Layout
    initials: tuple[int | None, ...]
    checksums: tuple[int | None, ...]
    leads: tuple[str, ...]


def read_header(path: str | os.PathLike) -> Header:
    """Read a header.

    Parameters
    ----------
    path : str or path-like
        The header, with or without ``.hea``.

    Returns
    -------
    Header
        Its parsed contents.

    Raises
    ------
    RecordError
        If it cannot be read (``missing_file``, ``unreadable``) or parsed (``bad_header``, with the
        line that is wrong).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = "r1 1 250 2500\\nr1.dat 16 200/mV 16 0 5 9 0 II\\n"
    ...     _ = Path(folder, "r1.hea").write_text(text)
    ...     header = read_header(f"{folder}/r1")
    >>> header.leads, header.n_samples, header.signals[0].gain
    (('II',), 2500, 200.0)
    """
    path = os.fspath(path).replace(os.sep, "/")
    if not path.lower().endswith(".hea"):
        path += ".hea"
    text = _read_text(path)
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    comments = tuple([line.lstrip("# \t") for line in lines if line[0] == "#"])
    if comments:
        lines = [line for line in lines if line[0] != "#"]
    if not lines:
        raise RecordError("bad_header", f"{path} is empty: it has no record line.")
    record = _parse(path, text, _parse_record, lines[:1])
    rest = lines[1:]
    if len(rest) != (record.n_segments or record.n_signals):
        kind = "segments" if record.n_segments else "signals"
        raise RecordError(
            "bad_header",
            f"{path} promises {record.n_segments or record.n_signals} {kind} in its first line and "
            f"has lines for {len(rest)}.",
        )
    signals = _parse(path, text, _parse_signals, [] if record.n_segments else rest)
    return Header(
        path=path,
        name=record.name,
        sampling_rate_hz=record.sampling_rate_hz,
        has_rate=record.has_rate,
        n_samples=record.n_samples,
        files=signals.files,
        layout=signals.layout,
        initials=signals.initials,
        checksums=signals.checksums,
        leads=signals.leads,
        segments=_parse(path, text, _parse_segments, rest) if record.n_segments else (),
        comments=comments,
    )


def _read_text(path: str) -> str:
    descriptor = open_file(path)
    try:
        content = os.read(descriptor, BLOCK_BYTES)
        while more := os.read(descriptor, BLOCK_BYTES):
            content += more
    except OSError as error:
        raise make_unreadable_error(path, error) from None
    finally:
        os.close(descriptor)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parse(path: str, text: str, parser: Callable[[list[str]], T], lines: list[str]) -> T:
    """Parse some lines of the text; an error names the first line that is wrong."""
    try:
        return parser(lines)
    except ValueError as error:
        for line in lines if len(lines) > 1 else ():
            _parse(path, text, parser, [line])  # raises at the first that is wrong
        number = list(map(str.strip, text.split("\n"))).index(lines[0]) + 1
        kind = parser.__name__.removeprefix("_parse_").removesuffix("s")
        raise RecordError(
            "bad_header",
            f"{path}, line {number} is not a valid {kind} line of a WFDB header ({error}): "
            f"{lines[0][:100]!r}",
        ) from None


def _parse_record(lines: list[str]) -> _RecordLine:
    fields = lines[0].split()
    if len(fields) < 2:
        raise ValueError("it has no number of signals")
    name, slash, segments = fields[0].partition("/")
    n_segments = _parse_int(segments, low=1) if slash else 0
    has_rate = len(fields) > 2
    rate_hz = float(fields[2].partition("/")[0]) if has_rate else DEFAULT_RATE_HZ
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise ValueError(f"the sampling rate is not {RATES_HZ[0]:g} to {RATES_HZ[1]:g} Hz")
    n_samples = _parse_int(fields[3], high=MAX_SAMPLES) if len(fields) > 3 else 0
    return _RecordLine(
        name, n_segments, _parse_int(fields[1]), rate_hz, has_rate, n_samples or None
    )


def _parse_segments(lines: list[str]) -> tuple[Segment, ...]:
    rows = [line.split() for line in lines]
    if any(len(row) != 2 for row in rows):
        raise ValueError("it is not a name and a number of samples")
    return tuple([Segment(name, _parse_int(n, high=MAX_SAMPLES)) for name, n in rows])


def _parse_signals(lines: list[str]) -> _SignalLines:
    """Parse the columns of all lines at once."""
    rows = [line.split(None, N_FIELDS - 1) for line in lines]
    columns = list(zip(*rows, strict=False))
    if len(columns) < N_FIELDS:  # a line is short
        rows = [row + [""] * (N_FIELDS - len(row)) for row in rows]
        columns = list(zip(*rows, strict=True)) or [()] * N_FIELDS
    files, codes, gains, resolutions, zeros, initials, checksums, blocks, leads = columns
    layout = _make_layout(codes, gains, resolutions, zeros, blocks)
    return _SignalLines(files, layout, _parse_ints(initials), _parse_ints(checksums), leads)


def _parse_ints(texts: tuple[str, ...]) -> tuple[int | None, ...]:
    return tuple([_parse_int(text, low=-MAX_INT - 1) if text else None for text in texts])


def _parse_int(text: str, low: int = 0, high: int = MAX_INT) -> int:
    number = int(text)
    if not low <= number <= high:
        raise ValueError(f"a number is not {low} to {high}")
    return number


@lru_cache(maxsize=1024)
def _make_layout(
    codes: tuple[str, ...],
    gains: tuple[str, ...],
    resolutions: tuple[str, ...],
    zeros: tuple[str, ...],
    blocks: tuple[str, ...],
) -> Layout:
    rows = zip(codes, gains, resolutions, zeros, blocks, strict=True)
    return Layout(
        tuple(
            [
                _make_coding(code, gain, resolution, zero, block)
                for code, gain, resolution, zero, block in rows
            ]
        )
    )


@lru_cache(maxsize=1024)
def _make_coding(code: str, gain: str, resolution: str, zero: str, block: str) -> Coding:
    format_match, gain_match = _FORMAT.fullmatch(code), _GAIN.fullmatch(gain or "0")
    if not format_match:
        raise ValueError(f"{code!r} is not a format")
    if not gain_match:
        raise ValueError(f"{gain!r} is not a gain")
    format_, per_frame, skew, offset = format_match.groups()
    steps_per_unit, baseline, unit = gain_match.groups()
    gain_value = float(steps_per_unit)
    if not math.isfinite(gain_value):
        raise ValueError("the gain is infinite")
    for number in (resolution, block):  # a missing field moves all that follow it
        int(number or 0)
    return Coding(
        format=_parse_int(format_),
        samples_per_frame=_parse_int(per_frame or "1", low=1),
        skew=_parse_int(skew or "0"),
        byte_offset=_parse_int(offset or "0", high=MAX_BYTES),
        gain=gain_value or DEFAULT_GAIN,
        baseline=_parse_int(baseline or zero or "0", low=-MAX_INT - 1),
        unit=unit or "mV",
        is_calibrated=gain_value != 0,
    )
