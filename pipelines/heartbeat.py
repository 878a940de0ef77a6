"""Whether a local job still moves: its workers leave a sign at every photo, and silence beyond reason ends the job.

Where memory runs out, the local runner can lose one of its threads without a word, and wait for it for ever.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

BEAT_SECONDS = 1.0


class Heartbeat:
    """A worker's: beat() at every photo. Travels to worker processes; folder is one that they share with the watch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = 0.0

    def beat(self) -> None:
        """Leaves a sign, at most one a second."""
        if time.monotonic() - self._last >= BEAT_SECONDS:
            self._last = time.monotonic()
            os.utime(self._folder)


class Watch:
    """The waiting side's. Told by this process's own clock, so that a change of the system's moves nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = 0
        self._since = time.monotonic()

    def silence(self) -> float:
        """Returns the seconds since a worker's last sign."""
        sign = self._folder.stat().st_mtime_ns
        if sign != self._seen:
            self._seen, self._since = sign, time.monotonic()
        return time.monotonic() - self._since
