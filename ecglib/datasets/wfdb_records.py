"""WFDB records: samples and checksums. Strict, and fast where ECG data sets are large.

Follows signal(5) of the WFDB Applications Guide. Formats 16, 61 and 212 are decoded
here and the segments of a record are joined here; ``wfdb`` is imported for other formats only.
"""

import io
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ecglib.datasets.signals import INVALID, MV_PER, STEP_MV, mv_per, to_steps
from ecglib.datasets.wfdb_headers import (
    GAP,
    Header,
    Layout,
    Segment,
    open_file,
    read_header,
    unreadable,
)
from ecglib.errors import DatasetError, RecordError

# For each format its bits; the lowest value stands for a sample that was not measured.
BITS = {8: 32, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12, 310: 10, 311: 10,
        508: 8, 516: 16, 524: 24}  # fmt: skip
NOT_MEASURED = {code: -(1 << (bits - 1)) for code, bits in BITS.items()}
# So many bytes hold so many samples. Formats 508, 516 and 524 are compressed.
BYTES = {8: (1, 1), 16: (2, 1), 24: (3, 1), 32: (4, 1), 61: (2, 1), 80: (1, 1), 160: (2, 1),
         212: (3, 2), 310: (4, 3), 311: (4, 3)}  # fmt: skip
PIECE = 1 << 15  # samples that stay in the processor's cache while several operations use them
STORED = {16: np.dtype("<i2"), 61: np.dtype(">i2")}
DECODED_HERE = (*STORED, 212)
STEPS = (0, STEP_MV, INVALID)  # the scale of digital samples that are steps already


