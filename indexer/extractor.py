"""The client of the helper process: photos in, faces or typed rejections out, whatever the decoder does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from foundation.files import digest_bytes
from indexer.detector import Detection
from indexer.extraction import Extraction
from indexer.face import Face
from indexer.limits import Limits
from indexer.outcomes import Outcome, Rejection
from indexer.photo import read_photo
from indexer.picture import Box
from indexer.quality import Quality
from indexer.weights import CHIP_PIXELS

START_SECONDS = 60.0  # importing everything on a cold, busy disk


class _HelperDied(Exception):
    """The helper ended, or had to be ended, while it worked on a photo."""


class FaceExtractor:
    """Extracts faces in a helper process of its own, started on first use and again after a crash.

    root: the folder that archive photos must lie in, None for any. Use as a context manager, or close().
    Not for several threads at once.
    """

    def __init__(self, root: Path | None, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._first = True

    def __enter__(self) -> FaceExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the helper, whose imports then go on beside the caller's own work."""
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
        settings = {"root": str(self._root) if self._root else None, "limits": asdict(self._limits)}
        self._connection.send_bytes(json.dumps(settings).encode())
        self._first = True

    def close(self) -> None:
        """Ends the helper. It has nothing to lose: what it knew has been answered."""
        if self._process is None or self._connection is None:
            return
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._process = self._connection = None

    def extract_faces(self, paths: Iterable[str], probe: bool = False) -> Iterator[Extraction]:
        """Yields one extraction a path, in order. Never raises for what a photo is."""
        for path in paths:
            yield self._extract(path, probe)

    def crop_face(self, path: str, box: Box, digest: str) -> bytes | None:
        """Returns the JPEG of indexer.picture.crop_face, or None where that photo cannot be shown any more."""
        return self._picture({"task": "crop", "path": path, "box": box, "digest": digest})

    def number_faces(self, path: str, boxes: list[Box]) -> bytes | None:
        """Returns the JPEG of indexer.picture.number_faces, or None where the photo cannot be shown any more."""
        return self._picture({"task": "number", "path": path, "boxes": boxes})

    def _picture(self, request: dict[str, Any]) -> bytes | None:
        try:
            _, blobs = self._ask(request)
        except _HelperDied:
            return None
        return blobs[0] if blobs else None

    def _extract(self, path: str, probe: bool) -> Extraction:
        request = {"task": "probe" if probe else "archive", "path": path}
        try:
            return _extraction(*self._ask(request))
        except _HelperDied:
            pass
        try:
            # Once more alone in a fresh helper, so that no photo is blamed for what an earlier one left behind.
            return _extraction(*self._ask(request))
        except _HelperDied as death:
            try:
                digest = digest_bytes(read_photo(path, self._root, self._limits))
            except Rejection as rejection:
                return Extraction(rejection.outcome, rejection.detail)
            return Extraction(Outcome.DECODER_CRASH, str(death), digest)

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        try:
            self.start()
            assert self._connection is not None
            self._connection.send_bytes(json.dumps(request).encode())
            seconds = self._limits.decode_seconds + (START_SECONDS if self._first else 0.0)
            if not self._connection.poll(seconds):
                self.close()
                raise _HelperDied(f"no answer within {self._limits.decode_seconds:g} s")
            header = json.loads(self._connection.recv_bytes())
            self._first = False
            return header, [self._connection.recv_bytes() for _ in range(header["blobs"])]
        except (EOFError, OSError) as error:
            raise _HelperDied(self._cause_of_death()) from error

    def _cause_of_death(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        if code is not None and code < 0:
            return f"the decoder died of {signal.Signals(-code).name}"
        return f"the decoder ended with exit code {code}"


def _extraction(header: dict[str, Any], blobs: list[bytes]) -> Extraction:
    faces = [
        Face(
            Detection(**face["detection"]),
            Quality(**face["quality"]),
            np.frombuffer(blob, dtype=np.uint8).reshape(CHIP_PIXELS, CHIP_PIXELS, 3),
        )
        for face, blob in zip(header["faces"], blobs, strict=True)
    ]
    return Extraction(
        Outcome(header["outcome"]), header["detail"], header["digest"], header["width"], header["height"], faces
    )
