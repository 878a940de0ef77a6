"""A settled run: which of its photos are duplicates, and its rows, made a segment at a time as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foundation.files import digest_bytes, parquet_source
from indexer.outcomes import EMBEDDED, TRIED_AGAIN, Outcome
from indexer.run import Run
from indexer.schema import DESCRIBING, FOUND, LISTED, PHOTOS
from indexer.segment import SegmentReference, read_found
from indexer.table import read_batches


def has_row(outcomes: pa.ChunkedArray) -> pa.ChunkedArray:
    """Tells of each outcome whether its photo gets a row: not where it could not be read this time."""
    return pc.invert(pc.is_in(outcomes, value_set=pa.array(sorted(TRIED_AGAIN), pa.string())))


def settle_duplicates(listed: pa.Table, told: pa.Table, elsewhere: pa.Table) -> pa.Table:
    """Returns outcome, detail and duplicate_of of each photo; of the same bytes the first one listed is enrolled.

    listed: location, photo, subject; told: photo_digest, outcome, detail; both a row a photo, in the manifest's order.
    elsewhere: photo_digest and location of what the gallery has enrolled besides, which comes first.
    """
    enrolled = np.flatnonzero(pc.equal(told["outcome"], Outcome.ENROLLED.value).to_numpy())
    codes, digests = _encoded(told["photo_digest"].take(enrolled))
    firsts = enrolled[np.unique(codes, return_index=True)[1]] if len(codes) else enrolled
    held_at = pc.index_in(digests, value_set=elsewhere["photo_digest"].combine_chunks()).fill_null(-1).to_numpy()
    again = np.flatnonzero((held_at[codes] >= 0) | (firsts[codes] != enrolled))
    details, originals = [], []
    for code, position in zip(codes[again], enrolled[again], strict=True):
        if held_at[code] >= 0:
            original, described = elsewhere["location"][int(held_at[code])].as_py(), None
        else:
            original, *described = (
                listed[name][int(firsts[code])].as_py() for name in ("location", "photo", "subject")
            )
        details.append(duplicate_detail(original, described, listed["subject"][int(position)].as_py()))
        originals.append(original)
    mask = np.zeros(told.num_rows, dtype=bool)
    mask[enrolled[again]] = True
    changes = {
        "outcome": (told["outcome"], [Outcome.DUPLICATE.value] * len(again)),
        "detail": (told["detail"], details),
        "duplicate_of": (pa.nulls(told.num_rows, pa.string()), originals),
    }
    return pa.table(
        {
            name: pc.replace_with_mask(_whole(before), pa.array(mask), pa.array(values, pa.string()))
            for name, (before, values) in changes.items()
        }
    )


def _encoded(texts: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Returns a number for each text, and the texts by number, in the order of their first appearance."""
    encoded = _whole(texts).dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def duplicate_detail(location: str, original: Sequence[str | None] | None, subject: str | None) -> str:
    """Returns what a duplicate's row says. original: photo and subject of the one at location, where they are known."""
    if original is None:
        return f"the same bytes as {location}, in the gallery already"
    photo, subject_there = original
    differs = f", listed there under subject {subject_there!r}" if subject_there != subject else ""
    return f"the same bytes as {photo}{differs}"


class SettledRows:
    """What a run publishes: rows of indexer.schema.PHOTOS, read and put together a segment at a time.

    settled: outcome, detail and duplicate_of of each photo. table: the gallery's before this run, or None.
    """

    def __init__(self, run: Run, references: list[SegmentReference], settled: pa.Table, table: Any | None) -> None:
        self._run, self._references = run, references
        self._settled, self._table = settled, table
        self._updates = run.updates()
        self.num_rows = (pc.sum(has_row(settled["outcome"])).as_py() or 0) + self._updates.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns a column of indexer.schema.LISTED, whole."""
        listed = pq.read_table(parquet_source(self._run.manifest_path), columns=[name], partitioning=None)[name]
        looked_at = listed.filter(has_row(self._settled["outcome"]))
        return pa.chunked_array([*looked_at.chunks, *self._updates[name].chunks], PHOTOS.field(name).type)

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yields the rows in the manifest's order, then those of which only the listed columns changed."""
        begin = 0
        with pq.ParquetFile(parquet_source(self._run.manifest_path)) as manifest:
            for reference in self._references:
                listed = manifest.read_row_group(reference.number)
                settled = self._settled.slice(begin, listed.num_rows)
                begin += listed.num_rows
                rows = _rows(self._run, listed, read_found(reference), settled)
                yield from rows.filter(has_row(rows["outcome"])).to_batches()
        yield from self._updated()

    def _updated(self) -> Iterator[pa.RecordBatch]:
        if not self._updates.num_rows:
            return
        locations = self._updates["location"].combine_chunks()
        for held in read_batches(self._table, PHOTOS.names, pc.field("location").isin(locations)):
            described = self._updates.take(pc.index_in(held["location"], value_set=locations))
            columns = [_whole(described[name]) if name in DESCRIBING else held[name] for name in PHOTOS.names]
            yield pa.record_batch(columns, schema=PHOTOS)


def _rows(run: Run, listed: pa.Table, found: pa.Table, settled: pa.Table) -> pa.Table:
    kept = pc.is_in(settled["outcome"], value_set=pa.array(sorted(EMBEDDED), pa.string()))
    embeddings = found["embedding"]
    columns = {name: listed[name] for name in LISTED.names} | {name: found[name] for name in FOUND.names}
    columns |= {name: settled[name] for name in settled.column_names}
    columns |= {
        "embedding": pc.if_else(kept, embeddings, pa.scalar(None, embeddings.type)),
        "row": pa.array([_row_id(run, location) for location in listed["location"].to_pylist()], pa.string()),
        "run": pa.array([run.run_id] * listed.num_rows, pa.string()),
        "model": pa.array([run.model_digest] * listed.num_rows, pa.string()),
    }
    return pa.table([columns[name] for name in PHOTOS.names], schema=PHOTOS)


def _row_id(run: Run, location: str) -> str:
    # Opaque on purpose: a row may have to be deleted one day by an id that names nobody.
    return digest_bytes(f"{run.run_id}\n{location}".encode())[:32]


class Rejections:
    """The rows of a run's list of rejections, each time anew: rejected and duplicate photos, then repeated lines."""

    def __init__(self, run: Run, settled: pa.Table) -> None:
        self._run, self._settled = run, settled

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rejected = pc.not_equal(self._settled["outcome"], Outcome.ENROLLED.value)
        begin = 0
        with pq.ParquetFile(parquet_source(self._run.manifest_path)) as manifest:
            for number in range(manifest.num_row_groups):
                photos = manifest.metadata.row_group(number).num_rows
                chosen, settled = rejected.slice(begin, photos), self._settled.slice(begin, photos)
                begin += photos
                if pc.any(chosen).as_py():
                    listed = manifest.read_row_group(number)
                    for name in ("outcome", "detail"):
                        listed = listed.append_column(name, settled[name])
                    yield from listed.filter(chosen).to_pylist()
        for photo, subject, detail in self._run.repeated:
            yield {"photo": photo, "subject": subject, "outcome": Outcome.DUPLICATE.value, "detail": detail}