@dataclass(slots=True, eq=False)
class WfdbRecord:
    """A record of one segment.

    Parameters
    ----------
    header
        what its header says.
    digital
        array of shape (n_samples, n_leads), int16, or int32 where a format has more bits;
        read-only.
    """

    header: Header
    digital: np.ndarray

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, in order."""
        return self.header.leads

    @property
    def sampling_rate_hz(self) -> float:
        """Samples a second."""
        return self.header.sampling_rate_hz

    @property
    def n_samples(self) -> int:
        """Samples of a lead."""
        return len(self.digital)

    @property
    def first_sample_differs(self) -> bool:
        """Whether a lead begins with another sample than its header gives."""
        first = tuple(self.digital[0].tolist())
        if first == self.header.initials:
            return False
        each = zip(first, self.header.initials, self.header.layout.codings, strict=True)
        return any(
            initial not in (None, own) and coding.samples_per_frame == 1 and coding.skew == 0
            for own, initial, coding in each
        )

    def steps(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, as steps of 0.001 mV.

        Returns
        -------
        array of shape (n_samples, len(columns)), int16
            Clipped at 32.767 mV; `INVALID` where nothing was measured. It is `digital` itself,
            read-only, where all leads are chosen in order and stored as such steps.

        Raises
        ------
        RecordError
            the unit of a chosen lead is none of voltage.
        """
        if self._scales(columns) == (STEPS,):
            return self._chosen(columns).astype(np.int16, copy=False)
        return to_steps(self.signal_mv(columns))

    def signal_mv(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, in mV.

        Returns
        -------
        array of shape (n_samples, len(columns)), float64
            NaN where nothing was measured.

        Raises
        ------
        RecordError
            the unit of a chosen lead is none of voltage.
        """
        scales = self._scales(columns)
        signal_mv = np.empty((self.n_samples, len(columns)))
        if len(scales) == 1:
            _to_mv(self._chosen(columns), scales[0], signal_mv)
        else:
            for i, column in enumerate(columns):
                _to_mv(self.digital[:, column], scales[i], signal_mv[:, i])
        return signal_mv

    def _chosen(self, columns: Sequence[int]) -> np.ndarray:
        columns = list(columns)
        if columns == list(range(len(self.leads))):
            return self.digital
        return self.digital[:, columns]

    def _scales(self, columns: Sequence[int]) -> tuple[tuple[int, float, int], ...]:
        try:
            return _scales(self.header.layout, tuple(columns))
        except DatasetError as error:
            units = [self.header.layout.codings[column].unit.lower() for column in columns]
            column = next(c for c, unit in zip(columns, units, strict=True) if unit not in MV_PER)
            raise RecordError(
                "unknown_unit", f"Lead {self.leads[column]!r} of {self.header.path}: {error}"
            ) from None


class SegmentedRecord:
    """A record of several segments. Leads are found by name; gaps, and leads that a segment does
    not have, are not measured there.

    Parameters
    ----------
    header
        what its header says.
    leads
        names of the leads, in order.
    pieces
        for each segment that is no gap: its first sample in the record, and its record.
    """

    def __init__(
        self, header: Header, leads: tuple[str, ...], pieces: list[tuple[int, WfdbRecord]]
    ):
        self.header = header
        self.leads = leads
        self.pieces = pieces

    @property
    def sampling_rate_hz(self) -> float:
        """Samples a second."""
        return self.header.sampling_rate_hz

    @property
    def n_samples(self) -> int:
        """Samples of a lead."""
        return sum(segment.n_samples for segment in self.header.segments)

    @property
    def first_sample_differs(self) -> bool:
        """Whether a segment begins with another sample than its header gives."""
        return any(record.first_sample_differs for _, record in self.pieces)

    def steps(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, as steps of 0.001 mV: see `WfdbRecord.steps`."""
        return self._joined(WfdbRecord.steps, columns, np.int16, INVALID)

    def signal_mv(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, in mV: see `WfdbRecord.signal_mv`."""
        return self._joined(WfdbRecord.signal_mv, columns, np.float64, np.nan)

    def _joined(self, samples_of, columns: Sequence[int], dtype, missing) -> np.ndarray:
        joined = np.full((self.n_samples, len(columns)), missing, dtype)
        for start, record in self.pieces:
            own = [i for i, column in enumerate(columns) if self.leads[column] in record.leads]
            chosen = [record.leads.index(self.leads[columns[i]]) for i in own]
            joined[start : start + record.n_samples, own] = samples_of(record, chosen)
        return joined


def read_record(path: str | os.PathLike, verify: bool = True) -> WfdbRecord | SegmentedRecord:
    """Read a record.

    Parameters
    ----------
    path
        its header file, with or without ``.hea``.
    verify
        compare the sum of each signal's samples with the header's checksum, where the header gives
        a number of samples and any checksum but 0.

    Raises
    ------
    RecordError
        ``bad_header``, ``missing_file``, ``truncated``, ``wrong_checksum``, ``unreadable``; for a
        record of several segments also ``ambiguous_lead``.
    """
    header = read_header(path)
    return _read_segments(header, verify) if header.segments else _read_one(header, verify)


def _read_segments(header: Header, verify: bool) -> SegmentedRecord:
    leads, pieces, start = None, [], 0
    for number, segment in enumerate(header.segments):
        if segment.name != GAP and (number == 0 or segment.n_samples > 0):
            own = read_header(_beside(header, segment.name))
            _require_distinct_leads(own)
            leads = own.leads if leads is None else leads
            if segment.n_samples > 0:
                _require_fits(own, header, segment, leads)
                pieces.append((start, _read_one(own, verify)))
        start += segment.n_samples
    if start != (header.n_samples or start) or leads is None:
        raise RecordError(
            "bad_header",
            f"{header.path} promises {header.n_samples} samples; its segments have {start}, of "
            f"{len(leads or ())} leads.",
        )
    return SegmentedRecord(header, leads, pieces)


def _require_distinct_leads(own: Header) -> None:
    if len(set(own.leads)) < len(own.leads):
        raise RecordError(
            "ambiguous_lead",
            f"{own.path} has leads {own.leads}; a name stands twice, and the leads of segments are "
            "found by name.",
        )


def _require_fits(own: Header, header: Header, segment: Segment, leads: tuple[str, ...]) -> None:
    """Refuse a segment that is not what the header of the whole record says."""
    found = {"segments": len(own.segments), "samples": own.n_samples, "Hz": own.sampling_rate_hz}
    expected = {"segments": 0, "samples": segment.n_samples, "Hz": header.sampling_rate_hz}
    # A first segment without samples lists the leads of all; the others each have some of them.
    some = header.segments[0].n_samples == 0
    if found != expected or not (set(own.leads) <= set(leads) if some else own.leads == leads):
        raise RecordError(
            "bad_header",
            f"{own.path} has {found} and leads {own.leads}; as a segment of {header.path} it must "
            f"have {expected} and {'some of the' if some else 'the'} leads {leads}.",
        )


class _File(NamedTuple):
    """A signal file: name, format and byte offset; its signals and the samples of its frames."""

    name: str
    format: int
    byte_offset: int
    n_signals: int
    per_frame: int


def _read_one(header: Header, verify: bool) -> WfdbRecord:
    files = _files(header)
    n_samples = header.n_samples or _n_samples_in_files(header, files)
    if all([file.format in DECODED_HERE for file in files]):
        parts = [_read_file(header, file, n_samples) for file in files]
        samples = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    else:
        samples = _read_with_wfdb(header, files, n_samples)
    if verify:
        _verify(header, samples)
    digital = samples if header.layout.plain else _join_frames(header, samples)
    digital.flags.writeable = False
    return WfdbRecord(header, digital)


def _files(header: Header) -> list[_File]:
    """The files of the signals; one has one format and one byte offset."""
    runs = [(name, len(list(signals))) for name, signals in groupby(header.files)]
    if not runs:
        raise RecordError("bad_header", f"{header.path} has no signals, so no samples to read.")
    if len(dict(runs)) < len(runs):
        raise RecordError(
            "bad_header",
            f"{header.path} names a file, then others, then it again; signals of one file must "
            "follow each other.",
        )
    files, first = [], 0
    for name, n_signals in runs:
        formats, per_frame = _stored(header.layout, first, first + n_signals)
        first += n_signals
        if len(formats) > 1:
            raise RecordError(
                "bad_header",
                f"{header.path} gives the signals of {name} the formats and byte offsets "
                f"{sorted(formats)}; one file has one format and one byte offset.",
            )
        code, byte_offset = formats[0]
        if code not in BITS:
            raise RecordError(
                "unreadable",
                f"{header.path} gives {name} the format {code}; those that can be read are "
                f"{sorted(BITS)}.",
            )
        files.append(_File(name, code, byte_offset, n_signals, per_frame))
    return files


@lru_cache(maxsize=1024)
def _stored(layout: Layout, first: int, last: int) -> tuple[list[tuple[int, int]], int]:
    """Formats with byte offsets of these signals, and the samples that a frame has of them."""
    codings = layout.codings[first:last]
    formats = {(coding.format, coding.byte_offset) for coding in codings}
    return list(formats), sum(coding.samples_per_frame for coding in codings)


def _n_samples_in_files(header: Header, files: list[_File]) -> int:
    """The samples of a lead, where the header leaves them to the size of the files."""
    found = []
    for file in files:
        if file.format not in BYTES:
            raise RecordError(
                "bad_header",
                f"{header.path} gives no number of samples, and {file.name} is compressed. "
                "Write the number into its first line.",
            )
        size = max(_size(_beside(header, file.name)) - file.byte_offset, 0)
        n_bytes, n_samples = BYTES[file.format]
        found.append(size * n_samples // n_bytes // file.per_frame)
    if len(set(found)) > 1:
        raise RecordError(
            "bad_header",
            f"{header.path} gives no number of samples, and its files hold {found}. Write the "
            "number into its first line.",
        )
    if found[0] == 0:
        raise RecordError(
            "truncated",
            f"{_beside(header, files[0].name)} does not hold one sample of each signal. Get it "
            "anew.",
        )
    return found[0]


def _read_file(header: Header, file: _File, n_samples: int) -> np.ndarray:
    """The samples of a file, of shape (n_samples, samples of a frame), int16."""
    shape = (n_samples, file.per_frame)
    path = _beside(header, file.name)
    descriptor = open_file(path)
    try:
        _require_whole(os.fstat(descriptor).st_size, path, header, file, n_samples)
        if file.byte_offset:
            os.lseek(descriptor, file.byte_offset, os.SEEK_SET)
        if file.format == 212:
            n = math.prod(shape)
            packed = np.empty(_n_bytes(212, n) + 2, np.uint8)
            _fill(packed[:-2], descriptor, path)
            return _decode_212(packed, n).reshape(shape)
        samples = np.empty(shape, STORED[file.format])
        _fill(samples, descriptor, path)
        return samples.astype(np.int16, copy=False)
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(descriptor)


def _fill(array: np.ndarray, descriptor: int, path: str) -> None:
    """Read on in a file until the array is full: a system call reads 2 GB at most."""
    n_bytes = _readv(descriptor, [array])
    while n_bytes < array.nbytes:
        more = _readv(descriptor, [array.reshape(-1).view(np.uint8)[n_bytes:]])
        if more == 0:
            raise RecordError("truncated", f"{path} became shorter while it was read.")
        n_bytes += more


def _readv_anywhere(descriptor: int, arrays: list[np.ndarray]) -> int:
    with io.FileIO(descriptor, closefd=False) as file:
        return file.readinto(arrays[0])


# Windows has no os.readv, and that of macOS refuses more than 2 GB.
_readv = os.readv if sys.platform == "linux" else _readv_anywhere


def _decode_212(packed: np.ndarray, n: int) -> np.ndarray:
    """The n samples of 12 bits in these bytes, after which two more must stand.

    Two samples lie in three bytes: low byte of the first; high four bits of the second, then of the
    first; low byte of the second.
    """
    n_pairs = (n + 1) // 2
    samples = np.empty(2 * n_pairs, "<i2")
    pairs = samples.view("<u4")
    # The three bytes of each pair, and on top of them a byte of the next one.
    words = np.ndarray(n_pairs, "<u4", packed, strides=(3,))
    for start in range(0, n_pairs, PIECE):
        pair = pairs[start : start + PIECE]
        pair[:] = words[start : start + PIECE]
        # Both samples move to the upper 12 bits of an int16 of their own. All but the high four
        # bits of the second are at their place after a shift by 4.
        high = pair << 16
        high &= 0xF000_0000
        pair <<= 4
        pair &= 0x0FFF_FFFF
        pair |= high
        sample = pair.view("<i2")
        sample >>= 4  # keeps the sign
    return samples[:n]


def _read_with_wfdb(header: Header, files: list[_File], n_samples: int) -> np.ndarray:
    """The samples of a record as they lie in its files: (n_samples, samples of a frame)."""
    import wfdb

    for file in files:
        path = _beside(header, file.name)
        _require_whole(_size(path), path, header, file, n_samples)
    name = header.path.removesuffix(".hea")
    try:
        read = wfdb.rdrecord(name, physical=False, smooth_frames=False, ignore_skew=True)
        frames = [samples.reshape(n_samples, -1) for samples in read.e_d_signal]
    except Exception as error:  # wfdb raises any
        raise RecordError(
            "unreadable", f"wfdb cannot read {header.path}: {type(error).__name__}: {error}"
        ) from error
    wide = any(BITS[file.format] > 16 for file in files)
    return np.concatenate(frames, axis=1, dtype=np.int32 if wide else np.int16, casting="unsafe")


def _join_frames(header: Header, samples: np.ndarray) -> np.ndarray:
    """One sample a frame, the mean rounded to 0 as wfdb does, moved by the skew."""
    n_samples = len(samples)
    digital = np.empty((n_samples, len(header.signals)), samples.dtype)
    first = 0
    for column, signal in enumerate(header.signals):
        frames = samples[:, first : first + signal.samples_per_frame]
        first += signal.samples_per_frame
        not_measured = NOT_MEASURED[signal.format]
        values = np.trunc(frames.mean(axis=1))
        values[(frames == not_measured).any(axis=1)] = not_measured
        n_moved = max(n_samples - signal.skew, 0)
        digital[:n_moved, column] = values[signal.skew :]
        digital[n_moved:, column] = not_measured
    return digital


def _verify(header: Header, samples: np.ndarray) -> None:
    """Compare the sum of each signal's samples with its checksum."""
    if header.n_samples is None or not any(header.checksums):
        return
    sums = _sums(samples)
    if len(sums) > len(header.checksums):
        ends = np.cumsum([coding.samples_per_frame for coding in header.layout.codings])
        sums = [sum(own.tolist()) for own in np.split(np.array(sums), ends[:-1])]
    for column, (found, expected) in enumerate(zip(sums, header.checksums, strict=True)):
        if expected is not None and (found - expected) % 65536:
            raise RecordError(
                "wrong_checksum",
                f"Lead {header.leads[column]!r} of {header.path}: its samples in "
                f"{header.files[column]} have checksum {found % 65536}, expected "
                f"{expected % 65536}. Get it anew.",
            )


def _sums(samples: np.ndarray) -> list[int]:
    """The sum of each column, modulo 65536: int16 sums wrap around.

    Rows are folded into ever fewer: NumPy adds long rows 80 times faster than rows of two.
    """
    samples = samples.astype(np.int16, copy=False)
    while len(samples) > 64:
        n_rows = math.isqrt(len(samples))
        n_whole = len(samples) // n_rows * n_rows
        long_rows = samples[:n_whole].reshape(-1, n_rows * samples.shape[1])
        folded = np.add.reduce(long_rows, axis=0, dtype=np.int16).reshape(n_rows, -1)
        folded[: len(samples) - n_whole] += samples[n_whole:]
        samples = folded
    return np.add.reduce(samples, axis=0, dtype=np.int16).tolist()


@lru_cache(maxsize=1024)
def _scales(layout: Layout, columns: tuple[int, ...]) -> tuple[tuple[int, float, int], ...]:
    """The digital sample of 0 mV, mV in one digital step, and what was not measured.

    One for each column, or one in all where they are equal.
    """
    codings = [layout.codings[column] for column in columns]
    scales = [(c.baseline, mv_per(c.unit) / c.gain, NOT_MEASURED[c.format]) for c in codings]
    return tuple(scales[:1] if len(set(scales)) == 1 else scales)


def _to_mv(digital: np.ndarray, scale: tuple[int, float, int], out: np.ndarray) -> None:
    baseline, mv_a_step, not_measured = scale
    n_rows = max(PIECE * len(digital) // digital.size, 1)
    for start in range(0, len(digital), n_rows):
        piece, mv = digital[start : start + n_rows], out[start : start + n_rows]
        np.subtract(piece, float(baseline), out=mv)
        mv *= mv_a_step
        if piece.min() == not_measured:
            mv[piece == not_measured] = np.nan


def _beside(header: Header, name: str) -> str:
    """Where a file is that a header names: in its folder, or at an absolute path."""
    if name.startswith("/"):
        return name
    folder, slash, _ = header.path.rpartition("/")
    return f"{folder}{slash}{name}"


def _size(path: str) -> int:
    descriptor = open_file(path)
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _require_whole(size: int, path: str, header: Header, file: _File, n_samples: int) -> None:
    """Refuse a signal file that does not hold all the samples it must."""
    expected = file.byte_offset + _n_bytes(file.format, n_samples * file.per_frame)
    if size < expected:
        raise RecordError(
            "truncated",
            f"{path} holds {size} bytes, expected {expected}: {n_samples} samples of "
            f"{file.n_signals} signals in format {file.format}, says {header.path}. Get it anew.",
        )


def _n_bytes(code: int, n: int) -> int:
    """Bytes that n samples take at least; 0 for the compressed formats."""
    n_bytes, n_samples = BYTES.get(code, (0, 1))
    return -(-n * n_bytes // n_samples)
