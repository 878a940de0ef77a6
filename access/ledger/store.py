"""One database under a ledger: its connections, its transactions, and its errors as errors of the ledger."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from access.ledger.chain import FORMAT
from access.ledger.errors import LedgerError, LedgerUnreadable
from access.ledger.forks import no_fork

WAIT_SECONDS = 10
"""How long a transaction waits for another process before LedgerBusy."""

_KEPT_CONNECTIONS = 4
_INHERITED: list[Connection] = []


class Session:
    """One open transaction. SQL is written with `?` for values."""

    def __init__(self, connection: Connection, placeholder: str) -> None:
        self.connection = connection
        self._placeholder = placeholder

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Returns every row as a plain tuple."""
        # The driver's own tuples: SQLAlchemy's rows would take as long again as reading them from the file.
        result = self.connection.exec_driver_sql(self._spelt(sql), tuple(values))
        cursor: Any = result.cursor
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Returns the first row, or None."""
        return next(iter(self.rows(sql, values)), None)

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Runs one statement."""
        self.connection.exec_driver_sql(self._spelt(sql), tuple(values))

    def run_each(self, sql: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Runs one statement for each tuple of values."""
        if values:
            self.connection.exec_driver_sql(self._spelt(sql), list(values))

    def _spelt(self, sql: str) -> str:
        return sql.replace("?", self._placeholder)


class Store:
    """A database, opened on first use. A thread in a transaction has a connection to itself; idle ones are kept for
    the next transaction of this process, and never carried over a fork."""

    placeholder = "?"
    begin_reading = "BEGIN"
    begin_writing = "BEGIN"
    clock = ""
    rules_hint = ""

    def __init__(self, engine: Engine, where: str, wait_seconds: float) -> None:
        self.where = where
        self.wait_seconds = wait_seconds
        self._engine = engine
        self._idle: list[Connection] = []
        self._process = os.getpid()

    @contextlib.contextmanager
    def transaction(self, *, writes: bool = False) -> Iterator[Session]:
        """Begins a transaction, having locked the ledger against other appenders where it writes.

        It is committed at the end, or rolled back on any exception. Raises LedgerBusy, LedgerAbsent and
        LedgerUnreadable.
        """
        with self._explained(), no_fork():
            connection = self._begun(self.begin_writing if writes else self.begin_reading)
            try:
                session = self._session(connection)
                if writes:
                    self._lock(session)
                yield session
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                self._rolled_back(connection)
                raise
            self._keep(connection)

    def checked_out(self, first: str) -> Connection:
        """Returns a connection for the caller alone, outside any transaction, on which a first statement was run.
        Give it to `give_back`. Raises LedgerAbsent and LedgerUnreadable."""
        with self._explained():
            return self._begun(first)

    def give_back(self, connection: Connection, last: str) -> None:
        """Takes back a connection after a last statement; closes it where that fails."""
        try:
            connection.exec_driver_sql(last)
        except SQLAlchemyError:
            self._discard(connection)
        else:
            self._keep(connection)

    def _begun(self, first: str) -> Connection:
        if self._process != os.getpid():
            # Neither used nor closed here: on the wire or in the file they still are the parent's.
            _INHERITED.extend(self._idle)
            self._idle, self._process = [], os.getpid()
        while True:
            try:
                connection, was_idle = self._idle.pop(), True
            except IndexError:
                connection, was_idle = self._opened(), False
            try:
                if was_idle and not self._still_fits(connection):
                    self._discard(connection)
                    continue
                self._run_first(connection, first)
                return connection
            except DBAPIError as error:
                self._discard(connection)
                # The server ended an idle connection: nothing was begun on it, so another one may.
                if not (was_idle and error.connection_invalidated):
                    raise
            except BaseException:
                self._discard(connection)
                raise

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < _KEPT_CONNECTIONS:
            self._idle.append(connection)
        else:
            self._discard(connection)

    def _rolled_back(self, connection: Connection) -> None:
        try:
            connection.exec_driver_sql("ROLLBACK")
        except SQLAlchemyError:
            self._discard(connection)
        else:
            self._keep(connection)

    def _discard(self, connection: Connection) -> None:
        with contextlib.suppress(Exception):
            connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            raise self._explanation(original, " ".join(str(original).split())) from error

    def _run_first(self, connection: Connection, first: str) -> None:
        connection.exec_driver_sql(first)

    def _opened(self) -> Connection:
        """Opens a connection. Raises LedgerUnreadable where the database would not keep what it has committed."""
        return self._engine.connect()

    def _session(self, connection: Connection) -> Session:
        return Session(connection, self.placeholder)

    def _still_fits(self, _connection: Connection) -> bool:
        return True

    def _lock(self, session: Session) -> None:
        raise NotImplementedError

    def _explanation(self, error: BaseException, cause: str) -> LedgerError:
        raise NotImplementedError


def other_format(where: str, found: object) -> LedgerUnreadable:
    """Returns the error for a ledger of another format."""
    age = "a newer" if isinstance(found, int) and found > FORMAT else "an older"
    return LedgerUnreadable(
        f"{where} was written by {age} Afterfact, format {found}, this one reads {FORMAT}, so nothing is answered; use "
        "the Afterfact that wrote it, or run 'afterfact init' for a data home of its own"
    )
