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
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from indexer.limits import Limits

START_SECONDS = 60.0  # importing everything on a cold, busy disk
BURIAL_SECONDS = 5.0


class HelperDied(Exception):
    """The helper ended, or had to be ended, while it worked on a request. The next request starts a new one."""


class HelperProcess:
    """One `python -m indexer.helper`, asked one request at a time."""

    def __init__(self, root: Path | None, limits: Limits) -> None:
        self._settings = {"root": str(root) if root else None, "limits": asdict(limits)}
        self._seconds = limits.decode_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._answered = False

    def start(self) -> None:
        """Starts the process where it is not running. Raises OSError where the system has none to give."""
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        # One thread a helper: the workers share out the cores.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "indexer.helper", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        self._connection = Connection(ours.detach())
        self._answered = False
        self._connection.send_bytes(json.dumps(self._settings).encode())

    def close(self) -> None:
        """Ends the process."""
        if self._process is None or self._connection is None:
            return
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._process = self._connection = None

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Sends a request and returns its answer: header and blobs. Raises HelperDied."""
        self.send(request)
        return self.receive()

    def send(self, request: dict[str, Any]) -> None:
        """Sends a request, whose answer receive() returns. Raises HelperDied."""
        try:
            self.start()
            assert self._connection is not None
            self._connection.send_bytes(json.dumps(request).encode())
        except (EOFError, OSError) as error:
            raise HelperDied(self._bury()) from error

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """Waits for the answer, within the limits' decode_seconds. Raises HelperDied."""
        assert self._connection is not None
        try:
            if not self._connection.poll(self._seconds + (0.0 if self._answered else START_SECONDS)):
                self.close()
                raise HelperDied(f"no answer within {self._seconds:g} s")
            header = json.loads(self._connection.recv_bytes())
            self._answered = True
            return header, [self._connection.recv_bytes() for _ in range(header["blobs"])]
        except (EOFError, OSError) as error:
            raise HelperDied(self._bury()) from error

    def _bury(self) -> str:
        """Returns what the process died of, and forgets it."""
        if self._process is None:
            return "the decoder's process could not be started"
        try:
            code = self._process.wait(timeout=BURIAL_SECONDS)
        except subprocess.TimeoutExpired:
            code = 0
        self.close()
        if code < 0:
            return f"the decoder died of {signal.Signals(-code).name}"
        return f"the decoder ended with exit code {code}"
