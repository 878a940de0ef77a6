"""Counts wrong credentials, so that a stranger who tries many is told in the ledger but cannot fill the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from access.ledger.errors import LedgerUnreadable

_FILE = "strangers"
_WIDTH = 32


@dataclass(frozen=True)
class Count:
    """Wrong credentials shown on this host on one UTC day."""

    day: str
    wrong: int

    @property
    def is_told(self) -> bool:
        """Whether the ledger is told of this count: 1, 2, 4, 8, ... a day, so at most some thirty entries."""
        return self.wrong & (self.wrong - 1) == 0


def count_stranger(home: Path, day: str) -> tuple[Count, Count | None]:
    """Counts one more wrong credential on `day`; returns the day's count, and the last count of an earlier day where
    this is the first of a new one. Raises LedgerUnreadable where the count cannot be kept.
    """
    path = home / _FILE
    try:
        with _locked(path) as handle:
            before = _parse(os.pread(handle, _WIDTH, 0))
            count = Count(day, before.wrong + 1 if before and before.day == day else 1)
            os.pwrite(handle, f"{count.day} {count.wrong}".ljust(_WIDTH - 1).encode("ascii") + b"\n", 0)
    except OSError as error:
        raise LedgerUnreadable(
            f"wrong credentials cannot be counted in {path} ({error.strerror}); make the data home writable"
        ) from error
    return count, before if before and before.day != day else None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _parse(content: bytes) -> Count | None:
    fields = content.decode("ascii", "replace").split()
    if len(fields) != 2 or not fields[1].isdecimal():
        return None
    return Count(fields[0], int(fields[1]))
