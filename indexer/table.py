"""The gallery's Delta table: the present rows, and one commit a publish."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from foundation.files import arrow_files
from foundation.object_store import storage_options
from foundation.store_path import Place, StorePath, place_at
from indexer.gallery import Gallery, GalleryError
from indexer.outcomes import Outcome
from indexer.schema import PHOTOS

APPLICATION = "afterfact:"  # a run's transaction number survives checkpoints and log cleanup; its metadata does not
ROLLBACK = "rollback"  # in the place of a run's id; deltalake writes it last, which is how a whole entry is told
ACCOUNT = "afterfact.account"
ROLLED_BACK_TO, REEMBEDDED = "rolled_back_to", "reembedded"  # in an account: commits that take rows away
# Versions can be listed and rolled back to for ten years; Delta's own default of 30 days would forget them.
CONFIGURATION = {"delta.logRetentionDuration": "interval 3650 days"}
# What is held at a time. deltalake's own row group of a million rows is the whole table in memory, twice.
ROW_GROUP = 8192
BATCH = 4096


class TableError(GalleryError):
    """The table cannot be opened or written."""


class Rows(Protocol):
    """Rows of indexer.schema.PHOTOS: a pa.Table, or something that makes them as they are asked for."""

    @property
    def num_rows(self) -> int: ...

    def column(self, i: str) -> pa.ChunkedArray: ...

    def to_batches(self) -> Iterable[pa.RecordBatch]: ...


def open_table(gallery: Gallery, version: int | None = None) -> Any | None:
    """Returns the deltalake.DeltaTable, or None where nothing was ever published. Raises TableError, and StoreError
    where the store that it lies in is absent or closed."""
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return _delta_table(gallery.table, version)
    except (TableNotFoundError, FileNotFoundError):
        return None
    except (DeltaError, OSError, ValueError) as error:
        _raise_of_store(gallery.table, error)
        which = "newest version" if version is None else f"version {version}"
        raise TableError(
            f"table {gallery.table} ({which}) cannot be opened: {_first_line(error)}; restore the gallery from a backup"
        ) from error


def _delta_table(place: Place, version: int | None = None) -> Any:
    from deltalake import DeltaTable

    return DeltaTable(str(place), version=version, storage_options=storage_options(str(place)))


def _raise_of_store(place: Place, error: Exception) -> None:
    """Raises the StoreError that an error of deltalake's tells of, where it tells of one."""
    if isinstance(place, StorePath):
        place.raise_if_told(error)


def _first_line(error: Exception) -> str:
    # deltalake puts a backtrace of its own behind its message.
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_rows(table: Any, columns: Sequence[str], condition: Any = None) -> pa.Table:
    """Returns the named columns of a version's rows, in no order; large strings narrowed to ours."""
    rows = _photos(table).to_table(columns=list(columns), filter=condition)
    return rows.cast(pa.schema([PHOTOS.field(name) for name in columns]))


def read_batches(table: Any, columns: Sequence[str], condition: Any = None) -> Iterator[pa.RecordBatch]:
    """Yields the named columns of a version's rows, some thousand at a time, every call in the same order."""
    from pyarrow.dataset import ParquetFragmentScanOptions

    schema = pa.schema([PHOTOS.field(name) for name in columns])
    # pyarrow would read ahead sixteen batches of 131,072 rows, of four files at once.
    scanned = _photos(table).to_batches(
        columns=list(columns),
        filter=condition,
        batch_size=BATCH,
        batch_readahead=1,
        fragment_readahead=1,
        fragment_scan_options=ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True),
    )
    for batch in scanned:
        yield from pa.Table.from_batches([batch]).cast(schema).to_batches()


def _photos(table: Any) -> Any:
    """Returns the version as a pyarrow.dataset.Dataset that reads its files through pyarrow's own file system.

    deltalake's is Python code. Arrow's threads still call it when a read is over, and a process that ends just then
    is aborted (https://github.com/apache/arrow/issues/34314); nor can it read while deltalake is writing.
    """
    place = place_at(unquote(table.table_uri.removeprefix("file://")).rstrip("/"))
    return table.to_pyarrow_dataset(filesystem=arrow_files(place))


def holds_any(table: Any | None, locations: pa.ChunkedArray) -> bool:
    """Tells whether some of the locations is in the version."""
    if table is None:
        return False
    held = read_rows(table, ["location"])["location"]
    return bool(pc.any(pc.is_in(held, value_set=locations.combine_chunks())).as_py())


def committed(table: Any | None, run_id: str) -> bool:
    """Tells whether the run's one commit is in the table already."""
    return table is not None and table.transaction_version(APPLICATION + run_id) is not None


