"""The client of the helper process: photos in, faces or typed rejections out, whatever the decoder does."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from indexer.detector import Detection
from indexer.extraction import TOGETHER, Extraction
from indexer.face import OWN, Face
from indexer.helper_process import START_SECONDS, HelperDied, HelperError, HelperProcess
from indexer.limits import Limits
from indexer.locations import Member
from indexer.models import Alignment
from indexer.outcomes import Outcome
from indexer.picture import Box
from indexer.quality import Quality

AHEAD = 2 * TOGETHER - 1  # photos asked about beyond the one that is waited for, so that the next ones are always there
ASKED_CHARACTERS = 30_000  # at most, of their names: what waits to be read must fit into the socket, or both ends wait


def longest_seconds(limits: Limits) -> float:
    """Returns how long one photo can take: asked together with others, alone, and once more, and for its digest, each
    time of a helper that has to be started for it."""
    return 4 * (START_SECONDS + limits.decode_seconds)


class FaceExtractor:
    """Extracts faces in a helper process of its own, started on first use and again after a crash.

    root: the folder that archive photos must lie in, None for any. helper: one that was started already
    for the same root and limits. alignment: of the chips, and may be set anew between two questions. Use as a context
    manager, or close(). Not for several threads at once.
    """

    def __init__(
        self, root: Path | None, limits: Limits, helper: HelperProcess | None = None, alignment: Alignment = OWN
    ) -> None:
        self._helper = helper or HelperProcess(root, limits)
        self.alignment = alignment

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

    def begin(self, path: str, probe: bool = False) -> Callable[[], Extraction]:
        """Sets the helper to work on a photo and returns at once; calling what it returns waits for the extraction.

        Nothing else may be asked of this extractor in between. Never raises for what the photo is.
        """
        request = self._request(path, probe)
        try:
            self._helper.send(request)
        except HelperDied:
            return lambda: self._once_more(request)

        def finish() -> Extraction:
            try:
                return self._extraction(*self._helper.receive())
            except HelperDied:
                return self._once_more(request)

        return finish

    def extract_faces(self, photos: Iterable[str | Member], probe: bool = False) -> Iterator[Extraction]:
        """Yields one extraction a photo, in order. Never raises for what a photo is.

        The helper has the next photos before this one is handed over, so that it never waits for its caller.
        """
        asked: deque[dict[str, Any]] = deque()
        try:
            for photo in photos:
                request = self._request(photo, probe)
                self._send(request)
                asked.append(request)
                while len(asked) > AHEAD or sum(len(repr(one["photo"])) for one in asked) > ASKED_CHARACTERS:
                    yield from self._finish(asked)
            while asked:
                yield from self._finish(asked)
        finally:
            if asked:
                self.close()  # answers left waiting would be taken for the next photo's

    def _request(self, photo: str | Member, probe: bool) -> dict[str, Any]:
        return {"task": "probe" if probe else "archive", "photo": photo, "alignment": self.alignment}

    def _send(self, request: dict[str, Any]) -> None:
        with contextlib.suppress(HelperDied):  # receive() tells it again, for the photo that it died of
            self._helper.send(request)

    def _finish(self, asked: deque[dict[str, Any]]) -> Iterator[Extraction]:
        """Yields the next photo's extraction; where the helper died of one of those asked, each of theirs."""
        try:
            extraction = self._extraction(*self._helper.receive())
        except HelperDied:
            while asked:
                yield self._alone(asked.popleft())
        else:
            asked.popleft()
            yield extraction

    def _alone(self, request: dict[str, Any]) -> Extraction:
        try:
            return self._extraction(*self._helper.ask(request))
        except HelperDied:
            return self._once_more(request)

    def digest_photo(self, photo: str | Member) -> str:
        """Returns the SHA-256 of a photo's bytes, empty where they cannot be read."""
        return self._digested({"photo": photo}).digest

    def crop_face(self, photo: str | Member, box: Box, digest: str) -> bytes | None:
        """Returns the JPEG of indexer.picture.crop_face, or None where that photo cannot be shown any more."""
        return self._picture({"task": "crop", "photo": photo, "box": box, "digest": digest})

    def number_faces(self, photo: str | Member, boxes: list[Box], digest: str) -> bytes | None:
        """Returns the JPEG of indexer.picture.number_faces, or None where that photo cannot be shown any more."""
        return self._picture({"task": "number", "photo": photo, "boxes": boxes, "digest": digest})

    def _picture(self, request: dict[str, Any]) -> bytes | None:
        try:
            _, blobs = self._helper.ask(request)
        except (HelperDied, HelperError):
            return None
        return blobs[0] if blobs else None

    def _once_more(self, request: dict[str, Any]) -> Extraction:
        """Asks again in a fresh helper, so that no photo is blamed for what an earlier one left behind."""
        try:
            return self._extraction(*self._helper.ask(request))
        except HelperDied as death:
            known = self._digested(request)
            return replace(known, detail=str(death)) if known.outcome is Outcome.DECODER_CRASH else known

    def _digested(self, request: dict[str, Any]) -> Extraction:
        """Returns a photo as DECODER_CRASH with its digest, or as what it is rejected for where it cannot be read."""
        try:
            return self._extraction(*self._helper.ask({**request, "task": "digest"}))
        except HelperDied:
            return Extraction(Outcome.DECODER_CRASH)

    def _extraction(self, header: dict[str, Any], blobs: list[bytes]) -> Extraction:
        side = self.alignment.pixels
        faces = [
            Face(
                Detection(**face["detection"]),
                Quality(**face["quality"]),
                np.frombuffer(blob, dtype=np.uint8).reshape(side, side, 3),
            )
            for face, blob in zip(header["faces"], blobs, strict=True)
        ]
        known = {name: header[name] for name in ("detail", "digest", "width", "height")}
        return Extraction(Outcome(header["outcome"]), **known, faces=faces)
