"""From finished segments to a gallery version: settle, one Delta commit, then the search index.

A crash anywhere is rolled forward: before the commit the segments are still there, after it the table is,
and `roll_forward` builds whatever index is missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foundation.files import digest_bytes, sync_folder, sync_tree, write_whole
from indexer.accounting import Accounting, AccountingError, rejections_csv
from indexer.gallery import Gallery, GalleryError, Version, write_sealed
from indexer.models import installed_model
from indexer.outcomes import EMBEDDED, TRIED_AGAIN, Outcome
from indexer.run import Run, discard_run
from indexer.schema import DESCRIBING, FOUND, PHOTOS
from indexer.search_files import build_index
from indexer.segment import is_done, plan_segments
from indexer.table import commit_rows, committed, is_enrolled, open_table, read_rows, restore
from indexer.torn_entry import set_aside_torn_entry


@dataclass(frozen=True)
class Settled:
    """A run's result before it is committed. rows: indexer.schema.PHOTOS; rejections: rows of the CSV."""

    rows: pa.Table
    accounting: Accounting
    rejections: list[dict[str, Any]]


KnownProbes = Callable[[set[str]], set[str]]
"""Given photo digests, those that searches are known to have used as a probe."""

KNOWN_PROBE = (Outcome.PROBE_PHOTO.value, "the ledger knows it as a probe")
"""Outcome and detail of such a photo."""


def settle_run(gallery: Gallery, run: Run, known_probes: KnownProbes) -> Settled:
    """Returns the rows to publish, duplicates settled in the manifest's order, and the accounting.

    Raises AccountingError where a segment is missing or photos are unaccounted for.
    """
    table = open_table(gallery)
    listed = pq.read_table(run.manifest_path, partitioning=None)
    found = _without_probes(_found(run, listed.num_rows), known_probes)
    # A photo that could not be read this time keeps the row that it has.
    looked_at = zip(listed["location"].to_pylist(), found["outcome"].to_pylist(), strict=True)
    replaced = {location for location, outcome in looked_at if outcome not in TRIED_AGAIN}
    enrolled_before = _enrolled_digests(table, replaced)
    outcomes, details, originals = _settle_duplicates(listed, found, enrolled_before)
    embeddings = found["embedding"]
    keep = pa.array([outcome in EMBEDDED for outcome in outcomes], pa.bool_())
    columns = {name: listed[name] for name in listed.column_names} | {name: found[name] for name in found.column_names}
    columns |= {
        "outcome": pa.array(outcomes, pa.string()),
        "detail": pa.array(details, pa.string()),
        "embedding": pc.if_else(keep, embeddings, pa.scalar(None, embeddings.type)),
        "duplicate_of": pa.array(originals, pa.string()),
        "row": pa.array([_row_id(run, location) for location in listed["location"].to_pylist()], pa.string()),
        "run": pa.array([run.run_id] * listed.num_rows, pa.string()),
        "model": pa.array([run.model_digest] * listed.num_rows, pa.string()),
    }
    rows = pa.table([columns[name] for name in PHOTOS.names], schema=PHOTOS)
    counts = Counter(outcomes)
    accounting = Accounting(
        planned=run.planned,
        enrolled=counts.pop(Outcome.ENROLLED, 0),
        duplicates=counts.pop(Outcome.DUPLICATE, 0) + len(run.repeated),
        rejected={outcome.value: number for outcome, number in sorted(counts.items())},
        held=run.held,
        updated=run.updated,
    )
    rejected = rows.filter(pc.not_equal(rows["outcome"], Outcome.ENROLLED.value)).drop_columns(["embedding"])
    repeated = [
        {"photo": photo, "subject": subject, "outcome": Outcome.DUPLICATE.value, "detail": detail}
        for photo, subject, detail in run.repeated
    ]
    again = pa.array([outcome not in TRIED_AGAIN for outcome in outcomes], pa.bool_())
    return Settled(
        pa.concat_tables([rows.filter(again), _updated_rows(table, run)]), accounting, rejected.to_pylist() + repeated
    )


def _found(run: Run, photos: int) -> pa.Table:
    references = plan_segments(run)
    missing = [reference.number for reference in references if not is_done(reference)]
    if missing:
        raise AccountingError(
            f"{len(missing)} of {len(references)} segments are missing or damaged (the first is {missing[0]}); "
            "nothing was published: run the same command again"
        )
    parts = [pq.read_table(reference.target, schema=FOUND, partitioning=None) for reference in references]
    found = pa.concat_tables(parts) if parts else FOUND.empty_table()
    if found.num_rows != photos:
        raise AccountingError(
            f"the manifest has {photos:,} photos and the segments {found.num_rows:,}; nothing published"
        )
    return found


