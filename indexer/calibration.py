"""What a distance means in one gallery version: how often people who are not in it would get a candidate that near.

Kept beside the version's search files as one sealed file of numbers: no faces, no ids, no neighbours.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.gallery import CALIBRATION, GalleryError, Version, read_sealed

FORMAT = 1
DIGITS = 6
"""Decimals of the distances that are kept."""

SUPPORT = 30
"""Errors from which a rate is told as it was found; with fewer, only what it stays below (Doddington's rule of 30). Of
fewer subjects nothing is told at all."""

CONFIDENCE = 0.95
"""Of the upper limit, one-sided."""

CHANCE = 0.1
"""From this share on a distance is what chance gives: one in ten people who are not there, or more, get one as near."""

_NEARLY_ALL = 0.95


@dataclass(frozen=True)
class Rate:
    """How often a person who is not in the gallery gets a candidate within some distance: FPIR, from a sample.

    errors of the sample's probes did. weight: how often each error is counted, since A is near B where B is near A: 2
    where every subject was a probe, near 1 where few were. times: the gallery's size, as a multiple of its own.
    """

    errors: int
    probes: int
    weight: float = 1.0
    times: float = 1.0

    @property
    def told(self) -> bool:
        """Whether anything can be told."""
        return self.probes >= SUPPORT and (self.supported or self.at_most <= 0.5)

    @property
    def supported(self) -> bool:
        """Whether enough errors support the rate as it was found."""
        return self.errors >= SUPPORT * self.weight

    @property
    def found(self) -> float:
        """The share of the sample, grown to `times` the size."""
        return grown(self.errors / self.probes, self.times) if self.probes else 1.0

    @property
    def at_most(self) -> float:
        """The upper limit of a rate that too few errors support, grown to `times` the size."""
        probes = math.floor(self.probes / self.weight)
        errors = math.ceil(self.errors / self.weight)
        return grown(upper_limit(errors, probes), self.times) if errors < probes else 1.0

    @property
    def surely(self) -> float:
        """What the rate can be said to be, or to stay below: `found` where it is supported, else `at_most`."""
        return self.found if self.supported else self.at_most

    @property
    def is_chance(self) -> bool:
        """Whether a distance of this rate is no nearer than chance gives."""
        return self.told and self.found >= CHANCE

    @property
    def share(self) -> str:
        """The rate in words: "1 in 40", "7 in 10", "nearly all", "fewer than 1 in 330", "too few to tell"."""
        if not self.told:
            return "too few to tell"
        if not self.supported:
            return f"fewer than 1 in {_two_digits(1 / self.at_most, math.floor):,}"
        if self.found >= _NEARLY_ALL:
            return "nearly all"
        one_in = _two_digits(1 / self.found, round)
        return f"1 in {one_in:,}" if one_in > 3 else f"{self.found * 10:.0f} in 10"

    @property
    def sentence(self) -> str:
        """The rate as a sentence about "one this close"."""
        if not self.told:
            return "too few subjects to tell how often people not in this gallery get one this close"
        return f"{self.share} people not in this gallery get one this close"

    def as_json(self) -> dict[str, Any]:
        """Returns the rate for machines; shares are texts, as in the ledger."""
        return {
            "errors": self.errors,
            "probes": self.probes,
            "fpir": format_share(self.found) if self.told and self.supported else None,
            "fpir_at_most": format_share(self.at_most) if self.told and not self.supported else None,
            "says": self.sentence,
        }


@dataclass(frozen=True)
class Calibration:
    """One version's distribution of the nearest wrong neighbour. about: the sealed file's content."""

    about: dict[str, Any]

    @property
    def probes(self) -> int:
        """How many of the gallery's faces were searched."""
        return int(self.about["probes"])

    @property
    def weight(self) -> float:
        """How often an error is counted, as in Rate: 1 and the chance that the other of the two was a probe as well."""
        subjects = int(self.about["subjects"])
        return 1 + (self.probes - 1) / (subjects - 1) if subjects > 1 else 1.0

    def rate(self, distance: float, times: float = 1.0) -> Rate:
        """Returns the rate of a distance; equal ones count as near. times: of a gallery that many times as large."""
        return Rate(self._within(round(distance, DIGITS)), self.probes, self.weight, times)

    def distance_at(self, share: float) -> float:
        """Returns the distance within which this share of the probes had a wrong neighbour."""
        return self._distance(max(math.ceil(share * self.probes), 1) - 1)

    def _within(self, distance: float) -> int:
        # Texts of one length are found by halving: only what is looked at is parsed, a search being short of time.
        return bisect_right(range(self.probes), distance, key=self._distance)

    def _distance(self, rank: int) -> float:
        width = int(self.about["width"])
        return float(self.about["distances"][rank * (width + 1) : rank * (width + 1) + width])


@functools.cache
def upper_limit(errors: int, probes: int) -> float:
    """Returns the one-sided 95% upper limit of a rate of which `errors` were seen, few and fewer than probes: Clopper
    and Pearson's, at which so few would be seen one time in twenty. With none it is about 3 / probes."""
    low, high = errors / probes, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        odds = middle / (1 - middle)
        term = total = (1 - middle) ** probes
        for one in range(errors):
            term *= odds * (probes - one) / (one + 1)
            total += term
        low, high = (middle, high) if total > 1 - CONFIDENCE else (low, middle)
    return high


def grown(rate: float, times: float) -> float:
    """Returns what FPIR at most becomes in a gallery `times` as large: 1 - (1 - FPIR) ** times.

    It would be that if all probes were alike. They are not, and then it is less (Jensen's inequality): whoever has a
    wrong neighbour already is likelier to get another.
    """
    return 1.0 if rate >= 1 else -math.expm1(times * math.log1p(-rate))


def format_share(share: float) -> str:
    """Returns a share as everywhere told to machines: a text, as in the ledger, of six decimals."""
    return f"{share:.6f}"


def _two_digits(number: float, rounding: Callable[[float], int]) -> int:
    step = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return rounding(number / step) * step


def read_calibration(version: Version, file: Path | None = None) -> Calibration | None:
    """Returns a version's calibration, None where it has none. Raises GalleryError where it is not this version's.

    file: where it is on this machine, for a gallery in a store whose files were fetched.
    """
    path = file or version.folder / CALIBRATION
    if not path.exists():
        return None
    about = read_sealed(path)
    stated = {name: version.about[name] for name in ("gallery", "version", "faces")}
    if about.get("format") != FORMAT or any(about.get(name) != value for name, value in stated.items()):
        raise GalleryError(f"{path} is not the calibration of this version; restore it from a backup")
    return Calibration(about)
