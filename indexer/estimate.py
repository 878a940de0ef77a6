"""What a job would cost, told before it runs: measured on a few of its own photos."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyarrow as pa

from indexer.embedder_file import GivenEmbedder, given_embedder
from indexer.extraction import stack_chips
from indexer.extractor import FaceExtractor
from indexer.limits import Limits
from indexer.locations import Source, photo_at
from indexer.weights import DIMENSION

SAMPLE = 16
# Bytes a photo once published: its row with the embedding (about 1,050 as Parquet), vector and label (760), and what
# each dimension beyond the built-in network's adds to row and vector.
DISK_A_PHOTO, DISK_A_DIMENSION = 1_850, 8


@dataclass(frozen=True)
class Estimate:
    """seconds: with the given workers, after start-up; None where no photo needs looking at. disk: bytes."""

    photos: int
    bytes: int
    seconds: float | None
    photos_a_second: float | None
    disk: int


def estimate_work(
    work: pa.Table,
    root: Source,
    limits: Limits,
    photo_bytes: int,
    workers: int,
    given: GivenEmbedder | None = None,
    device: str = "cpu",
) -> Estimate:
    """Returns the cost of looking at the photos in work, from up to 16 of them spread over the list.

    given: the embedder, by default the built-in one. device: see indexer.embedder.Embedder.
    """
    count = work.num_rows
    if not count:
        return Estimate(0, 0, None, None, 0)
    step = max(1, count // SAMPLE)
    sample = work.take(list(range(0, count, step))[:SAMPLE])
    photos = list(map(photo_at, sample["location"].to_pylist(), sample["place"].to_pylist()))
    embedder = (given or given_embedder(None)).load(device)
    model = embedder.model
    with FaceExtractor(root, limits, alignment=model.chips) as extractor:
        list(extractor.extract_faces(photos[:1]))  # starts the helper and loads the models
        started = time.perf_counter()
        extractions = list(extractor.extract_faces(photos))
        embedder.embed_chips(stack_chips(extractions, model.chip_pixels))
        rate = workers * len(photos) / (time.perf_counter() - started)
    a_photo = DISK_A_PHOTO + DISK_A_DIMENSION * (model.dimension - DIMENSION)
    return Estimate(count, photo_bytes, count / rate, rate, count * a_photo)
