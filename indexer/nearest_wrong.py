"""How near the nearest face of somebody else is: a sample of a version's own faces, each with its subject left out.

Matrix products over pieces of the gallery: memory is bounded whatever its size, and only distances come out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PIECE = 1024  # faces at a time; with 10,000 probes the products take 41 MB
UNNAMED = -1


def number_subjects(subjects: pa.ChunkedArray) -> np.ndarray:
    """Returns int64 (n,): the same number for faces of one subject, from 0 on; UNNAMED where none is named."""
    codes = subjects.combine_chunks().dictionary_encode().indices
    return pc.fill_null(codes, UNNAMED).to_numpy(zero_copy_only=False).astype(np.int64)


def sample_faces(subjects: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Returns int64 (m,) rows in ascending order: one face each of up to `most` named subjects, the same for a seed.

    subjects: as number_subjects() gives them. Each subject is as likely as any other, and each of its faces.
    """
    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(len(subjects))
    named, first = np.unique(subjects[shuffled], return_index=True)
    rows = shuffled[first[named != UNNAMED]]
    if len(rows) > most:
        rows = draw.choice(rows, most, replace=False)
    return np.sort(rows)


def nearest_wrong(
    faces: np.ndarray, subjects: np.ndarray, probes: np.ndarray, within: np.ndarray | None = None
) -> np.ndarray:
    """Returns float64 (m,): each probe's Euclidean distance to the nearest face that is not its subject's.

    faces: float32 (n, d), may be mapped. probes: rows of faces, no two of one subject, as sample_faces() gives them.
    within: bool (n,), which faces are searched; all for None. Endless where nobody else is there. The face is found in
    float32, whose rounding can prefer one that is farther by some 1e-6; its distance is then taken in float64.
    """
    probe_of = np.full(int(subjects.max(initial=-1)) + 1, -1)
    probe_of[subjects[probes]] = np.arange(len(probes))
    embeddings = np.asarray(faces[probes])
    best = np.full(len(probes), -np.inf, np.float32)
    place = np.zeros(len(probes), np.int64)
    for first in range(0, len(faces), PIECE):
        rows = np.arange(first, min(first + PIECE, len(faces)))
        if within is not None:
            rows = rows[within[rows]]
        if not len(rows):
            continue
        piece = np.asarray(faces[rows])
        # The nearest face is the one with the largest product less half its square; the probe's own is the same to all.
        closeness = embeddings @ piece.T
        closeness -= np.einsum("ij,ij->i", piece, piece) / 2
        named = np.flatnonzero(subjects[rows] != UNNAMED)
        own = probe_of[subjects[rows[named]]]
        closeness[own[own >= 0], named[own >= 0]] = -np.inf
        nearer = np.flatnonzero(closeness.max(axis=1) > best)
        at = closeness[nearer].argmax(axis=1)
        best[nearer], place[nearer] = closeness[nearer, at], rows[at]
    apart = faces[place].astype(np.float64) - embeddings.astype(np.float64)
    return np.where(np.isfinite(best), np.sqrt((apart**2).sum(axis=1)), np.inf)
