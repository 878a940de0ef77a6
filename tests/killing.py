"""What tests of killed jobs share: the real command, killed hard at drawn points of its way, and what it must leave."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import Home
from indexing import rows_of, search_files

from indexer.gallery import Gallery, read_sealed
from indexer.verify import verify_gallery

SEGMENT_PHOTOS = 4
POLL_SECONDS = 0.001
HANG_SECONDS = 120.0
PHASES = ("starting", "working", "settling", "committing", "indexing", "accounting", "ending")


def start_index(home: Home, archive: Path, *flags: object, **environment: str) -> subprocess.Popen[str]:
    """Starts the real command in a session of its own, so that it and its helpers can be killed together."""
    given = ("--home", home.path, "index", "--gallery", "county", "--archive", archive)
    return subprocess.Popen(
        [sys.executable, "-m", "afterfact", *map(str, (*given, "--segment-photos", SEGMENT_PHOTOS, *flags))],
        env={**os.environ, "AFTERFACT_CREDENTIAL": home.operator.read_text().strip(), **environment},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def session_of(pid: int) -> list[int]:
    """Returns the living processes of the session that this process leads or led."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == pid and state != "Z":
                found.append(int(entry.name))
    return found


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kills the command and its helpers, and sees that none is left."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=HANG_SECONDS)
    deadline = time.monotonic() + HANG_SECONDS
    while session_of(process.pid):
        assert time.monotonic() < deadline, f"processes {session_of(process.pid)} outlived the kill"
        time.sleep(POLL_SECONDS)


def signs(gallery: Gallery, segments: int) -> dict[str, Callable[[], bool]]:
    """Returns how the beginning of each phase is told from the gallery's files, by a command that begins now."""

    def done() -> int:
        return len(list(gallery.runs.glob("*/segments/[!.]*.parquet")))

    before = done()
    return {
        "starting": lambda: True,
        "working": lambda: done() > before if before else any(gallery.runs.glob("*/plan.json")),
        "settling": lambda: done() == segments,
        "committing": lambda: any(gallery.table.glob("*.parquet")),
        "indexing": lambda: any(gallery.table.glob("_delta_log/*0.json")),
        "accounting": lambda: any(gallery.index.glob("0/index.json")),
        "ending": lambda: any(gallery.index.glob("0/index.json")) and not any(gallery.runs.iterdir()),
    }


@dataclass(frozen=True)
class Undisturbed:
    """What one undisturbed command did. seconds: how long each phase took. segments: how many there are."""

    gallery: Gallery
    seconds: dict[str, float]
    segments: int


def watch(home: Home, archive: Path, photos: int) -> Undisturbed:
    """Runs the command without disturbing it, and times its phases by the files that appear."""
    gallery, segments = Gallery(home.path, "county"), -(-photos // SEGMENT_PHOTOS)
    process = start_index(home, archive)
    began: dict[str, float] = {}
    waiting = signs(gallery, segments)
    while process.poll() is None:
        for phase in list(waiting):
            if not waiting[phase]():
                break
            began[phase] = time.monotonic()
            del waiting[phase]
        time.sleep(POLL_SECONDS)
    _, err = process.communicate()
    assert process.returncode == 0, err
    times = [*(began.get(phase, time.monotonic()) for phase in signs(gallery, segments)), time.monotonic()]
    lasted = {phase: later - own for phase, own, later in zip(signs(gallery, segments), times, times[1:], strict=False)}
    return Undisturbed(gallery, lasted, segments)


def kill_once(home: Home, archive: Path, phase: str, undisturbed: Undisturbed, draw: random.Random) -> str:
    """Runs the command, kills it at a drawn moment of the phase, and returns where that was.

    Empty where the command came to its end before.
    """
    gallery = Gallery(home.path, "county")
    has_begun = signs(gallery, undisturbed.segments)[phase]
    delay = draw.uniform(0, undisturbed.seconds[phase])
    if phase != "starting" and has_begun():  # begun by the command before: any moment, then
        delay = draw.uniform(0, sum(undisturbed.seconds.values()))
    process = start_index(home, archive)
    deadline = time.monotonic() + HANG_SECONDS
    while not has_begun() and process.poll() is None:
        assert time.monotonic() < deadline, f"{phase} was never reached"
        time.sleep(POLL_SECONDS)
    try:
        process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
        kill_all(process)
        return f"{phase}+{delay:.3f}"
    _, err = process.communicate()
    assert process.returncode == 0, err
    return ""


def finish(home: Home, archive: Path, *flags: object) -> None:
    """Runs the command to its end."""
    process = start_index(home, archive, *flags)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err


def settled(gallery: Gallery) -> dict[str, dict[str, Any]]:
    """Returns the rows of a gallery by location, without what differs from run to run."""
    return {
        row["location"]: {name: value for name, value in row.items() if name not in ("row", "run")}
        for row in rows_of(gallery).values()
    }


def assert_as_undisturbed(gallery: Gallery, undisturbed: Gallery) -> None:
    """Sees that a gallery holds, to the bit, what the undisturbed one holds, and that nothing is left over."""
    assert gallery.version_numbers() == [0]
    assert settled(gallery) == settled(undisturbed)
    vectors, labels = search_files(gallery)
    other_vectors, other_labels = search_files(undisturbed)
    assert vectors == other_vectors
    assert labels.drop_columns(["row"]).equals(other_labels.drop_columns(["row"]))
    (ours, theirs) = (one.version().about["account"] for one in (gallery, undisturbed))
    assert ours["accounting"] == theirs["accounting"]
    assert read_sealed(gallery.accounts / f"{ours['run']}.json")["accounting"] == theirs["accounting"]
    assert gallery.version().about["outcomes"] == undisturbed.version().about["outcomes"]
    assert list(gallery.runs.iterdir()) == []
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
