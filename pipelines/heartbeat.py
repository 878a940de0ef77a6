"""Whether a job still moves: its workers leave a sign at every photo, and silence beyond reason ends the job.

Where memory runs out, the local runner can lose one of its threads without a word, and wait for it for ever; a cluster
can wait as long for a worker that never starts. The signs lie in the run's folder, which every worker opens.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import uuid
from pathlib import Path

from indexer.run import Run

BEAT_SECONDS = 1.0
BEATS = "beats-"


def begin_beating(run: Run) -> Path:
    """Returns an empty folder for the signs of this call's workers."""
    for left in run.folder.glob(f"{BEATS}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=BEATS, dir=run.folder))


class Heartbeat:
    """A worker's: beat() at every photo. Travels to workers; folder is one that they share with the watch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = 0.0
        self._name = ""

    def beat(self) -> None:
        """Leaves a sign, at most one a second: a file of this worker's own, written anew."""
        if time.monotonic() - self._last >= BEAT_SECONDS:
            self._last = time.monotonic()
            self._name = self._name or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            (self._folder / self._name).write_text(f"{time.time_ns()}\n")


class Watch:
    """The waiting side's. Told by this process's own clock, so that a change of the system's moves nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[tuple[str, int]] = set()
        self._since = time.monotonic()

    def silence(self) -> float:
        """Returns the seconds since a worker's last sign."""
        with os.scandir(self._folder) as entries:
            signs = {(entry.name, entry.stat().st_mtime_ns) for entry in entries}
        if signs != self._seen:
            self._seen, self._since = signs, time.monotonic()
        return time.monotonic() - self._since
