"""Which photos of an archive need looking at, told without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexer.extractor import FaceExtractor
from indexer.limits import Limits
from indexer.locations import Source, lies_in, photo_at
from indexer.outcomes import NOT_REJECTED, Outcome
from indexer.schema import DESCRIBING
from indexer.table import read_rows

_HELD_COLUMNS = ("location", "bytes", "modified", "place", "photo_digest", "outcome", "duplicate_of", *DESCRIBING)


@dataclass(frozen=True)
class Plan:
    """work: photos to look at, in the list's order. updates: held photos whose listed columns changed.

    Both are tables of indexer.schema.LISTED. held: photos that need nothing. bytes: of the photos to look at.
    version: of the table that it was held against, None where there was none.
    """

    work: pa.Table
    updates: pa.Table
    held: int
    bytes: int
    version: int | None


def make_plan(
    listed: pa.Table,
    table: Any | None,
    rehash: bool = False,
    retry_rejected: bool = False,
    limits: Limits | None = None,
    root: Source | None = None,
) -> Plan:
    """Returns the plan for the listed photos against a gallery's table (None: a new gallery).

    A photo is held while its location, size, modification time and place are those in the table; with rehash,
    its bytes' digest too. retry_rejected looks again at photos that were rejected. limits: of reading a member. root:
    what no photo may lead out of; one that an earlier job's root shut out and this one does not is looked at again.
    """
    if table is None:
        return _plan(listed, np.ones(listed.num_rows, dtype=bool), np.zeros(listed.num_rows, dtype=bool), None)
    held = read_rows(table, _HELD_COLUMNS)
    place = pc.index_in(listed["location"], value_set=held["location"].combine_chunks())
    known = held.take(place)  # a row a listed photo, null where it is new
    stale = _truths(pc.is_null(known["location"])) | _orphans(known, held)
    for name in ("bytes", "modified", "place"):
        stale |= _truths(_differs(listed, known, name))
    if root is not None:
        stale |= _let_in(listed, known, stale, root)
    if retry_rejected:
        stale |= ~_truths(pc.is_in(known["outcome"], value_set=pa.array(sorted(NOT_REJECTED), pa.string())))
    if rehash:
        stale |= _rehashed(listed, known, stale, limits or Limits())
    # Where a photo is about to change, its duplicates are looked at again: one of them may be all that is left.
    # (A missing file changes nothing: its row stays.)
    changing = known["location"].filter(_mask(stale & _truths(pc.greater_equal(listed["bytes"], 0)))).drop_null()
    stale |= _truths(pc.is_in(known["duplicate_of"], value_set=changing.combine_chunks()))
    changed = np.zeros(listed.num_rows, dtype=bool)
    for name in DESCRIBING:
        changed |= _truths(_differs(listed, known, name))
    return _plan(listed, stale, changed & ~stale, table.version())


def _plan(listed: pa.Table, stale: np.ndarray, changed: np.ndarray, version: int | None) -> Plan:
    work, updates = listed.filter(_mask(stale)), listed.filter(_mask(changed))
    held = listed.num_rows - work.num_rows - updates.num_rows
    size = pc.sum(work["bytes"].filter(pc.greater(work["bytes"], 0))).as_py() or 0
    return Plan(work, updates, held, size, version)


def _mask(truths: np.ndarray) -> pa.Array:
    return pa.array(truths, pa.bool_())


def _truths(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column, False).to_numpy()


def _differs(listed: pa.Table, known: pa.Table, name: str) -> pa.ChunkedArray:
    """Tells for each photo whether a column is another than the held one; two nulls are the same."""
    either_null = pc.xor(pc.is_null(listed[name]), pc.is_null(known[name]))
    return pc.or_(either_null, pc.fill_null(pc.not_equal(listed[name], known[name]), False))


def _rehashed(listed: pa.Table, known: pa.Table, stale: np.ndarray, limits: Limits) -> np.ndarray:
    """Tells which of the photos that are not stale yet have other bytes than the held ones."""
    other = np.zeros(len(stale), dtype=bool)
    locations, places, digests = listed["location"], listed["place"], known["photo_digest"]
    rows = list(map(int, np.flatnonzero(~stale)))
    photos = (photo_at(locations[row].as_py(), places[row].as_py()) for row in rows)
    with FaceExtractor(None, limits) as extractor:
        for row, digest in zip(rows, extractor.digest_each(photos), strict=True):
            other[row] = digest != digests[row].as_py()
    return other


def _let_in(listed: pa.Table, known: pa.Table, stale: np.ndarray, root: Source) -> np.ndarray:
    """Tells which of the photos that are not stale yet were held to lie outside, and lie in this root.

    The file is the same, but the job is not: nobody would look for a held photo's mistake in an earlier job's root.
    """
    inside = np.zeros(len(stale), dtype=bool)
    outside = _truths(pc.equal(known["outcome"], Outcome.OUTSIDE_ARCHIVE.value))
    for row in map(int, np.flatnonzero(outside & ~stale)):
        inside[row] = lies_in(photo_at(listed["location"][row].as_py(), listed["place"][row].as_py()), root)
    return inside


def _orphans(known: pa.Table, held: pa.Table) -> np.ndarray:
    """Tells which photos are duplicates whose original has changed since, through a job over another archive say."""
    place = pc.index_in(known["duplicate_of"], value_set=held["location"].combine_chunks())
    originals = held.select(["outcome", "photo_digest"]).take(place)
    whole = pc.and_(
        pc.equal(originals["outcome"], Outcome.ENROLLED.value),
        pc.equal(originals["photo_digest"], known["photo_digest"]),
    )
    return _truths(pc.equal(known["outcome"], Outcome.DUPLICATE.value)) & ~_truths(whole)
