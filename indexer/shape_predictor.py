"""dlib's shape predictor, for several faces at once: dlib's own points, each tree read once for all of them.

A cascade of regression trees (Kazemi and Sullivan 2014, "One Millisecond Face Alignment"). At each step, every tree
compares pixels beside the points found so far, and its leaf moves them. dlib reads all trees again for each face; here
each comparison is made for all the faces. Sums are taken in dlib's order and precision.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from indexer.weights import Reader, WeightsError

CONVERTER = "1"  # part of the converted file's name: raise it when its content changes
POINTS, STEPS, TREES, DEPTH, PIXELS = 5, 15, 500, 4, 800  # of shape_predictor_5_face_landmarks.dat
SPLITS, LEAVES = 2**DEPTH - 1, 2**DEPTH
TOGETHER = 16  # faces: more are no faster, and their pixels leave the processor's cache

Box = tuple[int, int, int, int]  # left, top, right, bottom, as dlib's rectangle: the last column and row are in it


def convert_trees(path: Path) -> bytes:
    """Returns the content of dlib's file as an .npz: start float32 (2 * POINTS,), and for each step

    anchors (PIXELS,), the point beside which each pixel lies, and away float32 (PIXELS, 2), how far from it; pixels
    (SPLITS, TREES, 2), the two that a split compares, and least int16 (SPLITS, TREES), which their difference must
    exceed to go left; moves float32 (TREES, LEAVES, 2 * POINTS). Raises WeightsError for any other file.
    """
    try:
        return _converted(np.array(Reader(path.read_bytes()).every_integer(), dtype=np.int64))
    except (IndexError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"{path} is cut off or not dlib's predictor of {POINTS} points ({error}); reinstall its package"
        ) from error


def _converted(integers: np.ndarray) -> bytes:
    """A float is two integers: mantissa and exponent. Whatever says how many follow must say what is expected."""
    matrix = 2 + 2 * 2 * POINTS  # rows, columns, values
    tree = 1 + 4 * SPLITS + 1 + matrix * LEAVES
    parts = iter(np.split(integers, np.cumsum([1, matrix, 1, STEPS * (1 + TREES * tree), 1, STEPS * (1 + PIXELS), 1])))
    _expect(next(parts), 1)
    start = _matrices(next(parts))
    _expect(next(parts), STEPS)
    forests = next(parts).reshape(STEPS, -1)
    _expect(forests[:, 0], TREES)
    trees = forests[:, 1:].reshape(STEPS, TREES, tree)
    _expect(trees[..., 0], SPLITS)
    splits = trees[..., 1 : 1 + 4 * SPLITS].reshape(STEPS, TREES, SPLITS, 4).swapaxes(1, 2)
    _expect(trees[..., 1 + 4 * SPLITS], LEAVES)
    moves = _matrices(trees[..., 2 + 4 * SPLITS :].reshape(STEPS, TREES, LEAVES, matrix))
    _expect(next(parts), STEPS)
    anchors = next(parts).reshape(STEPS, -1)
    _expect(anchors[:, 0], PIXELS)
    _expect(next(parts), STEPS)
    away = next(parts).reshape(STEPS, -1)
    _expect(away[:, 0], PIXELS)
    for numbers, count in ((splits[..., :2], PIXELS), (anchors[:, 1:], POINTS)):
        if numbers.min() < 0 or numbers.max() >= count:
            raise ValueError(f"it names {numbers.min()} to {numbers.max()} of {count}")
    made = io.BytesIO()
    np.savez(
        made,
        start=start,
        anchors=anchors[:, 1:].astype(np.int16),
        away=_floats(away[:, 1:].reshape(STEPS, PIXELS, 2, 2)),
        pixels=splits[..., :2].astype(np.int16),
        # Differences of pixels are whole numbers: they exceed a limit where they exceed the whole number below it.
        least=np.floor(_floats(splits[..., 2:])).astype(np.int16),
        moves=moves,
    )
    return made.getvalue()


def _expect(found: np.ndarray, expected: int) -> None:
    if not (found == expected).all():
        raise ValueError(f"it says {found.flat[0]} where {expected} is expected")


def _matrices(integers: np.ndarray) -> np.ndarray:
    _expect(integers[..., 0], -2 * POINTS)  # so dlib writes how many rows and columns
    _expect(integers[..., 1], -1)
    return _floats(integers[..., 2:].reshape(*integers.shape[:-1], 2 * POINTS, 2))


def _floats(pairs: np.ndarray) -> np.ndarray:
    return np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1]).astype(np.float32)


class ShapePredictor:
    """dlib's predictor of five points: the eyes' corners and the nose base."""

    def __init__(self, tables: Mapping[str, np.ndarray]) -> None:
        """tables: what convert_trees() made."""
        self._start = tables["start"][:, None]
        self._steps = [_Step(*one) for one in zip(*(tables[name] for name in _Step.TABLES), strict=True)]
        home = self._start.reshape(POINTS, 2, 1).astype(np.float64)
        home = home - home.mean(axis=0)
        self._home = home / (home**2).sum()

    def points(self, faces: Sequence[tuple[np.ndarray, Box]]) -> np.ndarray:
        """Returns the points of faces in photos, uint8 (rows, columns, 3) RGB: float64 (n, POINTS, 2), whole pixels."""
        groups = [faces[first : first + TOGETHER] for first in range(0, len(faces), TOGETHER)]
        found = [self._together([_Face(*one) for one in group]) for group in groups]
        return np.concatenate(found) if found else np.empty((0, POINTS, 2))

    def _together(self, faces: list[_Face]) -> np.ndarray:
        photos = _Photos(faces)
        shape = np.repeat(self._start, len(faces), axis=1)  # (2 * POINTS, n), in widths and heights of the box
        for step in self._steps:
            shape = step.move(shape, self._turn(shape), photos)
        x, y = photos.places(shape[0::2], shape[1::2])
        return np.stack((x, y), axis=-1).swapaxes(0, 1)

    def _turn(self, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns cosine and sine, each times the scale, float32 (n,), of the similarity transform (Umeyama 1991) that
        brings the points where they start nearest to where they are."""
        (home_x, home_y), x, y = self._home.swapaxes(0, 1), *(shape[axis::2].astype(np.float64) for axis in (0, 1))
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        cosine, sine = (home_x * x + home_y * y).sum(axis=0), (home_x * y - home_y * x).sum(axis=0)
        return cosine.astype(np.float32), sine.astype(np.float32)


