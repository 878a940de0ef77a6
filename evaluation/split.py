"""Who is enrolled and who is searched for: a manifest that splits itself, or lists that are given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluation.samples import Sample
from foundation.errors import InputError

NON_MATED = 0.3
"""The share of subjects kept out of the gallery, unless another is asked for."""


@dataclass(frozen=True)
class Split:
    """samples, of which some are enrolled and others are probes.

    enrolled, probes: int64 places in samples. mated: bool (probes,), whether the probe's subject is to be enrolled.
    says: how it was made, a sentence for people.
    """

    samples: list[Sample]
    enrolled: np.ndarray
    probes: np.ndarray
    mated: np.ndarray
    says: str


def split_samples(samples: Sequence[Sample], non_mated: float, seed: int, named: str) -> Split:
    """Returns a split of photos that all have a subject: one probe a subject, drawn by seed.

    non_mated: the share of subjects of whom nothing is enrolled; one photo of each is a probe. Of every other subject
    with two encounters or more, one encounter is held out whole and one photo of it is a probe. Raises InputError where
    there would be no mated or no non-mated search.
    """
    random = np.random.default_rng(seed)
    encounters: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, sample in enumerate(samples):
        key = f"e{sample.encounter}" if sample.encounter is not None else f"p{place}"
        encounters[sample.subject or ""][key].append(place)
    subjects = sorted(encounters)
    if not any(len(one) > 1 for one in encounters.values()):
        raise InputError(
            f"none of the {len(subjects):,} subjects of {named} has two encounters, so nobody can be searched for who "
            "is enrolled; give photos of several encounters a subject"
        )
    out = set(random.permutation(len(subjects))[: round(non_mated * len(subjects))].tolist())
    enrolled: list[int] = []
    probes: list[tuple[int, bool]] = []
    for number, subject in enumerate(subjects):
        held = sorted(encounters[subject])
        if number not in out and len(held) == 1:
            enrolled += encounters[subject][held[0]]
            continue
        probed = held[int(random.integers(len(held)))]
        photos = encounters[subject][probed]
        probes.append((photos[int(random.integers(len(photos)))], number not in out))
        if number not in out:
            enrolled += [place for one in held if one != probed for place in encounters[subject][one]]
    mated = np.array([one for _, one in probes], dtype=bool)
    _require_both(mated, named)
    says = (
        f"By seed {seed}: {len(out):,} of {len(subjects):,} subjects are kept out of the gallery, one photo of each is "
        f"a non-mated probe; of {int(mated.sum()):,} others one encounter is held out and one photo of it is a mated "
        "probe; all their other photos, and those of subjects with one encounter, are enrolled."
    )
    places = np.array([place for place, _ in probes], dtype=np.int64)
    return Split(list(samples), np.array(sorted(enrolled), dtype=np.int64), places, mated, says)


def given_split(
    gallery: Sequence[Sample], probes: Sequence[Sample], strangers: Sequence[Sample], named: str, outside: bool = True
) -> Split:
    """Returns the split that lists give. strangers: probes told to be of nobody enrolled, with or without a subject.

    named: the probes' list, for errors. outside: whether the gallery's photos are files, which no probe may be, too.
    Raises InputError for a photo, an encounter or a stranger on both sides, or without mated or non-mated searches.
    """
    there = {one.subject for one in gallery if one.subject is not None}
    for one in strangers:
        if one.subject in there:
            raise InputError(
                f"subject {one.subject!r} of the non-mated list is enrolled, too; a subject cannot be on both sides of "
                "the split: take it out of one"
            )
    if outside:
        _require_no_overlap(gallery, [*probes, *strangers])
    mated = np.array([one.subject in there for one in probes] + [False] * len(strangers), dtype=bool)
    _require_both(mated, named)
    alone = [
        replace(one, subject=one.subject if one.subject is not None else f"(stranger {place})")
        for place, one in enumerate(strangers, start=1)
    ]
    says = f"As given: {int(mated.sum()):,} probes of subjects that are enrolled, {int((~mated).sum()):,} of others."
    first = len(gallery)
    return Split(
        [*gallery, *probes, *alone],
        np.arange(first, dtype=np.int64),
        np.arange(first, first + len(mated), dtype=np.int64),
        mated,
        says,
    )


def _require_no_overlap(gallery: Sequence[Sample], probes: Sequence[Sample]) -> None:
    paths = {one.path for one in gallery}
    held = {(one.subject, one.encounter) for one in gallery if one.encounter is not None}
    for one in probes:
        what = None
        if one.path in paths:
            what = f"photo {one.name!r} is"
        elif one.encounter is not None and (one.subject, one.encounter) in held:
            what = f"encounter {one.encounter!r} of subject {one.subject!r} is"
        if what:
            raise InputError(
                f"{what} on both sides of the split, enrolled and a probe, and found too easily: take it out of one"
            )


def require_no_twins(split: Split, digests: Sequence[str]) -> None:
    """Raises InputError where a probe's bytes are enrolled, too, under whatever name."""
    enrolled = {digests[place]: place for place in split.enrolled.tolist() if digests[place]}
    for place in split.probes.tolist():
        twin = enrolled.get(digests[place])
        if twin is not None:
            raise InputError(
                f"probe {split.samples[place].name} is the same file as {split.samples[twin].name}, which is enrolled: "
                "one photo cannot be on both sides of the split; take one out"
            )


def _require_both(mated: np.ndarray, named: str) -> None:
    if mated.all() or not mated.any():
        lack = "enrolled" if not mated.any() else "not enrolled"
        raise InputError(
            f"no probe of {named} is of a subject that is {lack}; rates need searches for people who are there and for "
            "people who are not"
        )
