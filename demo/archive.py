"""A whole archive of drawn booking photos: pictures, the list of them, and probes that were held back."""

from __future__ import annotations

import csv
import datetime
import io
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.people import invent_person
from demo.portraits import draw_portrait, portrait_jpeg
from demo.spoiled import Spoiled, write_spoiled
from foundation.errors import InputError

COLUMNS = ["photo", "subject", "encounter", "taken", "disposition", "height_cm", "agency_no"]
DISPOSITIONS = ["charged", "released", "convicted", "dismissed"]
ABOUT_TITLE = "A drawn archive"

_FIRST_DAY = datetime.datetime(2016, 1, 4, 6, 0, tzinfo=datetime.UTC)
_LINES = 3  # which stream of the seed: the list's columns
_SPOILED_SUBJECTS = 1_000_000  # whose faces the spoiled files show; above every number a subject can have

Row = tuple[str | int, ...]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DrawnArchive:
    """What was written: its list, and how many photos, spoiled files and probes."""

    list_path: Path
    photos: int
    probes: int
    spoiled: list[Spoiled]


def draw_archive(
    out: Path,
    *,
    subjects: int,
    encounters: int,
    seed: int,
    workers: int | None = None,
    on_progress: Progress = lambda done, total: None,
    with_spoiled: bool = True,
    force: bool = False,
) -> DrawnArchive:
    """Draws subjects x encounters photos and one probe a subject below out, and lists the photos in archive.csv.

    The same numbers always give the same bytes, whatever workers is (default: one a core). on_progress gets the
    number of subjects done and their total. Raises InputError where out holds something; with force, a drawn archive
    that lies there is replaced and anything else is still refused.
    """
    _make_room(out, force)
    _write_text(out / "ABOUT.txt", _about(subjects, encounters, seed, []))
    tasks = [(str(out), seed, subject, encounters) for subject in range(1, subjects + 1)]
    for done, _ in enumerate(_each(tasks, workers or os.cpu_count() or 1), start=1):
        on_progress(done, subjects)
    spoiled: list[Spoiled] = []
    if with_spoiled:
        faces = (draw_portrait(seed, _SPOILED_SUBJECTS + number, 1) for number in (1, 2))
        spoiled = write_spoiled(out / "photos" / "spoiled", *faces)
    rows = [row for subject in range(1, subjects + 1) for row in _rows(seed, subject, encounters)]
    rows += [_spoiled_row(seed, number, item) for number, item in enumerate(spoiled, start=1)]
    _write_text(out / "archive.csv", _csv_text(rows))
    _write_text(out / "ABOUT.txt", _about(subjects, encounters, seed, spoiled))
    return DrawnArchive(out / "archive.csv", subjects * encounters, subjects, spoiled)


def holds_archive(out: Path, *, subjects: int, encounters: int, seed: int, with_spoiled: bool = True) -> bool:
    """Tells whether the whole archive of these numbers lies in out already."""
    about, first = out / "ABOUT.txt", _drawn_by(subjects, encounters, seed, with_spoiled)
    # ABOUT.txt gets its last form when everything else is written.
    return (
        (out / "archive.csv").is_file() and about.is_file() and first in about.read_text("utf-8", "replace").split("\n")
    )


def subject_name(subject: int) -> str:
    """Returns the name of a subject in the list, such as S0042."""
    return f"S{subject:04d}"


def _make_room(out: Path, force: bool) -> None:
    try:
        held = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
        if held:
            _clear(out, held, force)
        for folder in ("photos", "probes"):
            (out / folder).mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}; name a folder that can") from error


