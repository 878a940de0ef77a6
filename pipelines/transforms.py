"""The stages of the bulk index, each thin around the function of indexer.segment with the same name.

Every runner fuses them into one stage, so that a segment's chips never leave the worker's memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics

from indexer.embedder import Embedder
from indexer.extractor import FaceExtractor
from indexer.limits import Limits
from indexer.locations import Source
from indexer.models import Alignment, Model
from indexer.run import Run, find_on_worker, require_same_installation
from indexer.segment import (
    Segment,
    SegmentReference,
    embed_segment,
    extract_segment,
    is_done,
    read_segment,
    take_segment,
    write_segment,
)
from pipelines.heartbeat import Heartbeat

NAMESPACE = "afterfact"


@dataclass
class TakeSegments(beam.PTransform):
    """Pipeline -> segment references, each taken by whichever worker of this machine comes free.

    The local runner hands every worker an even share at the start, and a share may turn out the slower one.
    """

    references: list[SegmentReference]
    workers: int
    taken: Path

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        seats = pipeline | "Seats" >> beam.Create(range(self.workers))
        return seats | "Take" >> beam.ParDo(_Take(self.references, self.taken)).with_output_types(SegmentReference)


class _Take(beam.DoFn):
    def __init__(self, references: list[SegmentReference], taken: Path) -> None:
        self._references = references
        self._taken = taken

    def process(self, _seat: int) -> Iterator[SegmentReference]:
        return (reference for reference in self._references if take_segment(reference, self._taken))


@dataclass
class ReadSegments(beam.PTransform):
    """SegmentReference -> Segment with its photos' locations; nothing where it is done already.

    A cluster that starts a failed job anew hands out every segment again. run: what the worker must fit. networks: see
    indexer.models.find_network.
    """

    run: Run
    networks: str

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        return references | beam.ParDo(_Read(self.run, self.networks)).with_output_types(Segment)


class _Read(beam.DoFn):
    def __init__(self, run: Run, networks: str) -> None:
        self._run = run
        self._networks = networks

    def setup(self) -> None:
        require_same_installation(self._run, Path(self._networks))

    def process(self, reference: SegmentReference) -> Iterator[Segment]:
        if not is_done(reference):
            yield read_segment(reference)


@dataclass
class ExtractFaces(beam.PTransform):
    """Segment -> Segment with an extraction a photo, made in a helper process, one a worker."""

    root: Source
    limits: Limits
    alignment: Alignment
    heartbeat: Heartbeat | None = None

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        extract = _Extract(self.root, self.limits, self.alignment, self.heartbeat)
        return segments | beam.ParDo(extract).with_output_types(Segment)


class _Extract(beam.DoFn):
    def __init__(self, root: Source, limits: Limits, alignment: Alignment, heartbeat: Heartbeat | None) -> None:
        self._root = root
        self._limits = limits
        self._alignment = alignment
        self._beat = heartbeat.beat if heartbeat else lambda: None

    def setup(self) -> None:
        self._extractor = FaceExtractor(self._root, self._limits, alignment=self._alignment)
        self._extractor.start()

    def process(self, segment: Segment) -> Iterator[Segment]:
        yield extract_segment(segment, self._extractor, self._beat)

    def teardown(self) -> None:
        self._extractor.close()


@dataclass
class EmbedFaces(beam.PTransform):
    """Segment -> Segment with the embeddings of its faces. networks: see indexer.models.find_network."""

    model: Model
    networks: str
    device: str = "cpu"

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        return segments | beam.ParDo(_Embed(self.model, self.networks, self.device)).with_output_types(Segment)


class _Embed(beam.DoFn):
    def __init__(self, model: Model, networks: str, device: str) -> None:
        self._model = model
        self._networks = networks
        self._device = device

    def setup(self) -> None:
        network = find_on_worker(self._model, Path(self._networks))
        self._embedder = Embedder(network, model=self._model, device=self._device)

    def process(self, segment: Segment) -> Iterator[Segment]:
        yield embed_segment(segment, self._embedder)


@dataclass
class WriteSegments(beam.PTransform):
    """Segment -> how many of its photos ended as each outcome, once its file is written whole."""

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        return segments | beam.Map(write_segment).with_output_types(dict[str, int])


@dataclass
class CountOutcomes(beam.PTransform):
    """Outcome counts -> Beam counters, for runners' own pages; the accounting is made from the files."""

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        return counts | beam.Map(_count)


def _count(counts: dict[str, int]) -> None:
    Metrics.counter(NAMESPACE, "segments").inc()
    for outcome, photos in counts.items():
        Metrics.counter(NAMESPACE, outcome).inc(photos)


@dataclass
class IndexSegments(beam.PTransform):
    """Segment references -> segment files: the whole way of a segment."""

    run: Run
    networks: str
    device: str = "cpu"
    heartbeat: Heartbeat | None = None

    def expand(self, references: beam.PCollection[SegmentReference]) -> beam.PCollection:
        root, limits, model = self.run.root, self.run.limits, self.run.model
        return (
            references
            | "ReadSegments" >> ReadSegments(self.run, self.networks)
            | "ExtractFaces" >> ExtractFaces(root, limits, model.chips, self.heartbeat)
            | "EmbedFaces" >> EmbedFaces(model, self.networks, self.device)
            | "WriteSegments" >> WriteSegments()
            | "CountOutcomes" >> CountOutcomes()
        )
