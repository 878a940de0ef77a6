"""What keeps an evaluation against a tenant's gallery from being a search for one person: own probes have to be many
photos of many people, and no row of a search tells whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.measured import Measured
from evaluation.split import Split
from foundation.errors import InputError
from indexer.grouping import Groups

FEWEST = 30
"""People, of each kind of search: fewer support no rate, and would be a search by another name."""

TOLD = ("probe", "subject", "encounter", "mated", "outcome", "rank", "mate_distance", "other_distance")
"""What a row of scores tells: the list's own columns could mark one of them."""


def require_long_list(gallery: str, probes: int) -> None:
    """Raises InputError for a list too short to be enough, whoever is enrolled: before anything is asked or read."""
    if probes < FEWEST:
        raise InputError(
            f"{probes:,} probes are given for gallery {gallery!r}; {FEWEST} is the fewest: fewer support no rate, and "
            "a search for one person is 'afterfact search'"
        )


def require_many(
    gallery: str, split: Split, digests: Sequence[str], there: Sequence[bool], groups: Groups | None
) -> None:
    """Raises InputError where the probes are not photos of FEWEST people, of those enrolled and of others, and in every
    group that has any: rates of a group of one are one person's.

    digests: of each probe's bytes. there: whether each counts, so that pictures without a face are nobody.
    groups: of split.samples.
    """
    samples = [split.samples[place] for place in split.probes.tolist()]
    seen: dict[str, str] = {}
    for sample, digest in zip(samples, digests, strict=True):
        if digest in seen:  # copies would be one person's many searches, under one name or thirty
            raise InputError(
                f"probe {sample.name} is the same file as probe {seen[digest]}; for gallery {gallery!r} one photo is "
                "one search: take one out"
            )
        if digest:
            seen[digest] = sample.name
    counts = np.array(there, dtype=bool)
    subjects = np.array([one.subject or "" for one in samples])
    for kind, which in (("enrolled", split.mated), ("not enrolled", ~split.mated)):
        _require(gallery, f"people who are {kind}", subjects[which & counts])
        for grouping in groups.groupings if groups else ():
            members = grouping.members[split.probes]
            for number in np.unique(members[which]).tolist():
                told = f"people of group {grouping.names[number]!r} by {grouping.title} who are {kind}"
                _require(gallery, told, subjects[which & counts & (members == number)], "; or name coarser columns")


def _require(gallery: str, people: str, subjects: np.ndarray, remedy: str = "") -> None:
    count = len(np.unique(subjects))
    if count < FEWEST:
        raise InputError(
            f"{count:,} {people} are among the probes for gallery {gallery!r}, counting readable photos with a face; "
            f"{FEWEST} is the fewest, as fewer support no rate, and a search for one person is 'afterfact search'; "
            f"give photos of more people{remedy}"
        )


def without_marks(measured: Measured) -> Measured:
    """Returns what was measured with rows that nobody can be found in again: without the list's own columns, and in the
    order of their pseudonyms, which are drawn anew each time, not in the list's."""
    places = [measured.columns.index(one) for one in TOLD]
    rows = sorted([row[place] for place in places] for row in measured.scores)
    return replace(measured, columns=TOLD, scores=rows)
