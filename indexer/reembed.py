"""Another model for a gallery: its faces embedded anew from the archive's photos, by a run whose rows replace all.

The manifest is what the present version has an embedding of, with all that its rows say. What became of a photo stays
as it was judged; where it is not the same photo any more, its row goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import rfc8785

from foundation.errors import InputError
from foundation.files import digest_bytes, parquet_source
from indexer.accounting import Accounting
from indexer.embedder_file import GivenEmbedder, given_embedder
from indexer.gallery import Gallery, GalleryError
from indexer.job import require_gallery_name, require_sizes, segment_size, settings_digest
from indexer.limits import OF_QUALITY, Limits
from indexer.outcomes import BY_QUALITY, EMBEDDED, Outcome
from indexer.publish import Settled, done_segments
from indexer.run import Run, write_run
from indexer.schema import FOUND, LISTED, PHOTOS
from indexer.segment import DoneBy, SegmentReference, forget_segment, read_found
from indexer.table import committed, open_table, read_batches, read_rows

_KEPT = [name for name in PHOTOS.names if name != "embedding"]
_VERDICT = pa.schema([("outcome", pa.string()), ("detail", pa.string()), ("stays", pa.bool_())])
_CHANGED = "its bytes are not those that were indexed"


class LostPhotosError(GalleryError):
    """More of the searched photos are gone or changed than may be. Nothing was published."""


@dataclass(frozen=True)
class ReembedJob:
    """Another model for one gallery. embedder: a YAML file, None for the built-in one; mirrored: as in IndexJob.

    limits: of reading photos; those of quality are not asked again. limit_lost: highest share of the searched photos
    that may be gone or changed, 0 to 1. Raises InputError, and as read_embedder.
    """

    gallery: str
    embedder: Path | None = None
    mirrored: bool = False
    limit_lost: float = 0.01
    segment_photos: int = 0
    workers: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        require_gallery_name(self.gallery)
        require_sizes(self.segment_photos, self.workers)
        for name in OF_QUALITY:
            if getattr(self.limits, name) != getattr(Limits, name):
                raise InputError(f"limit {name} is of quality and stays as it is; use afterfact gallery requalify")
        _ = self.given  # what is wrong with it is told before anything begins

    @cached_property
    def given(self) -> GivenEmbedder:
        """What the faces are embedded with."""
        return given_embedder(self.embedder, self.mirrored)

    @property
    def settings_digest(self) -> str:
        """SHA-256 of whatever decides what a segment holds, besides its photos and the model."""
        return settings_digest(self.limits)

    @property
    def digest(self) -> str:
        """SHA-256 of what makes two calls the same job, so that the second goes on where the first stopped."""
        told = {"reembed": self.gallery, "model": self.given.model.digest, "settings": self.settings_digest}
        return digest_bytes(rfc8785.dumps(told))


def start_reembedding(gallery: Gallery, job: ReembedJob, workers: int) -> Run:
    """Plans the job over the gallery's newest version. Raises GalleryError where it is of that model already."""
    version, model = gallery.version(), job.given.model
    if version.model_digest == model.digest:
        raise GalleryError(f"gallery {gallery.name!r} is of model {model.digest[:12]} ({model.name}) already")
    table = open_table(gallery, version.number)
    work = read_rows(table, _KEPT, _has_embedding()).sort_by("location")
    planned = sum(version.about["outcomes"].values())
    return write_run(
        gallery,
        work,
        LISTED.empty_table(),
        segment_size(work.num_rows, workers, job.segment_photos),
        job_digest=job.digest,
        archive=f"the photos of version {version.number}",
        root=Path("/"),  # of several archives, it may be; a photo that leads elsewhere now is told by its bytes
        limits=job.limits,
        settings_digest=job.settings_digest,
        model=model,
        planned=planned,
        held=planned - work.num_rows,
        bytes=pc.sum(work["bytes"]).as_py() or 0,
        reembeds=version.number,
    )


def is_overtaken(gallery: Gallery, run: Run) -> bool:
    """Tells whether the gallery was published by another run since this one was planned."""
    newest = gallery.version().number
    return run.reembeds != newest and not committed(open_table(gallery), run.run_id)


def _has_embedding() -> Any:
    return pc.field("embedding").is_valid()


def settle_reembedded(gallery: Gallery, run: Run, limit_lost: float) -> Settled:
    """Returns the rows to publish and their accounting; rejections are the photos that are searched no more.

    Raises AccountingError as settle_run does, and LostPhotosError where they are more than limit_lost; what is known of
    them is then forgotten, so that the same command looks at them again.
    """
    references = done_segments(run)
    before = pq.read_table(parquet_source(run.manifest_path), columns=["photo_digest", "outcome"], partitioning=None)
    done_by = DoneBy()
    verdicts = _verdicts(references, before, done_by)
    _require_few_lost(run, references, before["outcome"], verdicts, limit_lost)
    table = open_table(gallery, run.reembeds)
    rows = _ReembeddedRows(run, references, verdicts, table)
    counts = {Outcome(one["values"]): one["counts"] for one in pc.value_counts(verdicts["outcome"]).to_pylist()}
    accounting = Accounting(
        planned=run.planned,
        enrolled=counts.pop(Outcome.ENROLLED, 0),
        rejected={outcome.value: number for outcome, number in sorted(counts.items())},
        held=run.held,
    )
    return Settled(rows, table, accounting, _Lost(run, before["outcome"], verdicts), done_by.listed())


