"""What an archive holds: a folder walked, a zip or tar file's headers or a list read, each photo once."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from foundation.errors import InputError, nearest
from indexer.containers import ArchiveError, is_container, list_members
from indexer.job import IndexJob
from indexer.locations import location_of, readable
from indexer.outcomes import Outcome
from indexer.schema import LISTED
from indexer.suffixes import PHOTO_SUFFIXES

OWN_COLUMNS = ("photo", "subject", "encounter", "taken", "disposition")
# Written by us into the list of rejections, which may come back as a list to retry.
OUR_COLUMNS = frozenset({"rejected_as", "rejected_because"})
BATCH = 10_000  # photos


@dataclass(frozen=True)
class Listing:
    """An archive's photos. photos: a table of indexer.schema.LISTED, in the list's order.

    repeated: lines that name a photo a second time, as (photo, subject, detail). left_out: what is
    passed over, counted: files of a folder or container that are no photos, by their suffix; a container's folders;
    links to folders, which are not followed; lines of a list of rejections whose photo is held as a duplicate.
    """

    photos: pa.Table
    repeated: list[tuple[str, str | None, str]]
    left_out: dict[str, int]


def list_archive(job: IndexJob) -> Listing:
    """Returns what the archive holds now. Reads no photo, only sizes and times.

    Raises InputError for a list that is malformed, ArchiveError for a folder or container that cannot be read.
    """
    left_out: Counter[str] = Counter()
    if is_container(job.archive):
        return _list_container(job.archive.resolve(), job.folder_subjects, left_out)
    if job.archive.is_dir():
        lines = _walk(job.archive.resolve(), job.folder_subjects, left_out)
    elif job.archive.suffix.lower() == ".parquet":
        lines = _parquet_lines(job.archive)
    elif job.archive.suffix.lower() == ".csv":
        lines = _csv_lines(job.archive, left_out)
    else:
        raise InputError(f"archive {job.archive} is neither a folder, a .zip or .tar file nor a .csv or .parquet list")
    return _listing(lines, job.archive_root, left_out)


Line = tuple[str, dict[str, str | None]]  # where it stands, for messages; column -> text


def _list_container(container: Path, folder_subjects: bool, left_out: Counter[str]) -> Listing:
    found = list_members(container, left_out)
    last = {one.name: number for number, one in enumerate(found)}
    rows, repeated = [], []
    for number, one in enumerate(found):
        subject = _folder_subject(one.name, folder_subjects)
        if last[one.name] == number:
            location = location_of(str(container), one.name)
            rows.append(_row(location, one.name, one.bytes, one.modified, one.place, {"subject": subject}))
        else:  # unpacked, the last one is what would be there
            detail = "a later member of the same name stands in its place"
            repeated.append((readable(one.name), subject, detail))
    return Listing(_table(rows), repeated, left_out)


def _folder_subject(path: str, folder_subjects: bool) -> str | None:
    folder, _, inner = path.partition("/")
    return readable(folder) if folder_subjects and inner else None


def _row(
    location: str, photo: str, size: int, modified: int, place: str | None, line: dict[str, str | None]
) -> tuple[Any, ...]:
    """Returns a photo's values in the order of indexer.schema.LISTED."""
    further = {name: text for name, text in line.items() if name not in OWN_COLUMNS and text is not None}
    named = (line.get(name) for name in OWN_COLUMNS[1:])
    as_json = json.dumps(further, ensure_ascii=False, sort_keys=True) if further else None
    return location, readable(photo), size, modified, place, *named, as_json


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(LISTED)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, LISTED, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LISTED)


def _listing(lines: Iterator[Line], root: Path, left_out: Counter[str]) -> Listing:
    rows: list[tuple[Any, ...]] = []
    tables = []
    first: dict[str, tuple[str, str | None]] = {}
    repeated = []
    start = str(root)
    for where, line in lines:
        photo = line.get("photo")
        if not photo:
            raise InputError(f"{where}: column 'photo' is empty; name a file or take the line out")
        if "\0" in photo:
            raise InputError(f"{where}: photo {photo!r} holds a zero byte, which no file name can")
        path = os.path.normpath(os.path.join(start, photo))
        location = location_of(path)
        if location in first:
            line_before, subject = first[location]
            detail = f"listed at {line_before} already" + (
                "" if subject == line.get("subject") else f", there under subject {subject!r}"
            )
            repeated.append((readable(photo), line.get("subject"), detail))
            continue
        first[location] = where, line.get("subject")
        size, modified = _stat(path)
        relative = os.path.relpath(path, start) if path.startswith(start + os.sep) else path
        rows.append(_row(location, relative, size, modified, None, line))
        if len(rows) == BATCH:  # Arrow holds them in a tenth of the space
            tables.append(_table(rows))
            rows = []
    return Listing(pa.concat_tables([*tables, _table(rows)]), repeated, left_out)


def _stat(path: str) -> tuple[int, int]:
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return -1, 0
    return about.st_size, about.st_mtime_ns


def _walk(folder: Path, folder_subjects: bool, left_out: Counter[str]) -> Iterator[Line]:
    def stop(error: OSError) -> None:
        raise ArchiveError(
            f"folder {error.filename} cannot be read ({error.strerror}); mend its permissions"
        ) from error

    for parent, folders, names in os.walk(folder, onerror=stop):
        folders.sort()
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                left_out["linked folders"] += 1
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].lower()
            if suffix not in PHOTO_SUFFIXES:
                left_out[suffix or "(none)"] += 1
                continue
            path = os.path.relpath(os.path.join(parent, name), folder)
            yield path, {"photo": path, "subject": _folder_subject(path, folder_subjects)}


def _csv_lines(path: Path, left_out: Counter[str]) -> Iterator[Line]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = reader.fieldnames or []
            _require_photo_column(list(columns), path)
            for line in reader:
                where = f"{path.name} line {reader.line_num}"
                if None in line or None in line.values():
                    raise InputError(f"{where} has not the {len(columns)} columns of its header; mend the line")
                if line.get("rejected_as") == Outcome.DUPLICATE:
                    # Of a list of rejections: its photo is held, maybe with the columns of another line than this.
                    left_out["lines rejected as DUPLICATE"] += 1
                    continue
                yield where, {name: text or None for name, text in line.items() if name not in OUR_COLUMNS}
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save the list as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path} line {reader.reader.line_num} is not valid CSV ({error})") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _parquet_lines(path: Path) -> Iterator[Line]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as source:
            _require_photo_column(source.schema_arrow.names, path)
            number = 0
            for batch in source.iter_batches():
                for line in batch.to_pylist():
                    number += 1
                    texts = {name: None if value is None else _text(value) or None for name, value in line.items()}
                    yield (
                        f"{path.name} row {number}",
                        {name: text for name, text in texts.items() if name not in OUR_COLUMNS},
                    )
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"{path} is not a readable Parquet file ({error})") from error


def _text(value: Any) -> str:
    if isinstance(value, bytes):  # some writers do not mark their text as text
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _require_photo_column(columns: list[str], path: Path) -> None:
    if "photo" not in columns:
        raise InputError(
            f"{path} has no column 'photo'{nearest('photo', columns)} (columns: {', '.join(columns) or 'none'})"
        )
    if len(set(columns)) != len(columns):
        raise InputError(f"{path} names a column twice (columns: {', '.join(columns)})")
