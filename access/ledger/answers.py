"""Answers in flight: decided and committed, perhaps not yet handed out.

An answer committed before a moratorium may reach its asker after it; no database can stop that. What can be done is
to say so: every answer registers before its transaction begins, and whoever has just committed a moratorium looks
which ones are registered at that moment and waits for them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from access.ledger.errors import LedgerUnreadable
from access.ledger.forks import no_fork
from access.ledger.store import Store

_POLL_SECONDS = 0.02
_LOCK_CLASS = int.from_bytes(b"afte")  # PostgreSQL's advisory locks are numbers; the first of two says whose it is


class Answering:
    """One answer in flight, from before its transaction until it is handed out or its process ends."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release
        self._process = os.getpid()
        self._lock = threading.Lock()

    def handed_out(self) -> None:
        """Says that the answer has left, or never will. Again, or in a forked child, it does nothing."""
        with self._lock:
            release, self._release = self._release, None
        if release is not None and self._process == os.getpid():
            release()


class FileAnswers:
    """Answers in flight as files that their processes hold a lock on; a file that nobody holds counts as nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> Answering:
        """Registers an answer. Raises LedgerUnreadable where the folder cannot be written."""
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            # The folder's lock, or else a look in between would take the file, not locked yet, for a stale one.
            with no_fork(), self._held(fcntl.LOCK_SH):
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _HANDLES.add(handle)
        except OSError as error:
            raise self._unreadable(error) from error

        def release() -> None:
            with no_fork():
                with contextlib.suppress(OSError):
                    path.unlink()
                _HANDLES.discard(handle)
                os.close(handle)

        return Answering(release)

    def outstanding(self, wait_seconds: float) -> int:
        """Waits up to wait_seconds for the answers in flight now; returns how many still are. Raises
        LedgerUnreadable where the folder cannot be read."""
        deadline = time.monotonic() + wait_seconds
        try:
            with no_fork(), self._held(fcntl.LOCK_EX):
                waiting = [path for path in self._folder.iterdir() if self._is_held(path)]
        except OSError as error:
            raise self._unreadable(error) from error
        while waiting and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            waiting = [path for path in waiting if self._is_held(path)]
        return len(waiting)

    @contextlib.contextmanager
    def _held(self, mode: int) -> Iterator[None]:
        try:
            handle = os.open(self._folder, os.O_RDONLY)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, mode)
            yield
        finally:
            os.close(handle)

    def _is_held(self, path: Path) -> bool:
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not count each other
        except BlockingIOError:
            return True
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return False
        finally:
            os.close(handle)

    def _unreadable(self, error: OSError) -> LedgerUnreadable:
        return LedgerUnreadable(
            f"the folder of answers in flight, {self._folder}, cannot be used ({error.strerror}), so nothing is "
            "answered; give this account write access to it"
        )


class SessionAnswers:
    """Answers in flight as PostgreSQL's advisory locks, each held by a session, which the server ends with its
    process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self) -> Answering:
        """Registers an answer. Raises LedgerUnreadable."""
        number = secrets.randbits(31)
        connection = self._store.checked_out(f"SELECT pg_advisory_lock_shared({_LOCK_CLASS}, {number})")

        def release() -> None:
            # Where it fails the session is gone, and its lock with it.
            self._store.give_back(connection, f"SELECT pg_advisory_unlock_shared({_LOCK_CLASS}, {number})")

        return Answering(release)

    def outstanding(self, wait_seconds: float) -> int:
        """Waits up to wait_seconds for the answers in flight now; returns how many still are. Raises
        LedgerUnreadable."""
        deadline = time.monotonic() + wait_seconds
        waiting = self._in_flight()
        while waiting and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            waiting &= self._in_flight()
        return len(waiting)

    def _in_flight(self) -> set[tuple[int, int]]:
        query = (
            "SELECT pid, objid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = ? AND objsubid = 2 "
            "AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
        )
        with self._store.transaction() as session:
            return {(int(pid), int(number)) for pid, number in session.rows(query, (_LOCK_CLASS,))}


def _close_in_child() -> None:
    for handle in _HANDLES:
        os.close(handle)
    _HANDLES.clear()


# A forked child gets copies of the locked files, which would hold the locks past the parent's end.
_HANDLES: set[int] = set()
os.register_at_fork(after_in_child=_close_in_child)
