"""What an archive holds: a folder walked, a zip or tar file's headers or a list read, each photo once."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from foundation.errors import InputError, nearest
from foundation.object_store import is_remote, open_object
from foundation.store_errors import ObjectMissing, StoreError
from indexer.bucket import StoredPhotos
from indexer.containers import ArchiveError, is_container, is_photo, list_members
from indexer.job import IndexJob
from indexer.locations import Source, location_of, readable, suffix_of, whole
from indexer.outcomes import Outcome
from indexer.ranged import open_source
from indexer.schema import LISTED

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
    """Returns what the archive holds now. Reads no photo, only sizes and times: in a store, of one listing.

    Raises InputError for a list that is malformed, ArchiveError for a folder or container that cannot be read,
    StoreError where the store does not let us.
    """
    left_out: Counter[str] = Counter()
    try:
        return _list_archive(job, left_out)
    except ObjectMissing as error:
        open_object(str(job.archive))[0].require()  # it may be the bucket that is not there
        raise InputError(
            f"archive {job.archive} does not exist; name a prefix, a .zip or .tar file, or a CSV or Parquet list"
        ) from error


def list_photos(job: IndexJob, is_first: bool) -> Listing:
    """Returns what list_archive does. Raises ArchiveError or InputError also where the archive has no photo at all.

    A disk that is not mounted is an empty folder: taken for an archive, it would make a gallery of nobody, and leave
    one that has photos without today's, and both would be called done. A list that is there and names nobody makes no
    gallery either (is_first); later it is a night without bookings.
    """
    listing = list_archive(job)
    if listing.photos.num_rows:
        return listing
    others = ", ".join(f"{count:,} {what}" for what, count in sorted(listing.left_out.items())) or "nothing at all"
    if not job.is_list:
        raise ArchiveError(
            f"archive {job.archive} holds no photo ({others}); see whether its disk is mounted, or name the folder, "
            ".zip or .tar file that the photos are in"
        )
    if is_first:
        raise InputError(f"list {job.archive} names no photo, only columns; see whether its export was cut short")
    return listing


def _list_archive(job: IndexJob, left_out: Counter[str]) -> Listing:
    archive, root = job.archive, job.archive_root
    if is_container(archive):
        return _list_container(whole(archive), job.folder_subjects, left_out)
    stored = StoredPhotos(root) if isinstance(root, str) else None
    if stored is not None and job.is_folder:
        lines = _described(_stored(stored, left_out), job.folder_subjects)
    elif isinstance(archive, Path) and job.is_folder:
        lines = _described(_walk(archive.resolve(), left_out), job.folder_subjects)
    elif suffix_of(archive) == ".parquet":
        lines = _parquet_lines(archive)
    elif suffix_of(archive) == ".csv":
        lines = _csv_lines(archive, left_out)
    else:
        raise InputError(f"archive {archive} is neither a folder, a .zip or .tar file nor a .csv or .parquet list")
    if stored is not None and job.is_list:
        stored.list_all()
    return _listing(lines, stored or _InFolder(str(root)), left_out)


Line = tuple[str, dict[str, str | None]]  # where it stands, for messages; column -> text


class _InFolder:
    """A root on this machine. indexer.bucket.StoredPhotos is one in a store."""

    def __init__(self, root: str) -> None:
        self._root = root

    def path_of(self, photo: str) -> str:
        """Returns where a photo of a list is. Raises InputError where that is no path."""
        if "://" in photo and is_remote(photo):
            raise InputError(
                f"photo {photo} is in a store and the root {self._root} is a folder; give root as s3://..."
            )
        return os.path.normpath(os.path.join(self._root, photo))

    def relative(self, path: str) -> str:
        """Returns a path from the root on, or as it is where it lies elsewhere."""
        return os.path.relpath(path, self._root) if path.startswith(self._root + os.sep) else path

    def about(self, path: str) -> tuple[int, int]:
        """Returns a file's size and the time of its change in nanoseconds; -1 and 0 where it is not there."""
        try:
            about = os.stat(path)
        except (OSError, ValueError):
            return -1, 0
        return about.st_size, about.st_mtime_ns


def _described(paths: Iterator[str], folder_subjects: bool) -> Iterator[Line]:
    for path in paths:
        yield path, {"photo": path, "subject": _folder_subject(path, folder_subjects)}


