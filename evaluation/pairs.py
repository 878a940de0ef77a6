"""Pairs of photos, told to show one person or two: LFW's pairs.txt, or a CSV list."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.samples import Sample, number_subjects, require_there
from foundation.errors import InputError, nearest

MOST_FOLDS = 10
LFW = "pairs.txt of LFW starts with the number of folds and of pairs of each kind a fold"
COLUMNS = ("photo_a", "photo_b", "same")
YES, NO = {"1", "true", "yes", "same"}, {"0", "false", "no", "different"}


@dataclass(frozen=True)
class Pairs:
    """Pairs to compare.

    samples: each photo once. subjects: int64 (samples,), a number for each subject; where the list names none, photos
    that it calls the same person are one. first, second: int64 (n,), places in samples. same: bool (n,). folds: int64
    (n,), all 0 where the pairs cannot be parted without a subject on both sides. named: whether all subjects are named.
    """

    samples: list[Sample]
    subjects: np.ndarray
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    named: bool

    @property
    def fold_count(self) -> int:
        """How many folds there are."""
        return len(np.unique(self.folds))


@dataclass(frozen=True)
class _Line:
    where: str
    first: str
    second: str
    same: bool
    subjects: tuple[str | None, str | None]
    fold: str | None


def read_pairs(path: Path, root: Path | None) -> Pairs:
    """Returns the pairs of LFW's pairs.txt, or of a .csv with the columns photo_a, photo_b and same.

    root: the folder that photos start from; the list's own unless given. Raises InputError for a list that is
    malformed, names missing photos, has pairs of one kind only, or has a subject in two folds.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save the list as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); name pairs.txt or a CSV list") from error
    lines = list(_csv_lines(path, text) if path.suffix.lower() == ".csv" else _lfw_lines(path, text))
    alike = sum(line.same for line in lines)
    if alike in (0, len(lines)):
        kind = "one person" if alike else "two people"
        raise InputError(f"all {len(lines):,} pairs of {path} show {kind}; rates of error need pairs of both kinds")
    pairs = _pairs(lines, root or path.parent, path)
    require_there(pairs.samples, str(path))
    return pairs


def _lfw_lines(path: Path, text: str) -> Iterator[_Line]:
    head, *rows = text.splitlines() or [""]
    numbers = head.split()
    if not numbers or len(numbers) > 2 or not all(one.isdigit() for one in numbers):
        raise InputError(f"{path} begins with {head[:40]!r}; {LFW}, and another list has to end in .csv")
    folds, each = (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (1, int(numbers[0]))
    if not folds or len(rows) != folds * 2 * each:
        raise InputError(f"{path} has {len(rows):,} pairs and states {folds} folds of 2 x {each}; take a whole file")
    for number, row in enumerate(rows):
        where, words = f"{path.name} line {number + 2}", row.split("\t")
        if len(words) not in (3, 4) or not (words[1].isdigit() and words[-1].isdigit()):
            raise InputError(f"{where} is {row[:60]!r}; give name, number, number, or name, number, name, number")
        names = words[0], words[0] if len(words) == 3 else words[2]
        numbered = zip(names, (words[1], words[-1]), strict=True)
        first, second = (f"{name}/{name}_{int(which):04d}.jpg" for name, which in numbered)
        yield _Line(where, first, second, names[0] == names[1], names, str(number // (2 * each)))


def _csv_lines(path: Path, text: str) -> Iterator[_Line]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = list(reader.fieldnames or [])
        for name in COLUMNS:
            if name not in columns:
                there = ", ".join(columns) or "none"
                raise InputError(f"{path} has no column {name!r}{nearest(name, columns)} (columns: {there})")
        for row in reader:
            yield _csv_line(f"{path.name} line {reader.line_num}", row)
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} is not valid CSV ({error})") from error


def _csv_line(where: str, row: dict[str, Any]) -> _Line:
    if None in row or None in row.values():
        raise InputError(f"{where} has not the columns of its header; mend the line")
    told = row["same"].strip().lower()
    if told not in YES | NO:
        raise InputError(f"{where}: same is {row['same']!r}; give 1 for one person or 0 for two")
    if not row["photo_a"] or not row["photo_b"]:
        raise InputError(f"{where} names one photo only; name two, or take the line out")
    subjects = row.get("subject_a") or None, row.get("subject_b") or None
    if None not in subjects and (subjects[0] == subjects[1]) != (told in YES):
        raise InputError(f"{where}: same is {row['same']!r} and the subjects are {subjects[0]!r} and {subjects[1]!r}")
    return _Line(where, row["photo_a"], row["photo_b"], told in YES, subjects, row.get("fold") or None)


def _pairs(lines: list[_Line], root: Path, path: Path) -> Pairs:
    subjects: dict[str, str | None] = {}
    for line in lines:
        for photo, subject in zip((line.first, line.second), line.subjects, strict=True):
            if subjects.setdefault(photo, subject) != subject:
                raise InputError(f"{line.where}: {photo} is of subject {subject!r}, before of {subjects[photo]!r}")
    samples = [Sample(photo, str(root / photo), subject) for photo, subject in subjects.items()]
    place = {photo: number for number, photo in enumerate(subjects)}
    first = np.array([place[line.first] for line in lines], dtype=np.int64)
    second = np.array([place[line.second] for line in lines], dtype=np.int64)
    same = np.array([line.same for line in lines], dtype=bool)
    numbers = _linked(number_subjects(list(subjects.values())), first[same], second[same])
    given = sum(line.fold is not None for line in lines)
    if given not in (0, len(lines)):
        raise InputError(f"{path} names a fold for {given:,} of its {len(lines):,} pairs; name it for all or for none")
    if given:
        folds = number_subjects([line.fold for line in lines])
        _require_apart(lines, folds, subjects)
    else:
        folds = _parted(first, _linked(numbers, first, second))
    return Pairs(samples, numbers, first, second, same, folds, None not in subjects.values())


def _require_apart(lines: list[_Line], folds: np.ndarray, subjects: dict[str, str | None]) -> None:
    """Raises InputError where a subject is in two folds: its threshold would be chosen on the same face."""
    seen: dict[str, int] = {}
    for line, fold in zip(lines, folds.tolist(), strict=True):
        for photo in (line.first, line.second):
            who = subjects[photo] or photo
            if seen.setdefault(who, fold) != fold:
                raise InputError(
                    f"{line.where}: subject {who!r} is in two folds, on both sides of the split that chooses the "
                    "threshold; keep each subject in one fold"
                )


def _parted(first: np.ndarray, linked: np.ndarray) -> np.ndarray:
    """Returns folds such that nobody, nor anybody they are compared with, is in two: as even as that allows, ten at
    most. linked: int64 (photos,), one number for all photos that some chain of pairs connects."""
    groups: dict[int, list[int]] = defaultdict(list)
    for number, group in enumerate(linked[first].tolist()):
        groups[group].append(number)
    folds = np.zeros(len(first), dtype=np.int64)
    filled = [0] * min(MOST_FOLDS, len(groups))
    for members in sorted(groups.values(), key=lambda one: (-len(one), one[0])):
        least = filled.index(min(filled))
        folds[members] = least
        filled[least] += len(members)
    return folds


def _linked(numbers: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns numbers, int64 (photos,), made one for all that pairs of photos connect."""
    parent = list(range(int(numbers.max()) + 1))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one

    for a, b in zip(numbers[first].tolist(), numbers[second].tolist(), strict=True):
        parent[root(a)] = root(b)
    _, joined = np.unique([root(one) for one in numbers.tolist()], return_inverse=True)
    return joined.astype(np.int64)
