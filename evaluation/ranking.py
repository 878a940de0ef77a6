"""Searches made: the rank and distance of each probe's mate, and of the nearest other subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.rates import OUT_OF_REACH
from indexer.nearest import nearest_rows

LONGEST = 50  # subjects of a candidate list


@dataclass(frozen=True)
class Searches:
    """One search a probe, in their order.

    ranks: int64, of the mate among subjects, each by its nearest face; OUT_OF_REACH beyond the list, or without one.
    mates: float64 distances of the mate, infinite without one. others: float64 distances of the nearest face of another
    subject, infinite without a template. mate_rows, other_rows: int64 rows of those faces, -1 for none.
    """

    ranks: np.ndarray
    mates: np.ndarray
    others: np.ndarray
    mate_rows: np.ndarray
    other_rows: np.ndarray


def search_all(faces: np.ndarray, whose: np.ndarray, probes: np.ndarray, wanted: np.ndarray) -> Searches:
    """Searches each probe among faces. A mate that is as near as others ranks behind them.

    faces: float32 (n, 128). whose: int64 (n,), their subjects' numbers. probes: float32 (m, 128), NaN for one without a
    template. wanted: int64 (m,), each probe's own subject, enrolled or not.
    """
    made = Searches(
        np.full(len(probes), OUT_OF_REACH, dtype=np.int64),
        np.full(len(probes), np.inf),
        np.full(len(probes), np.inf),
        np.full(len(probes), -1, dtype=np.int64),
        np.full(len(probes), -1, dtype=np.int64),
    )
    order = np.argsort(whose, kind="stable")
    starts, ends = (np.searchsorted(whose[order], wanted, side=side) for side in ("left", "right"))
    there = np.isfinite(probes).all(axis=1) if len(faces) else np.zeros(len(probes), dtype=bool)
    for probe in np.flatnonzero(there & (ends > starts)).tolist():
        rows = order[starts[probe] : ends[probe]]
        distances = np.sqrt(((faces[rows].astype(np.float64) - probes[probe]) ** 2).sum(axis=1))
        nearest = int(np.argmin(distances))
        made.mates[probe], made.mate_rows[probe] = distances[nearest], rows[nearest]
    left, count = np.flatnonzero(there), 4 * LONGEST
    while len(left):
        distances, rows = nearest_rows(faces, probes[left], count)
        whole = distances.shape[1] == len(faces)
        again = [
            probe
            for probe, near, found in zip(left.tolist(), distances, rows, strict=True)
            if not _rank(made, probe, near, found, whose[found] == wanted[probe], whose[found], whole)
        ]
        left, count = np.array(again, dtype=np.int64), 4 * count
    return made


def _rank(
    made: Searches, probe: int, near: np.ndarray, rows: np.ndarray, own: np.ndarray, subjects: np.ndarray, whole: bool
) -> bool:
    """Notes a probe's rank from its list; returns False where that has to be longer to tell."""
    others = np.flatnonzero(~own)
    if len(others):
        made.others[probe], made.other_rows[probe] = near[others[0]], rows[others[0]]
    if not np.isfinite(made.mates[probe]):
        return whole or len(others) > 0
    before = others[near[others] <= made.mates[probe]]
    ahead = len(np.unique(subjects[before]))
    # Known once the list reaches beyond the mate, or holds more subjects before it than a candidate list has.
    if not (whole or ahead >= LONGEST or near[-1] > made.mates[probe]):
        return False
    if ahead < LONGEST:
        made.ranks[probe] = ahead + 1
    return True
