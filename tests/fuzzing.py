"""Damaged bytes: whatever is read from them ends in a result or in an error of ours.

`make test` tries a few hundred cases of each kind, `make fuzz` a few thousand
(``ECG_FUZZ_CASES``). Tests that use this module are marked ``fuzz``.
"""

import os
import re
from collections.abc import Callable

import numpy as np

from ecglib.errors import EcgError

N_CASES = int(os.environ.get("ECG_FUZZ_CASES", "200"))
MAX_MESSAGE = 2000  # characters of an error
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
HOSTILE = (
    b"",
    b"-1",
    b"0",
    b"1e-308",
    b"1e308",
    b"nan",
    b"inf",
    b"99999999999",
    b"9" * 400,
    b"0x10",
    b"../../x",
    b"\xb5",
    b"\x00",
)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage some bytes: one to three changes of a kind that happens, or that an attacker makes."""
    for _ in range(rng.integers(1, 4)):
        content = CHANGES[rng.integers(len(CHANGES))](content, rng)
    return content


def check_cases(
    content: bytes, read: Callable[[bytes], object], *, n_cases: int = N_CASES, seed: int = 0
) -> None:
    """Read many damaged copies of some bytes; anything but a result or an `EcgError` fails.

    Parameters
    ----------
    content : bytes
        What is read without damage.
    read : callable
        Reads bytes, for instance from a file that it writes.
    n_cases : int
        Number of damaged copies.
    seed : int
        Seed of the damage; a failure names its seed and case.
    """
    read(content)
    refused, failures = 0, {}
    for case in range(n_cases):
        damaged = mutate(content, np.random.default_rng([seed, case]))
        try:
            read(damaged)
        except EcgError as error:
            refused += 1
            if not 0 < len(str(error)) < MAX_MESSAGE:
                failures[f"{len(str(error))} characters"] = (case, damaged[:200])
        except Exception as error:
            failures.setdefault(f"{type(error).__name__}: {error}"[:200], (case, damaged[:200]))
    assert not failures, f"{len(failures)} kinds of failure, seed {seed}: {failures}"
    assert refused, "no damage was noticed: the reader does not look at these bytes"


def _flip_bit(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    if damaged:
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def _cut_end(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content) + 1)]


def _delete_part(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = np.sort(rng.integers(len(content) + 1, size=2))
    return content[:start] + content[stop:]


def _repeat_part(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = np.sort(rng.integers(len(content) + 1, size=2))
    return content[:stop] + content[start:]


def _insert_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    place = rng.integers(len(content) + 1)
    return content[:place] + rng.bytes(rng.integers(1, 9)) + content[place:]


def _replace_number(content: bytes, rng: np.random.Generator) -> bytes:
    numbers = list(NUMBER.finditer(content[:4096]))
    if not numbers:
        return content
    number = numbers[rng.integers(len(numbers))]
    hostile = HOSTILE[rng.integers(len(HOSTILE))]
    return content[: number.start()] + hostile + content[number.end() :]


CHANGES = (
    _flip_bit,
    _cut_end,
    _delete_part,
    _repeat_part,
    _insert_bytes,
    _replace_number,
    _replace_number,
    _replace_number,
)
