"""Photos whose subjects are known: what an evaluation is made over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foundation.errors import InputError
from indexer.grouping import said_of
from indexer.job import IndexJob
from indexer.listing import Listing, list_archive
from indexer.locations import photo_at, readable

SUBJECTS = "a column 'subject', or --folder-subjects for a folder whose folders are subjects"


@dataclass(frozen=True)
class Sample:
    """One photo. name: as listed, for people. path: where it is. columns: whatever else its list says of it."""

    name: str
    path: str
    subject: str | None = None
    encounter: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """A list's photos. without_subject, repeated: lines left out, for having no subject or naming a photo again."""

    samples: list[Sample]
    without_subject: int = 0
    repeated: int = 0


def read_list(archive: Path, root: Path | None, folder_subjects: bool, option: str, subjects: bool = True) -> Listed:
    """Returns the photos of a folder, or of a CSV or Parquet list as `afterfact index` takes it.

    option: names it in errors. subjects: whether photos need one; those without are then left out. Raises InputError,
    also where no photo has a subject, or where some are missing.
    """
    if not archive.exists():
        raise InputError(f"{option} {archive} does not exist; name a folder of photos, or a CSV or Parquet list")
    listing = list_archive(IndexJob("evaluation", archive, root, folder_subjects))
    samples = _samples(listing)
    known = [one for one in samples if one.subject is not None] if subjects else samples
    if not samples:
        raise InputError(f"{option} {archive} names no photo; name a folder of photos, or a list with a column 'photo'")
    if not known:
        raise InputError(
            f"{option} {archive} names no subject for any of its {len(samples):,} photos; it needs {SUBJECTS}"
        )
    require_there(known, str(archive))
    return Listed(known, len(samples) - len(known), len(listing.repeated))


def _samples(listing: Listing) -> list[Sample]:
    return [
        Sample(
            row["photo"],
            str(photo_at(row["location"], row["place"])),
            row["subject"],
            row["encounter"],
            said_of(row),
        )
        for row in listing.photos.to_pylist()
    ]


def require_there(samples: Iterable[Sample], named: str) -> None:
    """Raises InputError naming the first photo that is not there, and how many are not."""
    samples = list(samples)
    missing = [one.name for one in samples if not Path(one.path).is_file()]
    if missing:
        raise InputError(
            f"{len(missing):,} of the {len(samples):,} photos of {named} are missing, the first is "
            f"{readable(missing[0])}; give the folder that they start from with --root"
        )


def number_subjects(subjects: Sequence[str | None]) -> np.ndarray:
    """Returns int64 (n,) numbers of subjects from 0; a photo without a subject is one of its own."""
    numbers: dict[str, int] = {}
    given = [f"s{one}" if one is not None else f"p{place}" for place, one in enumerate(subjects)]
    return np.array([numbers.setdefault(one, len(numbers)) for one in given], dtype=np.int64)
