"""Comparisons counted by group: of one person's photos, and of different people's, within a group and against all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.groups import Counting, Measure, measure_single, one_hot, summed
from evaluation.scores import Compared, Trials
from foundation.errors import InputError
from indexer.grouping import Grouping

_Total = Callable[[np.ndarray], np.ndarray]  # resamples to errors, or to trials: half of a Counting


def cut_off_at(wrong: Trials, rate: float) -> float:
    """Returns the distance below which at most this share of wrong trials lies. Raises InputError beyond the listed."""
    distances = wrong.sorted().distances
    allowed = int(rate * wrong.count * (1 + 1e-12))
    if allowed >= len(distances) or not np.isfinite(distances[allowed]):
        raise InputError(
            f"--at {100 * rate:g}% is above what is looked at: {len(distances):,} of {wrong.count:,}; give a lower rate"
        )
    return float(distances[allowed])


def require_reached(wrong: Trials, distance: float) -> None:
    """Raises InputError for a cut-off beyond the farthest comparison that is listed."""
    farthest = float(wrong.distances.max(initial=0.0))
    if wrong.photos is not None and distance > farthest:
        raise InputError(
            f"--at {distance:g} accepts more than {len(wrong.distances) / max(wrong.count, 1):.1%} of all comparisons "
            f"of different people, which is no cut-off; give a distance below {farthest:.3f}"
        )


def compare_groups(
    grouping: Grouping, subjects: np.ndarray, right: Compared, wrong: Compared, cut_off: float
) -> list[Measure]:
    """Returns what counts false matches within each group and against everybody, and false non-matches.

    subjects: int64 (photos,), the number of each photo's.
    """
    groups, count = len(grouping.names), int(subjects.max()) + 1
    one, other = grouping.members[right.first], grouping.members[right.second]
    belongs = one_hot(one, groups) | one_hot(other, groups)
    missed = measure_single(_NAMES["right"], right.distances >= cut_off, subjects[right.first], belongs, count)
    held = one_hot(grouping.members, groups)
    wrong_ones = wrong.distances < cut_off
    counted = {}
    trials: _Total
    for whose, anybody in (("within", False), ("all", True)):
        errors = _pairs_of(grouping, subjects, wrong, wrong_ones, anybody)
        if wrong.among is None:
            every = _pairs_of(grouping, subjects, wrong, np.ones(len(wrong_ones), dtype=bool), anybody)
            trials, people = every.count, every.subjects
        else:
            photos = summed(held[wrong.among], subjects[wrong.among], count)
            trials, people = (
                _every(photos, anybody),
                np.append((photos > 0).sum(axis=0), (photos.sum(axis=1) > 0).sum()),
            )
        counted[whose] = Measure(*_NAMES[whose], _both(errors.count, trials), people, count, errors.held)
    return [counted["within"], counted["all"], missed]


_NAMES = {
    "within": (
        "FMR within the group",
        "false match rate: of comparisons of different people who are both of the group, the share accepted",
    ),
    "all": (
        "FMR against everybody",
        "false match rate: of comparisons of different people of whom one at least is of the group, the share accepted",
    ),
    "right": (
        "FNMR",
        "false non-match rate: of comparisons of one person's photos, the share not accepted; where the two photos are "
        "of two groups it counts in both",
    ),
}


@dataclass(frozen=True)
class _Pairs:
    """What adds up pairs by group. held: weights that a repeat takes. subjects: int64 (groups + 1,) behind each."""

    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray  # ascending
    groups: int
    subjects: np.ndarray

    @property
    def held(self) -> int:
        return len(self.labels)

    def count(self, drawn: np.ndarray) -> np.ndarray:
        """Returns float64 (repeats, groups + 1), the last of all pairs."""
        total = np.zeros((len(drawn), self.groups + 1))
        there, starts = np.unique(self.labels, return_index=True)
        if len(there):
            weights = Trials(self.labels, self.first, self.second).weights(drawn)
            total[:, there] = np.add.reduceat(weights, starts, axis=1)
        return total


def _pairs_of(grouping: Grouping, subjects: np.ndarray, pairs: Compared, which: np.ndarray, anybody: bool) -> _Pairs:
    """Returns the chosen pairs under each group that they count in, and once more under all. anybody: whether a pair of
    two groups counts in both, or in none."""
    first, second = pairs.first[which], pairs.second[which]
    one, other = grouping.members[first], grouping.members[second]
    whole = np.full(len(first), len(grouping.names), dtype=np.int64)
    parts = [(one == other, one), (np.ones(len(first), dtype=bool), whole)]
    if anybody:
        parts += [(one != other, one), (one != other, other)]
    labels = np.concatenate([labels[chosen] for chosen, labels in parts])
    a, b = (np.concatenate([subjects[side[chosen]] for chosen, _ in parts]) for side in (first, second))
    order = np.argsort(labels, kind="stable")
    labels, a, b = labels[order], a[order], b[order]
    own = [
        np.stack([side, subjects[photos]])
        for side, photos in ((one, first), (other, second), (whole, first), (whole, second))
    ]
    if not anybody:
        own = [part[:, (one == other) | (part[0] == len(grouping.names))] for part in own]
    behind = np.bincount(np.unique(np.concatenate(own, axis=1), axis=1)[0], minlength=len(grouping.names) + 1)
    return _Pairs(a, b, labels, len(grouping.names), behind)


def _every(photos: np.ndarray, anybody: bool) -> _Total:
    """Returns what counts all comparisons of different people by group. photos: float64 (subjects, groups)."""
    whole = photos.sum(axis=1, keepdims=True)

    def count(drawn: np.ndarray) -> np.ndarray:
        of_all = _comparisons(drawn, whole)
        within = _comparisons(drawn, photos)
        if anybody:
            within = of_all - _comparisons(drawn, whole - photos)
        return np.concatenate([within, of_all], axis=1)

    return count


def _comparisons(drawn: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """Returns float64 (repeats, columns): how many comparisons of photos of different subjects there are."""
    total: np.ndarray = ((drawn @ photos) ** 2 - drawn**2 @ photos**2) / 2
    return total


def _both(errors: _Total, trials: _Total) -> Counting:
    return lambda drawn: (errors(drawn), trials(drawn))
