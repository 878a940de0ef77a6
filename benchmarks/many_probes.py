"""`make bench-probes`: many probes in one search, against a gallery as large as a county's.

The gallery's embeddings are random, of the length that the network's have; the probes are photos (Labeled Faces in the
Wild from AFTERFACT_DATA, or else drawn ones), copied into a folder of their own.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from access.acts.tenants import Tenants, WantedTerms
from access.gate import Gate, Request
from access.homes import make_home
from demo.archive import draw_archive
from indexer.embedder import Embedder
from indexer.extraction import extract_faces, stack_chips
from indexer.gallery import Gallery
from indexer.limits import Limits
from indexer.models import installed_model
from indexer.schema import PHOTOS
from indexer.search_files import build_index
from indexer.table import commit_rows, open_table
from indexer.weights import DIMENSION
from search.faces import GalleryFaces
from search.session import WINDOW, SearchSession

GALLERY, ENCOUNTERS, NORM = "bench", 3, 1.4
ASKED = ("--gallery", GALLERY, "--case", "B-1", "--purpose", "testing")
COLD, WARM = 5, 40
DATA = Path(os.environ.get("AFTERFACT_DATA", "../shared/data")).resolve()


def main(count: int, faces: int) -> None:
    """Builds a gallery of so many faces, searches it with count probes, and prints the table."""
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="afterfact-probes-") as folder:
        home = Path(folder) / "home"
        credential = build(home, faces)
        probes = copy_probes(Path(folder) / "probes", count)
        print(f"{len(probes):,} probes, gallery of {faces:,} faces\n")
        print_commands(home, credential, probes, Path(folder))
        print_session(home, credential, probes)


def build(home: Path, faces: int) -> str:
    """Returns the credential of a tenant that may search a gallery of so many faces."""
    operator = make_home(home, "bench").text
    tenants = Tenants(Gate.open(home), operator)
    credential = tenants.add("Bench", "sheriff", WantedTerms(galleries=[GALLERY]), person="B. Ench").text
    print(f"writing a gallery of {faces:,} faces", file=sys.stderr)
    gallery = Gallery(home, GALLERY)
    gallery.make_folders()
    about = {"afterfact.model": json.dumps(installed_model().as_json()), "afterfact.account": "{}"}
    commit_rows(gallery, None, rows(faces), False, "bench", about)
    build_index(gallery, open_table(gallery))
    return credential


def rows(faces: int) -> pa.Table:
    """Returns rows of enrolled photos, indexer.schema.PHOTOS, three a subject."""
    vectors = np.random.default_rng(1).normal(size=(faces, DIMENSION)).astype(np.float32)
    vectors *= NORM / np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = range(faces)
    known: dict[str, Any] = {
        "location": [f"file:///archive/photos/{number:08d}.jpg" for number in numbers],
        "photo": [f"photos/{number:08d}.jpg" for number in numbers],
        "subject": [f"S{number // ENCOUNTERS:07d}" for number in numbers],
        "encounter": [str(number % ENCOUNTERS + 1) for number in numbers],
        "taken": ["2019-05-06T07:08:00+00:00"] * faces,
        "disposition": ["released"] * faces,
        "photo_digest": [f"{number:064x}" for number in numbers],
        "row": [f"{number:032x}" for number in numbers],
        "outcome": ["ENROLLED"] * faces,
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION).cast(
            pa.list_(pa.float32())
        ),
        **{name: [10] * faces for name in ("box_left", "box_top")},
        **{name: [90] * faces for name in ("box_right", "box_bottom")},
    }
    columns = [pa.array(known.get(field.name, [None] * faces)).cast(field.type) for field in PHOTOS]
    return pa.Table.from_arrays(columns, schema=PHOTOS)


def copy_probes(folder: Path, count: int) -> list[Path]:
    """Returns copies of so many photos, taken round and round, in the folder."""
    folder.mkdir()
    photos = sorted((DATA / "lfw").rglob("*.jpg"))
    if not photos:
        drawn = draw_archive(folder.parent / "drawn", subjects=40, encounters=1, seed=1, with_spoiled=False)
        photos = sorted((drawn.list_path.parent / "probes").glob("*.jpg"))
    copies = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, copy in enumerate(copies):
        copy.write_bytes(photos[number * max(1, len(photos) // count) % len(photos)].read_bytes())
    return copies


def print_commands(home: Path, credential: str, probes: list[Path], work: Path) -> None:
    """Prints what the command takes with one probe and with all of them, its start and its output included."""
    cold = [run(home, credential, probes[0], work) for _ in range(COLD + 1)][1:]
    wall, cpu = (statistics.median(column) for column in zip(*cold, strict=True))
    print(f"{'the command':<44}{'wall, s':>9}{'CPU, s':>9}{'probes/s':>10}")
    print(f"  {f'one probe, cold, median of {COLD}':<42}{wall:>9.2f}{cpu:>9.2f}")
    for name, more in (("tables", ()), ("--json", ("--json",))):
        wall, cpu = run(home, credential, probes[0].parent, work, *more)
        print(f"  {f'{len(probes):,} probes, {name}':<42}{wall:>9.2f}{cpu:>9.2f}{len(probes) / wall:>10.1f}")


def run(home: Path, credential: str, probes: Path, work: Path, *more: str) -> tuple[float, float]:
    """Returns the seconds by the clock and of all its processes' CPU that a search takes."""
    command = [sys.executable, "-m", "afterfact", "--home", str(home), "search", str(probes), *ASKED, *more]
    environment = {**os.environ, "AFTERFACT_CREDENTIAL": credential, "PYTHONPATH": str(Path(__file__).parent.parent)}
    before, started = cpu_seconds(), time.perf_counter()
    with open(work / "answers", "wb") as answers, open(work / "errors", "wb") as errors:
        # Its exit code is 5 where a probe shows several faces.
        subprocess.run(command, env=environment, stdout=answers, stderr=errors, cwd=work, check=False)
    return time.perf_counter() - started, cpu_seconds() - before


