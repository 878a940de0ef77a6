"""The contestants of `make bench`, each in a process of its own: python benchmarks/contestants.py NAME FOLDER [HOME].

Prints one JSON line: photos, faces, and the seconds from the first photo to the last, start-up shown apart.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

WORKERS = 2


def photos_in(folder: Path) -> list[str]:
    """Returns the photos of a folder."""
    return sorted(str(one) for one in folder.iterdir())


def _peer_photo(path: str) -> int:
    import face_recognition

    return len(face_recognition.face_encodings(face_recognition.load_image_file(path)))


def peer(folder: Path, _: Path) -> dict[str, float]:
    """face_recognition as its users run it: a pool of processes over load_image_file and face_encodings."""
    photos = photos_in(folder)
    with multiprocessing.Pool(WORKERS) as pool:
        pool.map(_peer_photo, photos[:WORKERS], chunksize=1)  # models loaded, as after a long while
        started = time.perf_counter()
        faces = sum(pool.imap_unordered(_peer_photo, photos, chunksize=4))
    return {"photos": len(photos), "faces": faces, "seconds": time.perf_counter() - started}


def _bare_batch(paths: list[str]) -> int:
    from indexer.extraction import extract_each, stack_chips
    from indexer.limits import Limits
    from indexer.outcomes import Outcome

    extractions = list(extract_each(paths, None, Limits()))
    _embedder().embed_chips(stack_chips(extractions))
    return sum(one.outcome is Outcome.ENROLLED for one in extractions)


@cache
def _embedder() -> Any:
    from indexer.embedder import Embedder

    return Embedder()


def bare(folder: Path, _: Path) -> dict[str, float]:
    """Our own plain functions in a pool of processes: no helper, no Beam, nothing written."""
    photos = photos_in(folder)
    batches = [photos[start : start + 32] for start in range(0, len(photos), 32)]
    with multiprocessing.Pool(WORKERS) as pool:
        pool.map(_bare_batch, [photos[:1]] * WORKERS, chunksize=1)
        started = time.perf_counter()
        faces = sum(pool.imap_unordered(_bare_batch, batches, chunksize=1))
    return {"photos": len(photos), "faces": faces, "seconds": time.perf_counter() - started}


def beam(folder: Path, home: Path) -> dict[str, float]:
    """The real job: manifest, pipeline on FnApiRunner, segments, settling, Delta commit, search index.

    The others are timed with their pools and models warm; here a job over two photos tells the start-up, which
    is shown apart in the same way.
    """
    import logging

    logging.disable(logging.WARNING)
    from indexer.accounting import Accounting
    from indexer.gallery import Gallery
    from indexer.job import IndexJob
    from pipelines.bulk_index import run_job
    from pipelines.progress import Progress
    from pipelines.runners import parse_beam_flags

    def run(name: str, archive: Path) -> tuple[Accounting, float]:
        started = time.perf_counter()
        job = IndexJob(name, archive, workers=WORKERS)
        indexed = run_job(
            Gallery(home, name),
            job,
            parse_beam_flags([]),
            Progress(quiet=True),
            lambda *_: None,
            lambda _digests: set(),
        )
        return indexed.accounting, time.perf_counter() - started

    with tempfile.TemporaryDirectory() as few:
        for photo in photos_in(folder)[:2]:
            shutil.copy(photo, few)
        _, start_up = run("start-up", Path(few))
    accounting, seconds = run("bench", folder)
    return {
        "photos": accounting.planned,
        "faces": accounting.enrolled,
        "seconds": seconds - start_up,
        "measuring": start_up,
    }


CONTESTANTS: dict[str, Callable[[Path, Path], dict[str, float]]] = {"peer": peer, "bare": bare, "beam": beam}

if __name__ == "__main__":
    name, folder, *home = sys.argv[1:]
    print(json.dumps(CONTESTANTS[name](Path(folder), Path(home[0]) if home else Path())))
