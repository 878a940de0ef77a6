"""From a face's landmarks to the chip that a network was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.detector import Detection
from indexer.models import CHIP_PADDING, Alignment

TEMPLATES = ("dlib", "arcface")  # kept in models: other places for the points are another name
ARCFACE_PIXELS = 112
# Where the middle of the eye on the left, that of the eye on the right and the nose base lie in ArcFace's template of
# 112 pixels. It names the eyes, the nose's tip and the mouth's corners; dlib's five points are the eyes' corners and
# the nose base. Means of the medians over 204 London portraits and 500 LFW photos, each brought onto the template by
# BlazeFace's eyes, nose tip and mouth (docs/decisions/0022).
ARCFACE = np.array(((38.8, 52.9), (73.3, 52.5), (56.4, 78.2)))


def cut_chip(rgb: np.ndarray, detection: Detection, landmarks: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Returns a face's chip, uint8 (pixels, pixels, 3) RGB, black where it reaches beyond the photo.

    landmarks: dlib's five, float64 (5, 2). Of "dlib" it is exactly what dlib cuts for its own network, of "arcface" the
    photo after the similarity transform that brings the eyes and the nose base nearest to their places.
    """
    import dlib

    if alignment.template == "dlib":
        box = dlib.rectangle(detection.left, detection.top, detection.right, detection.bottom)
        points = [dlib.point(round(x), round(y)) for x, y in landmarks]
        return dlib.get_face_chip(rgb, dlib.full_object_detection(box, points), alignment.pixels, CHIP_PADDING)
    seen = np.array((landmarks[2:4].mean(axis=0), landmarks[0:2].mean(axis=0), landmarks[4]))
    places = ARCFACE * (alignment.pixels / ARCFACE_PIXELS)
    dimensions = dlib.chip_dims(alignment.pixels, alignment.pixels)
    return dlib.extract_image_chip(rgb, dlib.chip_details(_points(places), _points(seen), dimensions))


def _points(points: np.ndarray) -> Any:
    import dlib

    return dlib.dpoints([dlib.dpoint(x, y) for x, y in points])
