"""A segment: one row group of a run's manifest, the unit of work, of retry, of progress and of resume.

These are the plain functions behind the pipeline's stages, in order:
read_segment, extract_segment, embed_segment, write_segment.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foundation.files import digest_bytes, digest_file, parquet_source, write_whole
from foundation.store_path import Place, place_at
from indexer.accounting import AccountingError
from indexer.embedder import Embedder
from indexer.extraction import Extraction, stack_chips
from indexer.extractor import FaceExtractor
from indexer.gallery_cache import TAKEN
from indexer.locations import photo_at
from indexer.run import MANIFEST, Run
from indexer.schema import FOUND

HOST, PROCESS = "afterfact.host", "afterfact.process"  # of whoever did a segment, in its file's metadata


@dataclass(frozen=True)
class SegmentReference:
    """What travels to a worker: which row group of which run."""

    folder: str
    number: int
    target: str


@dataclass(frozen=True)
class Segment:
    """A segment on its way. locations, places: one a photo. extractions: what became of each, chips included.

    embeddings: float32 (faces to embed, dimension), in the photos' order.
    """

    reference: SegmentReference
    locations: list[str]
    places: list[str | None]
    extractions: list[Extraction] | None = None
    embeddings: np.ndarray | None = None


def plan_segments(run: Run) -> list[SegmentReference]:
    """Returns every segment of a run.

    A segment file's name carries the digests of manifest, model and settings: a file of that name is
    the work that would be done now, or it is not there.
    """
    stem = f"{run.manifest_digest[:16]}-{run.model_digest[:16]}-{run.settings_digest[:16]}"
    return [
        SegmentReference(str(run.folder), number, str(run.segments_folder / f"{stem}-{number:06d}.parquet"))
        for number in range(run.segments)
    ]


def segments_there(run: Run) -> set[str]:
    """Returns the names of the segment files that are there, by one listing. Written whole, but not looked into."""
    try:
        return {path.name for path in run.segments_folder.iterdir() if path.name.endswith(".parquet")}
    except FileNotFoundError:
        return set()


def undone_segments(run: Run) -> list[SegmentReference]:
    """Returns the segments that are still to be done.

    A file on disk is read to see that it is, to the last byte, as it was written. In a store, where that would be a
    request or two each, a file that is there counts, and is held against its digest when it is read for good.
    """
    if isinstance(run.folder, Path):
        return [one for one in plan_segments(run) if not is_done(one)]
    there = segments_there(run)
    return [one for one in plan_segments(run) if place_at(one.target).name not in there]


def is_done(reference: SegmentReference) -> bool:
    """Tells whether the segment's file is there and, to the last byte, as it was written."""
    return _whole_content(reference) is not None


def read_found(reference: SegmentReference, columns: list[str] | None = None) -> pa.Table:
    """Returns the rows of a done segment (indexer.schema.FOUND), or some of their columns.

    Raises AccountingError where its file is not as it was written, and removes it, so that it is made again.
    """
    content = _whole_content(reference)
    if content is None:
        place_at(reference.target).unlink(missing_ok=True)
        raise AccountingError(
            f"segment {reference.number} was damaged since it was written; nothing was published: run the same command "
            "again, which makes it again"
        )
    return pq.read_table(pa.BufferReader(content), columns=columns)


def _whole_content(reference: SegmentReference) -> pa.Buffer | None:
    """Returns the bytes of a segment's file, None where they are not those that were written, or of other columns."""
    try:
        content = place_at(reference.target).read_bytes()
        if digest_path(reference).read_text() != digest_bytes(content):
            return None
        schema = pq.read_schema(pa.BufferReader(content))
    except (OSError, ValueError, pa.ArrowException):  # a store that does not answer is another matter, and raised
        return None
    return pa.py_buffer(content) if schema.equals(FOUND) else None


def forget_segment(reference: SegmentReference) -> None:
    """Removes the segment's file, so that it is made again."""
    place_at(reference.target).unlink(missing_ok=True)


