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
from indexer.gallery import Gallery
from indexer.models import installed_model
from indexer.schema import PHOTOS
from indexer.search_files import build_index
from indexer.table import commit_rows, open_table
from indexer.weights import DIMENSION
from search.session import SearchSession

GALLERY, ENCOUNTERS, NORM = "bench", 3, 1.4
ASKED = ("--gallery", GALLERY, "--case", "B-1", "--purpose", "testing")
COLD, WARM, PARTS = 5, 40, 64
DATA = Path(os.environ.get("AFTERFACT_DATA", "../shared/data")).resolve()


def main(count: int, faces: int) -> None:
    """Builds a gallery of so many faces, searches it with count probes, and prints the table."""
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="afterfact-probes-") as folder:
        home = Path(folder) / "home"
        credential = build(home, faces)
        probes = copy_probes(Path(folder) / "probes", count)
        print(f"{len(probes):,} probes, gallery of {faces:,} faces\n")
        print_commands(home, credential, probes)
        print_warm(home, credential, probes[:WARM])


def build(home: Path, faces: int) -> str:
    """Returns the credential of a tenant that may search a gallery of so many faces."""
    operator = make_home(home, "bench").text
    tenants = Tenants(Gate.open(home), operator)
    credential = tenants.add("Bench", "sheriff", WantedTerms(galleries=[GALLERY]), person="B. Ench").text
    gallery = Gallery(home, GALLERY)
    gallery.make_folders()
    about = {"afterfact.model": json.dumps(installed_model().as_json()), "afterfact.account": "{}"}
    commit_rows(gallery, rows(faces), False, "bench", about)
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
        from demo.archive import draw_archive

        photos = sorted((draw_archive(folder.parent / "drawn", subjects=40).list_path.parent).rglob("*.jpg"))
    copies = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, copy in enumerate(copies):
        copy.write_bytes(photos[number * max(1, len(photos) // count) % len(photos)].read_bytes())
    return copies


def print_commands(home: Path, credential: str, probes: list[Path]) -> None:
    """Prints what the command takes with one probe and with all of them, its start and its output included."""
    one = [run(home, credential, probes[:1]) for _ in range(COLD + 1)][1:]
    wall, cpu = run(home, credential, probes[0].parent)
    print(f"  cold: the command, one probe          {statistics.median(one)[0]:8.2f} s")
    print(f"  the command, {len(probes):,} probes")
