"""Galleries as what is evaluated: their faces, whom they hold, and the pseudonyms that stand for them."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.cache import Template
from evaluation.samples import SUBJECTS, Sample
from foundation.errors import InputError
from indexer.gallery import LABELS, Gallery, GalleryError, Version, gallery_names
from indexer.gallery_cache import present_files
from indexer.grouping import said_of
from indexer.outcomes import TRIED_AGAIN, Outcome
from indexer.table import is_enrolled, open_table, read_batches

NEVER_LOOKED_AT = TRIED_AGAIN | {Outcome.DUPLICATE, Outcome.OUTSIDE_ARCHIVE, Outcome.PROBE_PHOTO}
"""Outcomes of photos that say nothing of faces: they are no failures to enrol."""

READ = ("location", "photo", "subject", "encounter", "taken", "disposition", "further", "embedding")


def read_gallery(gallery: Gallery, version: Version) -> tuple[list[Sample], list[Template]]:
    """Returns the enrolled faces of a version that have a subject, in the order of their locations.

    No photo is opened. Raises InputError where no face has a subject, GalleryError.
    """
    table = _table(gallery, version)
    found: list[tuple[str, Sample, Template]] = []
    for batch in read_batches(table, READ, is_enrolled()):
        for row in batch.to_pylist():
            if row["subject"] is not None:
                sample = Sample(row["photo"], "", row["subject"], row["encounter"], said_of(row))
                embedding = np.asarray(row["embedding"], dtype=np.float32)
                found.append((row["location"], sample, Template(Outcome.ENROLLED.value, 1, None, embedding)))
    if not found:
        raise InputError(f"no face of gallery {gallery.name!r} names a subject; it needs {SUBJECTS}, when indexed")
    found.sort(key=lambda one: one[0])
    return [sample for _, sample, _ in found], [template for *_, template in found]


def read_enrolment(gallery: Gallery, version: Version) -> tuple[list[Sample], np.ndarray]:
    """Returns every photo of a version that was looked at for enrolment, and whether it failed, bool (n,).

    Raises GalleryError.
    """
    table = _table(gallery, version)
    rows = [
        row
        for batch in read_batches(table, (*READ[:-1], "outcome"))
        for row in batch.to_pylist()
        if row["outcome"] not in NEVER_LOOKED_AT
    ]
    samples = [Sample(row["photo"], "", row["subject"], row["encounter"], said_of(row)) for row in rows]
    return samples, np.array([row["outcome"] != Outcome.ENROLLED for row in rows], dtype=bool)


def _table(gallery: Gallery, version: Version) -> Any:
    table = open_table(gallery, version.number)
    if table is None:
        raise GalleryError(f"gallery {gallery.name!r} has no table; restore it from a backup")
    return table


def galleries_holding(home: Path, digests: Iterable[str]) -> list[str]:
    """Returns the galleries in which some photo of these bytes is enrolled. Raises GalleryError."""
    sought = pa.array(sorted({one for one in digests if one}), pa.string())
    holding = []
    for name in gallery_names(home):
        gallery = Gallery(home, name)
        if not gallery.version_numbers():
            continue
        with pa.memory_map(str(present_files(gallery, gallery.version())[LABELS])) as source:
            held = pa.ipc.open_file(source).read_all()["photo_digest"]
            if pc.any(pc.is_in(held, value_set=sought)).as_py():
                holding.append(name)
    return holding


def pseudonymous(samples: Sequence[Sample]) -> list[Sample]:
    """Returns the samples under names drawn anew each time, by which nobody can be told or found again.

    One subject keeps one pseudonym throughout; encounters are numbered within it. Columns stay, for groups.
    """
    subjects = _drawn(sorted({one.subject for one in samples if one.subject is not None}), "subject")
    photos = _drawn([str(place) for place in range(len(samples))], "photo")
    seen: Counter[str] = Counter()
    encounters: dict[tuple[str, str], str] = {}
    renamed = []
    for place, one in enumerate(samples):
        encounter = None
        if one.encounter is not None and one.subject is not None:
            if (one.subject, one.encounter) not in encounters:
                seen[one.subject] += 1
                encounters[one.subject, one.encounter] = f"encounter {seen[one.subject]}"
            encounter = encounters[one.subject, one.encounter]
        subject = None if one.subject is None else subjects[one.subject]
        renamed.append(replace(one, name=photos[str(place)], path="", subject=subject, encounter=encounter))
    return renamed


def _drawn(names: Sequence[str], what: str) -> dict[str, str]:
    order = np.random.default_rng(secrets.randbits(128)).permutation(len(names)) + 1
    width = len(str(len(names)))
    return {name: f"{what} {number:0{width}}" for name, number in zip(names, order.tolist(), strict=True)}
