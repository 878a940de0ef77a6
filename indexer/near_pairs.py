"""The nearest faces of different subjects: one person under two names, or two who look alike."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import numpy as np

from indexer.nearest_wrong import PIECE, UNNAMED

Pair = tuple[float, int, int]
"""The Euclidean distance between two faces, and their rows."""


def nearest_pairs(
    faces: np.ndarray, subjects: np.ndarray, most: int, on_pieces: Callable[[int], None] = lambda _: None
) -> list[Pair]:
    """Returns the nearest face pair of each of the `most` nearest pairs of subjects, nearest first.

    faces, subjects: as indexer.calibrating.open_faces() gives them; every face is compared with every other. A face
    without a subject stands for itself, and is told beside a named one only: of two unnamed nobody said that they
    differ. on_pieces: is told how many of the pieces() were compared.
    """
    who = np.where(subjects == UNNAMED, -1 - np.arange(len(subjects)), subjects)
    found: list[Pair] = []
    farthest = np.inf
    for done, (one, other) in enumerate(_piece_pairs(len(faces)), start=1):
        squared = _squared(faces, one, other)
        if squared.min() < farthest:
            rows, columns = np.nonzero(squared < farthest)
            left, right = one + rows, other + columns
            differ = (who[left] != who[right]) & ((who[left] >= 0) | (who[right] >= 0)) & (left < right)
            near, left, right = squared[rows, columns][differ], left[differ], right[differ]
            order = np.argsort(near, kind="stable")
            told = zip(near[order].tolist(), left[order].tolist(), right[order].tolist(), strict=True)
            found = _of_different_subjects(found, told, who, most)
            farthest = found[-1][0] if len(found) == most else np.inf
        on_pieces(done)
    return sorted((_distance(faces, left, right), left, right) for _, left, right in found)


def pieces(faces: int) -> int:
    """Returns how many pieces of so many faces are compared with one another."""
    count = -(-faces // PIECE)
    return count * (count + 1) // 2


def _piece_pairs(faces: int) -> Iterator[tuple[int, int]]:
    for one in range(0, faces, PIECE):
        for other in range(one, faces, PIECE):
            yield one, other


def _squared(faces: np.ndarray, one: int, other: int) -> np.ndarray:
    """Returns the squared distances between two pieces of the faces, each given by its first row, as one product."""
    left, right = (np.asarray(faces[first : first + PIECE]) for first in (one, other))
    ones = np.ones((len(left), 1), np.float32), np.ones((len(right), 1), np.float32)
    squares = [np.einsum("ij,ij->i", part, part)[:, None] for part in (left, right)]
    product: np.ndarray = np.hstack([-2 * left, squares[0], ones[0]]) @ np.hstack([right, ones[1], squares[1]]).T
    return product


def _of_different_subjects(found: list[Pair], told: Iterator[Pair], who: np.ndarray, most: int) -> list[Pair]:
    """Returns the `most` nearest of found and told, both in order of distance, no two of the same two subjects."""
    nearest: dict[frozenset[int], Pair] = {}
    for pair in heapq.merge(found, told):
        nearest.setdefault(frozenset((int(who[pair[1]]), int(who[pair[2]]))), pair)
        if len(nearest) == most:
            break
    return list(nearest.values())


def _distance(faces: np.ndarray, one: int, other: int) -> float:
    return float(np.sqrt(((faces[one].astype(np.float64) - faces[other].astype(np.float64)) ** 2).sum()))
