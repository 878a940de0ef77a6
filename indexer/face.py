"""From upright pixels to the aligned chip of a face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from indexer.alignment import cut_chip
from indexer.blazeface import BlazeFaceDetector
from indexer.detector import Detection, Detector
from indexer.landmarks import find_landmarks
from indexer.models import Alignment, landmarks_file
from indexer.quality import Quality, measure_quality

OWN = Alignment()  # the built-in network's


@dataclass(frozen=True)
class Face:
    """One face of a photo. chip: uint8 (pixels, pixels, 3) RGB, aligned on the eyes and the nose base."""

    detection: Detection
    quality: Quality
    chip: np.ndarray


@cache
def default_detector() -> Detector:
    """Returns the detector in use, loaded once."""
    return BlazeFaceDetector()


@cache
def _landmarks() -> Any:
    import dlib

    return dlib.shape_predictor(str(landmarks_file()))


def load_models() -> None:
    """Loads what the first photo would otherwise have to wait for."""
    _landmarks()
    default_detector().faces(np.zeros((80, 80, 3), dtype=np.uint8))


def face_landmarks(rgb: np.ndarray, detection: Detection) -> np.ndarray:
    """Returns a face's five landmarks, float64 (5, 2), in pixels of the photo."""
    return find_landmarks(_landmarks(), rgb, detection)


def cut_face(rgb: np.ndarray, detection: Detection, landmarks: np.ndarray, alignment: Alignment = OWN) -> Face:
    """Returns the face's chip and measures; these are of the built-in network's chip, whatever the alignment."""
    own = cut_chip(rgb, detection, landmarks, OWN)
    chip = own if alignment == OWN else cut_chip(rgb, detection, landmarks, alignment)
    return Face(detection, measure_quality(detection, landmarks, own), chip)


def scale_face(face: Face, reduction: float) -> Face:
    """Returns a face that was found in a smaller copy, its box and eye distance in pixels of the photo."""
    if reduction == 1:
        return face
    box = {name: round(getattr(face.detection, name) * reduction) for name in ("left", "top", "right", "bottom")}
    quality = replace(face.quality, eye_distance=face.quality.eye_distance * reduction)
    return Face(replace(face.detection, **box), quality, face.chip)
