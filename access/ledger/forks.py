"""Holds a fork back while locks are being taken or held, so that no child gets a copy of them.

SQLite's view of its own locks, copied in the middle of a transaction, would let the child read what another process
is writing; and a lock on an open file, copied, would outlast the parent's.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_PATIENCE_SECONDS = 30


class _Gate:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = False
        self._own = threading.local()

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        depth = getattr(self._own, "depth", 0)
        if not depth:
            with self._changed:
                self._changed.wait_for(lambda: not self._forking)
                self._inside += 1
        self._own.depth = depth + 1
        try:
            yield
        finally:
            self._own.depth = depth
            if not depth:
                with self._changed:
                    self._inside -= 1
                    self._changed.notify_all()

    def close(self) -> None:
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._forking)
        self._forking = True
        own = 1 if getattr(self._own, "depth", 0) else 0
        self._changed.wait_for(lambda: self._inside == own, timeout=_PATIENCE_SECONDS)

    def open_in_parent(self) -> None:
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def open_in_child(self) -> None:
        self._changed = threading.Condition()
        self._inside = 1 if getattr(self._own, "depth", 0) else 0
        self._forking = False


_GATE = _Gate()
os.register_at_fork(before=_GATE.close, after_in_parent=_GATE.open_in_parent, after_in_child=_GATE.open_in_child)


def no_fork() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which no thread of this process forks; forks wait for its end."""
    return _GATE.passing()
