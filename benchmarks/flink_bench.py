"""`make bench-flink`: Flink with two one-core workers beside the local runner's two processes, on the same archive.

Start-up is shown apart: rates count from a worker's first photo to the last segment. The cost of a segment comes from
the same work cut into small segments and into those of 512 photos. Paired rounds, medians.
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
from pathlib import Path
from typing import Any

from scale import afterfact, make_archive, source_photos

HOUSE = Path(__file__).parent.parent
sys.path.insert(0, str(HOUSE / "tests"))

import flinks  # noqa: E402 - found where the tests keep it

ROUNDS = int(os.environ.get("ROUNDS") or 3)
SAMPLE_SECONDS = 0.1
LARGE, SMALL = 512, 64
LOCAL = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def index(
    home: Path, archive: Path, credential: Path, segment: int, flags: list[str], gallery: str
) -> dict[str, float]:
    """Runs the index command and returns its seconds: start-up, work, the end, and all together."""
    command = afterfact(home, "index", "--gallery", gallery, "--archive", str(archive), "--workers", "2")
    command += ["--segment-photos", str(segment), "--credential-file", str(credential), "--json", "--quiet"]
    folder = home / "galleries" / gallery
    began = time.perf_counter()
    first = last = None
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*command, "--", *flags], stdout=said)
        segments = None
        while process.poll() is None:
            plan = next(folder.glob("runs/*/plan.json"), None)
            if plan is not None:
                segments = segments or json.loads(plan.read_text())["segments"]
                done = len(list(plan.parent.glob("segments/[!.]*.parquet")))
                if first is None and any(plan.parent.glob("beats-*/*")):
                    first = time.perf_counter()
                if last is None and done == segments:
                    last = time.perf_counter()
            time.sleep(SAMPLE_SECONDS)
        total = time.perf_counter() - began
        said.seek(0)
        if process.returncode or first is None or last is None:
            raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
        photos = sum(one["photos"] for one in json.loads(said.read())["done_by"])
    work = last - first
    return {"start": first - began, "work": work, "end": total - (last - began), "total": total, "rate": photos / work}


def main(count: int) -> None:
    if flinks.why_not():
        raise SystemExit(f"bench-flink: {flinks.why_not()}")
    with tempfile.TemporaryDirectory(prefix="afterfact-flink-") as name:
        folder = Path(name)
        archive = make_archive(folder, source_photos(folder), count)
        home, credential = folder / "home", folder / "operator.credential"
        made = afterfact(home, "init", "--operator", "Bench", "--save-credential", str(credential))
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        figures: dict[str, list[dict[str, float]]] = {}
        with flinks.running_flink(folder / "flink", 2, one_core_each=True) as cluster:
            contestants: dict[str, tuple[int, list[str]]] = {
                "local runner, 2 processes": (LARGE, LOCAL),
                "Flink, 2 one-core workers": (LARGE, cluster.flags),
                f"Flink, segments of {SMALL}": (SMALL, cluster.flags),
            }
            for turn in range(ROUNDS):
                for number, (says, (segment, flags)) in enumerate(contestants.items()):
                    one = index(home, archive, credential, segment, flags, f"bench-{turn}-{number}")
                    figures.setdefault(says, []).append(one)
                    print(f"round {turn + 1}, {says}: {one['rate']:.1f} photos/s", file=sys.stderr)
            print_figures(figures, count, cluster.namespaces)


def print_figures(figures: dict[str, list[dict[str, float]]], count: int, namespaces: bool) -> None:
    """Prints medians, Flink's share of the local rate in each round's pair, and what a segment costs."""
    apart = "a network namespace each" if namespaces else "one pool for both"
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {count:,} photos, {ROUNDS} rounds, {apart}\n")
    print(f"{'':28}{'photos/s':>10}{'start-up s':>12}{'work s':>9}{'end s':>8}{'total s':>9}")
    middle: dict[str, dict[str, Any]] = {}
    for says, rounds in figures.items():
        middle[says] = {part: statistics.median(one[part] for one in rounds) for part in rounds[0]}
        one = middle[says]
        print(
            f"{says:28}{one['rate']:>10.1f}{one['start']:>12.1f}{one['work']:>9.1f}{one['end']:>8.1f}{one['total']:>9.1f}"
        )
    local, large, small = figures.values()
    shares = [ours["rate"] / theirs["rate"] for ours, theirs in zip(large, local, strict=True)]
    each = ", ".join(f"{share:.1%}" for share in shares)
    print(f"\nFlink's rate over the local runner's: {statistics.median(shares):.1%} ({each})")
    more = count / SMALL - count / LARGE
    costs = [2 * (one["work"] - other["work"]) / more for one, other in zip(small, large, strict=True)]
    cost, photo = statistics.median(costs), 2 * statistics.median(one["work"] for one in large) / count
    print(f"a segment costs {cost * 1000:.1f} ms of a core, {cost / (LARGE * photo):.2%} of one with {LARGE} photos")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)