class _Face:
    """A photo and the box of a face in it."""

    def __init__(self, rgb: np.ndarray, box: Box) -> None:
        self.rows, self.columns, _ = rgb.shape
        self.pixels = np.ascontiguousarray(rgb).reshape(-1, 3)
        self.left, self.top, self.right, self.bottom = box


class _Photos:
    """Several faces' pixels, asked for by their places in the boxes."""

    def __init__(self, faces: list[_Face]) -> None:
        self._faces = faces
        names = ("left", "top", "right", "bottom", "columns", "rows")
        left, top, right, bottom, columns, rows = np.array(
            [[getattr(face, name) for name in names] for face in faces], dtype=np.float64
        ).T
        self._scale, self._corner, self._size = (right - left, bottom - top), (left + 0.5, top + 0.5), (columns, rows)
        self._colours = np.empty((len(faces), PIXELS, 3), dtype=np.uint8)

    def places(self, x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the columns, then the rows nearest to float32 (m, n) places in widths and heights of the n boxes."""
        for part, scale, corner in zip((x, y), self._scale, self._corner, strict=True):
            place = part * scale
            place += corner
            yield np.floor(place, out=place)

    def grey(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns the mean of the three colours there, int16 (PIXELS, n), rounded down, and 0 outside the photo."""
        (column, row), (columns, rows) = self.places(x, y), self._size
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        row *= columns
        row += column
        numbers = np.ascontiguousarray(row.T.astype(np.intp))
        for face, number, colours in zip(self._faces, numbers, self._colours, strict=True):
            face.pixels.take(number, 0, colours, "clip")
        red, green, blue = self._colours.transpose(2, 1, 0).astype(np.int16, order="C")
        red += green
        red += blue
        red //= 3
        red *= inside
        return red


class _Step:
    """One step of the cascade."""

    TABLES = ("anchors", "away", "pixels", "least", "moves")

    def __init__(
        self, anchors: np.ndarray, away: np.ndarray, pixels: np.ndarray, least: np.ndarray, moves: np.ndarray
    ) -> None:
        self._anchors = anchors.astype(np.intp)
        self._x, self._y = (np.ascontiguousarray(one) for one in away.T[:, :, None])
        self._one, self._other = (pixels[..., side].ravel().astype(np.intp) for side in (0, 1))
        self._least = least.reshape(-1, 1)
        self._moves = moves.reshape(-1, 2 * POINTS)
        self._first_leaf = np.arange(0, TREES * LEAVES, LEAVES)[:, None]

    def move(self, shape: np.ndarray, turn: tuple[np.ndarray, np.ndarray], photos: _Photos) -> np.ndarray:
        """Returns the shape as this step's trees move it."""
        cosine, sine = turn
        x, y = self._x * cosine, self._x * sine
        x -= self._y * sine
        x += shape[0::2].take(self._anchors, axis=0)
        y += self._y * cosine
        y += shape[1::2].take(self._anchors, axis=0)
        grey = photos.grey(x, y)
        difference = grey.take(self._one, axis=0)
        difference -= grey.take(self._other, axis=0)
        left = (difference > self._least).view(np.uint8).reshape(SPLITS, TREES, -1)
        moves = self._moves.take(self._leaves(left).ravel(), axis=0).reshape(TREES, -1)
        moves[0] += shape.T.ravel()
        return np.add.reduce(moves, axis=0).reshape(-1, 2 * POINTS).T  # one tree after the other, as dlib adds them

    def _leaves(self, left: np.ndarray) -> np.ndarray:
        """Returns each tree's leaf, (TREES, n): the splits of a level lie behind those of the one above it, and what
        goes left comes first."""
        number = np.zeros(left.shape[1:], dtype=np.uint8)
        path: list[np.ndarray] = []
        for level in range(DEPTH):
            choices = left[2**level - 1 : 2 ** (level + 1) - 1]
            for went_left in path:
                first, second = np.split(choices, 2)
                choices = second ^ ((first ^ second) & went_left)
            path.append(choices[0])
            number = 2 * number + (choices[0] ^ 1)
        return number + self._first_leaf
