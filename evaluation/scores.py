"""What error rates are made from: distances of comparisons, the subjects behind them, and how these are resampled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foundation.errors import InputError

REPEATS = 1000  # resamples of an interval; its ends move in the third digit with more
HELD = 4_000_000  # weights held at a time


@dataclass(frozen=True)
class Trials:
    """Comparisons, or searches, of one class.

    distances: float64 (n,); infinite where there is nothing to compare. first, second: int64 (n,), numbers of the
    subjects behind each; one number twice where there is one subject. photos: float64 (subjects,) photos of each
    subject, where only the nearest of all comparisons between different subjects are listed; the others then count,
    too, as farther than any listed.
    """

    distances: np.ndarray
    first: np.ndarray
    second: np.ndarray
    photos: np.ndarray | None = None

    @classmethod
    def of(cls, distances: np.ndarray, subjects: np.ndarray) -> Trials:
        """Returns trials that have one subject each."""
        return cls(distances, subjects, subjects)

    def sorted(self) -> Trials:
        """Returns the trials with the nearest first. Raises InputError for a distance that is no number."""
        require_numbers(self.distances)
        order = np.argsort(self.distances, kind="stable")
        return Trials(self.distances[order], self.first[order], self.second[order], self.photos)

    @property
    def count(self) -> int:
        """How many there are, those not listed included."""
        return len(self.distances) if self.photos is None else round(self.total(np.ones((1, len(self.photos)))).item())

    def weights(self, drawn: np.ndarray) -> np.ndarray:
        """Returns float64 (repeats, n): how often each trial is there once subjects are, float64 (repeats, subjects).

        A comparison of two subjects is there as often as both together.
        """
        apart = self.first != self.second
        weights = drawn[:, self.first]
        weights[:, apart] *= drawn[:, self.second[apart]]
        return weights

    def total(self, drawn: np.ndarray) -> np.ndarray:
        """Returns float64 (repeats,): the weights of all trials together."""
        if self.photos is None:
            return self.weights(drawn).sum(axis=1)
        there = drawn * self.photos
        return (there.sum(axis=1) ** 2 - (there**2).sum(axis=1)) / 2


@dataclass(frozen=True)
class Compared:
    """Comparisons of two photos each. first, second: int64 (n,) photos. distances: float64 (n,), infinite for none.

    among: int64 photos of which all comparisons of different people are meant, and only the nearest are listed; None
    where those listed are all.
    """

    first: np.ndarray
    second: np.ndarray
    distances: np.ndarray
    among: np.ndarray | None = None

    def trials(self, subjects: np.ndarray) -> Trials:
        """Returns them as trials. subjects: int64 (photos,), the number of each photo's."""
        photos = None
        if self.among is not None:
            photos = np.bincount(subjects[self.among], minlength=int(subjects.max()) + 1).astype(np.float64)
        return Trials(self.distances, subjects[self.first], subjects[self.second], photos)


def require_numbers(distances: np.ndarray) -> None:
    """Raises InputError naming the first distance that is no number."""
    wrong = np.flatnonzero(np.isnan(distances))
    if len(wrong):
        raise InputError(
            f"{len(wrong):,} of {len(distances):,} scores are no number (NaN), the first is number {wrong[0] + 1:,}; "
            "a pair without a score is infinitely far apart, and a model that gives NaN cannot be evaluated"
        )


@dataclass(frozen=True)
class Resampling:
    """A bootstrap over subjects: each repeat draws as many subjects as there are, with replacement."""

    subjects: int
    seed: int
    repeats: int = REPEATS

    def drawn(self, trials: int) -> Iterator[np.ndarray]:
        """Yields float64 (some repeats, subjects): how often each subject was drawn. The same ones at every call.

        trials: how many weights a repeat takes besides, which decides how many repeats come at a time.
        """
        random = np.random.default_rng(self.seed)
        together = max(1, HELD // max(1, trials + self.subjects))
        even = np.full(self.subjects, 1 / self.subjects)
        for start in range(0, self.repeats, together):
            yield random.multinomial(self.subjects, even, size=min(together, self.repeats - start)).astype(np.float64)


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """Returns the ends of the middle 95% of resampled values; None where too many resamples had none (NaN)."""
    known = values[~np.isnan(values)]
    if len(known) < len(values) / 2:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