def cpu_seconds() -> float:
    """Returns the CPU seconds of this process's ended children, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_session(home: Path, credential: str, probes: list[Path]) -> None:
    """Prints what a probe takes in an open session, and its parts one by one, in this thread."""
    request = Request("search", GALLERY, purpose="testing", case="B-1")
    seen = [extract_faces(probe, None, Limits(), probe=True) for probe in probes[: 2 * WARM]]
    usable = [(probe, one) for probe, one in zip(probes, seen, strict=False) if len(one.faces) == 1][:WARM]
    with SearchSession(home, credential, request) as session:
        session.search(usable[0][0])
        warm = [timed(lambda probe=probe: session.search(probe)) for probe, _ in usable]
    print(f"\n{'an open session, one probe after another, ms':<44}{'wall':>9}")
    print(f"  {'decision, photo, face, search, entry':<42}{statistics.median(warm):>9.1f}")
    faces, embedder, gate = GalleryFaces(Gallery(home, GALLERY)), Embedder(), Gate.open(home)
    chips = stack_chips([one for _, one in usable])
    embeddings = embedder.embed_chips(chips)
    asked = Request("search", GALLERY, "testing", "B-1", k=20, probe="ab" * 32)
    permit = gate.ask(credential, asked)
    details = {"candidates": [{"rank": 1, "distance": "0.31"}] * 20}
    parts = {
        "photo to chip, every look": [timed(lambda p=p: extract_faces(p, None, Limits(), True)) for p, _ in usable],
        "embedding": [timed(lambda n=n: embedder.embed_chips(chips[n : n + 1])) for n in range(len(chips))],
        "search, one probe": [timed(lambda one=one: faces.nearest(one, 80)) for one in embeddings],
        f"search, {WINDOW} probes together, each": [
            timed(lambda: faces.nearest_each(embeddings[:WINDOW], 80)) / WINDOW for _ in range(5)
        ],
        "first decision": [timed(lambda: gate.ask(credential, asked)) for _ in range(WARM)],
        "second decision and entry": [
            timed(lambda: gate.answer(permit, {"outcome": "CANDIDATES"}, details)) for _ in range(WARM)
        ],
    }
    gate.handed_out()
    for name, times in parts.items():
        print(f"    {name:<40}{statistics.median(times):>9.1f}")


def timed(work: Callable[[], object]) -> float:
    """Returns the milliseconds that work takes."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:])) if len(sys.argv) == 3 else main(1000, 300_000)