def _verdicts(references: list[SegmentReference], before: pa.Table, done_by: DoneBy) -> pa.Table:
    """Returns what becomes of each photo's row: its outcome and detail, and whether it stays."""
    parts, begin = [_VERDICT.empty_table()], 0
    for reference in references:
        found = read_found(reference, ["photo_digest", "outcome", "detail"])
        done_by.add(found)
        digests = before["photo_digest"].slice(begin, found.num_rows).to_pylist()
        outcomes = before["outcome"].slice(begin, found.num_rows).to_pylist()
        begin += found.num_rows
        told = [_verdict(*one) for one in zip(digests, outcomes, found.to_pylist(), strict=True)]
        parts.append(pa.Table.from_pylist([dict(zip(_VERDICT.names, one, strict=True)) for one in told], _VERDICT))
    return pa.concat_tables(parts).combine_chunks()


def _verdict(digest: str, outcome: str, found: dict[str, Any]) -> tuple[str, str | None, bool]:
    if found["photo_digest"] is None:
        return found["outcome"], found["detail"], False
    if found["photo_digest"] != digest:
        return Outcome.CHANGED_PHOTO.value, _CHANGED, False
    judged_alike = found["outcome"] in (*BY_QUALITY, Outcome.ENROLLED, outcome)
    return (outcome, None, True) if judged_alike else (found["outcome"], found["detail"], True)


def _require_few_lost(
    run: Run, references: list[SegmentReference], before: pa.ChunkedArray, verdicts: pa.Table, limit: float
) -> None:
    searched = pc.equal(before, Outcome.ENROLLED.value)
    lost = pc.and_(searched, pc.not_equal(verdicts["outcome"], Outcome.ENROLLED.value))
    number, of = (pc.sum(one).as_py() or 0 for one in (lost, searched))
    if number <= limit * of:
        return
    begin = 0
    for reference in references:
        photos = read_found(reference, ["outcome"]).num_rows
        if pc.any(lost.slice(begin, photos)).as_py():
            forget_segment(reference)
        begin += photos
    counts = pc.value_counts(verdicts["outcome"].filter(lost)).to_pylist()
    reasons = ", ".join(f"{one['counts']:,} {one['values']}" for one in counts)
    raise LostPhotosError(
        f"{number:,} of {of:,} searched photos cannot be embedded anew ({reasons}), more than {limit:.1%}; nothing "
        "was published: see whether the archive is where it was and run the same command again, or give a "
        "higher --limit-lost"
    )


class _ReembeddedRows:
    """What the run publishes, a segment at a time: rows with other embeddings, then those that never had one."""

    def __init__(self, run: Run, references: list[SegmentReference], verdicts: pa.Table, table: Any) -> None:
        self._run, self._references = run, references
        self._verdicts, self._table = verdicts, table
        self.num_rows = run.held + (pc.sum(verdicts["stays"]).as_py() or 0)

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns a column of every row that they replace, which are all."""
        rows = read_batches(self._table, [name])
        return pa.Table.from_batches(rows, pa.schema([PHOTOS.field(name)]))[name]

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        begin = 0
        with pq.ParquetFile(parquet_source(self._run.manifest_path)) as manifest:
            for reference in self._references:
                held = manifest.read_row_group(reference.number)
                verdicts = self._verdicts.slice(begin, held.num_rows)
                begin += held.num_rows
                found = read_found(reference)
                yield from self._rows(held, found, verdicts).filter(verdicts["stays"]).to_batches()
        yield from read_batches(self._table, PHOTOS.names, ~_has_embedding())

    def _rows(self, held: pa.Table, found: pa.Table, verdicts: pa.Table) -> pa.Table:
        kept = pc.is_in(verdicts["outcome"], value_set=pa.array(sorted(EMBEDDED), pa.string()))
        unchanged = pc.equal(verdicts["outcome"], held["outcome"])
        embeddings = found["embedding"]
        columns = {name: held[name] for name in held.column_names} | {name: found[name] for name in FOUND.names}
        columns |= {
            "outcome": verdicts["outcome"],
            "detail": pc.if_else(unchanged, held["detail"], verdicts["detail"]),
            "embedding": pc.if_else(kept, embeddings, pa.scalar(None, embeddings.type)),
            "run": pa.array([self._run.run_id] * held.num_rows, pa.string()),
            "model": pa.array([self._run.model_digest] * held.num_rows, pa.string()),
        }
        return pa.table([columns[name] for name in PHOTOS.names], schema=PHOTOS)


@dataclass(frozen=True)
class _Lost(Iterable[dict[str, Any]]):
    """The photos that are searched no more, as rows of the list of rejections, each time anew."""

    run: Run
    before: pa.ChunkedArray
    verdicts: pa.Table

    def __iter__(self) -> Iterator[dict[str, Any]]:
        lost = pc.or_(pc.invert(self.verdicts["stays"]), pc.not_equal(self.verdicts["outcome"], self.before))
        begin = 0
        with pq.ParquetFile(parquet_source(self.run.manifest_path)) as manifest:
            for number in range(manifest.num_row_groups):
                photos = manifest.metadata.row_group(number).num_rows
                chosen, verdicts = lost.slice(begin, photos), self.verdicts.slice(begin, photos)
                begin += photos
                if pc.any(chosen).as_py():
                    listed = manifest.read_row_group(number, columns=LISTED.names)
                    for name in ("outcome", "detail"):
                        listed = listed.append_column(name, verdicts[name])
                    yield from listed.filter(chosen).to_pylist()