def begin_taking(run: Run, otherwise: Path) -> Path:
    """Returns an empty folder by which the workers of this call share out the segments; see take_segment.

    It is in the run's, or in `otherwise` where that is in a store.
    """
    folder = run.folder if isinstance(run.folder, Path) else otherwise
    for left in folder.glob(f"{TAKEN}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=TAKEN, dir=folder))


def take_segment(reference: SegmentReference, taken: Path) -> bool:
    """Tells whether the caller is the first of this call's workers to ask for the segment, and so the one to do it."""
    try:
        os.close(os.open(taken / str(reference.number), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def digest_path(reference: SegmentReference) -> Place:
    """Returns where the SHA-256 of the segment's file is kept: without it the file is not done."""
    return place_at(reference.target).with_suffix(".sha256")


def write_digest(reference: SegmentReference) -> None:
    """Writes the digest of the segment's file as it is now."""
    write_whole(digest_path(reference), digest_file(place_at(reference.target)).encode())


def read_segment(reference: SegmentReference) -> Segment:
    """Returns the segment with its photos' locations and places."""
    with pq.ParquetFile(parquet_source(place_at(reference.folder) / MANIFEST)) as manifest:
        group = manifest.read_row_group(reference.number, columns=["location", "place"])
        return Segment(reference, group["location"].to_pylist(), group["place"].to_pylist())


def extract_segment(
    segment: Segment, extractor: FaceExtractor, each_photo: Callable[[], None] = lambda: None
) -> Segment:
    """Returns the segment with an extraction a photo. No decoded photo outlives its turn, only its chip.

    each_photo: called when a photo is done.
    """
    photos = map(photo_at, segment.locations, segment.places)
    kept = []
    for extraction in extractor.extract_faces(photos):
        chosen = extraction.embedded_face
        faces = [face if face is chosen else _without_chip(face) for face in extraction.faces]
        kept.append(replace(extraction, faces=faces))
        each_photo()
    return replace(segment, extractions=kept)


def _without_chip(face: Any) -> Any:
    return replace(face, chip=np.empty((0, 0, 3), dtype=np.uint8))


def embed_segment(segment: Segment, embedder: Embedder) -> Segment:
    """Returns the segment with the embeddings of the faces to embed."""
    assert segment.extractions is not None
    chips = stack_chips(segment.extractions, embedder.model.chip_pixels)
    return replace(segment, embeddings=embedder.embed_chips(chips))


def write_segment(segment: Segment) -> dict[str, int]:
    """Writes the segment's file whole, with who did it, and returns how many photos ended as each outcome."""
    assert segment.extractions is not None and segment.embeddings is not None
    counts = dict(Counter(extraction.outcome.value for extraction in segment.extractions))
    if is_done(segment.reference):  # by a worker that took it over, after a cluster's runner had lost sight of this one
        return counts
    stream = io.BytesIO()
    rows = found_rows(segment.extractions, segment.embeddings)
    worker = {HOST: socket.gethostname(), PROCESS: str(os.getpid())}
    pq.write_table(rows.replace_schema_metadata(worker), stream, compression="zstd")
    # The digest first: whoever sees the file sees a segment that is done.
    write_whole(digest_path(segment.reference), digest_bytes(stream.getvalue()).encode())
    write_whole(place_at(segment.reference.target), stream.getvalue())
    return counts


class DoneBy:
    """Counts who did a run's segments, told by the tables read from their files."""

    def __init__(self) -> None:
        self._segments: Counter[tuple[str, int]] = Counter()
        self._photos: Counter[tuple[str, int]] = Counter()

    def add(self, found: pa.Table) -> None:
        """Counts a segment's table."""
        told = found.schema.metadata or {}
        worker = told.get(HOST.encode(), b"unknown").decode(), int(told.get(PROCESS.encode(), b"0"))
        self._segments[worker] += 1
        self._photos[worker] += found.num_rows

    def listed(self) -> list[dict[str, Any]]:
        """Returns of each worker its host and process, and how many segments and photos it did."""
        return [
            {"host": host, "process": process, "segments": segments, "photos": self._photos[host, process]}
            for (host, process), segments in sorted(self._segments.items())
        ]


def found_rows(extractions: Iterable[Extraction], embeddings: np.ndarray) -> pa.Table:
    """Returns one row an extraction (indexer.schema.FOUND); of several faces, what is known of the widest."""
    remaining = iter(embeddings)
    rows = []
    for one in extractions:
        row: dict[str, Any] = {
            "photo_digest": one.digest or None,
            "outcome": one.outcome.value,
            "detail": one.detail or None,
            "width": one.width or None,
            "height": one.height or None,
            "faces": len(one.faces),
        }
        if one.faces:
            box = one.faces[0].detection
            row.update(box_left=box.left, box_top=box.top, box_right=box.right, box_bottom=box.bottom)
            row.update(asdict(one.faces[0].quality))
        if one.embedded_face is not None:
            row["embedding"] = next(remaining)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=FOUND)
