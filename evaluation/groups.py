"""Error rates of groups, at one cut-off for all, and what they are as multiples of one another. Pure arithmetic.

Terms are those of ISO/IEC 19795-10 and NISTIR 8280: false positive and false negative differentials between groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from evaluation.rates import FEWEST_ERRORS, Rate
from evaluation.scores import REPEATS, Resampling

FEWEST_SUBJECTS = 10
"""Of fewer subjects no digits are printed: how much subjects differ cannot be seen in so few."""

ALL = "all photos"

_NORMAL = NormalDist()

Counting = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Given how often each subject was drawn, float64 (repeats, subjects): errors and trials, float64 (repeats, groups)."""


@dataclass(frozen=True)
class Measure:
    """One kind of error. count: as Counting, one column more for all trials together.

    behind: int64 (groups + 1,), the subjects behind each column's trials. subjects: how many there are to draw. held:
    the weights that counting a repeat takes.
    """

    name: str
    says: str
    count: Counting
    behind: np.ndarray
    subjects: int
    held: int = 0


@dataclass(frozen=True)
class Ratio:
    """One group's rate as a multiple, with the 95% interval, None where too many resamples had none."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the sample shows a difference: the interval lies on one side of 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high

    def as_json(self) -> dict[str, Any]:
        """Returns the ratio for machines."""
        known = self.low is not None and self.high is not None
        return {
            "value": round(self.value, 4),
            "interval": [round(self.low or 0, 4), round(self.high or 0, 4)] if known else None,
            "shown": self.shown,
        }


@dataclass(frozen=True)
class GroupRate:
    """One group's rate. to_best, to_mean: as multiples of the lowest told rate, and of the told ones' mean."""

    name: str
    rate: Rate
    subjects: int
    to_best: Ratio | None = None
    to_mean: Ratio | None = None

    @property
    def lacks(self) -> str | None:
        """Why no digits are told; None where they are."""
        if not self.rate.trials:
            return "nothing to measure"
        if self.subjects < FEWEST_SUBJECTS:
            return f"too small: {self.subjects:,} subjects, {self.rate.errors:,} errors of {self.rate.trials:,}"
        return self.rate.lacks

    def as_json(self) -> dict[str, Any]:
        """Returns the group for machines: without values where too few errors or subjects support one."""
        told = self.rate.as_json()
        if self.lacks:
            told |= {"value": None, "interval": None, "lacks": self.lacks}
        told.pop("threshold", None)
        ratios = {"to_best": self.to_best, "to_mean": self.to_mean}
        return {
            "group": self.name,
            "subjects": self.subjects,
            **told,
            **{name: one.as_json() if one else None for name, one in ratios.items()},
        }


@dataclass(frozen=True)
class GroupRates:
    """A measure's rates: of all photos together, and of each group in the order of its names."""

    name: str
    says: str
    whole: GroupRate
    groups: list[GroupRate]

    @property
    def told(self) -> list[GroupRate]:
        """The groups whose rates are told."""
        return [one for one in self.groups if one.lacks is None]

    @property
    def best(self) -> GroupRate | None:
        """The group with the lowest told rate, None where fewer than two can be compared."""
        return min(self.told, key=lambda one: one.rate.value) if len(self.told) > 1 else None

    @property
    def worst(self) -> GroupRate | None:
        """The group with the highest told rate, None where fewer than two can be compared."""
        return max(self.told, key=lambda one: one.rate.value) if len(self.told) > 1 else None


