"""Exact nearest faces of many probes, by FAISS, for what is measured over faces and shows nobody."""

from __future__ import annotations

import numpy as np

BLOCK = 1024  # probes searched at a time


def nearest_rows(faces: np.ndarray, probes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest faces of each probe: float64 distances and int64 rows of faces, both (probes, count).

    faces, probes: float32 (n, 128). count: at most as many as there are faces. FAISS finds them in float32; distances
    are taken anew in float64 and sorted, ties by row.
    """
    import faiss

    index = faiss.IndexFlatL2(faces.shape[1])
    index.add(np.ascontiguousarray(faces, dtype=np.float32))
    count = min(count, len(faces))
    distances = np.empty((len(probes), count), dtype=np.float64)
    rows = np.empty((len(probes), count), dtype=np.int64)
    for start in range(0, len(probes), BLOCK):
        block = slice(start, start + BLOCK)
        _, found = index.search(np.ascontiguousarray(probes[block], dtype=np.float32), count)
        for number, near in enumerate(found, start=start):
            exact = np.sqrt(((faces[near].astype(np.float64) - probes[number]) ** 2).sum(axis=1))
            order = np.lexsort((near, exact))
            distances[number], rows[number] = exact[order], near[order]
    return distances, rows
