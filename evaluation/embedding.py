"""Templates: what is known of each photo's face, its embedding first of all, made on all cores or from the cache."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from evaluation.cache import Cache, Template
from evaluation.samples import Sample
from foundation.files import digest_file
from indexer.embedder import Embedder
from indexer.extraction import Extraction
from indexer.extractor import FaceExtractor
from indexer.face import Face
from indexer.limits import Limits
from indexer.outcomes import Outcome

BATCH = 64  # photos a worker takes at a time; their chips wait together for the network
KEEP = 512  # photos after which what is new goes into the cache, so that a stopped run loses little


def digest_samples(samples: Sequence[Sample], done: Callable[[int], None]) -> list[str]:
    """Returns the SHA-256 of each photo's bytes, empty where they cannot be read. done: told how many are."""

    def digest(sample: Sample) -> str:
        try:
            return digest_file(Path(sample.path))
        except OSError:
            return ""

    digests = []
    with ThreadPoolExecutor(_cores()) as pool:
        for number, one in enumerate(pool.map(digest, samples), start=1):
            digests.append(one)
            done(number)
    return digests


def make_templates(
    samples: Sequence[Sample],
    digests: Sequence[str],
    cache: Cache,
    load: Callable[[], Embedder],
    probe: bool,
    done: Callable[[int], None],
) -> list[Template]:
    """Returns the template of each sample, in order.

    digests: of their bytes, by which the cache knows them. load: loads the embedder, once a core. probe: whether to
    look as at a probe, with every look, or as at a photo of an archive. done: told how many are ready. Raises
    ModelError where the model is not there, or gives no numbers.
    """
    known = cache.read()
    order = sorted({one: place for place, one in enumerate(digests) if one not in known}.values())
    done(len(samples) - len(order))
    fresh: dict[str, Template] = {}
    with _Workers(load, probe, Limits()) as workers:
        waiting = {}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            waiting[workers.begin([samples[one].path for one in places])] = places
        ready = 0
        for made in as_completed(waiting):
            for place, (digest, template) in zip(waiting[made], made.result(), strict=True):
                if digest == digests[place]:  # else it changed meanwhile: as it was read, and not to be remembered
                    fresh[digest] = template
                known[digests[place]] = template
            ready += len(waiting[made])
            done(len(samples) - len(order) + ready)
            if len(fresh) >= KEEP:
                cache.add(fresh)
                fresh = {}
    cache.add(fresh)
    return [known[one] for one in digests]


def look_each(
    paths: Sequence[str], load: Callable[[], Embedder], probe: bool, limits: Limits
) -> list[tuple[str, Template]]:
    """Returns, for each photo, the SHA-256 of its bytes as they were read, empty where they could not be, and its
    template. Nothing is kept. load, probe: as of make_templates; limits: of quality, for photos of an archive."""
    with _Workers(load, probe, limits) as workers:
        waiting = [workers.begin(list(paths[start : start + BATCH])) for start in range(0, len(paths), BATCH)]
        return [looked for made in waiting for looked in made.result()]


class _Workers:
    """Threads, each with a helper process that decodes for it and an embedder of its own."""

    def __init__(self, load: Callable[[], Embedder], probe: bool, limits: Limits) -> None:
        self._load, self._probe, self._limits = load, probe, limits
        self._tools: queue.SimpleQueue[tuple[FaceExtractor, Embedder]] = queue.SimpleQueue()
        self._extractors: list[FaceExtractor] = []
        self._threads = ThreadPoolExecutor(_cores(), thread_name_prefix="template")

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for extractor in self._extractors:
            extractor.close()

    def begin(self, paths: list[str]) -> Future[list[tuple[str, Template]]]:
        """Sets a thread to work on photos and returns at once."""
        return self._threads.submit(self._make, paths)

    def _make(self, paths: list[str]) -> list[tuple[str, Template]]:
        extractor, embedder = self._tool()
        extractor.alignment = embedder.model.chips
        try:
            extractions = list(extractor.extract_faces(paths, self._probe))
            faces = [middle_face(one) for one in extractions]
            chips = [one.chip for one in faces if one is not None]
            embeddings = iter(embedder.embed_chips(np.stack(chips)) if chips else ())
            return [
                (extraction.digest, _template(extraction, face, None if face is None else next(embeddings)))
                for extraction, face in zip(extractions, faces, strict=True)
            ]
        finally:
            self._tools.put((extractor, embedder))

    def _tool(self) -> tuple[FaceExtractor, Embedder]:
        try:
            return self._tools.get_nowait()
        except queue.Empty:
            extractor = FaceExtractor(None, self._limits)
            self._extractors.append(extractor)
            extractor.start()  # its imports go on beside the network's loading
            return extractor, self._load()


def middle_face(extraction: Extraction) -> Face | None:
    """Returns the face nearest the photo's middle, None where there is none."""

    def off_middle(face: Face) -> float:
        box = face.detection
        return float(np.hypot(box.left + box.right - extraction.width, box.top + box.bottom - extraction.height))

    return min(extraction.faces, key=off_middle, default=None)


def _template(extraction: Extraction, face: Face | None, embedding: np.ndarray | None) -> Template:
    if face is None:
        return Template(extraction.outcome.value)
    found = face.detection
    box = (found.left, found.top, found.right, found.bottom)
    return Template(extraction.outcome.value, len(extraction.faces), box, embedding)


def enrolled(template: Template) -> bool:
    """Whether a gallery would enrol the photo."""
    return template.outcome == Outcome.ENROLLED and template.embedding is not None


def _cores() -> int:
    return len(os.sched_getaffinity(0))
