"""Whether a job still moves: its workers leave a sign at every photo, and silence beyond reason ends the job.

Where memory runs out, the local runner can lose one of its threads without a word, and wait for it for ever; a cluster
can wait as long for a worker that never starts. The signs lie in the run's folder, which every worker opens.
"""

from __future__ import annotations

import os
import socket
import time
import uuid

from foundation.object_store import open_store
from foundation.store_path import Place, StorePath
from indexer.gallery_cache import BEATS

BEAT_SECONDS = 1.0
CLUSTER_BEAT_SECONDS = 10.0  # where each sign, and each look for it, may be a request that is paid for


def begin_beating(within: Place) -> Place:
    """Returns an empty folder for the signs of this call's workers: within the run's, with which it goes, or within
    whatever else they share."""
    folder = within / f"{BEATS}{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    return folder


class Heartbeat:
    """A worker's: beat() at every photo. Travels to workers; folder is one that they share with the watch."""

    def __init__(self, folder: Place, every: float = BEAT_SECONDS) -> None:
        self._folder = folder
        self._every = every
        self._last = 0.0
        self._name = ""

    def beat(self) -> None:
        """Leaves a sign, at most one every so many seconds: a file of this worker's own, written anew."""
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._name = self._name or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            (self._folder / self._name).write_bytes(b"%d\n" % time.time_ns())


class Watch:
    """The waiting side's. Told by this process's own clock, so that a change of the system's moves nothing."""

    def __init__(self, folder: Place, every: float = 0.0) -> None:
        """every: seconds between two looks at the folder, at least."""
        self._folder = folder
        self._every = every
        self._seen: set[tuple[str, int]] = set()
        self._since = self._looked = time.monotonic()

    def silence(self) -> float:
        """Returns the seconds since a worker's last sign."""
        if time.monotonic() - self._looked >= self._every:
            self._looked = time.monotonic()
            signs = _signs(self._folder)
            if signs != self._seen:
                self._seen, self._since = signs, self._looked
        return time.monotonic() - self._since


def _signs(folder: Place) -> set[tuple[str, int]]:
    """Returns the names of the files in a folder, and when they were written."""
    if isinstance(folder, StorePath):  # one listing tells all
        return {(one.name, one.modified_ns) for one in open_store(folder.location).list()}
    return {(one.name, one.stat().st_mtime_ns) for one in folder.iterdir()}
