"""dlib's five landmarks of a face; a rolled face is turned upright first, since the predictor knows no other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image

from indexer.detector import Detection

TURNED_MARGIN = 2.2  # the turned square, in widths of the box
TURNED_PIXELS = 400  # at most


def find_landmarks(predictor: Any, rgb: np.ndarray, face: Detection) -> np.ndarray:
    """Returns dlib's five landmarks, float64 (5, 2), in pixels of the upright photo."""
    import dlib

    if not face.roll:
        return _points(predictor(rgb, dlib.rectangle(face.left, face.top, face.right, face.bottom)))
    side = TURNED_MARGIN * max(face.width, 1)
    pixels = max(1, min(TURNED_PIXELS, round(side)))
    scale, angle = side / pixels, math.radians(face.roll)
    turn = scale * np.array(((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))))
    middle = np.array(((face.left + face.right) / 2, (face.top + face.bottom) / 2))
    corner = middle - turn @ (pixels / 2, pixels / 2)
    affine = (*turn[0], corner[0], *turn[1], corner[1])
    upright = Image.fromarray(rgb).transform(
        (pixels, pixels), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    low, high = (round(pixels / 2 + sign * face.width / scale / 2) for sign in (-1, 1))
    landmarks = _points(predictor(np.asarray(upright), dlib.rectangle(low, low, high, high)))
    return landmarks @ turn.T + corner


def _points(shape: Any) -> np.ndarray:
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
