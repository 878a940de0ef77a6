"""All comparisons of different people that a set of photos allows: far more than a list of pairs names."""

from __future__ import annotations

import numpy as np

from evaluation.scores import Compared

NEAREST = 0.03  # the share listed; a threshold for a false match rate of 1% lies well inside, in a resample too
MOST_PHOTOS = 10_000  # beyond it, this many are drawn: 50 million comparisons
BLOCK = 512
PROBED = 400_000  # comparisons drawn to see how near the nearest share is


def nearest_impostors(embeddings: np.ndarray, subjects: np.ndarray, seed: int) -> Compared | None:
    """Returns the nearest comparisons of photos of different subjects, with the photos of which all are meant.

    embeddings: float32 (n, 128), NaN where there is none. subjects: int64 (n,), their numbers. Returns None where there
    are no two subjects to compare.
    """
    random = np.random.default_rng(seed)
    there = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    if len(there) > MOST_PHOTOS:
        there = np.sort(random.choice(there, MOST_PHOTOS, replace=False))
    faces, whose = embeddings[there], subjects[there]
    if len(np.unique(whose)) < 2:
        return None
    reach = _reach(faces, whose, random)
    firsts, seconds = [], []
    squares = (faces**2).sum(axis=1)
    for start in range(0, len(faces), BLOCK):
        block = slice(start, start + BLOCK)
        apart = squares[block, None] + squares[None, start:] - 2 * faces[block] @ faces[start:].T
        near = (apart <= reach) & (whose[block, None] != whose[None, start:])
        first, second = np.nonzero(np.triu(near, 1))
        firsts.append(first + start)
        seconds.append(second + start)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    return Compared(there[first], there[second], distances_between(faces, first, second), there)


def distances_between(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns float64 (n,) Euclidean distances of pairs of rows; infinite where an embedding is missing (NaN)."""
    distances = np.empty(len(first), dtype=np.float64)
    for start in range(0, len(first), 65_536):
        part = slice(start, start + 65_536)
        difference = embeddings[first[part]].astype(np.float64) - embeddings[second[part]]
        distances[part] = np.sqrt((difference**2).sum(axis=1))
    return np.where(np.isnan(distances), np.inf, distances)


def _reach(faces: np.ndarray, whose: np.ndarray, random: np.random.Generator) -> float:
    """Returns the squared distance within which the nearest share of comparisons lies; all, where they are few."""
    if len(faces) * (len(faces) - 1) / 2 <= PROBED:
        return np.inf
    first, second = random.integers(0, len(faces), size=(2, PROBED))
    apart = whose[first] != whose[second]
    return float(np.quantile(distances_between(faces, first[apart], second[apart]), NEAREST)) ** 2
