"""A segment: one row group of a run's manifest, the unit of work, of retry, of progress and of resume.

These are the plain functions behind the pipeline's stages, in order:
read_segment, extract_segment, embed_segment, write_segment.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
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
from indexer.locations import path_of
from indexer.outcomes import Outcome
from indexer.run import Run
from indexer.schema import FOUND


@dataclass(frozen=True)
class SegmentReference:
    """What travels to a worker: which row group of which run."""

    folder: str
    number: int
    target: str


@dataclass(frozen=True)
class Segment:
    """A segment on its way. locations: one a photo. extractions: what became of each, chips included.

    embeddings: float32 (faces to enrol, 128), in the photos' order.
    """

    reference: SegmentReference
    locations: list[str]
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


def digest_path(reference: SegmentReference) -> Path:
    """Returns where the SHA-256 of the segment's file is kept: without it the file is not done."""
    return Path(reference.target).with_suffix(".sha256")


def write_digest(reference: SegmentReference) -> None:
    """Writes the digest of the segment's file as it is now."""
    write_whole(digest_path(reference), digest_file(Path(reference.target)).encode())


def read_segment(reference: SegmentReference) -> Segment:
    """Returns the segment with its photos' locations."""
    with pq.ParquetFile(Path(reference.folder) / "manifest.parquet") as manifest:
        return Segment(
            reference, manifest.read_row_group(reference.number, columns=["location"])["location"].to_pylist()
        )


def extract_segment(segment: Segment, extractor: FaceExtractor) -> Segment:
    """Returns the segment with an extraction a photo. No decoded photo outlives its turn, only its chip."""
    paths = (path_of(location) for location in segment.locations)
    kept = []
    for extraction in extractor.extract_faces(paths):
        enrolled = extraction.outcome is Outcome.ENROLLED
        kept.append(extraction if enrolled else replace(extraction, faces=[_without_chip(f) for f in extraction.faces]))
    return replace(segment, extractions=kept)


def _without_chip(face: Any) -> Any:
    return replace(face, chip=np.empty((0, 0, 3), dtype=np.uint8))


def embed_segment(segment: Segment, embedder: Embedder) -> Segment:
    """Returns the segment with the embeddings of the faces to enrol."""
    assert segment.extractions is not None
    return replace(segment, embeddings=embedder.embed_chips(stack_chips(segment.extractions)))


def write_segment(segment: Segment) -> dict[str, int]:
    """Writes the segment's file whole and returns how many photos ended as each outcome."""
    assert segment.extractions is not None and segment.embeddings is not None
    stream = io.BytesIO()
    pq.write_table(found_rows(segment.extractions, segment.embeddings), stream, compression="zstd")
    # The digest first: whoever sees the file sees a segment that is done.
    write_whole(digest_path(segment.reference), digest_bytes(stream.getvalue()).encode())
    write_whole(Path(segment.reference.target), stream.getvalue())
    return dict(Counter(extraction.outcome.value for extraction in segment.extractions))


def found_rows(extractions: Iterable[Extraction], embeddings: np.ndarray) -> pa.Table:
    """Returns one row an extraction (indexer.schema.FOUND); of several faces, the widest one's measures."""
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
        if one.outcome is Outcome.ENROLLED:
            row["embedding"] = next(remaining)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=FOUND)
