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

from foundation.files import digest_bytes, digest_file, write_whole
from indexer.embedder import Embedder
from indexer.extraction import Extraction, stack_chips
from indexer.extractor import FaceExtractor
from indexer.locations import photo_at
from indexer.run import Run
from indexer.schema import FOUND

TAKEN = "taken-"
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

    embeddings: float32 (faces to embed, 128), in the photos' order.
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


def is_done(reference: SegmentReference) -> bool:
    """Tells whether the segment's file is there and, to the last byte, as it was written."""
    try:
        if digest_path(reference).read_text() != digest_file(Path(reference.target)):
            return False
        with pq.ParquetFile(reference.target) as written:
            return written.schema_arrow.equals(FOUND)
    except (OSError, ValueError, pa.ArrowInvalid):
        return False


def begin_taking(run: Run) -> Path:
    """Returns an empty folder by which the workers of this call share out the segments; see take_segment."""
    for left in run.folder.glob(f"{TAKEN}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=TAKEN, dir=run.folder))


def take_segment(reference: SegmentReference, taken: Path) -> bool:
    """Tells whether the caller is the first of this call's workers to ask for the segment, and so the one to do it."""
    try:
        os.close(os.open(taken / str(reference.number), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def digest_path(reference: SegmentReference) -> Path:
    """Returns where the SHA-256 of the segment's file is kept: without it the file is not done."""
    return Path(reference.target).with_suffix(".sha256")


def write_digest(reference: SegmentReference) -> None:
    """Writes the digest of the segment's file as it is now."""
    write_whole(digest_path(reference), digest_file(Path(reference.target)).encode())


def read_segment(reference: SegmentReference) -> Segment:
    """Returns the segment with its photos' locations and places."""
    with pq.ParquetFile(Path(reference.folder) / "manifest.parquet") as manifest:
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
    return replace(segment, embeddings=embedder.embed_chips(stack_chips(segment.extractions)))


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
    write_whole(Path(segment.reference.target), stream.getvalue())
    return counts


def done_by(found: pa.Table) -> tuple[str, int]:
    """Returns the host and the process that did a segment, told by the table read from its file."""
    told = found.schema.metadata or {}
    return told.get(HOST.encode(), b"unknown").decode(), int(told.get(PROCESS.encode(), b"0"))


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
