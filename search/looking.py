"""Probes looked at: their faces found and embedded in threads, while those before them are searched and answered."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

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
TOGETHER = 8  # probes that one helper looks at together; see indexer.extraction.extract_each
MOST_HELPERS = 4  # beyond it the one thread that searches, records and shows is what everything waits for


@dataclass(frozen=True)
class Looked:
    """What a probe shows. face: the one to search with, None where there is none or it has to be chosen.

    embedding: of that face, float32 (dimension,). model: the one that embedded it.
    """

    extraction: Extraction
    face: Face | None
    embedding: np.ndarray | None
    model: Model


class _Asked(NamedTuple):
    """A probe that is to be looked at. number: of the face, where one was chosen."""

    path: str
    number: int | None
    model: Model
    looked: Future[Looked]


class Looker:
    """Looks at probes, a few at a time in each of several threads, which have a helper process each.

    Models are loaded on first use, and kept.
    """

    def __init__(self, helper: HelperProcess | None, networks: Path, device: str = "cpu") -> None:
        """helper: one that was started already, without a root and with the default limits. networks: the folder of
        indexer.models.find_network. device: see indexer.embedder.Embedder."""
        self._networks, self._device = networks, device
        self._extractors = [FaceExtractor(None, Limits(), helper)]
        self._free: queue.SimpleQueue[FaceExtractor] = queue.SimpleQueue()
        self._free.put(self._extractors[0])
        self._waiting: deque[_Asked] = deque()
        self._taking = threading.Lock()
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
        """Sets a thread to look at a probe, with others that wait, and returns at once.

        face: which of several, from 1, largest first. model: the gallery's, which the probe is embedded with.
        """
        assert self._threads is not None
        asked = _Asked(str(probe), face, model, Future())
        self._waiting.append(asked)
        self._threads.submit(self._look)
        return asked.looked

    def result(self, looked: Future[Looked], probe: Path, face: int | None, model: Model) -> Looked:
        """Returns what a probe shows, looked at anew where a version published since is of another model."""
        seen = looked.result()
        if seen.face is None or seen.model == model:
            return seen
        return self.begin(probe, face, model).result()

    @contextlib.contextmanager
    def extractor(self) -> Iterator[FaceExtractor]:
        """Lends an extractor that nobody else uses meanwhile; waits for one where all are at work."""
        extractor = self._free.get()
        try:
            yield extractor
        finally:
            self._free.put(extractor)

    def close(self) -> None:
        """Ends threads and helpers; what is being looked at is finished first, what is not begun is cancelled."""
        with self._taking:
            while self._waiting:
                self._waiting.popleft().looked.cancel()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        for extractor in self._extractors:
            extractor.close()

    def _look(self) -> None:
        """Looks at a few of the probes that wait, if others like this have left any."""
        with self.extractor() as extractor:
            asked = self._some()
            if not asked:
                return
            model, seen = asked[0].model, list[Extraction]()
            failed: BaseException | None = None
            try:
                extractor.alignment = model.chips
                extractions = extractor.begin([one.path for one in asked], probe=True)
                self._loaded(model)  # beside the decoding
                for extraction in extractions:
                    seen.append(extraction)
            except BaseException as error:
                extractor.close()  # an answer left waiting would be taken for the next probe's
                failed = error
        try:
            looked = self._embedded(asked, seen, model)
        except BaseException as error:
            looked, failed = [], error
        for one, result in zip_longest(asked, looked):
            if result is not None:
                one.looked.set_result(result)
            else:
                one.looked.set_exception(failed)

    def _embedded(self, asked: list[_Asked], seen: list[Extraction], model: Model) -> list[Looked]:
        """Returns what the probes show that were seen. Each embedding is to the last bit what it is alone."""
        faces = [_choose(extraction, one.number) for one, extraction in zip(asked, seen, strict=False)]
        chips = [face.chip for face in faces if face is not None]
        embeddings = iter(self._loaded(model).embed_chips(np.stack(chips)) if chips else ())
        return [
            Looked(extraction, face, None if face is None else next(embeddings), model)
            for extraction, face in zip(seen, faces, strict=True)
        ]

    def _some(self) -> list[_Asked]:
        """Returns the next probes that nobody looks at or has given up, of one model."""
        asked: list[_Asked] = []
        with self._taking:
            while self._waiting and len(asked) < TOGETHER and (not asked or self._waiting[0].model == asked[0].model):
                one = self._waiting.popleft()
                if one.looked.set_running_or_notify_cancel():
                    asked.append(one)
        return asked

    def _loaded(self, model: Model) -> Embedder:
        with self._loading:
            if model not in self._embedders:
                network = find_network(model, self._networks)
                self._embedders[model] = Embedder(network, model=model, device=self._device)
            return self._embedders[model]


def _choose(extraction: Extraction, number: int | None) -> Face | None:
    if number is None and extraction.outcome is Outcome.MULTIPLE_FACES:
        return None
    return dict(enumerate(extraction.faces, start=1)).get(1 if number is None else number)
