"""The signal files of a WFDB record: digital samples and checksums.

The formats follow signal(5) of the WFDB Applications Guide. Formats 16, 61 and 212 are decoded
here; ``wfdb`` is imported for other formats only.
"""

import io
import math
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ecglib.datasets.units import check_size
from ecglib.datasets.wfdb.files import (
    locate_file,
    make_unreadable_error,
    open_file,
    read_size,
)
from ecglib.datasets.wfdb.headers import Header, Layout
from ecglib.errors import RecordError

# Bits of each format; the lowest value means that a sample was not measured.
BITS = {
    8: 32,
    16: 16,
    24: 24,
    32: 32,
    61: 16,
    80: 8,
    160: 16,
    212: 12,
    310: 10,
    311: 10,
    508: 8,
    516: 16,
    524: 24,
}
NOT_MEASURED = {code: -(1 << (bits - 1)) for code, bits in BITS.items()}
# Bytes, and the samples that they hold. Formats 508, 516 and 524 are compressed.
BYTES = {
    8: (1, 1),
    16: (2, 1),
    24: (3, 1),
    32: (4, 1),
    61: (2, 1),
    80: (1, 1),
    160: (2, 1),
    212: (3, 2),
    310: (4, 3),
    311: (4, 3),
}
PIECE = 1 << 15  # samples that stay in the processor's cache while several operations use them
STORED = {16: np.dtype("<i2"), 61: np.dtype(">i2")}
DECODED_HERE = (*STORED, 212)


class _File(NamedTuple):
    """A signal file, with the number of its signals and of the samples in one of its frames."""

    name: str
    format: int
    byte_offset: int
    n_signals: int
    samples_per_frame: int


def read_samples(header: Header, verify: bool = True) -> np.ndarray:
    """Read the digital samples of the signal files that a header names.

    Parameters
    ----------
    header : Header
        Header of a record without segments.
    verify : bool, default True
        Compare checksums, see `ecglib.datasets.wfdb.records.read_record`.

    Returns
    -------
    array of shape (n_frames, samples per frame)
        int16, or int32 where a format has more bits; `NOT_MEASURED` of the format where nothing was
        measured. A frame is one sample of each signal, in order, or several (`Layout.slices`).

    Raises
    ------
    RecordError
        If the samples cannot be read: ``bad_header``, ``missing_file``, ``truncated``,
        ``wrong_checksum`` or ``unreadable``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ecglib.datasets.wfdb.headers import read_header
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 3\\nr1.dat 16\\n")
    ...     np.array([5, -5, 7], "<i2").tofile(Path(folder, "r1.dat"))
    ...     read_samples(read_header(f"{folder}/r1")).ravel().tolist()
    [5, -5, 7]
    """
    files = _list_files(header)
    n_samples = header.n_samples or _count_samples(header, files)
    check_size(n_samples, sum([file.samples_per_frame for file in files]))
    if all([file.format in DECODED_HERE for file in files]):
        arrays = [_read_file(header, file, n_samples) for file in files]
        samples = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
    else:
        samples = _read_with_wfdb(header, files, n_samples)
    if verify:
        _check_checksums(header, samples)
    return samples if header.layout.is_plain else _undo_skew(header.layout, samples)


def _list_files(header: Header) -> list[_File]:
    """List the signal files; each has one format and one byte offset."""
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
        formats, samples_per_frame = _summarize_codings(header.layout, first, first + n_signals)
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
        files.append(_File(name, code, byte_offset, n_signals, samples_per_frame))
    return files


@lru_cache(maxsize=1024)
def _summarize_codings(layout: Layout, first: int, last: int) -> tuple[list[tuple[int, int]], int]:
    """Formats with byte offsets of some signals, and their samples in a frame."""
    codings = layout.codings[first:last]
    formats = {(coding.format, coding.byte_offset) for coding in codings}
    return list(formats), sum(coding.samples_per_frame for coding in codings)


