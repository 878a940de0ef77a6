"""What a distance means for each group of a gallery, by columns that its list states: false positives of one group
beside the mean of all. Nobody's group is guessed from a face.

Kept beside the version's search files as one sealed file: names of groups, numbers, and which group each face is of.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from indexer.calibration import DIGITS, SUPPORT, Rate, format_share
from indexer.gallery import CALIBRATION_GROUPS, GalleryError, Version, read_sealed

FORMAT = 1

FACTOR = 1.5
"""A group's false positive rate is told where it is more than so many times the mean of the groups: thirty errors leave
a rate uncertain by about 30%, so that less would often be chance."""


@dataclass(frozen=True)
class Above:
    """A group whose false positive rate at some distance lies above the mean. times: the mean, as a multiple of it."""

    by: str
    group: str
    rate: Rate
    times: float

    def as_json(self) -> dict[str, Any]:
        """Returns it for machines; shares are texts, as in the ledger."""
        return {
            "by": self.by,
            "group": self.group,
            "fpir": format_share(self.rate.found),
            "times_the_mean": f"{self.times:.2f}",
        }


@dataclass(frozen=True)
class GroupCalibration:
    """One version's distributions of the nearest wrong neighbour, a group each. about: the sealed file's content."""

    about: dict[str, Any]

    @property
    def groupings(self) -> list[dict[str, Any]]:
        """Each way of grouping: by, names, and texts of numbers."""
        return list(self.about["groupings"])

    def above_mean(self, face: int, distance: float) -> list[Above]:
        """Returns those groups of a face, by its place in the index, that have a rate above FACTOR times the mean."""
        told = []
        for grouping in self.groupings:
            width = grouping["code_width"]
            code = int(grouping["codes"][face * width : (face + 1) * width])
            rates, mean = self.rates(grouping, distance)
            rate = rates[code]
            if mean > 0 and rate.told and rate.supported and rate.found > FACTOR * mean:
                told.append(Above(" and ".join(grouping["by"]), grouping["names"][code], rate, rate.found / mean))
        return told

    def rates(self, grouping: dict[str, Any], distance: float) -> tuple[list[Rate], float]:
        """Returns each group's rate at a distance, and the mean of those with SUPPORT probes, each counting alike; 0
        where fewer than two have."""
        rates = [
            Rate(_within(texts, grouping["width"], distance), _count(texts, grouping["width"]), self._weight)
            for texts in grouping["distances"]
        ]
        shares = [one.found for one in rates if one.probes >= SUPPORT]
        return rates, sum(shares) / len(shares) if len(shares) > 1 else 0.0

    @property
    def _weight(self) -> float:
        subjects = int(self.about["subjects"])
        return 1 + (int(self.about["probes"]) - 1) / (subjects - 1) if subjects > 1 else 1.0


def read_groups(version: Version) -> GroupCalibration | None:
    """Returns a version's calibration by group, None where nobody asked for one. Raises GalleryError."""
    path = version.folder / CALIBRATION_GROUPS
    if not path.exists():
        return None
    about = read_sealed(path)
    stated = {name: version.about[name] for name in ("gallery", "version", "faces")}
    if about.get("format") != FORMAT or any(about.get(name) != value for name, value in stated.items()):
        raise GalleryError(f"{path} is not of this version; make it anew with afterfact evaluate calibrate --by")
    return GroupCalibration(about)


def _count(texts: str, width: int) -> int:
    return (len(texts) + 1) // (width + 1)


def _within(texts: str, width: int, distance: float) -> int:
    def at(place: int) -> float:
        return float(texts[place * (width + 1) : place * (width + 1) + width])

    return bisect_right(range(_count(texts, width)), round(distance, DIGITS), key=at)
