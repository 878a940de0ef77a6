"""What a list says about the photos or subjects of pairs, which carry no columns of their own."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.pairs import Pairs
from evaluation.samples import Sample
from foundation.errors import InputError, nearest

KEYS = ("photo", "subject")


def describe(pairs: Pairs, path: Path) -> Pairs:
    """Returns the pairs, their samples with the columns that a CSV or Parquet list gives each photo, or each subject.

    The list has a column 'photo' or, without one, 'subject'. Raises InputError for a list that cannot be read, says two
    things of one photo, or names none of the pairs'.
    """
    lines = _lines(path)
    columns = list(lines[0]) if lines else []
    key = next((one for one in KEYS if one in columns), None)
    if key is None:
        near = "".join(nearest(one, columns) for one in KEYS)
        told = ", ".join(columns) or "none"
        raise InputError(f"--about {path} has neither a column 'photo' nor 'subject'{near} (columns: {told})")
    known: dict[str, dict[str, str]] = {}
    for line in lines:
        said = {name: value for name, value in line.items() if name not in KEYS and value}
        if line[key] and known.setdefault(line[key], said) != said:
            raise InputError(f"--about {path} says two things of {key} {line[key]!r}; leave one line of it")
    samples = [_described(one, known, key) for one in pairs.samples]
    if not any(one.columns for one in samples):
        first = pairs.samples[0]
        given = first.name if key == "photo" else first.subject
        raise InputError(
            f"--about {path} says nothing of any of the {len(samples):,} photos: by {key} the first of them is "
            f"{given!r}, and the first of the list is {next(iter(known), '')!r}; write both alike"
        )
    return replace(pairs, samples=samples)


def _described(sample: Sample, known: dict[str, dict[str, str]], key: str) -> Sample:
    named = sample.name if key == "photo" else sample.subject
    return replace(sample, columns={**sample.columns, **known.get(named or "", {})})


def _lines(path: Path) -> Sequence[dict[str, str]]:
    """Returns the list's lines as texts, with an empty one where there is no value."""
    try:
        rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"--about {path} cannot be read ({error}); give a CSV list in UTF-8, or a Parquet list"
        ) from error
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def _csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, strict=True))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"--about {path} line {number} has not the columns of its header; mend the line")
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
