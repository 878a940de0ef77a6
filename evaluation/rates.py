"""Error rates from scores: FMR and FNMR, FPIR and FNIR, CMC, accuracy over folds. Pure arithmetic.

A comparison is accepted where its distance is below the threshold. Terms are those of ISO/IEC 19795-1 and NIST FRTE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.scores import Resampling, Trials, interval

FEWEST_ERRORS = 30
"""Doddington's rule: from 30 errors on, the true rate lies within 30% of the measured one, with 90% confidence."""

OUT_OF_REACH = np.iinfo(np.int32).max
"""The rank of a mate that is not in the list."""


@dataclass(frozen=True)
class Rate:
    """A share of errors, with what supports it.

    low, high: of the 95% interval, None where it could not be made. threshold: the distance from which on nothing is
    accepted. accepted: the wrong comparisons below it, of `wrong`, that set it; None where nothing had to be set.
    """

    errors: int
    trials: int
    value: float
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    accepted: int | None = None
    wrong: int | None = None

    @property
    def lacks(self) -> str | None:
        """Why no digits are printed, in words; None where the rate is supported by enough errors."""
        if self.accepted is not None and self.accepted < FEWEST_ERRORS:
            return f"too few errors: {self.accepted:,} false of {self.wrong:,} set the threshold"
        if self.errors < FEWEST_ERRORS:
            return f"too few errors: {self.errors:,} of {self.trials:,}"
        return None

    def as_json(self) -> dict[str, Any]:
        """Returns the rate for machines: without a value where too few errors support one."""
        counts = {"errors": self.errors, "trials": self.trials}
        at = {} if self.accepted is None else {"false_accepted": self.accepted, "false_trials": self.wrong}
        if self.lacks:
            return {"value": None, "interval": None, "lacks": self.lacks, **counts, **at}
        threshold = {} if self.threshold is None else {"threshold": round(self.threshold, 4)}
        known = None if self.low is None or self.high is None else [round(self.low, 6), round(self.high, 6)]
        return {"value": round(self.value, 6), "interval": known, "lacks": None, **counts, **at, **threshold}


def rates_at(right: Trials, wrong: Trials, targets: Sequence[float], resampling: Resampling) -> list[Rate]:
    """Returns, for each target, the share of right trials missed at the threshold where that share of wrong ones is
    accepted: FNMR at FMR for comparisons, FNIR at FPIR for searches.

    Threshold and misses are both taken anew in every resample. Raises InputError for scores that are no numbers.
    """
    right, wrong = right.sorted(), wrong.sorted()
    once = np.ones((1, resampling.subjects))
    thresholds, points = (one[0] for one in _missed(right, wrong, targets, once))
    repeated = [
        _missed(right, wrong, targets, drawn)[1]
        for drawn in resampling.drawn(len(right.distances) + len(wrong.distances))
    ]
    values = np.concatenate(repeated)
    rates = []
    for number, (threshold, point) in enumerate(zip(thresholds, points, strict=True)):
        low, high = interval(values[:, number]) or (None, None)
        errors = int((right.distances >= threshold).sum())
        accepted = int(np.searchsorted(wrong.distances, threshold))
        rates.append(Rate(errors, right.count, float(point), low, high, float(threshold), accepted, wrong.count))
    return rates


