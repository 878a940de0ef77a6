"""From upright pixels to the aligned chip of a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from indexer.alignment import cut_chip
from indexer.blazeface import BlazeFaceDetector
from indexer.detector import Detection, Detector
from indexer.landmarks import find_landmarks
from indexer.models import Alignment, converted_landmarks
from indexer.quality import Quality, measure_quality
from indexer.shape_predictor import ShapePredictor

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
def _predictor() -> ShapePredictor:
    with np.load(converted_landmarks()) as tables:
        return ShapePredictor(tables)


def load_models() -> None:
    """Loads what the first photo would otherwise have to wait for, or be blamed for where it is not there."""
    nothing, anywhere = np.zeros((80, 80, 3), dtype=np.uint8), Detection(20, 20, 60, 60, 0.0)
    default_detector().faces(nothing)
    (landmarks,) = landmarks_each([(nothing, anywhere)])
    cut_face(nothing, anywhere, landmarks)


def landmarks_each(faces: Sequence[tuple[np.ndarray, Detection]]) -> list[np.ndarray]:
    """Returns the five landmarks of faces in their photos, each float64 (5, 2), in pixels of the photo; several at once
    take less time than each alone."""
    return find_landmarks(_predictor(), faces)


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
