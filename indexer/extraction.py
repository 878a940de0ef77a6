"""One photo to what is known of its faces."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from foundation.files import digest_bytes
from indexer.detector import Detection
from indexer.face import OWN, Face, cut_face, default_detector, landmarks_each, scale_face
from indexer.limits import Limits
from indexer.locations import Photo
from indexer.models import Alignment
from indexer.outcomes import EMBEDDED, Outcome, Rejection
from indexer.photo import decode_photo, decode_reduced, read_photo
from indexer.quality import Quality, eye_distance, require_quality

WORKING_SIDE = 500
"""Pixels of a photo's shorter side that its faces are looked for in; the detector's finest look needs 376."""

SHARP_EYES = 64
"""Pixels between the eyes from which on a chip of 150 pixels gains nothing from a larger picture."""

TOGETHER = 16
HELD_BYTES = 32_000_000
"""How many photos take a step together, and from how many bytes held for them on no further one joins."""

NOTHING = np.empty((0, 0, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Extraction:
    """What became of one photo. digest: SHA-256 of its bytes, empty where they could not be read.

    width, height: pixels, upright, 0 where it could not be decoded. An ENROLLED extraction has exactly
    one face; a rejected one keeps the faces that were found, widest first, for their measures.
    """

    outcome: Outcome
    detail: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    faces: list[Face] = field(default_factory=list)

    @property
    def embedded_face(self) -> Face | None:
        """The face whose embedding is kept, also of a photo that is not enrolled; see indexer.outcomes.EMBEDDED."""
        return self.faces[0] if self.faces and self.outcome in EMBEDDED else None


def extract_faces(
    photo: Photo, root: Path | None, limits: Limits, probe: bool = False, alignment: Alignment = OWN
) -> Extraction:
    """Returns what is known of a photo's faces. Never raises for what the photo is.

    An archive photo gets the detector's cheapest look and must keep the quality limits. A probe gets
    every look, so that no face goes unseen, and no quality limit: its measures are told instead.
    """
    (extraction,) = extract_each([photo], root, limits, probe, alignment)
    return extraction


def extract_each(
    photos: Iterable[Photo],
    root: Path | None,
    limits: Limits,
    probe: bool = False,
    alignment: Alignment = OWN,
    seconds: float = math.inf,
) -> Iterator[Extraction]:
    """Yields what extract_faces returns for each photo, in order, and somewhat faster: several take each step
    together, so that its model comes into the processor's cache once for all of them (decision 17).

    seconds: how long photos may go on joining those that wait for a step.
    """
    together: list[_Extracting] = []
    began = time.monotonic()
    for photo in photos:
        one = _Extracting(root, limits, probe, alignment)
        together.append(one)
        one.take(partial(one.decode, photo))
        full = len(together) == TOGETHER or sum(other.held_bytes for other in together) > HELD_BYTES
        if full or time.monotonic() - began > seconds:
            yield from _finish(together)
            together, began = [], time.monotonic()
    yield from _finish(together)


def _finish(together: list[_Extracting]) -> Iterator[Extraction]:
    for step in (_Extracting.shrink, _Extracting.detect):
        for one in together:
            one.take(partial(step, one))
    try:
        _align(together)
    except MemoryError:  # one of them takes it all, and must not take the others with it
        for one in together:
            one.take(partial(_align, [one]))
    for one in together:  # each to its end: a whole photo may take much memory
        one.take(one.look_closer)
        one.take(one.cut)
        yield one.result()


def _align(together: list[_Extracting]) -> None:
    found = iter(landmarks_each([(one.rgb, detection) for one in together for detection in one.detections]))
    for one in together:
        one.landmarks = list(islice(found, len(one.detections)))


class _Extracting:
    """One photo on its way through the steps, of which the first that rejects it is the last."""

    def __init__(self, root: Path | None, limits: Limits, probe: bool, alignment: Alignment) -> None:
        self._root, self._limits, self._probe, self._alignment = root, limits, probe, alignment
        self._outcome: tuple[Outcome, str] | None = None
        self._digest, self._size = "", (0, 0)
        self._content = b""
        self.rgb = NOTHING
        self._copies: list[np.ndarray] = []
        self.detections: list[Detection] = []
        self.landmarks: list[np.ndarray] = []
        self._faces: list[Face] = []

    @property
    def held_bytes(self) -> int:
        """How much memory waits with this photo."""
        return len(self._content) + self.rgb.nbytes

    def take(self, step: Callable[[], None]) -> None:
        """Takes a step, unless an earlier one ended this photo's way."""
        if self._outcome is not None:
            return
        try:
            step()
        except Rejection as rejection:
            self._outcome = rejection.outcome, rejection.detail
        except MemoryError:
            self._outcome, self._faces = (Outcome.IMAGE_TOO_LARGE, "needs more memory than the limit"), []

    def decode(self, photo: Photo) -> None:
        self._content = read_photo(photo, self._root, self._limits)
        self._digest = digest_bytes(self._content)
        self.rgb, self._size = decode_reduced(self._content, self._limits, WORKING_SIDE)

    def shrink(self) -> None:
        self._copies = default_detector().copies(self.rgb, self._probe)

    def detect(self) -> None:
        self.detections = default_detector().faces(self.rgb, self._probe, self._copies)
        self._copies = []

    def look_closer(self) -> None:
        """Takes the steps again in the whole photo, where a face in the smaller copy lacks pixels."""
        if self._reduction > 1 and any(eye_distance(landmarks) < SHARP_EYES for landmarks in self.landmarks):
            self.rgb = decode_photo(self._content, self._limits)
            self.shrink()
            self.detect()
            _align([self])

    def cut(self) -> None:
        found = zip(self.detections, self.landmarks, strict=True)
        cut = [cut_face(self.rgb, detection, landmarks, self._alignment) for detection, landmarks in found]
        self._faces = [scale_face(face, self._reduction) for face in cut]
        if not self._faces:
            raise Rejection(Outcome.NO_FACE, f"no face in {self._size[0]} x {self._size[1]} pixels")
        if len(self._faces) > 1:
            raise Rejection(Outcome.MULTIPLE_FACES, f"{len(self._faces)} faces")
        if not self._probe:
            require_quality(as_kept(self._faces[0].quality), self._limits)

    @property
    def _reduction(self) -> float:
        return self._size[0] / self.rgb.shape[1]

    def result(self) -> Extraction:
        """Returns the extraction, and lets go of the pixels."""
        outcome, detail = self._outcome or (Outcome.ENROLLED, "")
        self._content, self.rgb = b"", NOTHING  # and no view of the pixels, which would keep them all
        return Extraction(outcome, detail, self._digest, *self._size, self._faces)


def as_kept(quality: Quality) -> Quality:
    """Returns the measures as a gallery's table keeps them, float32, so that a row is judged again as its photo was."""
    return Quality(**{name: float(np.float32(value)) for name, value in asdict(quality).items()})


def stack_chips(extractions: list[Extraction], pixels: int = OWN.pixels) -> np.ndarray:
    """Returns the chips of the faces to embed in order, uint8 (n, pixels, pixels, 3)."""
    chips = [one.embedded_face.chip for one in extractions if one.embedded_face is not None]
    return np.stack(chips) if chips else np.empty((0, pixels, pixels, 3), dtype=np.uint8)