def lost_rows_since(table: Any | None, version: int | None) -> bool:
    """Tells whether a commit after the version (None: since there is a table) took rows away, as a rollback and new
    embeddings do: photos that were held then may be held no more."""
    since = 0 if version is None else version + 1
    if table is None or table.version() < since:
        return False
    accounts = [json.loads(one.get(ACCOUNT, "{}")) for one in table.history(table.version() - since + 1)]
    return any(one.keys() & {ROLLED_BACK_TO, REEMBEDDED} for one in accounts)


def commit_rows(
    gallery: Gallery, table: Any | None, rows: Rows, replaces: bool, run_id: str, about: dict[str, str]
) -> None:
    """Commits rows as the table version after the one that they were made against.

    table: that version, opened; None where there was none. replaces: whether some location in rows is in it already;
    its row is then replaced. Where another version came in between, and there is no automatic retry, this fails with
    TableError and nothing is lost: so the second of two publishers does, on whatever host.
    """
    from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError, DeltaError

    properties = CommitProperties(
        custom_metadata=about,
        max_commit_retries=0,
        app_transactions=[Transaction(APPLICATION + run_id, 1)],
    )
    writing: dict[str, Any] = {
        "commit_properties": properties,
        "writer_properties": WriterProperties(compression="SNAPPY", max_row_group_size=ROW_GROUP),
    }
    try:
        if table is None:
            place = str(gallery.table)
            writing |= {"configuration": CONFIGURATION, "storage_options": storage_options(place)}
            write_deltalake(place, _stream(rows.to_batches()), mode="error", **writing)
        elif replaces:
            write_deltalake(table, _stream(_with_replacements(table, rows)), mode="overwrite", **writing)
        else:
            write_deltalake(table, _stream(rows.to_batches()), mode="append", **writing)
    except CommitFailedError as error:
        raise _lost(gallery, error) from error
    except (DeltaError, OSError) as error:
        if table is None and open_table(gallery) is not None:
            raise _lost(gallery, error) from error
        _raise_of_store(gallery.table, error)
        raise TableError(
            f"the commit to gallery {gallery.name!r} failed ({_first_line(error)}); see whether the disk is full or "
            "closed to us, then run the same command again: nothing was published"
        ) from error


def _lost(gallery: Gallery, error: Exception) -> TableError:
    return TableError(
        f"gallery {gallery.name!r} was published by another run at the same moment ({_first_line(error)}); "
        "run the same command again"
    )


def _stream(batches: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(PHOTOS, batches)


def _with_replacements(table: Any, rows: Rows) -> Iterator[pa.RecordBatch]:
    """Yields the table's rows, those of a location in rows left out, and then rows.

    In place of deltalake's merge() and delete(), which write text as Arrow's string_view: pyarrow cannot
    compare that (https://github.com/apache/arrow/issues/49368), so neither we nor DuckDB could filter by it.
    """
    stays = ~pc.field("location").isin(rows.column("location").combine_chunks())
    yield from read_batches(table, PHOTOS.names, stays)
    yield from rows.to_batches()


def restore(gallery: Gallery, table: Any, version: int, about: dict[str, str]) -> None:
    """Makes the rows of an earlier version the present ones, as the version after the one that table has open."""
    from deltalake import CommitProperties, Transaction
    from deltalake.exceptions import DeltaError

    properties = CommitProperties(
        custom_metadata=about,
        max_commit_retries=0,
        app_transactions=[Transaction(APPLICATION + ROLLBACK, table.version() + 1)],
    )
    try:
        table.restore(version, commit_properties=properties)
    except (DeltaError, OSError) as error:
        _raise_of_store(gallery.table, error)
        raise TableError(
            f"version {version} of gallery {gallery.name!r} cannot be restored: {_first_line(error)}"
        ) from error


def count_outcomes(table: Any) -> dict[str, int]:
    """Returns how many rows of the version ended as each outcome."""
    counts = pc.value_counts(read_rows(table, ["outcome"])["outcome"].combine_chunks())
    return {one["values"]: one["counts"] for one in sorted(counts.to_pylist(), key=lambda one: one["values"])}


def is_enrolled() -> Any:
    """Returns the condition that holds for the rows that search can find."""
    return pc.field("outcome") == Outcome.ENROLLED.value


def table_files(table: Any, folder: Place) -> list[Any]:
    """Returns the version's data files, and the log entries and checkpoints up to it."""
    log = [one for one in (folder / "_delta_log").iterdir() if _version_of(one.name) <= table.version()]
    return sorted([folder / one for one in table.to_pyarrow_dataset().files] + log)


def _version_of(name: str) -> float:
    """Returns the version that a file of the log belongs to; endless for one that belongs to none."""
    number, _, kind = name.partition(".")
    return int(number) if number.isdigit() and (kind == "json" or kind.startswith("checkpoint")) else float("inf")
