"""One photo to what is known of its faces."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foundation.files import digest_bytes
from indexer.face import Face, align_face, default_detector
from indexer.limits import Limits
from indexer.outcomes import Outcome, Rejection
from indexer.photo import decode_photo, read_photo
from indexer.quality import require_quality


@dataclass(frozen=True)
class Extraction:
    """What became of one photo. digest: SHA-256 of its bytes, empty where they could not be read.

    width, height: pixels, upright, 0 where it could not be decoded. An ENROLLED extraction has exactly
    one face; a rejected one keeps the faces that were found, for their measures.
    """

    outcome: Outcome
    detail: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    faces: list[Face] = field(default_factory=list)


def extract_faces(path: str | os.PathLike[str], root: Path | None, limits: Limits, probe: bool = False) -> Extraction:
    """Returns what is known of a photo's faces. Never raises for what the photo is.

    An archive photo gets the detector's cheapest look and must keep the quality limits. A probe gets
    every look, so that no face goes unseen, and no quality limit: its measures are told instead.
    """
    digest, size, faces = "", (0, 0), []
    try:
        content = read_photo(path, root, limits)
        digest = digest_bytes(content)
        rgb = decode_photo(content, limits)
        size = rgb.shape[1], rgb.shape[0]
        detector = default_detector()
        detections = detector.all_faces(rgb) if probe else detector.first_faces(rgb)
        faces = [align_face(rgb, detection) for detection in detections]
        if not faces:
            raise Rejection(Outcome.NO_FACE, f"no face in {size[0]} x {size[1]} pixels")
        if len(faces) > 1:
            raise Rejection(Outcome.MULTIPLE_FACES, f"{len(faces)} faces")
        if not probe:
            require_quality(faces[0].quality, limits)
    except Rejection as rejection:
        return Extraction(rejection.outcome, rejection.detail, digest, *size, faces)
    except MemoryError:
        return Extraction(Outcome.IMAGE_TOO_LARGE, "needs more memory than the limit", digest, *size)
    return Extraction(Outcome.ENROLLED, "", digest, *size, faces)


def stack_chips(extractions: list[Extraction]) -> np.ndarray:
    """Returns the enrolled faces' chips in order, uint8 (n, 150, 150, 3)."""
    chips = [one.faces[0].chip for one in extractions if one.outcome is Outcome.ENROLLED]
    return np.stack(chips) if chips else np.empty((0, 150, 150, 3), dtype=np.uint8)
