"""What an evaluation found, in the form that its outputs are made of: JSON, a CSV of scores, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.rates import FoldAccuracy, Rate
from evaluation.samples import Sample
from foundation.chart import Bars, Panel


@dataclass(frozen=True)
class Section:
    """One table of the page, with what it means. charts: drawn below it."""

    title: str
    says: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    charts: Sequence[Bars] = ()


@dataclass(frozen=True)
class Error:
    """One error worth a look. places: of the photos it is about, among the evaluation's samples."""

    says: str
    places: Sequence[int]


@dataclass(frozen=True)
class Worst:
    """The worst errors of one kind, the worst first."""

    title: str
    errors: Sequence[Error]


@dataclass(frozen=True)
class Measured:
    """One evaluation. samples: its photos, with subject and the list's columns. result: what goes out as JSON.

    columns, scores: the CSV's. cannot: what the sample cannot say, a sentence each.
    """

    title: str
    summary: Sequence[str]
    samples: Sequence[Sample]
    result: Mapping[str, Any]
    sections: Sequence[Section]
    panels: Sequence[Panel]
    columns: Sequence[str]
    scores: Sequence[Sequence[Any]]
    worst: Sequence[Worst] = ()
    cannot: Sequence[str] = field(default_factory=list)


def percent(share: float) -> str:
    """Returns 0.0123 as "1.23%", with two digits that mean something where it is smaller."""
    digits = 2 if share == 0 or share >= 0.001 else 3
    return f"{share:.{digits}%}"


def told(rate: Rate) -> str:
    """Returns a rate for people, or why it is not told."""
    return rate.lacks or percent(rate.value)


def told_interval(rate: Rate) -> str:
    """Returns a rate's interval for people."""
    if rate.lacks or rate.low is None or rate.high is None:
        return "-"
    return f"{percent(rate.low)} to {percent(rate.high)}"


def told_whole(rate: Rate) -> str:
    """Returns a rate with its interval for people, in one text."""
    ends = told_interval(rate)
    return told(rate) if ends == "-" else f"{told(rate)} ({ends})"


def target(share: float) -> str:
    """Returns a rate that was aimed at, as "0.1%"."""
    return f"{100 * share:g}%"


def told_accuracy(accuracy: FoldAccuracy) -> tuple[str, str]:
    """Returns accuracy and interval for people."""
    wrong = accuracy.wrong
    if wrong.lacks:
        return wrong.lacks, "-"
    right = percent(1 - wrong.value)
    if wrong.low is None or wrong.high is None:
        return right, "-"
    return right, f"{percent(1 - wrong.high)} to {percent(1 - wrong.low)}"


def histogram(distances: np.ndarray, bins: Sequence[float]) -> list[tuple[float, float]]:
    """Returns the outline of a histogram: (distance, share of all in its bin), two points a bin."""
    counts, edges = np.histogram(distances, bins=np.asarray(bins))
    shares = counts / max(len(distances), 1)
    corners = [(edge, share) for left, share in enumerate(shares) for edge in (edges[left], edges[left + 1])]
    return [(float(edges[0]), 0.0), *((float(x), float(y)) for x, y in corners), (float(edges[-1]), 0.0)]


def columns_of(samples: Sequence[Sample]) -> list[str]:
    """Returns the names of whatever columns the samples' lists have besides their own, sorted."""
    return sorted({name for one in samples for name in one.columns})
