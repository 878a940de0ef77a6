"""Verification and search by group: what is counted for whom, and at which cut-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.cache import Template
from evaluation.embedding import enrolled
from evaluation.group_pairs import compare_groups, cut_off_at, require_reached
from evaluation.group_report import ByGroup, report_groups
from evaluation.groups import Measure, enough_for, measure_single, one_hot
from evaluation.impostors import distances_between, nearest_impostors
from evaluation.measured import target
from evaluation.pairs import Pairs
from evaluation.ranking import LONGEST, Searches
from evaluation.rates import FEWEST_ERRORS
from evaluation.scores import Compared, Trials
from evaluation.split import Split
from indexer.grouping import Grouping, Groups

FTE = "FTE", "failure to enrol: the share of photos that enrolment rejects, for want of a face or for its quality"
FPIR = (
    "FPIR",
    "false positive identification rate: of searches for people who are not enrolled, the share that gets anybody",
)
FNIR = "FNIR", f"of searches for people who are enrolled, the share whose mate is not found within {LONGEST} ranks"


@dataclass(frozen=True)
class Enrolment:
    """Photos that were to be enrolled. failed: bool (n,). subjects: int64 (n,), numbers. groups: theirs."""

    failed: np.ndarray
    subjects: np.ndarray
    groups: Groups


def pairs_by_group(
    groups: Groups | None,
    pairs: Pairs,
    templates: Sequence[Template],
    distances: np.ndarray,
    found: Compared | None,
    targets: Sequence[float],
    seed: int,
) -> ByGroup:
    """Returns what a list of pairs says of groups; nothing where groups is None.

    distances: of the pairs. found: all comparisons of different people that there are, where the subjects are named.
    """
    if groups is None:
        return ByGroup()
    listed = ~pairs.same & np.isfinite(distances)
    wrong = found or Compared(pairs.first[listed], pairs.second[listed], distances[listed])
    right = Compared(pairs.first[pairs.same], pairs.second[pairs.same], distances[pairs.same])
    cut_off, chosen = _cut_off(groups, wrong.trials(pairs.subjects), targets, "FMR")
    failed = np.array([not enrolled(one) for one in templates], dtype=bool)
    enrolment = Enrolment(failed, pairs.subjects, groups)
    made = [
        (one, [_enrolment(enrolment, place), *compare_groups(one, pairs.subjects, right, wrong, cut_off)])
        for place, one in enumerate(groups.groupings)
    ]
    return report_groups(made, cut_off, chosen, seed)


def searches_by_group(
    groups: Groups | None,
    split: Split,
    numbers: np.ndarray,
    embeddings: np.ndarray,
    searches: Searches,
    enrolment: Enrolment | None,
    targets: Sequence[float],
    seed: int,
) -> ByGroup:
    """Returns what searches say of groups; nothing where groups is None.

    numbers: int64 (samples,), their subjects. embeddings: float32 (samples, 128) of those enrolled and of probes, NaN
    where there is none. enrolment: of the gallery's photos, also where they are no samples.
    """
    if groups is None or enrolment is None:
        return ByGroup()
    subjects, whose = int(numbers.max()) + 1, numbers[split.probes]
    alone = ~split.mated
    cut_off, chosen = _cut_off(groups, Trials.of(searches.others[alone], whose[alone]), targets, "FPIR")
    positive = searches.others[alone] < cut_off
    missed = ~((searches.mates < cut_off) & (searches.ranks <= LONGEST))[split.mated]
    right, wrong = _comparisons(split, numbers, embeddings), nearest_impostors(embeddings, numbers, seed)
    if wrong is not None:
        require_reached(wrong.trials(numbers), cut_off)
    made = []
    for place, one in enumerate(groups.groupings):
        belongs = one_hot(one.members[split.probes], len(one.names))
        measures = [
            _enrolment(enrolment, place),
            measure_single(FPIR, positive, whose[alone], belongs[alone], subjects),
            measure_single(FNIR, missed, whose[split.mated], belongs[split.mated], subjects),
        ]
        measures += compare_groups(one, numbers, right, wrong, cut_off) if wrong is not None else []
        made.append((one, measures))
    return report_groups(made, cut_off, chosen, seed)


def _enrolment(enrolment: Enrolment, place: int) -> Measure:
    grouping: Grouping = enrolment.groups.groupings[place]
    belongs = one_hot(grouping.members, len(grouping.names))
    return measure_single(FTE, enrolment.failed, enrolment.subjects, belongs, int(enrolment.subjects.max()) + 1)


def _comparisons(split: Split, numbers: np.ndarray, embeddings: np.ndarray) -> Compared:
    """Returns each mated probe beside each enrolled photo of its subject that has a face."""
    there = split.enrolled[np.isfinite(embeddings[split.enrolled]).all(axis=1)]
    there = there[np.argsort(numbers[there], kind="stable")]
    probes = split.probes[split.mated]
    starts, ends = (np.searchsorted(numbers[there], numbers[probes], side=side) for side in ("left", "right"))
    first = np.repeat(probes, ends - starts)
    second = np.concatenate([there[a:b] for a, b in zip(starts, ends, strict=True)]) if len(first) else first
    return Compared(first, second, distances_between(embeddings, first, second))


def _cut_off(groups: Groups, wrong: Trials, targets: Sequence[float], kind: str) -> tuple[float, str]:
    """Returns the one cut-off for all groups, and how it was chosen, in words."""
    by = groups.by
    if by.distance is not None:
        require_reached(wrong, by.distance)
        return by.distance, "as it was asked for"
    rate = by.rate or enough_for(groups.most, targets, wrong.count)
    cut_off = cut_off_at(wrong, rate)
    accepted = int((wrong.distances < cut_off).sum())
    few = f"; only {accepted:,} false of {wrong.count:,} set it" if accepted < FEWEST_ERRORS else ""
    how = "" if by.rate else ", chosen by how many trials there are"
    return cut_off, f"where {kind} over all is {target(rate)}{how}{few}"
