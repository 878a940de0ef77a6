"""`make bench-search`: one probe against ever more made-up faces, in a process of its own for each size.

The vectors are as long as dlib's (about 1.4). The file is written by the indexer, and opened and searched as search
does it, on one core; beside it the rows are shared out to all cores, to see whether that would pay. A file is removed
before the next is made. Cold: the first query of a process (the file may lie in the system's cache all the same, having
just been written).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from foundation.chart import Panel, write_charts

SIZES = (300_000, 3_000_000, 20_000_000)
TARGETS = [(3_000_000, 0.1), (20_000_000, 0.6)]  # seconds a query
PIECE, ROUNDS, CANDIDATES = 100_000, 11, 96  # 96 are asked for a list of 20 subjects
SPREAD = 1.4 / 128**0.5


def made_up(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields rows and float32 (n, 128) vectors, a piece at a time."""
    draw = np.random.default_rng(1)
    for begin in range(0, count, PIECE):
        rows = np.arange(begin, min(begin + PIECE, count))
        yield rows, draw.standard_normal((len(rows), 128), dtype=np.float32) * np.float32(SPREAD)


ROWS_A_THREAD = 50_000  # fewer take less time than starting a thread


def nearest_rows(index: Any, embedding: np.ndarray, count: int) -> np.ndarray:
    """Returns int64 (count,) rows of a flat FAISS index that are nearest to embedding, float32 (128,), nearest first.

    FAISS compares one probe on one core; here each core has a range of the rows, and every row is compared.
    """
    import faiss

    probe = embedding.reshape(1, -1).astype(np.float32)
    parts = min(len(os.sched_getaffinity(0)), max(1, index.ntotal // ROWS_A_THREAD))
    ends = np.linspace(0, index.ntotal, parts + 1, dtype=np.int64)

    def search(part: int) -> tuple[np.ndarray, np.ndarray]:
        faiss.omp_set_num_threads(1)  # each thread has a number of its own
        within = faiss.IDSelectorRange(int(ends[part]), int(ends[part + 1]))
        distances, rows = index.search(probe, count, params=faiss.SearchParameters(sel=within))  # type: ignore[call-arg]
        found = rows[0] >= 0  # a range with fewer rows than asked for is filled up with -1
        return distances[0][found], rows[0][found]

    if parts == 1:
        return np.asarray(search(0)[1])
    with ThreadPoolExecutor(parts) as threads:
        found = list(threads.map(search, range(parts)))
    distances, rows = (np.concatenate(column) for column in zip(*found, strict=True))
    return np.asarray(rows[np.argsort(distances, kind="stable")[:count]])


def measure(path: Path) -> dict[str, float]:
    """Opens the file in this process, as search does, and returns seconds, and MB of resident memory."""
    import faiss

    faiss.omp_set_num_threads(1)  # as search does: for one probe more of them are slower
    process = psutil.Process()
    before = process.memory_full_info()
    started = time.perf_counter()
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    opened, opening = process.memory_full_info(), time.perf_counter() - started
    probes = np.random.default_rng(2).standard_normal((ROUNDS, 128)).astype(np.float32) * np.float32(SPREAD)
    ours, plain = [], []
    for probe in probes:
        started = time.perf_counter()
        _, theirs = index.search(probe[None], CANDIDATES)
        plain.append(time.perf_counter() - started)
        started = time.perf_counter()
        rows = nearest_rows(index, probe, CANDIDATES)
        ours.append(time.perf_counter() - started)
        if set(rows) != set(theirs[0]):
            raise SystemExit("the ranges' nearest faces are not the index's nearest faces")
    after = process.memory_full_info()
    return {
        "faces": index.ntotal,
        "open_s": opening,
        "cold_s": plain[0],
        "warm_s": statistics.median(plain[1:]),
        "ranges_s": statistics.median(ours[1:]),
        "opening_mb": (opened.rss - before.rss) / 1e6,
        "resident_mb": (after.rss - before.rss) / 1e6,
    }


def main(sizes: list[int]) -> None:
    from indexer.search_files import write_faces

    folder = Path(os.environ.get("SCALE_FOLDER") or Path(tempfile.gettempdir()) / "afterfact-scale")
    results = Path(os.environ.get("RESULTS") or folder / "results")
    results.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}\n")
    print(
        f"{'faces':>12} {'open ms':>8} {'cold ms':>8} {'warm ms':>8} {'on all cores':>12} "
        f"{'MB on open':>11} {'MB after':>9}"
    )
    figures = []
    for size in sizes:
        path = folder / f"faces-{size}.faiss"
        try:
            write_faces(path, size, 128, made_up(size))
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
            command = [sys.executable, __file__, "--measure", str(path)]
            out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        finally:
            path.unlink(missing_ok=True)
        one = json.loads(out.splitlines()[-1])
        figures.append(one)
        print(
            f"{size:12,} {one['open_s'] * 1e3:8.1f} {one['cold_s'] * 1e3:8.1f} {one['warm_s'] * 1e3:8.1f} "
            f"{one['ranges_s'] * 1e3:12.1f} {one['opening_mb']:11.1f} {one['resident_mb']:9.1f}"
        )
    print("\nMB after: resident after the queries, pages of the mapped file counted, which the system may take back.")
    (results / "search.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    lines = {
        "cold": [(one["faces"], one["cold_s"]) for one in figures],
        "warm": [(one["faces"], one["warm_s"]) for one in figures],
    }
    write_charts(
        results / "search.svg",
        [Panel("exact search, one probe", "faces", "seconds", lines, {"target": TARGETS}, log="xy")],
    )
    print(f"figures and plot: {results / 'search.json'}, {results / 'search.svg'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main([int(one) for one in sys.argv[1:]] or list(SIZES))