def _clear(out: Path, held: list[str], force: bool) -> None:
    """Removes the drawn archive in out; never anything that was not drawn, for --force is easily typed."""
    if not force:
        raise InputError(f"{out} is not empty (it holds {held[0]!r}); name a new folder, or add --force to draw anew")
    about = out / "ABOUT.txt"
    ours = {"ABOUT.txt", "archive.csv", "photos", "probes"}
    if not about.is_file() or not about.read_text("utf-8", "replace").startswith(ABOUT_TITLE) or set(held) - ours:
        other = next((name for name in held if name not in ours), held[0])
        raise InputError(
            f"{out} holds {other!r}, which no drawn archive wrote; --force will not remove it: name a new folder"
        )
    for folder in ("photos", "probes"):
        shutil.rmtree(out / folder, ignore_errors=True)
    (out / "archive.csv").unlink(missing_ok=True)


def _each(tasks: list[tuple[str, int, int, int]], workers: int) -> Iterator[None]:
    """Yields once for every task done, in order."""
    workers = min(workers, len(tasks))
    if workers == 1:
        yield from map(_draw_subject, tasks)
        return
    # Spawned, not forked: the caller may hold threads, and a forked copy of a locked allocator hangs.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_draw_subject, tasks, chunksize=4)


def _draw_subject(task: tuple[str, int, int, int]) -> None:
    out, seed, subject, encounters = task
    name = subject_name(subject)
    folder = Path(out) / "photos" / name
    folder.mkdir()
    for encounter in range(1, encounters + 1):
        (folder / f"{name}-{encounter}.jpg").write_bytes(portrait_jpeg(seed, subject, encounter))
    (Path(out) / "probes" / f"{name}.jpg").write_bytes(portrait_jpeg(seed, subject, encounters + 1))


def _rows(seed: int, subject: int, encounters: int) -> Iterator[Row]:
    rng = np.random.default_rng([seed, subject, _LINES])
    name = subject_name(subject)
    height = round(float(rng.normal(164 if invent_person(seed, subject).woman else 178, 7)))
    agency = int(rng.integers(1, 6))
    taken = _FIRST_DAY + datetime.timedelta(minutes=int(rng.integers(0, 4 * 365 * 1440)))
    for encounter in range(1, encounters + 1):
        disposition = DISPOSITIONS[int(rng.integers(len(DISPOSITIONS)))]
        number = f"{agency:02d}-{int(rng.integers(1, 1_000_000)):06d}"
        yield f"photos/{name}/{name}-{encounter}.jpg", name, encounter, taken.isoformat(), disposition, height, number
        taken += datetime.timedelta(minutes=int(rng.integers(20 * 1440, 500 * 1440)))


def _spoiled_row(seed: int, number: int, spoiled: Spoiled) -> Row:
    _, _, *rest = next(_rows(seed, _SPOILED_SUBJECTS + number, 1))
    return f"photos/spoiled/{spoiled.name}", f"X{number:04d}", *rest


def _csv_text(rows: Iterable[Row]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return stream.getvalue()


def _about(subjects: int, encounters: int, seed: int, spoiled: list[Spoiled]) -> str:
    lines = [
        ABOUT_TITLE,
        "",
        "Every person in these pictures is invented. No photo of a real person was used: the faces are drawn by a",
        "program from random numbers, and any likeness is chance. So are the dates, heights, numbers and dispositions.",
        "",
        _drawn_by(subjects, encounters, seed, bool(spoiled)),
        f"photos/      {subjects} subjects, {encounters} encounters each",
        "archive.csv  the list of the photos",
        f"probes/      encounter {encounters + 1} of every subject, which is not in the list: photos to search with",
    ]
    if spoiled:
        lines += [
            "",
            "photos/spoiled/ holds bad and odd files, each a line of the list. What indexing should say of them:",
        ]
        lines += [f"  {item.name!a}: {' or '.join(sorted(item.expected))}. {item.about}" for item in spoiled]
    return "\n".join(lines) + "\n"


def _drawn_by(subjects: int, encounters: int, seed: int, with_spoiled: bool) -> str:
    left_out = "" if with_spoiled else " --no-spoiled"
    return (
        f"Drawn by: afterfact demo archive OUT --subjects {subjects} --encounters {encounters} --seed {seed}{left_out}"
    )


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
