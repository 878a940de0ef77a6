"""The helper process: decodes photos of unknown origin, so that a decoder's crash ends only this.

Started as `python -m indexer.helper FD FD`, one end each of two socket pairs. Each request is a JSON
message. Answers to requests that were waiting together are one JSON message, a header each, and one of all their blobs
behind one another. Where a request says so, the photo's bytes were fetched already and come as an open file through
the second pair. Nothing is pickled: a decoder that an image has taken over must not be able to hand its parent code.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from foundation.files import digest_bytes
from indexer.extraction import HELD_BYTES, TOGETHER, Extraction, extract_each, extract_faces
from indexer.face import load_models
from indexer.limits import Limits
from indexer.locations import Fetched, Member, Photo
from indexer.models import Alignment, ModelError
from indexer.outcomes import Outcome, Rejection
from indexer.photo import read_photo
from indexer.picture import crop_face, number_faces
from indexer.weights import WeightsError

PROBE = "probe"
LOOKED_AT = ("archive", PROBE)  # the tasks of which several are done together
Blob = bytes | memoryview

ORPHAN_SECONDS = 10.0  # beyond decode_seconds, at which the parent has lost its patience
JOINING_SHARE = 1 / 30  # of decode_seconds in which photos may join those looked at together, since the first one waits


def answer(request: dict[str, Any], root: Path | None, limits: Limits) -> tuple[dict[str, Any], list[Blob]]:
    """Returns the header and the blobs that answer one request."""
    photo, task = _photo(request), request["task"]
    if task == "digest":
        return _told(_digest(photo, root, limits))
    if task in LOOKED_AT:
        return _told(extract_faces(photo, root, limits, task == PROBE, _alignment(request)))
    try:
        if task == "crop":
            return {"refused": None}, [crop_face(photo, root, limits, tuple(request["box"]), request["digest"])]
        boxes = [tuple(box) for box in request["boxes"]]
        return {"refused": None}, [number_faces(photo, root, limits, boxes, request["digest"])]
    except (Rejection, MemoryError) as error:
        return {"refused": str(error) or type(error).__name__}, []


def _photo(request: dict[str, Any]) -> Photo:
    named = request["photo"]
    photo = named if isinstance(named, str) else Member(*named)
    if "handle" in request:
        return Fetched(request["handle"], photo if isinstance(photo, Member) else None)
    return photo


def _alignment(request: dict[str, Any]) -> Alignment:
    return Alignment(*request.get("alignment", ()))


def _digest(photo: Photo, root: Path | None, limits: Limits) -> Extraction:
    """Returns what is known of a photo that is read and not decoded: its digest, or why it cannot be read."""
    try:
        return Extraction(Outcome.DECODER_CRASH, digest=digest_bytes(read_photo(photo, root, limits)))
    except Rejection as rejection:
        return Extraction(rejection.outcome, rejection.detail)


def _told(extraction: Extraction) -> tuple[dict[str, Any], list[Blob]]:
    header = {
        "outcome": extraction.outcome.value,
        "detail": extraction.detail,
        "digest": extraction.digest,
        "width": extraction.width,
        "height": extraction.height,
        "faces": [{"detection": vars(face.detection), "quality": vars(face.quality)} for face in extraction.faces],
    }
    return header, [face.chip.data.cast("B") for face in extraction.faces]


class _Answers:
    """Answers on their way: to requests that were taken together, as few messages as memory and patience allow.

    seconds: how long the first may wait for others.
    """

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection, self._seconds = connection, seconds
        self._headers: list[dict[str, Any]] = []
        self._blobs: list[Blob] = []
        self._since = 0.0

    def add(self, number: int, header: dict[str, Any], blobs: list[Blob]) -> None:
        if not self._headers:
            self._since = time.monotonic()
        self._headers.append({**header, "number": number, "sizes": [len(blob) for blob in blobs]})
        self._blobs += blobs
        held = sum(len(blob) for blob in self._blobs)
        if held > HELD_BYTES or time.monotonic() - self._since > self._seconds:
            self.send()

    def send(self) -> None:
        if self._headers:
            self._connection.send_bytes(json.dumps(self._headers).encode())
            self._connection.send_bytes(b"".join(self._blobs))
            self._headers, self._blobs = [], []


def serve(connection: Connection, handed: socket.socket) -> None:
    """Says that it is ready, then answers requests until the parent closes its end."""
    settings = json.loads(connection.recv_bytes())
    limits = Limits(**settings["limits"])
    root = Path(settings["root"]) if settings["root"] else None
    resource.setrlimit(resource.RLIMIT_AS, (limits.decode_memory, limits.decode_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would leave somebody's photo on the disk
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is the helper's
    try:
        load_models()
    except (ModelError, WeightsError) as error:
        connection.send_bytes(json.dumps({"unusable": str(error)}).encode())
        return
    _silence_decoders()
    connection.send_bytes(b"{}")  # ready: whatever it dies of from here on, a photo did it

    def allow_time() -> None:
        # Should the parent be killed while a decoder hangs, nobody else would end this process.
        signal.setitimer(signal.ITIMER_REAL, limits.decode_seconds + ORPHAN_SECONDS)

    def photos(requests: list[dict[str, Any]]) -> Iterator[Photo]:
        for request in requests:
            answers.send()  # those that the next photo does not join
            allow_time()
            yield _photo(request)

    joining = JOINING_SHARE * limits.decode_seconds
    answers = _Answers(connection, joining)
    try:
        while True:
            signal.setitimer(signal.ITIMER_REAL, 0)
            requests, other = _waiting(connection, handed)
            if requests:
                # They are one job's or one search's, and the first one's alignment is all of theirs.
                probe, alignment = requests[0]["task"] == PROBE, _alignment(requests[0])
                extractions = extract_each(photos(requests), root, limits, probe, alignment, joining)
                for request in requests:
                    allow_time()
                    answers.add(request["number"], *_told(next(extractions)))
            if other is not None:
                allow_time()
                answers.add(other["number"], *answer(other, root, limits))
            answers.send()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _waiting(connection: Connection, handed: socket.socket) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Waits for a request. Returns those for photos of one kind, and the one of another kind that came behind them or,
    where there are none, alone."""
    requests: list[dict[str, Any]] = []
    while not requests or (len(requests) < TOGETHER and connection.poll()):
        request = _received(connection, handed)
        if request["task"] not in LOOKED_AT or (requests and request["task"] != requests[0]["task"]):
            return requests, request
        requests.append(request)
    return requests, None


def _received(connection: Connection, handed: socket.socket) -> dict[str, Any]:
    request = json.loads(connection.recv_bytes())
    if request["handed"]:
        _, handles, _, _ = socket.recv_fds(handed, 1, 1)
        request["handle"] = handles[0]
    return request


def _silence_decoders() -> None:
    """Keeps what decoders say of a photo out of the job's log, to which one TIFF can write a line a row."""
    logging.disable()  # Pillow's
    sys.stderr = os.fdopen(os.dup(2), "w")  # what Python itself has to say is still heard
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
