"""dlib's five landmarks of faces; a rolled face is turned upright first, since the predictor knows no other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from indexer.detector import Detection
from indexer.shape_predictor import Box, ShapePredictor

TURNED_MARGIN = 2.2  # the turned square, in widths of the box
TURNED_PIXELS = 400  # at most


def find_landmarks(predictor: ShapePredictor, faces: Sequence[tuple[np.ndarray, Detection]]) -> list[np.ndarray]:
    """Returns the landmarks of faces in their upright photos, each float64 (5, 2), in pixels of the photo."""
    upright = [_turned(rgb, face) if face.roll else _Upright(rgb, _box(face)) for rgb, face in faces]
    found = predictor.points([(one.rgb, one.box) for one in upright])
    return [points @ one.turn.T + one.corner for points, one in zip(found, upright, strict=True)]


class _Upright(NamedTuple):
    """A picture in which a face is upright. turn, corner: what makes its pixels the photo's."""

    rgb: np.ndarray
    box: Box
    turn: np.ndarray = np.eye(2)
    corner: np.ndarray = np.zeros(2)


def _box(face: Detection) -> Box:
    return face.left, face.top, face.right, face.bottom


def _turned(rgb: np.ndarray, face: Detection) -> _Upright:
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
    return _Upright(np.asarray(upright), (low, low, high, high), turn, corner)
