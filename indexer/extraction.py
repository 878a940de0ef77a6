"""One photo to what is known of its faces."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from foundation.files import digest_bytes
from indexer.face import Face, align_face, default_detector, scale_face
from indexer.limits import Limits
from indexer.outcomes import EMBEDDED, Outcome, Rejection
from indexer.photo import decode_photo, decode_reduced, read_photo
from indexer.quality import Quality, require_quality

WORKING_SIDE = 500
"""Pixels of a photo's shorter side that its faces are looked for in; the detector's finest look needs 376."""

SHARP_EYES = 64
"""Pixels between the eyes from which on a chip of 150 pixels gains nothing from a larger picture."""


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


def extract_faces(path: str | os.PathLike[str], root: Path | None, limits: Limits, probe: bool = False) -> Extraction:
    """Returns what is known of a photo's faces. Never raises for what the photo is.

    An archive photo gets the detector's cheapest look and must keep the quality limits. A probe gets
    every look, so that no face goes unseen, and no quality limit: its measures are told instead.
    """
    digest, size, faces = "", (0, 0), []
    try:
        content = read_photo(path, root, limits)
        digest = digest_bytes(content)
        rgb, size = decode_reduced(content, limits, WORKING_SIDE)
        reduction = size[0] / rgb.shape[1]
        faces = _find_faces(rgb, reduction, probe)
        if reduction > 1 and any(face.quality.eye_distance < SHARP_EYES * reduction for face in faces):
            faces = _find_faces(decode_photo(content, limits), 1.0, probe)
        if not faces:
            raise Rejection(Outcome.NO_FACE, f"no face in {size[0]} x {size[1]} pixels")
        if len(faces) > 1:
            raise Rejection(Outcome.MULTIPLE_FACES, f"{len(faces)} faces")
        if not probe:
            require_quality(as_kept(faces[0].quality), limits)
    except Rejection as rejection:
        return Extraction(rejection.outcome, rejection.detail, digest, *size, faces)
    except MemoryError:
        return Extraction(Outcome.IMAGE_TOO_LARGE, "needs more memory than the limit", digest, *size)
    return Extraction(Outcome.ENROLLED, "", digest, *size, faces)


def _find_faces(rgb: np.ndarray, reduction: float, probe: bool) -> list[Face]:
    detector = default_detector()
    detections = detector.all_faces(rgb) if probe else detector.first_faces(rgb)
    return [scale_face(align_face(rgb, detection), reduction) for detection in detections]


def as_kept(quality: Quality) -> Quality:
    """Returns the measures as a gallery's table keeps them, float32, so that a row is judged again as its photo was."""
    return Quality(**{name: float(np.float32(value)) for name, value in asdict(quality).items()})


def stack_chips(extractions: list[Extraction]) -> np.ndarray:
    """Returns the chips of the faces to embed in order, uint8 (n, 150, 150, 3)."""
    chips = [one.embedded_face.chip for one in extractions if one.embedded_face is not None]
    return np.stack(chips) if chips else np.empty((0, 150, 150, 3), dtype=np.uint8)
