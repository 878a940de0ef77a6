"""From near faces to a ranked candidate list."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foundation.errors import InputError
from indexer.calibration import Rate
from indexer.calibration_groups import Above
from search.faces import GalleryFaces, Neighbour

FEWEST, MOST, USUAL = 2, 50, 20  # FBI NGI-IPS policy: 2 to 50 candidates, 20 by default
BY = ("subject", "encounter")


@dataclass(frozen=True)
class Candidate:
    """One line of a candidate list. distance: Euclidean; smaller is more alike, and no distance is an identification.

    rate: how often people who are not in the gallery get one this near; None where the version is not calibrated.
    above: those of its groups, as the gallery's list states them, that get false positives this near much more often
    than the mean of groups. place: of a photo in a zip or tar file, where its bytes are. box: of the face in its photo,
    upright pixels (left, top, right, bottom).
    """

    rank: int
    distance: float
    subject: str | None
    encounter: str | None
    taken: str | None
    disposition: str | None
    photo: str
    photo_digest: str
    row: str
    location: str
    place: str | None
    box: tuple[int, int, int, int]
    rate: Rate | None = None
    above: tuple[Above, ...] = ()

    def as_json(self) -> dict[str, Any]:
        by_chance = self.rate.as_json() if self.rate else None
        told = {name: value for name, value in asdict(self).items() if name not in ("rate", "above")}
        return {
            **told,
            "distance": format_distance(self.distance),
            "box": list(self.box),
            "by_chance": by_chance,
            "groups_above_mean": [one.as_json() for one in self.above],
        }

    def beyond(self, cut_off: str | None) -> bool:
        """Whether it is to be marked: its rate is above the cut-off, or cannot be told to be below."""
        return cut_off is not None and (self.rate is None or not self.rate.told or self.rate.surely > float(cut_off))


def format_distance(distance: float) -> str:
    """Returns the distance as everywhere shown and recorded: a text of four decimals."""
    return f"{distance:.4f}"


def require_list(k: int, by: str) -> None:
    """Raises InputError for k outside 2 to 50 (one candidate would be read as an identification) or an unknown by."""
    if not FEWEST <= k <= MOST:
        raise InputError(f"-k is {k}; a candidate list has {FEWEST} to {MOST} lines ({USUAL} by default)")
    if by not in BY:
        raise InputError(f"--by is {by!r}; give one of {', '.join(BY)}")


def list_candidates(faces: GalleryFaces, embedding: np.ndarray, k: int, by: str) -> list[Candidate]:
    """Returns up to k candidates, nearest first; embedding: float32 (dimension,).

    by "subject": one line a subject, its nearest encounter (a photo without a subject stands for itself);
    by "encounter": every photo.
    """
    return list_candidates_each(faces, embedding[None], k, by)[0]


def list_candidates_each(faces: GalleryFaces, embeddings: np.ndarray, k: int, by: str) -> list[list[Candidate]]:
    """Returns what list_candidates() returns for each of the embeddings, float32 (n, dimension)."""
    require_list(k, by)
    together = faces.nearest_each(embeddings, k if by == "encounter" else 4 * k)
    return [_list_one(faces, *one, k, by) for one in zip(embeddings, together, strict=True)]


def _list_one(faces: GalleryFaces, embedding: np.ndarray, found: list[Neighbour], k: int, by: str) -> list[Candidate]:
    """Returns the candidates among found, having looked further where these are of too few subjects."""
    while True:
        lines = found if by == "encounter" else _one_a_subject(found)
        if len(lines) >= k or len(found) == len(faces):
            return [_candidate(faces, rank, one) for rank, one in enumerate(lines[:k], start=1)]
        found = faces.nearest(embedding, 4 * len(found))


def _one_a_subject(found: list[Neighbour]) -> list[Neighbour]:
    seen: set[tuple[str, str]] = set()
    kept = []
    for one in found:
        subject = one.label["subject"]
        who = ("subject", subject) if subject is not None else ("photo", one.label["location"])
        if who not in seen:
            seen.add(who)
            kept.append(one)
    return kept


def _candidate(faces: GalleryFaces, rank: int, one: Neighbour) -> Candidate:
    label = one.label
    named = ("subject", "encounter", "taken", "disposition", "photo", "photo_digest", "row", "location", "place")
    box = (label["box_left"], label["box_top"], label["box_right"], label["box_bottom"])
    rate = faces.calibration.rate(one.distance) if faces.calibration else None
    above = tuple(faces.by_group.above_mean(one.place, one.distance)) if faces.by_group else ()
    stated = {name: label[name] for name in named}
    return Candidate(rank=rank, distance=one.distance, box=box, rate=rate, above=above, **stated)
