"""The tables by group of `make accuracy`: London's and MEDS' photos, whose lists state who is in which group."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.cache import Template
from evaluation.pairs import Pairs
from evaluation.samples import Sample, number_subjects, require_there
from evaluation.verification import measure_verification
from indexer.grouping import By

LONDON, MEDS = "Face Research Lab London Set", "MEDS-II (NIST Special Database 32)"


def london(data: Path) -> list[Sample]:
    """Returns the photos of the Face Research Lab London Set, with what its list says of each person."""
    folder = data / "london"
    with (folder / "london_info.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Sample(
            name, str(folder / name), row["face_id"], None, {"sex": row["face_gender"], "ethnicity": row["face_eth"]}
        )
        for row in rows
        for name in (f"{int(row['face_id']):03}_{which}.jpg" for which in ("neutral", "smiling"))
    ]


def meds(data: Path) -> list[Sample]:
    """Returns the booking photos of MEDS-II, with what its list says of each person."""
    folder = data / "meds"
    with (folder / "meds.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = ("sex", "race")
    return [
        Sample(
            row["file"], str(folder / "img" / row["file"]), row["subject_id"], None, {one: row[one] for one in columns}
        )
        for row in rows
    ]


SETS: dict[str, tuple[Callable[[Path], list[Sample]], str]] = {
    LONDON: (london, "sex,ethnicity"),
    MEDS: (meds, "sex,race"),
}


def group_tables(data: Path, make: Callable[[Pairs], list[Template]], seed: int) -> Iterator[str]:
    """Yields a part of the page for each set. make: returns the templates of the photos of pairs."""
    for name, (read, by) in SETS.items():
        samples = read(data)
        require_there(samples, name)
        pairs = every_pair(samples)
        groups = By.read(by).groups([one.columns for one in samples], name)
        measured = measure_verification(pairs, make(pairs), seed, groups)
        told = measured.result["groups"]
        yield "\n".join(
            [
                f"## By group: {name}",
                "",
                f"{len(samples):,} photos of {measured.result['subjects']:,} people; each photo is compared with each "
                f"other, at one cut-off for all: distance {told['cut_off']:.4f}, {told['chosen']}.",
                *(line for one in told["groupings"] for line in _table(one)),
                "",
                *(f"- {line}" for line in measured.summary if line.startswith("By ")),
            ]
        )


def every_pair(samples: Sequence[Sample]) -> Pairs:
    """Returns all pairs of one person, and one pair of each person and the next."""
    photos = defaultdict(list)
    for place, one in enumerate(samples):
        photos[one.subject].append(place)
    people = list(photos.values())
    same = [pair for places in people for pair in combinations(places, 2)]
    other = [(one[0], two[0]) for one, two in pairwise(people)]
    first, second = np.array([*same, *other], dtype=np.int64).T
    alike = np.arange(len(first)) < len(same)
    numbers = number_subjects([one.subject for one in samples])
    return Pairs(list(samples), numbers, first, second, alike, np.zeros(len(first), dtype=np.int64), True)


def _table(grouping: dict[str, Any]) -> Iterator[str]:
    measures = grouping["measures"]
    yield ""
    yield f"| {' and '.join(grouping['by'])} | subjects | {' | '.join(one['measure'] for one in measures)} |"
    yield f"|{' --- |' * (len(measures) + 2)}"
    for lines in zip(*([one["all"], *one["groups"]] for one in measures), strict=True):
        subjects = max(one["subjects"] for one in lines)
        yield f"| {lines[0]['group']} | {subjects:,} | {' | '.join(_told(one) for one in lines)} |"


def _told(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return str(rate["lacks"])
    ends = "" if rate["interval"] is None else " ({:.2%} to {:.2%})".format(*rate["interval"])
    return f"{rate['value']:.2%}{ends}"