def _count_samples(header: Header, files: list[_File]) -> int:
    """Count the samples per lead by the size of the files, where the header does not say."""
    found = []
    for file in files:
        if file.format not in BYTES:
            raise RecordError(
                "bad_header",
                f"{header.path} gives no number of samples, and {file.name} is compressed. "
                "Write the number into its first line.",
            )
        size = max(read_size(locate_file(header.path, file.name)) - file.byte_offset, 0)
        n_bytes, n_samples = BYTES[file.format]
        found.append(size * n_samples // n_bytes // file.samples_per_frame)
    if len(set(found)) > 1:
        raise RecordError(
            "bad_header",
            f"{header.path} gives no number of samples, and its files hold {found}. Write the "
            "number into its first line.",
        )
    if found[0] == 0:
        raise RecordError(
            "truncated",
            f"{locate_file(header.path, files[0].name)} does not hold one sample of each signal. "
            "Download it again.",
        )
    return found[0]


def _read_file(header: Header, file: _File, n_samples: int) -> np.ndarray:
    """Read the samples of a file: int16, shape (n_samples, samples_per_frame)."""
    shape = (n_samples, file.samples_per_frame)
    path = locate_file(header.path, file.name)
    descriptor = open_file(path)
    try:
        _check_size(os.fstat(descriptor).st_size, path, header, file, n_samples)
        if file.byte_offset:
            os.lseek(descriptor, file.byte_offset, os.SEEK_SET)
        if file.format == 212:
            n = math.prod(shape)
            packed = np.empty(_count_bytes(212, n) + 2, np.uint8)
            _fill(packed[:-2], descriptor, path)
            return _decode_212(packed, n).reshape(shape)
        samples = np.empty(shape, STORED[file.format])
        _fill(samples, descriptor, path)
        return samples.astype(np.int16, copy=False)
    except OSError as error:
        raise make_unreadable_error(path, error) from None
    finally:
        os.close(descriptor)


def _fill(array: np.ndarray, descriptor: int, path: str) -> None:
    """Read from a file until the array is full: a system call reads 2 GB at most."""
    n_bytes = _readv(descriptor, [array])
    while n_bytes < array.nbytes:
        more = _readv(descriptor, [array.reshape(-1).view(np.uint8)[n_bytes:]])
        if more == 0:
            raise RecordError("truncated", f"{path} became shorter while it was read.")
        n_bytes += more


def _readv_portable(descriptor: int, arrays: list[np.ndarray]) -> int:
    """Do the work of `os.readv` for one array, on any system."""
    with io.FileIO(descriptor, closefd=False) as file:
        return file.readinto(arrays[0].data)


# Windows has no os.readv, and that of macOS refuses more than 2 GB. NumPy tells type checkers that
# arrays are buffers only from Python 3.12 on.
_readv: Callable[[int, list[np.ndarray]], int]
_readv = os.readv if sys.platform == "linux" else _readv_portable  # type: ignore[assignment]


def _decode_212(packed: np.ndarray, n: int) -> np.ndarray:
    """Decode n samples of 12 bits from bytes that two more must follow.

    Three bytes hold two samples: low byte of the first; high four bits of the second, then of the
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
        # Each sample moves to the upper 12 bits of its int16. All but the high four bits of the
        # second are at their place after a shift by 4.
        high = pair << 16
        high &= 0xF000_0000
        pair <<= 4
        pair &= 0x0FFF_FFFF
        pair |= high
        sample = pair.view("<i2")
        sample >>= 4  # keeps the sign
    return samples[:n]


def _read_with_wfdb(header: Header, files: list[_File], n_samples: int) -> np.ndarray:
    """Read the samples in the order of the files: shape (n_samples, samples per frame)."""
    import wfdb

    for file in files:
        path = locate_file(header.path, file.name)
        _check_size(read_size(path), path, header, file, n_samples)
    name = header.path.removesuffix(".hea")
    try:
        record = wfdb.rdrecord(name, physical=False, smooth_frames=False, ignore_skew=True)
        frames = [samples.reshape(n_samples, -1) for samples in record.e_d_signal]
    except Exception as error:  # wfdb raises any
        raise RecordError(
            "unreadable", f"wfdb cannot read {header.path}: {type(error).__name__}: {error}"
        ) from error
    wide = any(BITS[file.format] > 16 for file in files)
    return np.concatenate(frames, axis=1, dtype=np.int32 if wide else np.int16, casting="unsafe")


def _undo_skew(layout: Layout, samples: np.ndarray) -> np.ndarray:
    """Move skewed signals to their time; their ends were not measured."""
    moved = samples.copy() if any(coding.skew for coding in layout.codings) else samples
    for coding, columns in zip(layout.codings, layout.slices, strict=True):
        if coding.skew:
            n_valid = max(len(samples) - coding.skew, 0)
            moved[:n_valid, columns] = samples[coding.skew :, columns]
            moved[n_valid:, columns] = NOT_MEASURED[coding.format]
    return moved


def _check_checksums(header: Header, samples: np.ndarray) -> None:
    """Refuse samples whose sum differs from the checksum of their signal."""
    if header.n_samples is None or not any(header.checksums):
        return
    sums = _sum_columns(samples)
    if len(sums) > len(header.checksums):
        sums = [sum(sums[columns]) for columns in header.layout.slices]
    for column, (found, expected) in enumerate(zip(sums, header.checksums, strict=True)):
        if expected is not None and (found - expected) % 65536:
            raise RecordError(
                "wrong_checksum",
                f"Lead {header.leads[column]!r} of {header.path}: its samples in "
                f"{header.files[column]} have checksum {found % 65536}, expected "
                f"{expected % 65536}. Download it again.",
            )


def _sum_columns(samples: np.ndarray) -> list[int]:
    """Sum each column modulo 65536: int16 sums wrap around.

    Rows are folded step by step: NumPy adds long rows 80 times faster than rows of two.
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


def _check_size(size: int, path: str, header: Header, file: _File, n_samples: int) -> None:
    """Refuse a signal file that is shorter than its header says."""
    expected = file.byte_offset + _count_bytes(file.format, n_samples * file.samples_per_frame)
    if size < expected:
        raise RecordError(
            "truncated",
            f"{path} holds {size} bytes, expected {expected}: {n_samples} samples of "
            f"{file.n_signals} signals in format {file.format}, says {header.path}. Download it "
            "again.",
        )


def _count_bytes(code: int, n: int) -> int:
    """Count the bytes that n samples need; 0 for the compressed formats."""
    n_bytes, n_samples = BYTES.get(code, (0, 1))
    return -(-n * n_bytes // n_samples)
