"""The client of the helper process: photos in, faces or typed rejections out, whatever the decoder does."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foundation.files import digest_bytes, digest_file
from foundation.store_errors import StoreError
from indexer.detector import Detection
from indexer.extraction import HELD_BYTES, TOGETHER, Extraction
from indexer.face import OWN, Face
from indexer.fetching import Fetcher
from indexer.helper_process import START_SECONDS, HelperDied, HelperError, HelperProcess
from indexer.limits import Limits
from indexer.locations import Member, Source
from indexer.models import Alignment
from indexer.outcomes import Outcome, Rejection
from indexer.picture import Box
from indexer.quality import Quality

AHEAD = 2 * TOGETHER - 1  # photos asked about beyond the one that is waited for, so that the next ones are always there
ASKED_CHARACTERS = 30_000  # at most, of their names: what waits to be read must fit into the socket, or both ends wait


def longest_seconds(limits: Limits) -> float:
    """Returns how long one photo can take: asked together with others, alone, and once more, and for its digest, each
    time of a helper that has to be started for it."""
    return 4 * (START_SECONDS + limits.decode_seconds)


@dataclass
class _Asked:
    """A request, or what is known of its photo without one. content: of a photo that was fetched, kept until it is
    answered, since a helper that dies is asked again. number: by which the helper was asked last."""

    request: dict[str, Any]
    content: bytes | None = None
    known: Extraction | None = None
    number: int = 0

    @property
    def characters(self) -> int:
        """How much of the socket it may take, as JSON: one emoji of a path is twelve characters there."""
        return len(json.dumps(self.request["photo"]))

    @property
    def held_bytes(self) -> int:
        """How much memory waits with it."""
        return len(self.content or b"")


class _Waiting:
    """Requests that wait for their answers, the first asked first.

    lost: whether the helper that they were sent to has died. Nothing more may be sent before these are done with:
    another helper's first answer would come before theirs.
    """

    def __init__(self) -> None:
        self._asked: deque[_Asked] = deque()
        self._characters = self._held_bytes = 0
        self.lost = False

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def first(self) -> _Asked:
        return self._asked[0]

    @property
    def are_too_many(self) -> bool:
        """Whether they are more than asked ahead, would fill the socket, or hold too much memory."""
        return len(self) > AHEAD or self._characters > ASKED_CHARACTERS or self._held_bytes > HELD_BYTES

    def append(self, one: _Asked) -> None:
        self._asked.append(one)
        self._characters += one.characters
        self._held_bytes += one.held_bytes

    def popleft(self) -> _Asked:
        one = self._asked.popleft()
        self._characters -= one.characters
        self._held_bytes -= one.held_bytes
        return one


class FaceExtractor:
    """Extracts faces in a helper process of its own, started on first use and again after a crash.

    root: the folder or prefix that archive photos must lie in, None for any. helper: one that was started already
    for the same root and limits. alignment: of the chips, and may be set anew between two questions. Use as a context
    manager, or close(). Not for several threads at once. Photos in a store are fetched by threads of this process;
    where the store fails, StoreError comes in place of extractions.
    """

    def __init__(
        self, root: Source | None, limits: Limits, helper: HelperProcess | None = None, alignment: Alignment = OWN
    ) -> None:
        self._helper = helper or HelperProcess(root, limits)
        self._fetcher = Fetcher(root, limits)
        self.alignment = alignment
        self.store_error: StoreError | None = None

    def __enter__(self) -> FaceExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the helper, whose imports then go on beside the caller's own work."""
        self._helper.start()

    def close(self) -> None:
        """Ends the helper. It has nothing to lose: what it knew has been answered."""
        self._helper.close()
        self._fetcher.close()

    def begin(self, paths: Sequence[str], probe: bool = False) -> Iterator[Extraction]:
        """Sets the helper to work on a few photos, at most TOGETHER, and returns at once.

        Iterating over what it returns waits for their extractions, in order. Nothing else may be asked of this
        extractor in between. Never raises for what the photos are.
        """
        asked = _Waiting()
        for path in paths:
            one = _Asked(self._request("probe" if probe else "archive", path))
            self._send(one, asked)
        return self._finish_all(asked)

    def extract_faces(self, photos: Iterable[str | Member], probe: bool = False) -> Iterator[Extraction]:
        """Yields one extraction a photo, in order. Never raises for what a photo is.

        The helper has the next photos before this one is handed over, so that it never waits for its caller. Raises
        StoreError as indexer.fetching does.
        """
        asked = _Waiting()
        try:
            for one in self._ready("probe" if probe else "archive", photos):
                self._send(one, asked)
                while asked.are_too_many or asked.lost:
                    yield from self._finish(asked)
            yield from self._finish_all(asked)
        finally:
            if asked:
                self.close()  # answers left waiting would be taken for the next photo's

    def _request(self, task: str, photo: str | Member) -> dict[str, Any]:
        return {"task": task, "photo": photo, "alignment": self.alignment}

    def _ready(self, task: str, photos: Iterable[str | Member]) -> Iterator[_Asked]:
        """Yields a request a photo, whose bytes are there where the photo had to be fetched."""
        for photo, content in self._fetcher.each(photos):
            request = self._request(task, photo)
            if isinstance(content, Rejection):
                yield _Asked(request, known=Extraction(content.outcome, content.detail))
            else:
                yield _Asked(request, content)

    def _send(self, one: _Asked, asked: _Waiting) -> None:
        """Sends a request behind those that wait, unless their helper has died: _finish then asks each of them anew."""
        if one.known is None and not asked.lost:
            try:
                one.number = self._helper.send(one.request, one.content)
            except HelperDied:
                asked.lost = True
        asked.append(one)

    def _finish_all(self, asked: _Waiting) -> Iterator[Extraction]:
        while asked:
            yield from self._finish(asked)

    def _finish(self, asked: _Waiting) -> Iterator[Extraction]:
        """Yields the next photo's extraction; where the helper died of one of those asked, each of theirs."""
        if (known := asked.first.known) is not None:
            asked.popleft()
            yield known
            return
        try:
            extraction = None if asked.lost else self._extraction(*self._helper.receive(asked.first.number))
        except HelperDied:
            extraction = None
        if extraction is not None:
            asked.popleft()
            yield extraction
            return
        again = self._alone if len(asked) > 1 else self._once_more
        while asked:
            yield again(asked.popleft())
        asked.lost = False

    def _alone(self, asked: _Asked) -> Extraction:
        if asked.known is not None:
            return asked.known
        try:
            return self._extraction(*self._helper.ask(asked.request, asked.content))
        except HelperDied:
            return self._once_more(asked)

    def digest_each(self, photos: Iterable[str | Member]) -> Iterator[str]:
        """Yields the SHA-256 of each photo's bytes, empty where they cannot be read. Raises StoreError.

        Strangers' bytes are inflated in the helper only.
        """
        for asked in self._ready("digest", photos):
            photo = asked.request["photo"]
            if asked.known is not None:
                yield asked.known.digest
            elif isinstance(photo, Member):
                yield self._digested(asked).digest
            elif asked.content is not None:
                yield digest_bytes(asked.content)
            else:
                yield _digest_file(Path(photo))

    def crop_face(self, photo: str | Member, box: Box, digest: str) -> bytes | None:
        """Returns the JPEG of indexer.picture.crop_face, or None where that photo cannot be shown any more."""
        return next(self.crop_faces([(photo, box, digest)]))

    def crop_faces(self, faces: Sequence[tuple[str | Member, Box, str]]) -> Iterator[bytes | None]:
        """Yields what crop_face returns for each photo, box and digest.

        Where a store fails, None for whatever is left; store_error then says why, and stays: nobody waits twice.
        """
        left = deque(faces)
        if self.store_error is None:
            try:
                for asked in self._ready("crop", [photo for photo, _, _ in faces]):
                    _, box, digest = left.popleft()
                    yield self._picture(replace(asked, request={**asked.request, "box": box, "digest": digest}))
            except StoreError as error:
                self.store_error = error
        yield from (None for _ in left)

    def number_faces(self, photo: str, boxes: list[Box], digest: str) -> bytes | None:
        """Returns the JPEG of indexer.picture.number_faces, or None where that photo cannot be shown any more."""
        return self._picture(_Asked({"task": "number", "photo": photo, "boxes": boxes, "digest": digest}))

    def _picture(self, asked: _Asked) -> bytes | None:
        if asked.known is not None:
            return None
        try:
            _, blobs = self._helper.ask(asked.request, asked.content)
        except (HelperDied, HelperError):
            return None
        return bytes(blobs[0]) if blobs else None

    def _once_more(self, asked: _Asked) -> Extraction:
        """Asks again in a fresh helper, so that no photo is blamed for what an earlier one left behind."""
        try:
            return self._extraction(*self._helper.ask(asked.request, asked.content))
        except HelperDied as death:
            known = self._digested(asked)
            return replace(known, detail=str(death)) if known.outcome is Outcome.DECODER_CRASH else known

    def _digested(self, asked: _Asked) -> Extraction:
        """Returns a photo as DECODER_CRASH with its digest, or as what it is rejected for where it cannot be read."""
        try:
            return self._extraction(*self._helper.ask({**asked.request, "task": "digest"}, asked.content))
        except HelperDied:
            return Extraction(Outcome.DECODER_CRASH)

    def _extraction(self, header: dict[str, Any], blobs: list[memoryview]) -> Extraction:
        side = self.alignment.pixels
        faces = [
            Face(
                Detection(**face["detection"]),
                Quality(**face["quality"]),
                # A copy, or one chip that is kept would keep all that came with it.
                np.frombuffer(blob, dtype=np.uint8).reshape(side, side, 3).copy(),
            )
            for face, blob in zip(header["faces"], blobs, strict=True)
        ]
        known = {name: header[name] for name in ("detail", "digest", "width", "height")}
        return Extraction(Outcome(header["outcome"]), **known, faces=faces)


def _digest_file(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError:
        return ""
