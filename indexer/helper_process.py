"""The helper process as its parent sees it: started, asked, and buried when it dies.

Imports nothing heavy, so that a search can set the helper to its own imports before it begins with its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import asdict
from itertools import accumulate, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from foundation.errors import AfterfactError
from indexer.limits import Limits
from indexer.locations import Source

START_SECONDS = 60.0  # importing everything on a cold, busy disk
BURIAL_SECONDS = 5.0
# For glibc: keep what one photo took for the next one, in place of a hundred page faults a photo; and in large pages,
# since photos, and the landmarks' model, are read all over.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
CREDENTIALS = ("AFTERFACT_CREDENTIAL", "AWS_", "GOOGLE_")
Answer = tuple[dict[str, Any], list[memoryview]]  # header and blobs
# No photo does this to its decoder: a system that is going down does, and the job with it.
_KILLED = "the decoder died of "
_TOLD_TO_END = frozenset(f"{_KILLED}{one}" for one in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"))


class HelperDied(Exception):
    """The helper ended, or had to be ended, while it worked on a request. The next request starts a new one."""


class HelperError(AfterfactError):
    """The helper cannot be started: the fault of this machine or installation, and of no photo."""


class HelperProcess:
    """One `python -m indexer.helper`. It answers in the order in which it was asked."""

    def __init__(self, root: Source | None, limits: Limits) -> None:
        here = isinstance(root, Path)  # what lies in a store is fetched by the parent, which keeps to that root
        self._settings = {"root": str(root) if here else None, "limits": asdict(limits)}
        self._seconds = limits.decode_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._handing: socket.socket | None = None
        self._ready = False
        self._died_starting = False
        self._asked = 0  # of all the processes that were started here: no two requests have the same number
        self._answers: deque[Answer] = deque()

    def start(self) -> None:
        """Starts the process where it is not running. Raises HelperError where the system has none to give."""
        if self._process is not None:
            return
        # Modules are found where this process finds them, and (-P) never in whatever folder it was called from.
        # One thread a helper: the workers share out the cores.
        # What decodes strangers' bytes has no use for anybody's credential, to us or to a store.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
        environment |= {
            "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **KEEP_MEMORY,
        }
        try:
            (ours, theirs), (handing, handed) = socket.socketpair(), socket.socketpair()
            with theirs, ours, handed:
                self._handing = handing
                ends = [theirs.fileno(), handed.fileno()]
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "indexer.helper", *map(str, ends)],
                    pass_fds=ends,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # a decoder that chatters must not spoil our JSON
                    env=environment,
                )
                self._connection = Connection(ours.detach())
        except OSError as error:
            raise HelperError(f"the decoder's process cannot be started ({error}); free memory or processes") from error
        self._ready = False
        self._connection.send_bytes(json.dumps(self._settings).encode())

    def close(self) -> None:
        """Ends the process."""
        if self._process is None or self._connection is None or self._handing is None:
            return
        self._connection.close()
        self._handing.close()
        self._process.kill()
        self._process.wait()
        self._process = self._connection = None
        self._answers.clear()

    def ask(self, request: dict[str, Any], content: bytes | None = None) -> Answer:
        """Sends a request and returns its answer: header and blobs. Raises HelperDied."""
        return self.receive(self.send(request, content))

    def send(self, request: dict[str, Any], content: bytes | None = None) -> int:
        """Sends a request and returns its number, by which receive() gives its answer.

        Raises HelperDied, or HelperError as start() does.

        content: of the photo, where it was fetched from a store.
        """
        try:
            self.start()
            assert self._connection is not None
            self._asked += 1
            if content is not None:
                self._hand(content)
            told = {**request, "number": self._asked, "handed": content is not None}
            self._connection.send_bytes(json.dumps(told).encode())
        except OSError as error:
            raise self._death() from error
        return self._asked

    def _hand(self, content: bytes) -> None:
        """Hands over a file without a name: through the socket itself, bytes would wait for the answers before them."""
        assert self._handing is not None
        handle = _nameless_file()
        try:
            with open(handle, "wb", closefd=False) as stream:
                stream.write(content)
            socket.send_fds(self._handing, [b"\0"], [handle])
        finally:
            os.close(handle)

    def receive(self, number: int) -> Answer:
        """Waits for the next answer, within the limits' decode_seconds. Answers come in the order of the requests.

        number: of the request that it must be the answer to. Raises HelperDied, and HelperError for another's answer.
        """
        if self._connection is None:
            raise HelperDied("the decoder died before")
        try:
            if not self._ready:
                self._read_ready(START_SECONDS)
            if not self._answers:
                self._read_answers()
        except (EOFError, OSError) as error:
            raise self._death() from error
        header, blobs = self._answers.popleft()
        if header["number"] != number:
            # One photo's face under another's name is the one mistake that must not be possible.
            self.close()
            raise HelperError(f"the decoder answered request {header['number']} for {number}; report this")
        return header, blobs

    def _read_answers(self) -> None:
        """Reads the next ones, which come together where their requests were waiting together."""
        assert self._connection is not None
        headers = json.loads(self._read_within(self._seconds))
        content, at = memoryview(self._connection.recv_bytes()), 0
        for header in headers:
            ends = list(accumulate(header["sizes"], initial=at))
            self._answers.append((header, [content[start:end] for start, end in pairwise(ends)]))
            at = ends[-1]

    def _read_ready(self, seconds: float) -> None:
        """Reads the process's first message: that it is ready, or what it lacks, as a HelperError."""
        unusable = json.loads(self._read_within(seconds)).get("unusable")
        if unusable:
            self.close()
            raise HelperError(unusable)
        self._ready, self._died_starting = True, False

    def _read_within(self, seconds: float) -> bytes:
        assert self._connection is not None
        if self._connection.poll(seconds):
            return self._connection.recv_bytes()
        self.close()
        said = f"no answer within {seconds:g} s"
        raise HelperDied(said) if self._ready else HelperError(f"the decoder's process cannot be started: {said}")

    def _death(self) -> Exception:
        """Buries the process and returns the error that says what it died of."""
        if not self._ready and self._connection is not None:
            try:
                self._read_ready(BURIAL_SECONDS)  # what it lacked may lie there unread
            except HelperError as error:
                return error
            except (EOFError, OSError):
                pass
        ready, died_of = self._ready, self._bury()
        if died_of in _TOLD_TO_END:
            return HelperError(f"{died_of}: somebody is ending this job; run the same command again")
        # A start that was killed, for memory say, may succeed a moment later; the second in a row is no accident.
        if ready or (died_of.startswith(_KILLED) and not self._died_starting):
            self._died_starting = not ready
            return HelperDied(died_of)
        return HelperError(
            f"the decoder's process cannot be started: {died_of} before its first photo; "
            "see what it printed, and whether the limit decode_memory leaves it room"
        )

    def _bury(self) -> str:
        """Returns what the process died of, and forgets it."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout=BURIAL_SECONDS)
        except subprocess.TimeoutExpired:
            code = 0
        self.close()
        if code < 0:
            return f"{_KILLED}{signal.Signals(-code).name}"
        return f"the decoder ended with exit code {code}"


def _nameless_file() -> int:
    """Returns an open file that is gone when it is closed: in memory, where the system has such, so that no photo is
    ever written to a disk on its way."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("photo")
    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())