def _missed(right: Trials, wrong: Trials, targets: Sequence[float], drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns thresholds and shares missed, float64 (repeats, targets), NaN where a resample has no trials."""
    falsely = np.cumsum(wrong.weights(drawn), axis=1)
    total_wrong, total_right = wrong.total(drawn), right.total(drawn)
    rightly = np.concatenate([np.zeros((len(drawn), 1)), np.cumsum(right.weights(drawn), axis=1)], axis=1)
    ends = np.append(wrong.distances, np.inf)
    thresholds = np.empty((len(drawn), len(targets)))
    missed = np.empty_like(thresholds)
    for number, target in enumerate(targets):
        # A hair is allowed for, so that 1% of 1,500 is 15 in floating point, too.
        allowed = target * total_wrong * (1 + 1e-12)
        first = [np.searchsorted(row, limit, side="right") for row, limit in zip(falsely, allowed, strict=True)]
        thresholds[:, number] = ends[first]
        below = np.searchsorted(right.distances, thresholds[:, number])
        with np.errstate(invalid="ignore", divide="ignore"):
            share = 1 - rightly[np.arange(len(drawn)), below] / total_right
        # Where only the nearest are listed, a threshold beyond them is not known.
        known = (total_wrong > 0) & ((wrong.photos is None) | (np.array(first) < len(wrong.distances)))
        missed[:, number] = np.where(known, share, np.nan)
    return thresholds, missed


def curve(right: Trials, wrong: Trials, points: int = 200) -> list[tuple[float, float]]:
    """Returns (share of wrong trials accepted, share of right trials missed), for a DET curve.

    Where only the nearest wrong trials are listed it ends with them.
    """
    right, wrong = right.sorted(), wrong.sorted()
    listed = len(wrong.distances)
    steps = np.unique(np.geomspace(1, max(listed, 1), points).astype(np.int64))
    thresholds = np.unique(wrong.distances[steps - 1])
    thresholds = thresholds[np.isfinite(thresholds)]
    accepted = np.searchsorted(wrong.distances, thresholds, side="right") / wrong.count
    missed = 1 - np.searchsorted(right.distances, thresholds, side="right") / max(right.count, 1)
    return list(zip(accepted.tolist(), missed.tolist(), strict=True))


def not_within(ranks: np.ndarray, subjects: np.ndarray, within: Sequence[int], resampling: Resampling) -> list[Rate]:
    """Returns, for each rank R, the share of searches whose mate is not among the first R: FNIR(N, R, 0), 1 - CMC.

    ranks: int64 (n,), OUT_OF_REACH where the mate was not found. subjects: int64 (n,), numbers of subjects.
    """
    missed = (ranks[:, None] > np.asarray(within)[None, :]).astype(np.float64)
    return shares(missed, Trials.of(np.zeros(len(ranks)), subjects), resampling)


def shares(missed: np.ndarray, trials: Trials, resampling: Resampling, worth: np.ndarray | None = None) -> list[Rate]:
    """Returns the share of each column of missed, float64 (n, columns) of 0 and 1, with intervals over subjects.

    worth: float64 (n,), how much each trial counts in value and interval; alike where it is None.
    """
    worth = np.ones(len(missed)) if worth is None else worth
    repeated = []
    for drawn in resampling.drawn(len(missed)):
        weights = trials.weights(drawn) * worth
        with np.errstate(invalid="ignore", divide="ignore"):
            repeated.append(weights @ missed / weights.sum(axis=1, keepdims=True))
    values = np.concatenate(repeated)
    rates = []
    for number, column in enumerate(missed.T):
        low, high = interval(values[:, number]) or (None, None)
        rates.append(Rate(int(column.sum()), len(column), float(np.average(column, weights=worth)), low, high))
    return rates


@dataclass(frozen=True)
class FoldAccuracy:
    """How many pairs are told rightly, at each fold's threshold chosen on the others.

    wrong: the share told wrongly, each fold counting alike; value and interval are what page and JSON both tell.
    deviation: the standard error of the mean over folds, as LFW reports it.
    """

    wrong: Rate
    folds: list[float]
    thresholds: list[float]
    deviation: float

    def as_json(self) -> dict[str, Any]:
        """Returns the accuracy for machines."""
        rate = self.wrong.as_json()
        value = None if rate["value"] is None else round(1 - self.wrong.value, 6)
        ends = rate["interval"] and [round(1 - one, 6) for one in reversed(rate["interval"])]
        return {
            **rate,
            "value": value,
            "interval": ends,
            "standard_error": None if value is None else round(self.deviation, 6),
            "thresholds": [round(one, 4) for one in self.thresholds],
        }


def fold_accuracy(trials: Trials, same: np.ndarray, folds: np.ndarray, resampling: Resampling) -> FoldAccuracy:
    """Returns the accuracy as LFW's View 2 defines it, the mean over folds.

    trials: all pairs, infinitely far apart where a face is missing; such a pair is an error whatever it is. same: bool
    (n,). folds: int64 (n,), two different ones at least. Intervals take the folds' thresholds as given.
    """
    distances = trials.distances
    wrong = np.ones(len(distances))
    thresholds, right = [], []
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = _best_threshold(distances[~inside], same[~inside], folds[~inside])
        told = np.where(distances[inside] <= threshold, same[inside], ~same[inside]) & np.isfinite(distances[inside])
        wrong[inside] = ~told
        thresholds.append(threshold)
        right.append(float(told.mean()))
    _, members, counts = np.unique(folds, return_inverse=True, return_counts=True)
    worth = len(folds) / len(counts) / counts[members]  # the mean over folds; exactly 1 where they are equal
    (rate,) = shares(wrong[:, None], trials, resampling, worth)
    deviation = float(np.std(right, ddof=1) / np.sqrt(len(right)))
    return FoldAccuracy(rate, right, thresholds, deviation)


def _best_threshold(distances: np.ndarray, same: np.ndarray, folds: np.ndarray) -> float:
    """Returns the smallest distance that, as the last to be taken for one person, tells most pairs rightly."""
    there = np.isfinite(distances)
    _, members, counts = np.unique(folds, return_inverse=True, return_counts=True)
    weights = (1 / counts[members])[there]  # every fold counts alike, as the mean over folds does
    distances, same = distances[there], same[there]
    order = np.argsort(distances, kind="stable")
    distances, gain = distances[order], np.cumsum(np.where(same, weights, -weights)[order])
    last = np.append(distances[1:] != distances[:-1], True)  # equal distances are accepted together
    candidates = np.flatnonzero(last)
    return float(distances[candidates[np.argmax(gain[candidates].round(12))]]) if len(candidates) else 0.0