def measure_groups(measure: Measure, names: Sequence[str], seed: int, repeats: int = REPEATS) -> GroupRates:
    """Returns a measure's rates with intervals over subjects, all from the same resamples.

    names: of the groups; the last column that measure counts is all photos together. Ratios are made of groups with
    FEWEST_ERRORS errors and FEWEST_SUBJECTS subjects. Which is the best one is taken as the sample has it, in every
    resample.
    """
    resampling = Resampling(measure.subjects, seed, repeats)
    errors, trials = (one[0] for one in measure.count(np.ones((1, measure.subjects))))
    repeated = []
    for drawn in resampling.drawn(measure.held + len(names)):
        wrong, of = measure.count(drawn)
        repeated.append(_share(wrong, of))
    values = np.concatenate(repeated)
    points = _share(errors, trials)
    rates = [
        GroupRate(
            name,
            Rate(
                round(errors[place]),
                round(trials[place]),
                float(points[place]),
                *_ends(values[:, place], measure.behind[place]),
            ),
            int(measure.behind[place]),
        )
        for place, name in enumerate([*names, ALL])
    ]
    told = [place for place in range(len(names)) if rates[place].lacks is None]
    if len(told) > 1:
        best = min(told, key=lambda place: float(points[place]))
        means, mean = _geometric(values[:, told]), float(_geometric(points[None, told])[0])
        for place in told:
            to_best = Ratio(1.0)
            if place != best:
                few = min(measure.behind[place], measure.behind[best])
                to_best = _ratio(points[place] / points[best], values[:, place], values[:, best], few)
            to_mean = _ratio(points[place] / mean, values[:, place], means, measure.behind[told].min())
            rates[place] = GroupRate(rates[place].name, rates[place].rate, rates[place].subjects, to_best, to_mean)
    return GroupRates(measure.name, measure.says, rates[-1], rates[:-1])


def _share(errors: np.ndarray, trials: np.ndarray) -> np.ndarray:
    return np.divide(errors, trials, out=np.full(errors.shape, np.nan), where=trials > 0)


def _geometric(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        mean: np.ndarray = np.exp(np.log(values).mean(axis=1))
    return mean


def _ratio(point: float, values: np.ndarray, others: np.ndarray, subjects: int) -> Ratio:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = values / others
    return Ratio(float(point), *_ends(np.where(np.isfinite(ratios), ratios, np.nan), subjects))


def _ends(values: np.ndarray, subjects: int) -> tuple[float, float] | tuple[None, None]:
    """Returns the ends of the 95% interval, None where too many resamples had no value (NaN).

    subjects: behind the values. Of few subjects the middle 95% of resamples is too narrow; more of them are then taken,
    as many as Student's t asks (Hesterberg's expanded percentile interval).
    """
    known = values[~np.isnan(values)]
    if subjects < 2 or len(known) < len(values) / 2:
        return None, None
    z, free = _NORMAL.inv_cdf(0.975), subjects - 1
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    tail = _NORMAL.cdf(-student * math.sqrt(subjects / free))
    low, high = np.quantile(known, (tail, 1 - tail))
    return float(low), float(high)


def measure_single(
    named: tuple[str, str], missed: np.ndarray, whose: np.ndarray, belongs: np.ndarray, subjects: int
) -> Measure:
    """Returns a measure of trials that have one subject each. named: the measure, and what it is.

    missed: bool (n,). whose: int64 (n,), below subjects. belongs: bool (n, groups), the groups that a trial counts in.
    """
    belongs = np.concatenate([belongs, np.ones((len(belongs), 1), dtype=bool)], axis=1)
    trials = summed(belongs, whose, subjects)
    errors = summed(belongs & missed[:, None], whose, subjects)
    return Measure(*named, lambda drawn: (drawn @ errors, drawn @ trials), (trials > 0).sum(axis=0), subjects)


def summed(rows: np.ndarray, whose: np.ndarray, subjects: int) -> np.ndarray:
    """Returns float64 (subjects, columns): the rows, (n, columns), added up by subject."""
    total = np.zeros((subjects, rows.shape[1]))
    np.add.at(total, whose, rows)
    return total


def one_hot(members: np.ndarray, groups: int) -> np.ndarray:
    """Returns bool (n, groups): in which group each member, int64 (n,), is."""
    return members[:, None] == np.arange(groups)[None, :]


def enough_for(groups: int, targets: Sequence[float], trials: int) -> float:
    """Returns the lowest target rate at which every group would have, on average, enough false positives to be told;
    the highest where none is low enough."""
    enough = [one for one in targets if one * trials >= FEWEST_ERRORS * groups]
    return min(enough, default=max(targets))
