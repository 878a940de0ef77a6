"""Probes looked at: their faces found and embedded, in threads, so that one is searched while the next is decoded."""

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
from indexer.outcomes import Outcome

MANY = 20  # probes from which further helpers, each some tenths of a second in starting, are worth their start
MOST_HELPERS = 4  # beyond it the one thread that searches, records and shows is what everything waits for


@dataclass(frozen=True)
class Looked:
    """What a probe shows. face: the one to search with, None where there is none or it has to be chosen.

    embedding: the face's, float32 (128,). mirrored: whether it is a mean over chip and mirrored chip.
    """

    extraction: Extraction
    face: Face | None
    mirrored: bool
    embedding: np.ndarray | None


class Looker:
    """Looks at probes, each in a thread with a helper process to itself. Models are loaded on first use, and kept."""

    def __init__(self, helper: HelperProcess | None) -> None:
        """helper: one that was started already, without a root and with the default limits."""
        self._extractors = [FaceExtractor(None, Limits(), helper)]
        self._free: queue.SimpleQueue[FaceExtractor] = queue.SimpleQueue()
        self._free.put(self._extractors[0])
        self._threads: ThreadPoolExecutor | None = None
        self._embedders: dict[bool, Embedder] = {}
        self._loading = threading.Lock()

    def expect(self, probes: int) -> None:
        """Makes ready for so many probes, side by side where they are many."""
        wanted = min(len(os.sched_getaffinity(0)), MOST_HELPERS) if probes >= MANY else 1
        while len(self._extractors) < wanted:
            self._extractors.append(FaceExtractor(None, Limits()))
            self._free.put(self._extractors[-1])
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MOST_HELPERS, thread_name_prefix="looker")

    def begin(self, probe: Path, face: int | None, mirrored: bool) -> Future[Looked]:
        """Sets a thread to look at a probe and returns at once.

        face: which of several, from 1, largest first. mirrored: whether the gallery's embeddings are means over chip
        and mirrored chip, as the probe's then has to be.
        """
        assert self._threads is not None
        return self._threads.submit(self._look, str(probe), face, mirrored)

    def embedding(self, looked: Looked, mirrored: bool) -> np.ndarray | None:
        """Returns the embedding of what was looked at, made anew where a version published since takes another."""
        if looked.face is None or looked.mirrored == mirrored:
            return looked.embedding
        return self._embed(looked.face, mirrored)

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

    def _look(self, path: str, number: int | None, mirrored: bool) -> Looked:
        with self.extractor() as extractor:
            extracted = extractor.begin(path, probe=True)
            try:
                self._loaded(mirrored)  # beside the decoding
                extraction = extracted()
            except BaseException:
                extractor.close()  # an answer left waiting would be taken for the next probe's
                raise
        face = _choose(extraction, number)
        return Looked(extraction, face, mirrored, None if face is None else self._embed(face, mirrored))

    def _embed(self, face: Face, mirrored: bool) -> np.ndarray:
        return self._loaded(mirrored).embed_chips(face.chip[None])[0]

    def _loaded(self, mirrored: bool) -> Embedder:
        with self._loading:
            if mirrored not in self._embedders:
                self._embedders[mirrored] = Embedder(mirrored=mirrored)
            return self._embedders[mirrored]


def _choose(extraction: Extraction, number: int | None) -> Face | None:
    if number is None and extraction.outcome is Outcome.MULTIPLE_FACES:
        return None
    return dict(enumerate(extraction.faces, start=1)).get(number or 1)
