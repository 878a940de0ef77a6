"""What a job would cost, told before it runs: measured on a few of its own photos."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyarrow as pa

from indexer.embedder import Embedder
from indexer.extraction import stack_chips
from indexer.extractor import FaceExtractor
from indexer.limits import Limits
from indexer.locations import Source, photo_at

SAMPLE = 16
# Bytes a photo once published: its row with the embedding (about 1,050 as Parquet), vector and label (760).
DISK_A_PHOTO = 1_850


@dataclass(frozen=True)
class Estimate:
    """seconds: with the given workers, after start-up; None where no photo needs looking at. disk: bytes."""

    photos: int
    bytes: int
    seconds: float | None
    photos_a_second: float | None
    disk: int


def estimate_work(
    work: pa.Table, root: Source, limits: Limits, photo_bytes: int, workers: int, mirrored: bool = False
) -> Estimate:
    """Returns the cost of looking at the photos in work, from up to 16 of them spread over the list."""
    count = work.num_rows
    if not count:
        return Estimate(0, 0, None, None, 0)
    step = max(1, count // SAMPLE)
    sample = work.take(list(range(0, count, step))[:SAMPLE])
    photos = list(map(photo_at, sample["location"].to_pylist(), sample["place"].to_pylist()))
    embedder = Embedder(mirrored=mirrored)
    with FaceExtractor(root, limits) as extractor:
        list(extractor.extract_faces(photos[:1]))  # starts the helper and loads the models
        started = time.perf_counter()
        extractions = list(extractor.extract_faces(photos))
        embedder.embed_chips(stack_chips(extractions))
        rate = workers * len(photos) / (time.perf_counter() - started)
    return Estimate(count, photo_bytes, count / rate, rate, count * DISK_A_PHOTO)
