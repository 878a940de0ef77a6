"""A ledger in an SQLite file: what SQLAlchemy and SQLite have to be told.

Left to themselves, Python's driver begins a transaction late and SQLite lets two of them read the same last entry;
each would then append an answer that the other's moratorium forbids. So the driver's own BEGIN is switched off
and every writing transaction begins with BEGIN IMMEDIATE, which waits for the one before it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from access.ledger.chain import FORMAT, Entry
from access.ledger.errors import LedgerBusy, LedgerError, LedgerUnreadable
from access.ledger.home import absent
from access.ledger.mounts import lies_on_network
from access.ledger.store import WAIT_SECONDS, Session, Store, other_format
from access.ledger.tables import DETAILS, ENTRIES, IS_RULE, METADATA, TRACES

_ASKING = (0.0005, 0.003)
"""Seconds between two tries to begin to write."""

# Against slips, not against attackers, who can drop a trigger; those are what the MAC is for.
_TRIGGERS = [
    f"CREATE TRIGGER entries_refuse_{change.lower()} BEFORE {change} ON entries "
    "BEGIN SELECT RAISE(ABORT, 'ledger entries are never changed'); END"
    for change in ("UPDATE", "DELETE")
]

# Rule entries lie scattered over the file, and a process that has just started reads all of them. This index holds a
# copy of each next to the other; PostgreSQL keeps pages in memory and limits the width of an index.
_RULES_TOGETHER = f"CREATE INDEX entries_rules ON entries ({', '.join(Entry._fields)}) WHERE {IS_RULE}"
# Without statistics SQLite would take the index by type, which leads all over the file.
_HINT = "INDEXED BY entries_rules"


class SqliteStore(Store):
    """The ledger's SQLite file. It is never made by opening it."""

    begin_writing = "BEGIN IMMEDIATE"
    rules_hint = _HINT
    clock = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"

    def __init__(self, path: Path, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path = path
        self._new = False
        # A URI with mode=rw, because SQLite otherwise makes an empty database where the ledger is gone.
        url = URL.create(
            "sqlite", database=f"file:{urllib.parse.quote(str(path))}", query={"mode": "rw", "uri": "true"}
        )
        engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": wait_seconds, "check_same_thread": False},
        )
        super().__init__(engine, str(path), wait_seconds)

    @contextlib.contextmanager
    def make(self) -> Iterator[Session]:
        """Makes the tables in a file of no bytes; whatever else is done in the transaction comes about with them."""
        self._new = True
        with self.transaction(writes=True) as session:
            METADATA.create_all(session.connection, tables=[ENTRIES, DETAILS, TRACES], checkfirst=False)
            for statement in (_RULES_TOGETHER, *_TRIGGERS, f"PRAGMA user_version = {FORMAT}"):
                session.run(statement)
            yield session
        self._new = False

    def _opened(self) -> Connection:
        mount = lies_on_network(self.path)
        if mount:
            raise LedgerUnreadable(
                f"{self.path} lies on a network file system ({mount[1]}, mounted at {mount[0]}), where two hosts can "
                "lock it at once, so nothing is answered; move the data home to a local disk, or use PostgreSQL"
            )
        before = self._file()
        connection = super()._opened()
        connection.info["file"] = before
        try:
            self._set_up(connection)
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _still_fits(self, connection: Connection) -> bool:
        # Another file may have been put in place of the one that this connection would go on writing to.
        return bool(connection.info["file"] == self._file())

    def _file(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise absent(self.path.parent) from None
        return found.st_dev, found.st_ino

    def _set_up(self, connection: Connection) -> None:
        # A rollback journal, not WAL: the ledger then is one file, so that a copy of it is all of it; WAL needs
        # shared memory; and SQLite before 3.51.3 can lose WAL commits under two writers
        # (https://sqlite.org/wal.html#walresetbug). TRUNCATE, because FULL does not sync DELETE's last step.
        mode = connection.exec_driver_sql("PRAGMA journal_mode=TRUNCATE").scalar_one()
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        if mode != "truncate" or synchronous != 2:
            raise LedgerUnreadable(
                f"{self.path} would not keep what it has committed (journal_mode {mode}, synchronous {synchronous}; "
                "wanted truncate and 2); close every other program that has it open"
            )
        connection.exec_driver_sql(
            "PRAGMA secure_delete=ON"
        )  # erased details are to leave the file, not only the table
        if not self._new:
            self._check_format(connection)

    def _check_format(self, connection: Connection) -> None:
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found == FORMAT:
            return
        tables = {name for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "entries" not in tables:
            raise self._without_tables("its tables are missing")
        if not found:  # format 1 said so in its first entry alone
            first: Any = connection.exec_driver_sql("SELECT body FROM entries WHERE number = 1").scalar()
            with contextlib.suppress(ValueError, TypeError, KeyError):
                found = json.loads(first)["format"]
        raise other_format(self.where, found)

    def _run_first(self, connection: Connection, first: str) -> None:
        if first != self.begin_writing:
            connection.exec_driver_sql(first)
            return
        # SQLite's own waiting asks ever more seldom, so that who has waited longest, a suspension say, waits on while
        # others come and go. Everybody here asks equally often.
        deadline = time.monotonic() + self.wait_seconds
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        while True:
            try:
                connection.exec_driver_sql(first)
                break
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(*_ASKING))
        connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * self.wait_seconds)}")

    def _session(self, connection: Connection) -> Session:
        return _SqliteSession(connection, self.placeholder)

    def _lock(self, _session: Session) -> None:
        pass  # BEGIN IMMEDIATE was the lock

    def _without_tables(self, cause: str) -> LedgerUnreadable:
        return LedgerUnreadable(
            f"{self.where} holds no ledger ({cause}); put a backup back together with its ledger.mark"
        )

    def _explanation(self, error: BaseException, cause: str) -> LedgerError:
        if "no such table" in cause:
            return self._without_tables(cause)
        if "locked" in cause or "busy" in cause:
            return LedgerBusy(
                f"{self.where} was locked by another process for {self.wait_seconds:g} s; nothing was answered: try "
                "again, and look for a process that holds it"
            )
        if "readonly" in cause or "read-only" in cause:
            return LedgerUnreadable(
                f"{self.where} cannot be written ({cause}), so nothing is answered; give this account write access"
            )
        if "is full" in cause:
            return LedgerUnreadable(
                f"{self.where} cannot be written ({cause}), so nothing is answered; free room on its disk"
            )
        return LedgerUnreadable(
            f"{self.where} cannot be used ({cause}), so nothing is answered; run 'afterfact audit verify' or put a "
            "backup back together with its ledger.mark"
        )


class _SqliteSession(Session):
    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return super().rows(sql, values)
        except (OperationalError, sqlite3.OperationalError) as error:
            if _HINT in sql and re.search("no query solution|no such index", str(error)):
                # The index was made for other types of rules, or dropped: what it held lies in the table too.
                return self.rows(sql.replace(_HINT, ""), values)
            driver: Any = self.connection.connection.dbapi_connection
            if "decode" not in str(error) or driver.text_factory is not str:
                raise
            # A flipped byte may be no UTF-8; the entry must then fail its MAC under its number, not the whole read.
            driver.text_factory = _decode
            return super().rows(sql, values)


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
