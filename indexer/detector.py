"""Where the faces are: one small interface, and dlib's HOG detector behind it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from indexer.models import cached_file

# Shorter sides, in pixels, of the copies that are looked at one after the other until one shows a face.
# HOG's window is 80 pixels: 200 finds faces wider than two fifths of the shorter side, as in a booking
# photo, at a twentieth of the price of the full picture; 1,000 finds those wider than a twelfth.
# The sizes between are second chances: a face that falls between two steps of HOG's own pyramid.
LOOKS = (200, 280, 400, 640, 1000)
THOROUGH_LOOKS = (240, 400, 1000)  # all of these for a probe, whose every face counts
# A copy is enlarged as far as the smallest face that may be enrolled needs it (24 pixels between the eyes are a
# box of about 57; HOG sees 80), and small pictures up to 500 pixels, but at most to twice their size.
ENLARGEMENT = 1.4
SMALL_PICTURE = 500
LARGEST_ENLARGEMENT = 2.0  # as face_recognition's default of one upsampling
# A face narrower than this share of the picture leaves room for somebody beside it, who may be half as large:
# then one finer look is taken. In the mugshots and portraits measured the one face was wider (0.36 to 0.83).
ROOM = 0.35
OVERLAP = 0.3  # intersection over union above which two boxes are one face


@dataclass(frozen=True)
class Detection:
    """A face's box in pixels of the upright photo (it may reach beyond the edge), and the detector's score."""

    left: int
    top: int
    right: int
    bottom: int
    score: float

    @property
    def width(self) -> int:
        return self.right - self.left


class Detector(Protocol):
    """Finds faces. name goes into the digest of a job's settings: another name, other segments."""

    name: str

    def first_faces(self, rgb: np.ndarray) -> list[Detection]:
        """Returns the faces of the cheapest look that shows any, largest first; rgb is uint8 (rows, columns, 3)."""

    def all_faces(self, rgb: np.ndarray) -> list[Detection]:
        """Returns the faces that every look together shows, largest first."""


class HogDetector:
    """dlib's frontal face detector on copies of growing size."""

    name = f"dlib-hog {LOOKS} x{ENLARGEMENT} {SMALL_PICTURE} x{LARGEST_ENLARGEMENT} {ROOM}"

    @cached_property
    def _hog(self) -> Any:
        import dlib

        # The same detector, unpacked once: dlib takes a third of a second to unpack its own at every start.
        path = cached_file(f"frontal-face-{dlib.__version__}.svm", _unpacked_detector)
        return dlib.fhog_object_detector(str(path))

    def first_faces(self, rgb: np.ndarray) -> list[Detection]:
        grey = Image.fromarray(rgb).convert("L")
        for size in _sizes(grey, LOOKS):
            if found := self._look(grey, size):
                if found[0].width < ROOM * grey.width:
                    finer = min(2 * size, _largest(grey))
                    return _one_box_a_face(found + self._look(grey, finer))
                return found
        return []

    def all_faces(self, rgb: np.ndarray) -> list[Detection]:
        grey = Image.fromarray(rgb).convert("L")
        found = [face for size in _sizes(grey, THOROUGH_LOOKS) for face in self._look(grey, size)]
        return _one_box_a_face(found) or self.first_faces(rgb)

    def _look(self, grey: Image.Image, shorter_side: int) -> list[Detection]:
        scale = shorter_side / min(grey.size)
        size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
        copy = np.asarray(grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        boxes, scores, _ = self._hog.run(copy, 0, 0.0)
        found = [
            Detection(
                round(box.left() / scale),
                round(box.top() / scale),
                round(box.right() / scale),
                round(box.bottom() / scale),
                float(score),
            )
            for box, score in zip(boxes, scores, strict=True)
        ]
        return _one_box_a_face(found)


def _unpacked_detector() -> bytes:
    import dlib

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.svm"
        dlib.get_frontal_face_detector().save(str(path))
        return path.read_bytes()


def _largest(grey: Image.Image) -> int:
    side = min(grey.size)
    return int(min(max(ENLARGEMENT * side, SMALL_PICTURE), LARGEST_ENLARGEMENT * side))


def _sizes(grey: Image.Image, looks: tuple[int, ...]) -> list[int]:
    largest = _largest(grey)
    return [size for size in looks if size <= largest] or [largest]


def _one_box_a_face(found: list[Detection]) -> list[Detection]:
    kept: list[Detection] = []
    for face in sorted(found, key=lambda one: one.score, reverse=True):
        if all(_overlap(face, other) < OVERLAP for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda one: one.width, reverse=True)


def _overlap(a: Detection, b: Detection) -> float:
    wide = min(a.right, b.right) - max(a.left, b.left)
    high = min(a.bottom, b.bottom) - max(a.top, b.top)
    if wide <= 0 or high <= 0:
        return 0.0
    areas = (a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top)
    return wide * high / (areas - wide * high)
