"""From finished segments to a gallery version: settle, one Delta commit, then the search index.

A crash anywhere is rolled forward: before the commit the segments are still there, after it the table is,
and `roll_forward` builds whatever index is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foundation.files import digest_bytes, parquet_source, sync_folder, sync_tree, write_whole
from foundation.memory import give_back_memory
from indexer.accounting import Accounting, AccountingError, rejections_csv
from indexer.gallery import Gallery, GalleryError, Version, gallery_names, write_sealed
from indexer.outcomes import Outcome
from indexer.run import Run, discard_run
from indexer.schema import FOUND, PHOTOS
from indexer.search_files import build_index
from indexer.segment import DoneBy, SegmentReference, plan_segments, read_found, undone_segments
from indexer.settled import Rejections, SettledRows, has_row, settle_duplicates
from indexer.table import (
    REEMBEDDED,
    ROLLED_BACK_TO,
    Rows,
    commit_rows,
    committed,
    holds_any,
    is_enrolled,
    lost_rows_since,
    open_table,
    read_rows,
    restore,
)
from indexer.torn_entry import set_aside_torn_entry

ASKED_AT_ONCE = 20_000  # photo digests; a question for 300,000 at once is made of a million texts


KnownProbes = Callable[[set[str]], set[str]]
"""Given photo digests, those that searches are known to have used as a probe."""

KNOWN_PROBE = (Outcome.PROBE_PHOTO.value, "the ledger knows it as a probe")
"""Outcome and detail of such a photo."""


@dataclass(frozen=True)
class Settled:
    """A run's result before it is committed. rejections: rows of the CSV, each time anew. table: the gallery's that it
    was settled against, None where there was none. done_by: see indexer.segment.DoneBy.
    """

    rows: Rows
    table: Any | None
    accounting: Accounting
    rejections: Iterable[dict[str, Any]]
    done_by: list[dict[str, Any]]


def settle_run(gallery: Gallery, run: Run, known_probes: KnownProbes) -> Settled:
    """Returns the rows to publish, duplicates settled in the manifest's order, and the accounting.

    Raises AccountingError where a segment is missing or photos are unaccounted for, GalleryError where the gallery was
    rolled back beside it.
    """
    table = open_table(gallery)
    if is_outdated(run, table):
        raise GalleryError(
            f"gallery {gallery.name!r} was rolled back or embedded anew since run {run.run_id} was planned; nothing "
            "was published: run the same command again, and it begins anew"
        )
    references = done_segments(run)
    manifest = parquet_source(run.manifest_path)
    listed = pq.read_table(manifest, columns=["location", "photo", "subject"], partitioning=None)
    done_by = DoneBy()
    told = _without_probes(gallery, _told(references, listed.num_rows, done_by), known_probes)
    settled = settle_duplicates(listed, told, _enrolled_elsewhere(table, listed, told))
    rows = SettledRows(run, references, settled, table)
    counts = {Outcome(one["values"]): one["counts"] for one in pc.value_counts(settled["outcome"]).to_pylist()}
    accounting = Accounting(
        planned=run.planned,
        enrolled=counts.pop(Outcome.ENROLLED, 0),
        duplicates=counts.pop(Outcome.DUPLICATE, 0) + len(run.repeated),
        rejected={outcome.value: number for outcome, number in sorted(counts.items())},
        held=run.held,
        updated=run.updated,
    )
    return Settled(rows, table, accounting, Rejections(run, settled), done_by.listed())


def is_outdated(run: Run, table: Any | None) -> bool:
    """Tells whether photos that the run of an archive counts as held or enrolled may not be in the table any more."""
    return run.reembeds is None and lost_rows_since(table, run.planned_on)


def done_segments(run: Run) -> list[SegmentReference]:
    """Returns a run's segments. Raises AccountingError where one is missing or damaged."""
    missing = [reference.number for reference in undone_segments(run)]
    if missing:
        raise AccountingError(
            f"{len(missing)} of {run.segments} segments are missing or damaged (the first is {missing[0]}); "
            "nothing was published: run the same command again"
        )
    return plan_segments(run)


def _told(references: list[SegmentReference], photos: int, done_by: DoneBy) -> pa.Table:
    """Returns what became of each photo, of all the run's segments: photo_digest, outcome, detail, and whether it was
    embedded; done_by hears of each. The embeddings themselves need not be in memory together."""
    schema = pa.schema([FOUND.field(name) for name in ("photo_digest", "outcome", "detail")])
    parts = [schema.append(pa.field("embedded", pa.bool_())).empty_table()]
    for reference in references:
        found = read_found(reference, [*schema.names, "embedding"])
        done_by.add(found)
        embedded = pc.is_valid(found["embedding"])
        parts.append(found.select(schema.names).cast(schema).append_column("embedded", embedded))
    told = pa.concat_tables(parts)
    if told.num_rows != photos:
        raise AccountingError(
            f"the manifest has {photos:,} photos and the segments {told.num_rows:,}; nothing published"
        )
    return told.combine_chunks()


def _without_probes(gallery: Gallery, told: pa.Table, known_probes: KnownProbes) -> pa.Table:
    """Returns told with every photo rejected that was a probe: a gallery that takes in probes would list as a
    candidate whoever was only asked about, or keep their embedding until other limits did.

    Photos that a gallery here has enrolled stay: they were booking photos before anybody searched with them, for
    another name of the same person say, and who was enrolled must not be lost to that.
    """
    digests = told["photo_digest"].filter(told["embedded"])
    probes: set[str] = set()
    for first in range(0, len(digests), ASKED_AT_ONCE):
        probes |= known_probes(set(digests.slice(first, ASKED_AT_ONCE).to_pylist()))
    probes -= _enrolled_among(gallery.home, probes) if probes else set()
    if not probes:
        return told
    hit = pc.and_(told["embedded"], pc.is_in(told["photo_digest"], pa.array(sorted(probes), pa.string())))
    for name, value in zip(("outcome", "detail"), KNOWN_PROBE, strict=True):
        column = pc.if_else(hit, pa.scalar(value, told[name].type), told[name])
        told = told.set_column(told.column_names.index(name), name, column)
    return told


