"""The ledger's tables and how its database is opened: what SQLAlchemy and SQLite have to be told.

Left to themselves, Python's driver begins a transaction late and SQLite lets two of them read the same head;
each would then append an answer that the other's moratorium forbids. So the driver's own BEGIN is switched off
and every writing transaction begins with BEGIN IMMEDIATE, which waits for the one before it.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    DDL,
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from access.ledger.errors import LedgerBusy, LedgerUnreadable

WAIT_SECONDS = 10
"""How long a transaction waits for another process before LedgerBusy."""

_Number = BigInteger().with_variant(Integer, "sqlite")

METADATA = MetaData()

ENTRIES = Table(
    "entries",
    METADATA,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("time", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("rule_number", _Number, nullable=False),
    Column("rule_digest", Text, nullable=False),
    Column("mac", Text, nullable=False),
    Index("entries_by_type", "type", "number"),
    Index("entries_by_subject", "subject", "number"),
)

DETAILS = Table(
    "details",
    METADATA,
    Column("entry", _Number, primary_key=True, autoincrement=False),
    Column("salt", Text, nullable=False),
    Column("body", Text, nullable=False),
)

HEAD = Table(
    "head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", _Number, nullable=False),
    Column("digest", Text, nullable=False),
)

# Against slips, not against attackers, who can drop a trigger; those are what the MAC is for.
for _change in ("UPDATE", "DELETE"):
    event.listen(
        ENTRIES,
        "after_create",
        DDL(
            f"CREATE TRIGGER entries_refuse_{_change.lower()} BEFORE {_change} ON entries "
            "BEGIN SELECT RAISE(ABORT, 'ledger entries are never changed'); END"
        ).execute_if(dialect="sqlite"),
    )


def open_sqlite(path: Path, wait_seconds: float = WAIT_SECONDS) -> Engine:
    """Returns an engine over an existing SQLite file; each transaction has its own connection.

    A transaction writes unless its connection has the execution option `reads_only`. Raises LedgerUnreadable,
    on first use, where the file would not keep what it has committed.
    """
    # A URI with mode=rw, because SQLite otherwise makes an empty database where the ledger is gone.
    url = URL.create("sqlite", database=f"file:{urllib.parse.quote(str(path))}", query={"mode": "rw", "uri": "true"})
    # No pool: a connection carried over a fork corrupts SQLite, and opening one costs a tenth of a millisecond.
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": wait_seconds})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN is late; ours follows in _begin
        connection.text_factory = _decode
        cursor = connection.cursor()
        # A rollback journal, not WAL: the ledger then is one file, so that a copy of it is all of it; WAL needs
        # shared memory; and SQLite before 3.51.3 can lose WAL commits under two writers
        # (https://sqlite.org/wal.html#walresetbug). TRUNCATE, because FULL does not sync DELETE's last step.
        mode = cursor.execute("PRAGMA journal_mode=TRUNCATE").fetchone()[0]
        cursor.execute("PRAGMA synchronous=FULL")
        synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
        cursor.close()
        if mode != "truncate" or synchronous != 2:
            raise LedgerUnreadable(
                f"{path} would not keep what it has committed (journal_mode {mode}, synchronous {synchronous}; wanted "
                "truncate and 2); close every other program that has it open"
            )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _decode(content: bytes) -> str:
    # A flipped byte may be no UTF-8; the entry must then fail its MAC under its number, not fail the whole read.
    return content.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def explained(where: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Turns the database's errors into LedgerErrors of one line that name the ledger and the remedy."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
        if "locked" in cause or "busy" in cause:
            raise LedgerBusy(
                f"{where} was locked by another process for {wait_seconds:g} s; nothing was answered: try again, and "
                "look for a process that holds it"
            ) from error
        if "readonly" in cause or "read-only" in cause:
            raise LedgerUnreadable(
                f"{where} cannot be written ({cause}), so nothing is answered; give this account write access"
            ) from error
        raise LedgerUnreadable(
            f"{where} cannot be used ({cause}), so nothing is answered; run 'afterfact audit verify' or put a backup "
            "back together with its ledger.mark"
        ) from error