def _without_probes(found: pa.Table, known_probes: KnownProbes) -> pa.Table:
    """Returns found with every photo rejected that was a probe: a gallery that takes in probes would list as a
    candidate whoever was only asked about, or keep their embedding until other limits did."""
    embedded = pc.is_valid(found["embedding"])
    probes = known_probes(set(found.filter(embedded)["photo_digest"].to_pylist()))
    if not probes:
        return found
    hit = pc.and_(embedded, pc.is_in(found["photo_digest"], pa.array(sorted(probes), pa.string())))
    for name, value in zip(("outcome", "detail"), KNOWN_PROBE, strict=True):
        column = pc.if_else(hit, pa.scalar(value, found[name].type), found[name])
        found = found.set_column(found.column_names.index(name), name, column)
    return found


def _enrolled_digests(table: Any | None, replaced: set[str]) -> dict[str, str]:
    """Returns digest -> location of the photos that are enrolled and stay as they are."""
    if table is None:
        return {}
    rows = read_rows(table, ["photo_digest", "location"], is_enrolled()).to_pylist()
    return {row["photo_digest"]: row["location"] for row in rows if row["location"] not in replaced}


def _settle_duplicates(
    listed: pa.Table, found: pa.Table, enrolled: dict[str, str]
) -> tuple[list[Outcome], list[str | None], list[str | None]]:
    outcomes: list[Outcome] = []
    details: list[str | None] = []
    originals: list[str | None] = []
    first: dict[str, tuple[str, tuple[str, str | None] | None]]
    first = {digest: (location, None) for digest, location in enrolled.items()}
    described = zip(*(listed[name].to_pylist() for name in ("location", "photo", "subject")), strict=True)
    results = zip(*(found[name].to_pylist() for name in ("photo_digest", "outcome", "detail")), strict=True)
    for (location, photo, subject), (digest, outcome, detail) in zip(described, results, strict=True):
        original = first.get(digest) if outcome == Outcome.ENROLLED else None
        if original is not None:
            outcomes.append(Outcome.DUPLICATE)
            details.append(duplicate_detail(*original, subject))
            originals.append(original[0])
            continue
        if outcome == Outcome.ENROLLED:
            first[digest] = (location, (photo, subject))
        outcomes.append(Outcome(outcome))
        details.append(detail)
        originals.append(None)
    return outcomes, details, originals


def duplicate_detail(location: str, original: tuple[str, str | None] | None, subject: str | None) -> str:
    """Returns what a duplicate's row says. original: photo and subject of the one at location, where they are known."""
    if original is None:
        return f"the same bytes as {location}, in the gallery already"
    photo, subject_there = original
    differs = f", listed there under subject {subject_there!r}" if subject_there != subject else ""
    return f"the same bytes as {photo}{differs}"


def _row_id(run: Run, location: str) -> str:
    # Opaque on purpose: a row may have to be deleted one day by an id that names nobody.
    return digest_bytes(f"{run.run_id}\n{location}".encode())[:32]


def _updated_rows(table: Any | None, run: Run) -> pa.Table:
    updates = run.updates()
    if table is None or not updates.num_rows:
        return PHOTOS.empty_table()
    rows = read_rows(table, PHOTOS.names, pc.field("location").isin(updates["location"].combine_chunks()))
    order = pc.index_in(rows["location"], value_set=updates["location"].combine_chunks())
    described = updates.take(order)
    for name in DESCRIBING:
        rows = rows.set_column(PHOTOS.get_field_index(name), PHOTOS.field(name), described[name])
    return rows


def publish_run(gallery: Gallery, run: Run, settled: Settled, summary: dict[str, Any]) -> Version | None:
    """Commits a settled run, builds its index and removes the run. Returns the new version, None where nothing changed.

    summary: what else the account shall keep (seconds, photos a second). Safe to repeat after any crash.
    """
    account = {
        "run": run.run_id,
        "archive": run.archive,
        **summary,
        "limits": run.limits.of_quality,
        "accounting": settled.accounting.as_json(),
    }
    version = None
    if committed(open_table(gallery), run.run_id):
        version = roll_forward(gallery)
    elif settled.rows.num_rows or open_table(gallery) is None:
        locations = set(settled.rows["location"].to_pylist())
        table = open_table(gallery)
        held = set(read_rows(table, ["location"])["location"].to_pylist()) if table is not None else set()
        model = installed_model(run.mirrored).as_json()
        # A gallery keeps the limits that it began with, or was requalified with; the account has the run's own.
        limits = gallery.version().limits if gallery.version_numbers() else run.limits.of_quality
        about = about_commit(account, model, limits)
        commit_rows(gallery, settled.rows, not held.isdisjoint(locations), run.run_id, about)
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
    account = {"rolled_back_to": number, "rolled_back_from": present.number}
    restore(gallery, number, about_commit(account, wanted.about["model"], wanted.limits))
    version = roll_forward(gallery)
    assert version is not None
    return version