def _enrolled_among(home: Path, digests: set[str]) -> set[str]:
    """Returns those of the photo digests that a gallery of the data home has enrolled now."""
    wanted = is_enrolled() & pc.field("photo_digest").isin(pa.array(sorted(digests), pa.string()))
    found: set[str] = set()
    for name in gallery_names(home):
        with suppress(GalleryError):  # of another gallery, which is not ours to mend: its photos are not spared
            table = open_table(Gallery(home, name))
            if table is not None:
                found.update(read_rows(table, ["photo_digest"], wanted)["photo_digest"].to_pylist())
    return found


def _enrolled_elsewhere(table: Any | None, listed: pa.Table, told: pa.Table) -> pa.Table:
    """Returns photo_digest and location of the photos that are enrolled and stay as they are."""
    columns = ["photo_digest", "location"]
    if table is None:
        return pa.schema([PHOTOS.field(name) for name in columns]).empty_table()
    # A photo that could not be read this time keeps the row that it has.
    replaced = listed["location"].filter(has_row(told["outcome"])).combine_chunks()
    rows = read_rows(table, columns, is_enrolled())
    return rows.filter(pc.invert(pc.is_in(rows["location"], value_set=replaced)))


def publish_run(gallery: Gallery, run: Run, settled: Settled, summary: dict[str, Any]) -> Version | None:
    """Commits a settled run, builds its index and removes the run. Returns the new version, None where nothing changed.

    summary: what else the account shall keep (seconds, photos a second). Safe to repeat after any crash.
    """
    account = {
        "run": run.run_id,
        "archive": run.archive,
        **summary,
        **({} if run.reembeds is None else {REEMBEDDED: run.reembeds}),
        "done_by": settled.done_by,
        "limits": run.limits.of_quality,
        "accounting": settled.accounting.as_json(),
    }
    version = None
    if committed(open_table(gallery), run.run_id):
        version = roll_forward(gallery)
    elif settled.rows.num_rows or settled.table is None:
        replaces = holds_any(settled.table, settled.rows.column("location"))
        # A gallery keeps the limits that it began with, or was requalified with; the account has the run's own.
        limits = gallery.version().limits if gallery.version_numbers() else run.limits.of_quality
        about = about_commit(account, run.model.as_json(), limits)
        commit_rows(gallery, settled.table, settled.rows, replaces, run.run_id, about)
        give_back_memory()
        version = roll_forward(gallery)
    listing = rejections_csv(settled.rejections)
    write_whole(gallery.accounts / f"{run.run_id}.rejections.csv", listing)
    write_sealed(
        gallery.accounts / f"{run.run_id}.json",
        {**account, "version": version.number if version else None, "rejections_digest": digest_bytes(listing)},
    )
    discard_run(run)
    return version


def about_commit(account: dict[str, Any], model: dict[str, Any], limits: dict[str, float] | None) -> dict[str, str]:
    """Returns what a commit says of its version, from which index.json is made."""
    told = {"account": account, "model": model, "limits": limits}
    return {f"afterfact.{name}": json.dumps(value) for name, value in told.items()}


def finish_interrupted(gallery: Gallery, warn: Callable[[str], None]) -> Version | None:
    """Makes good what an interrupted publish left, before anything is planned: as roll_forward, but a torn commit is
    set aside first, which warn is told. Only for the holder of the publisher's lock."""
    torn = set_aside_torn_entry(gallery)
    if torn:
        warn(torn)
    return roll_forward(gallery)


def roll_forward(gallery: Gallery) -> Version | None:
    """Builds the search index of the table's newest version where it is missing, and returns that version.

    Returns None where there is no table. This is also how an interrupted publish or rollback is finished.
    """
    table = open_table(gallery)
    if table is None:
        return None
    number, published = table.version(), gallery.version_numbers()
    if published and published[-1] > number:
        raise GalleryError(
            f"version {published[-1]} of gallery {gallery.name!r} is published, but its table ends at version "
            f"{number}; restore the whole gallery from one backup"
        )
    if number not in published:
        # deltalake calls no fsync; index.json must not outlive what it describes.
        sync_tree(gallery.table)
        for folder in (gallery.folder, *gallery.folder.parents[:2]):
            sync_folder(folder)
        build_index(gallery, table)
    return gallery.version(number)


def require_earlier(gallery: Gallery, number: int) -> Version:
    """Returns an earlier version. Raises GalleryError where it is not there, or is the present one."""
    wanted = gallery.version(number)
    if wanted.number == gallery.version().number:
        raise GalleryError(f"version {number} is the present version of gallery {gallery.name!r}; name an earlier one")
    return wanted


def roll_back(gallery: Gallery, number: int) -> Version:
    """Makes an earlier version's rows the present ones, as a new version, and returns it.

    Raises GalleryError as require_earlier does.
    """
    wanted, present = require_earlier(gallery, number), gallery.version()
    account = {ROLLED_BACK_TO: number, "rolled_back_from": present.number}
    about = about_commit(account, wanted.about["model"], wanted.limits)
    restore(gallery, open_table(gallery, present.number), number, about)
    version = roll_forward(gallery)
    assert version is not None
    return version
