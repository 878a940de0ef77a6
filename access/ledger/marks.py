"""The high-water mark: the newest entry ever seen, kept outside the database.

A MAC shows that no entry was changed; it cannot show that the last ones were cut off or that yesterday's copy
was put back. The mark can, as long as it is not put back with the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from access.ledger.errors import MarkError
from access.ledger.forks import no_fork
from foundation.files import write_whole

_WIDTH = 96


class HighWaterMark:
    """Number and digest of the newest entry seen. It only ever rises, under a lock on the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, number: int, digest: str) -> None:
        """Writes the first mark."""
        write_whole(self._path, _line(number, digest), mode=0o600)

    def read(self) -> tuple[int, str]:
        """Returns number and digest. Raises MarkError where the file is absent or not a mark."""
        with self._locked(os.O_RDONLY, fcntl.LOCK_SH) as handle:
            return self._parse(os.pread(handle, _WIDTH + 1, 0))

    def raise_to(self, number: int, digest: str) -> None:
        """Moves the mark up to an entry; an entry below it changes nothing. Raises MarkError.

        One write of one width in place, not synced: a power cut may leave the mark lower than the ledger, which
        is harmless, and never higher, because the entry was committed before.
        """
        with self._locked(os.O_RDWR, fcntl.LOCK_EX) as handle:
            if number > self._parse(os.pread(handle, _WIDTH + 1, 0))[0]:
                os.pwrite(handle, _line(number, digest), 0)

    @contextlib.contextmanager
    def _locked(self, access: int, lock: int) -> Iterator[int]:
        try:
            with no_fork():
                handle = os.open(self._path, access)
                try:
                    fcntl.flock(handle, lock)
                    yield handle
                finally:
                    os.close(handle)
        except OSError as error:
            raise self._unreadable(error.strerror or "cannot be used") from error

    def _parse(self, content: bytes) -> tuple[int, str]:
        fields = content.decode("ascii", "replace").split()
        if len(content) != _WIDTH or len(fields) != 2 or not fields[0].isdecimal() or len(fields[1]) != 64:
            raise self._unreadable("is not a mark")
        return int(fields[0]), fields[1]

    def _unreadable(self, why: str) -> MarkError:
        return MarkError(
            f"the ledger's high-water mark {self._path} {why}; put it back from a backup: without it nobody can tell "
            "whether the ledger is whole"
        )


def _line(number: int, digest: str) -> bytes:
    return f"{number} {digest}".ljust(_WIDTH - 1).encode("ascii") + b"\n"
