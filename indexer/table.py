"""The gallery's Delta table: the present rows, and one commit a publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from indexer.gallery import Gallery, GalleryError
from indexer.outcomes import Outcome
from indexer.schema import PHOTOS

APPLICATION = "afterfact:"  # a run's transaction number survives checkpoints and log cleanup; its metadata does not
# Versions can be listed and rolled back to for ten years; Delta's own default of 30 days would forget them.
CONFIGURATION = {"delta.logRetentionDuration": "interval 3650 days"}


class TableError(GalleryError):
    """The table cannot be opened or written."""


def open_table(gallery: Gallery, version: int | None = None) -> Any | None:
    """Returns the deltalake.DeltaTable, or None where nothing was ever published. Raises TableError."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(str(gallery.table), version=version)
    except (TableNotFoundError, FileNotFoundError):
        return None
    except (DeltaError, OSError, ValueError) as error:
        raise TableError(f"table {gallery.table} (version {version or 'newest'}) cannot be opened: {error}") from error


def read_rows(table: Any, columns: Sequence[str], condition: Any = None) -> pa.Table:
    """Returns the named columns of a version's rows, in no order; large strings narrowed to ours."""
    source = table.to_pyarrow_dataset()
    rows = source.to_table(columns=list(columns), filter=condition)
    return rows.cast(pa.schema([PHOTOS.field(name) for name in columns]))


def committed(table: Any | None, run_id: str) -> bool:
    """Tells whether the run's one commit is in the table already."""
    return table is not None and table.transaction_version(APPLICATION + run_id) is not None


def commit_rows(gallery: Gallery, rows: pa.Table, replaces: bool, run_id: str, about: dict[str, str]) -> int:
    """Commits rows (indexer.schema.PHOTOS) as one table version and returns its number.

    replaces: whether some location in rows is in the table already; its row is then replaced.
    There is no automatic retry: of two publishers the second fails here, with TableError, and nothing is lost.
    """
    from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
    from deltalake.exceptions import DeltaError

    properties = CommitProperties(
        custom_metadata=about,
        max_commit_retries=0,
        app_transactions=[Transaction(APPLICATION + run_id, 1)],
    )
    try:
        if replaces:
            (
                DeltaTable(str(gallery.table))
                .merge(
                    rows,
                    predicate="held.location = new.location",
                    source_alias="new",
                    target_alias="held",
                    commit_properties=properties,
                )
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute()
            )
        else:
            write_deltalake(
                str(gallery.table), rows, mode="append", configuration=CONFIGURATION, commit_properties=properties
            )
    except DeltaError as error:
        raise TableError(
            f"gallery {gallery.name!r} was published by another run at the same moment, or its table is broken "
            f"({error}); run the same command again"
        ) from error
    return DeltaTable(str(gallery.table)).version()


def restore(gallery: Gallery, version: int, about: dict[str, str]) -> int:
    """Makes the rows of an earlier version the present ones, as a new table version, and returns its number."""
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import DeltaError

    table = DeltaTable(str(gallery.table))
    try:
        table.restore(version, commit_properties=CommitProperties(custom_metadata=about, max_commit_retries=0))
    except (DeltaError, OSError) as error:
        raise TableError(f"version {version} of gallery {gallery.name!r} cannot be restored: {error}") from error
    return DeltaTable(str(gallery.table)).version()


def count_outcomes(table: Any) -> dict[str, int]:
    """Returns how many rows of the version ended as each outcome."""
    counts = pc.value_counts(read_rows(table, ["outcome"])["outcome"].combine_chunks())
    return {one["values"]: one["counts"] for one in sorted(counts.to_pylist(), key=lambda one: one["values"])}


def is_enrolled() -> Any:
    """Returns the condition that holds for the rows that search can find."""
    return pc.field("outcome") == Outcome.ENROLLED.value


def table_files(table: Any, folder: Path) -> list[Path]:
    """Returns the version's data files and the log entries up to it."""
    log = [one for one in (folder / "_delta_log").glob("*.json") if int(one.stem) <= table.version()]
    return sorted([folder / one for one in table.to_pyarrow_dataset().files] + log)
