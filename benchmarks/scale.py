"""`make bench-scale`: the real index command over N distinct photos, its time and all its processes' memory.

Then the same command with nothing to do, and with 1,000 photos more. The archive is made of AFTERFACT_DATA's photos
(drawn ones where that is absent), each with a JPEG comment of its own, and stays in SCALE_FOLDER for the next time.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import tree_bytes

from foundation.chart import Panel, write_charts

A_FOLDER, ADDED, SAMPLE_SECONDS, WINDOWS = 1_000, 1_000, 0.5, 30
NAMES = {"first": "all photos new", "second": "nothing to do", "added": "1,000 photos more"}


def source_photos(folder: Path) -> list[bytes]:
    """Returns the JPEG files to make the archive of: mugshots, LFW and London in turn, or drawn ones."""
    data = Path(os.environ.get("AFTERFACT_DATA", "../shared/data"))
    sets = [sorted(data.glob(pattern)) for pattern in ("meds/img/*.jpg", "lfw/*/*.jpg", "london/*.jpg")]
    if not any(sets):
        from demo.archive import draw_archive

        print(f"{data} holds no real photos (set AFTERFACT_DATA); the archive is made of drawn ones")
        if not (folder / "drawn").is_dir():
            draw_archive(folder / "drawn", subjects=200, encounters=2, seed=1, with_spoiled=False)
        sets = [sorted((folder / "drawn" / "photos").glob("*/*.jpg"))]
    sets = [one for one in sets if one]
    longest = max(len(one) for one in sets)
    return [one[number % len(one)].read_bytes() for number in range(longest) for one in sets]


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """Returns the same picture as another file: a COM segment behind the start of the image."""
    text = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def write_photos(archive: Path, photos: list[bytes], numbers: range) -> None:
    for number in numbers:
        folder = archive / f"{number // A_FOLDER:05d}"
        if number == numbers.start or number % A_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        photo = with_comment(photos[number % len(photos)], f"photo {number}")
        (folder / f"{number:08d}.jpg").write_bytes(photo)


def make_archive(folder: Path, photos: list[bytes], count: int) -> Path:
    """Returns the archive of count photos, made anew unless it is there and whole; what a run added is taken out."""
    archive, whole = folder / "archive", folder / "archive.json"
    made_of = {"photos": count, "sources": len(photos), "bytes": sum(map(len, photos))}
    if not whole.is_file() or json.loads(whole.read_text()) != made_of:
        whole.unlink(missing_ok=True)
        shutil.rmtree(archive, ignore_errors=True)
        started = time.perf_counter()
        write_photos(archive, photos, range(count))
        whole.write_text(json.dumps(made_of))
        print(f"archive of {count:,} photos written in {time.perf_counter() - started:.0f} s: {archive}")
    for number in range(count, count + ADDED):
        (archive / f"{number // A_FOLDER:05d}" / f"{number:08d}.jpg").unlink(missing_ok=True)
    return archive


def afterfact(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "afterfact", "--home", str(home), *arguments]


def index(home: Path, archive: Path, credential: Path) -> dict[str, Any]:
    """Runs the index command and returns its figures and samples of (seconds, bytes of memory, photos done)."""
    command = afterfact(home, "index", "--gallery", "scale", "--archive", str(archive))
    command += ["--credential-file", str(credential), "--json", "--quiet"]
    gallery = home / "galleries" / "scale"
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said)
        samples, manifest, settling, runs = [], None, None, 0
        while process.poll() is None:
            plan = next(gallery.glob("runs/*/plan.json"), None)
            seconds = time.perf_counter() - started
            done = 0
            if plan is not None:
                manifest = manifest or seconds
                sizes = list(_sizes(plan.parent))
                runs = max(runs, sum(size for _, size in sizes))
                done = _photos_done(plan, sum(name.endswith(".parquet") and name[0] != "." for name, _ in sizes) - 2)
                settling = settling or (seconds if done == _looked_at(plan) else None)
            samples.append((seconds, tree_bytes(process.pid), done))
            time.sleep(SAMPLE_SECONDS)
        total = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
        said.seek(0)
        told = json.loads(said.read())
    looked_at = told["accounting"]["planned"] - told["accounting"]["held"] - told["accounting"]["updated"]
    return {
        "seconds": total,
        "manifest_seconds": manifest or 0.0,
        "publish_seconds": total - settling if settling else 0.0,
        "photos_a_second": looked_at / total,
        "peak_bytes": max(memory for _, memory, _ in samples),
        "disk_bytes": {"table": tree_size(gallery / "table"), "index": tree_size(gallery / "index"), "runs": runs},
        "accounting": told["accounting"],
        "samples": samples,
    }


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for path in folder.rglob("*"):
        try:
            yield path.name, path.stat().st_size
        except FileNotFoundError:  # a temporary file, or the whole run, is gone meanwhile
            continue


def tree_size(folder: Path) -> int:
    return sum(size for name, size in _sizes(folder))


def _read(plan: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(plan.read_text())
    except FileNotFoundError:
        return {"looked_at": 0, "segments": 0}
    return content


def _photos_done(plan: Path, segments: int) -> int:
    read = _read(plan)
    return round(read["looked_at"] * segments / read["segments"]) if read["segments"] else 0


def _looked_at(plan: Path) -> int:
    return int(_read(plan)["looked_at"])


def rates(samples: list[tuple[float, int, int]]) -> list[tuple[float, float]]:
    """Returns (seconds, photos a second) of each of some thirty windows; photos are done a segment at a time."""
    points, (begin, _, before) = [], samples[0]
    window = (samples[-1][0] - begin) / WINDOWS
    for seconds, _, done in samples:
        if seconds - begin >= window and done >= before:
            points.append((seconds, (done - before) / (seconds - begin)))
            begin, before = seconds, done
    return points


def print_table(figures: dict[str, dict[str, Any]]) -> None:
    print(f"\n{'':20} {'manifest s':>10} {'publish s':>10} {'total s':>9} {'photos/s':>9} {'peak MB':>8}", end="")
    print(f" {'table MB':>9} {'index MB':>9} {'runs MB':>8}")
    for name, says in NAMES.items():
        one = figures[name]
        disk = {part: size / 1e6 for part, size in one["disk_bytes"].items()}
        print(
            f"{says:20} {one['manifest_seconds']:10.1f} {one['publish_seconds']:10.1f} {one['seconds']:9.1f} "
            f"{one['photos_a_second']:9.1f} {one['peak_bytes'] / 1e6:8.0f} {disk['table']:9.1f} {disk['index']:9.1f} "
            f"{disk['runs']:8.1f}"
        )
    for name, says in NAMES.items():
        print(f"{says}: {json.dumps(figures[name]['accounting'])}")


def write_results(results: Path, about: dict[str, Any], figures: dict[str, dict[str, Any]]) -> None:
    results.mkdir(parents=True, exist_ok=True)
    stem = results / f"scale-{about['photos']}"
    stem.with_suffix(".json").write_text(json.dumps({**about, "runs": figures}, indent=1) + "\n", encoding="utf-8")
    samples = figures["first"]["samples"]
    memory = [(seconds, memory / 1e6) for seconds, memory, _ in samples]
    panels = [Panel(f"{about['photos']:,} photos: memory of all processes (PSS)", "seconds", "MB", {"": memory}, {})]
    if rate := rates(samples):
        panels.insert(0, Panel(f"{about['photos']:,} photos: speed", "seconds", "photos/s", {"": rate}, {}))
    write_charts(stem.with_suffix(".svg"), panels)
    print(f"\nfigures and plot: {stem}.json, {stem}.svg")


def main(count: int) -> None:
    folder = Path(os.environ.get("SCALE_FOLDER") or Path(tempfile.gettempdir()) / "afterfact-scale") / str(count)
    folder.mkdir(parents=True, exist_ok=True)
    photos = source_photos(folder)
    archive = make_archive(folder, photos, count)
    home, credential = folder / "home", folder / "operator.credential"
    shutil.rmtree(home, ignore_errors=True)
    credential.unlink(missing_ok=True)
    subprocess.run(
        afterfact(home, "init", "--operator", "Bench", "--save-credential", str(credential)),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    about = {"photos": count, "machine": platform.machine(), "cores": len(os.sched_getaffinity(0))}
    print(f"{about['machine']}, {about['cores']} cores, Python {platform.python_version()}, {count:,} photos")
    print("memory: PSS of all processes together (/proc/PID/smaps_rollup, by psutil), every half second")
    steps: dict[str, Callable[[], None]] = {
        "first": lambda: None,
        "second": lambda: None,
        "added": lambda: write_photos(archive, photos, range(count, count + ADDED)),
    }
    figures = {}
    for name, prepare in steps.items():
        prepare()
        figures[name] = index(home, archive, credential)
    print_table(figures)
    write_results(Path(os.environ.get("RESULTS") or folder.parent / "results"), about, figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