def _list_container(container: Source, folder_subjects: bool, left_out: Counter[str]) -> Listing:
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


def _listing(lines: Iterator[Line], root: _InFolder | StoredPhotos, left_out: Counter[str]) -> Listing:
    rows: list[tuple[Any, ...]] = []
    tables = []
    first: dict[str, tuple[str, str | None]] = {}
    repeated = []
    for where, line in lines:
        photo = line.get("photo")
        if not photo:
            raise InputError(f"{where}: column 'photo' is empty; name a file or take the line out")
        if "\0" in photo:
            raise InputError(f"{where}: photo {photo!r} holds a zero byte, which no file name can")
        path = root.path_of(photo)
        location = location_of(path)
        if location in first:
            line_before, subject = first[location]
            detail = f"listed at {line_before} already" + (
                "" if subject == line.get("subject") else f", there under subject {subject!r}"
            )
            repeated.append((readable(photo), line.get("subject"), detail))
            continue
        first[location] = where, line.get("subject")
        size, modified = root.about(path)
        rows.append(_row(location, root.relative(path), size, modified, None, line))
        if len(rows) == BATCH:  # Arrow holds them in a tenth of the space
            tables.append(_table(rows))
            rows = []
    return Listing(pa.concat_tables([*tables, _table(rows)]), repeated, left_out)


def _walk(folder: Path, left_out: Counter[str]) -> Iterator[str]:
    """Yields the photos below a folder, a folder's own before those of its folders."""

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
            if is_photo(name, left_out):
                yield os.path.relpath(os.path.join(parent, name), folder)


def _stored(photos: StoredPhotos, left_out: Counter[str]) -> Iterator[str]:
    """Yields the photos below a prefix, in the order of the same folder's walk: a copy of it makes the same gallery."""
    photos.list_all()
    named = [name for name in photos.names() if is_photo(name, left_out)]
    if not named:
        others = ", ".join(f"{count:,} {suffix}" for suffix, count in left_out.items()) or "nothing at all"
        raise ArchiveError(f"{photos.root} holds no photo ({others}); name the prefix that the photos lie below")
    yield from named


def _csv_lines(path: Source, left_out: Counter[str]) -> Iterator[Line]:
    name = os.path.basename(str(path))
    try:
        with io.TextIOWrapper(open_source(path), encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = reader.fieldnames or []
            _require_photo_column(list(columns), path)
            for line in reader:
                where = f"{name} line {reader.line_num}"
                if None in line or None in line.values():
                    raise InputError(f"{where} has not the {len(columns)} columns of its header; mend the line")
                if line.get("rejected_as") == Outcome.DUPLICATE:
                    # Of a list of rejections: its photo is held, maybe with the columns of another line than this.
                    left_out["lines rejected as DUPLICATE"] += 1
                    continue
                yield where, {column: text or None for column, text in line.items() if column not in OUR_COLUMNS}
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save the list as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path} line {reader.reader.line_num} is not valid CSV ({error})") from error
    except StoreError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _parquet_lines(path: Source) -> Iterator[Line]:
    import pyarrow.parquet as pq

    name = os.path.basename(str(path))
    try:
        with pq.ParquetFile(open_source(path) if isinstance(path, str) else path) as source:
            _require_photo_column(source.schema_arrow.names, path)
            number = 0
            for batch in source.iter_batches():
                for line in batch.to_pylist():
                    number += 1
                    texts = {column: None if value is None else _text(value) or None for column, value in line.items()}
                    yield (
                        f"{name} row {number}",
                        {column: text for column, text in texts.items() if column not in OUR_COLUMNS},
                    )
    except StoreError:
        raise
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"{path} is not a readable Parquet file ({error})") from error


def _text(value: Any) -> str:
    if isinstance(value, bytes):  # some writers do not mark their text as text
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _require_photo_column(columns: list[str], path: Source) -> None:
    if "photo" not in columns:
        raise InputError(
            f"{path} has no column 'photo'{nearest('photo', columns)} (columns: {', '.join(columns) or 'none'})"
        )
    if len(set(columns)) != len(columns):
        raise InputError(f"{path} names a column twice (columns: {', '.join(columns)})")
