"""Which photos of an archive need looking at, told without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from foundation.files import digest_file
from indexer.extractor import FaceExtractor
from indexer.limits import Limits
from indexer.locations import Member, photo_at
from indexer.outcomes import NOT_REJECTED, Outcome
from indexer.schema import DESCRIBING, LISTED
from indexer.table import read_rows

_HELD_COLUMNS = ("location", "bytes", "modified", "place", "photo_digest", "outcome", "duplicate_of", *DESCRIBING)


@dataclass(frozen=True)
class Plan:
    """work: photos to look at, in the list's order. updates: held photos whose listed columns changed.

    Both are tables of indexer.schema.LISTED. held: photos that need nothing. bytes: of the photos to look at.
    """

    work: pa.Table
    updates: pa.Table
    held: int
    bytes: int


def make_plan(
    listed: pa.Table,
    table: Any | None,
    rehash: bool = False,
    retry_rejected: bool = False,
    limits: Limits | None = None,
) -> Plan:
    """Returns the plan for the listed photos against a gallery's table (None: a new gallery).

    A photo is held while its location, size, modification time and place are those in the table; with rehash,
    its bytes' digest too. retry_rejected looks again at photos that were rejected. limits: of reading a member.
    """
    rows = read_rows(table, _HELD_COLUMNS).to_pylist() if table is not None else []
    held = {row["location"]: row for row in rows}
    photos = listed.to_pylist() if held else []
    with FaceExtractor(None, limits or Limits()) as helper:
        stale = [
            _is_stale(photo, held.get(photo["location"]), helper if rehash else None, retry_rejected)
            or _is_orphan(photo["location"], held)
            for photo in photos
        ]
    if held:
        # Where a photo is about to change, its duplicates are looked at again: one of them may be all that is left.
        # (A missing file changes nothing: its row stays.)
        changing = {
            photo["location"]
            for photo, again in zip(photos, stale, strict=True)
            if again and photo["location"] in held and photo["bytes"] >= 0
        }
        stale = [
            again or held[photo["location"]]["duplicate_of"] in changing
            for photo, again in zip(photos, stale, strict=True)
        ]
        work = listed.filter(pa.array(stale, pa.bool_()))
        changed = [
            not again and any(photo[name] != held[photo["location"]][name] for name in DESCRIBING)
            for photo, again in zip(photos, stale, strict=True)
        ]
        updates = listed.filter(pa.array(changed, pa.bool_()))
    else:
        work, updates = listed, LISTED.empty_table()
    sizes = work["bytes"].to_pylist()
    return Plan(
        work, updates, listed.num_rows - work.num_rows - updates.num_rows, sum(size for size in sizes if size > 0)
    )


def _is_orphan(location: str, held: dict[str, dict[str, Any]]) -> bool:
    """Tells whether a duplicate's original has changed since, through a job over another archive say."""
    row = held[location]
    if row["outcome"] != Outcome.DUPLICATE:
        return False
    original = held.get(row["duplicate_of"])
    return (
        original is None or original["outcome"] != Outcome.ENROLLED or original["photo_digest"] != row["photo_digest"]
    )


def _is_stale(
    photo: dict[str, Any], held: dict[str, Any] | None, rehash: FaceExtractor | None, retry_rejected: bool
) -> bool:
    if held is None or any(photo[name] != held[name] for name in ("bytes", "modified", "place")):
        return True
    if retry_rejected and Outcome(held["outcome"]) not in NOT_REJECTED:
        return True
    return rehash is not None and _digest(photo_at(photo["location"], photo["place"]), rehash) != held["photo_digest"]


def _digest(photo: str | Member, helper: FaceExtractor) -> str:
    """Returns the SHA-256 of a photo's bytes, empty where they cannot be read. Strangers' bytes are inflated in the
    helper only."""
    if isinstance(photo, Member):
        return helper.digest_photo(photo)
    try:
        return digest_file(Path(photo))
    except OSError:
        return ""
