"""Numbers that say how good a face is, and the limits held against them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from indexer.detector import Detection
from indexer.limits import Limits
from indexer.outcomes import Outcome, Rejection

# The chip's middle: its rim can lie outside the photo, where dlib fills in black.
INNER = (30, 30, 120, 120)

Point = tuple[float, float]


@dataclass(frozen=True)
class Quality:
    """Measures of one face.

    score: the detector's. eye_distance: pixels between the eyes' centres in the upright photo.
    yaw: nose off the middle of the eyes along the eyes' line, in eye distances (0 frontal, sign is
    the side). roll: degrees that the eyes' line is turned. brightness: mean grey of the chip's middle, 0 to 255.
    sharpness: see sharpness().
    """

    score: float
    eye_distance: float
    yaw: float
    roll: float
    brightness: float
    sharpness: float


def measure_quality(face: Detection, landmarks: np.ndarray, chip: np.ndarray) -> Quality:
    """Returns the measures; landmarks: float64 (5, 2) as dlib's 5-point model, chip: uint8 (150, 150, 3) RGB."""
    (one_x, one_y), (other_x, other_y), (nose_x, nose_y) = _eyes_and_nose(landmarks)
    across_x, across_y = one_x - other_x, one_y - other_y
    distance = math.hypot(across_x, across_y)
    off = (nose_x - (one_x + other_x) / 2) * across_x + (nose_y - (one_y + other_y) / 2) * across_y
    # dlib's predictor draws a frontal face into a profile: of two full profiles its points said 0.33 and 0.42, and the
    # detector's 4.7 and 1.8. So whichever says more counts.
    yaw = max(off / max(distance, 1e-6) ** 2, face.yaw, key=abs)
    left, top, right, bottom = INNER
    grey = Image.fromarray(chip[top:bottom, left:right]).convert("L")
    return Quality(
        score=face.score,
        eye_distance=distance,
        yaw=yaw,
        roll=math.degrees(math.atan2(across_y, across_x)),
        brightness=float(np.asarray(grey).mean()),
        sharpness=sharpness(grey),
    )


def eye_distance(landmarks: np.ndarray) -> float:
    """Returns the pixels between the eyes' middles; landmarks as for measure_quality()."""
    one, other, _ = _eyes_and_nose(landmarks)
    return math.dist(one, other)


def _eyes_and_nose(landmarks: np.ndarray) -> tuple[Point, Point, Point]:
    (ax, ay), (bx, by), (cx, cy), (dx, dy), nose = landmarks.tolist()
    return ((ax + bx) / 2, (ay + by) / 2), ((cx + dx) / 2, (cy + dy) / 2), nose


def sharpness(grey: Image.Image) -> float:
    """Returns the share of a face's contrast that lies in its fine detail, in percent.

    grey: the inner part of a chip. At half size, the variance of the 4-neighbour Laplacian over the variance
    of the picture, so that neither light nor contrast moves it (the plain variance of the Laplacian, the usual
    focus measure since Pech-Pacheco et al. 2000, grows with both). At full size, small sharp faces and large
    blurred ones measure alike; at half size, press photos of 41 pixels between the eyes measured 2.7 or more
    and portraits blurred by 9 pixels 2.7 or less.
    """
    half = np.asarray(grey.reduce(2), dtype=np.float32)
    laplacian = half[:-2, 1:-1] + half[2:, 1:-1] + half[1:-1, :-2] + half[1:-1, 2:] - np.float32(4) * half[1:-1, 1:-1]
    contrast = float(half.var())
    return 100.0 * float(laplacian.var()) / contrast if contrast > 1e-6 else 0.0


def require_quality(quality: Quality, limits: Limits) -> None:
    """Raises Rejection with the first limit that the face does not keep, and both numbers."""
    checks = (
        (
            quality.score < limits.min_confidence,
            Outcome.LOW_CONFIDENCE,
            "detector score",
            quality.score,
            "min_confidence",
        ),
        (
            quality.eye_distance < limits.min_eye_distance,
            Outcome.SMALL_FACE,
            "eye distance in pixels",
            quality.eye_distance,
            "min_eye_distance",
        ),
        (abs(quality.yaw) > limits.max_yaw, Outcome.EXTREME_POSE, "yaw", quality.yaw, "max_yaw"),
        (
            quality.brightness < limits.min_brightness,
            Outcome.LOW_BRIGHTNESS,
            "brightness",
            quality.brightness,
            "min_brightness",
        ),
        (
            quality.brightness > limits.max_brightness,
            Outcome.HIGH_BRIGHTNESS,
            "brightness",
            quality.brightness,
            "max_brightness",
        ),
        (
            quality.sharpness < limits.min_sharpness,
            Outcome.LOW_SHARPNESS,
            "sharpness",
            quality.sharpness,
            "min_sharpness",
        ),
    )
    for failed, outcome, measure, value, limit in checks:
        if failed:
            raise Rejection(outcome, f"{measure} {value:.2f}; {limit} is {getattr(limits, limit):g}")
