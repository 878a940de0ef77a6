"""Probes looked at: their faces found in threads, so that some are embedded and searched while others are decoded."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.embedder import Embedder
from indexer.extraction import Extraction
from indexer.extractor import FaceExtractor
from indexer.face import Face
from indexer.helper_process import HelperProcess
from indexer.limits import Limits
from indexer.models import Model, find_network
from indexer.outcomes import Outcome

MANY = 20  # probes from which further helpers, each some tenths of a second in starting, are worth their start
MOST_HELPERS = 4  # beyond it the one thread that searches, records and shows is what everything waits for


@dataclass(frozen=True)
class Looked:
    """What a probe shows. face: the one to search with, None where there is none or it has to be chosen.

    model: the one that its chip is aligned for.
    """

    extraction: Extraction
    face: Face | None
    model: Model


class Looker:
    """Looks at probes, each in a thread with a helper process to itself. Models are loaded on first use, and kept."""

    def __init__(self, helper: HelperProcess | None, networks: Path, device: str = "cpu") -> None:
        """helper: one that was started already, without a root and with the default limits. networks: the folder of
        indexer.models.find_network. device: see indexer.embedder.Embedder."""
        self._networks, self._device = networks, device
        self._extractors = [FaceExtractor(None, Limits(), helper)]
        self._free: queue.SimpleQueue[FaceExtractor] = queue.SimpleQueue()
        self._free.put(self._extractors[0])
        self._threads: ThreadPoolExecutor | None = None
        self._embedders: dict[Model, Embedder] = {}
        self._loading = threading.Lock()

    def expect(self, probes: int) -> None:
        """Makes ready for so many probes, side by side where they are many."""
        wanted = min(len(os.sched_getaffinity(0)), MOST_HELPERS) if probes >= MANY else 1
        while len(self._extractors) < wanted:
            self._extractors.append(FaceExtractor(None, Limits()))
            self._free.put(self._extractors[-1])
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MOST_HELPERS, thread_name_prefix="looker")

    def begin(self, probe: Path, face: int | None, model: Model) -> Future[Looked]:
        """Sets a thread to look at a probe and returns at once.

        face: which of several, from 1, largest first. model: the gallery's, which the probe's chip is aligned for.
        """
        assert self._threads is not None
        return self._threads.submit(self._look, str(probe), face, model)

    def result(self, looked: Future[Looked], probe: Path, face: int | None, model: Model) -> Looked:
        """Returns what a probe shows, looked at anew where a version published since is of another model."""
        seen = looked.result()
        if seen.face is None or seen.model == model:
            return seen
        return self.begin(probe, face, model).result()

    def embed(self, faces: list[Face], model: Model) -> np.ndarray:
        """Returns float32 (n, dimension) embeddings: each to the last bit what it is alone, and together sooner."""
        return self._loaded(model).embed_chips(np.stack([face.chip for face in faces]))

    @contextlib.contextmanager
    def extractor(self) -> Iterator[FaceExtractor]:
        """Lends an extractor that nobody else uses meanwhile; waits for one where all are at work."""
        extractor = self._free.get()
        try:
            yield extractor
        finally:
            self._free.put(extractor)

    def close(self) -> None:
        """Ends threads and helpers; what is being looked at is finished first, what is not begun is left."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        for extractor in self._extractors:
            extractor.close()

    def _look(self, path: str, number: int | None, model: Model) -> Looked:
        with self.extractor() as extractor:
            extractor.alignment = model.chips
            extracted = extractor.begin(path, probe=True)
            try:
                self._loaded(model)  # beside the decoding
                extraction = extracted()
            except BaseException:
                extractor.close()  # an answer left waiting would be taken for the next probe's
                raise
        return Looked(extraction, _choose(extraction, number), model)

    def _loaded(self, model: Model) -> Embedder:
        with self._loading:
            if model not in self._embedders:
                network = find_network(model, self._networks)
                self._embedders[model] = Embedder(network, model=model, device=self._device)
            return self._embedders[model]


def _choose(extraction: Extraction, number: int | None) -> Face | None:
    if number is None and extraction.outcome is Outcome.MULTIPLE_FACES:
        return None
    return dict(enumerate(extraction.faces, start=1)).get(number or 1)
