"""A ledger in PostgreSQL, for archives whose searchers sit on several hosts.

The service's role may read and insert, and nothing else. A plain insert does not wait for the one before it, so
every appender first locks the one row of `head`, through a function of the tables' owner: locking a row takes the
right to update it. Under READ COMMITTED each statement after the lock sees what was committed before it; under
REPEATABLE READ or SERIALIZABLE the snapshot can be older than the lock, and an answer older than a moratorium.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import NullPool

from access.ledger.chain import FORMAT
from access.ledger.errors import LedgerBusy, LedgerError, LedgerUnreadable
from access.ledger.store import WAIT_SECONDS, Session, Store, other_format
from access.ledger.tables import METADATA
from foundation.errors import InputError

SCHEMA = "afterfact"

_MAKE = [
    f"CREATE SCHEMA {SCHEMA}",
    f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC",
]
_GUARD = [
    f"INSERT INTO {SCHEMA}.head VALUES (1, {FORMAT})",
    f"""CREATE FUNCTION {SCHEMA}.lock_head() RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS $$ SELECT format FROM {SCHEMA}.head WHERE id = 1 FOR UPDATE $$""",
    f"REVOKE ALL ON FUNCTION {SCHEMA}.lock_head() FROM PUBLIC",
    f"""CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp
        AS $$ BEGIN RAISE EXCEPTION 'ledger entries are never changed'; END $$""",
    f"""CREATE TRIGGER entries_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}.entries
        FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change()""",
]
_GRANT = [
    f"GRANT USAGE ON SCHEMA {SCHEMA} TO {{role}}",
    f"GRANT SELECT ON {SCHEMA}.head TO {{role}}",
    f"GRANT SELECT, INSERT ON {SCHEMA}.entries, {SCHEMA}.details, {SCHEMA}.traces TO {{role}}",
    f"GRANT EXECUTE ON FUNCTION {SCHEMA}.lock_head() TO {{role}}",
]

# A host that loses its power in a transaction must not hold the ledger for the two hours of TCP's own patience.
_SETTINGS = {
    "search_path": f"{SCHEMA}, pg_temp",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_STATE = f"""
    SELECT format, pg_catalog.pg_is_in_recovery(), current_setting('default_transaction_read_only'),
        current_setting('transaction_read_only'), current_setting('synchronous_commit'), current_setting('fsync'),
        current_setting('full_page_writes'), current_setting('server_encoding'), {{settings}}
    FROM {SCHEMA}.head"""
_MAY_CHANGE = f"""
    SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_catalog.pg_class
    WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r' AND (
        pg_has_role(CAST(? AS name), relowner, 'MEMBER')
        OR has_table_privilege(CAST(? AS name), oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
        OR has_any_column_privilege(CAST(? AS name), oid, 'UPDATE'))"""
_SAFE_COMMITS = {"on", "remote_apply"}


class PostgresStore(Store):
    """The ledger's schema in a PostgreSQL database, as its service's role or as its owner."""

    placeholder = "%s"
    begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    begin_writing = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    clock = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

    def __init__(self, url: URL, wait_seconds: float = WAIT_SECONDS, *, as_owner: bool = False) -> None:
        where = url.set(drivername="postgresql", query={}).render_as_string()
        try:
            engine = create_engine(
                url,
                poolclass=NullPool,
                hide_parameters=True,
                isolation_level="AUTOCOMMIT",
                connect_args={"connect_timeout": max(2, int(wait_seconds)), "application_name": "afterfact"},
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise LedgerUnreadable(
                f"{where} is a PostgreSQL database and psycopg is not installed; run: pip install afterfact[postgresql]"
            ) from error
        super().__init__(engine, where, wait_seconds)
        self._role = str(url.username)
        self._as_owner = as_owner
        self._new = False

    @contextlib.contextmanager
    def make(self, role: str) -> Iterator[Session]:
        """Makes the schema and lets a role read and insert; what else is done in the transaction comes with it.

        Raises InputError where the database holds a ledger already, LedgerUnreadable where the role could change it.
        """
        self._new = True
        quoted = self._engine.dialect.identifier_preparer.quote_identifier(role)
        with self.transaction(writes=True) as session:
            if session.row("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (SCHEMA,)):
                raise InputError(f"{self.where} holds a ledger already (schema {SCHEMA}); give another database")
            for statement in _MAKE:
                session.run(statement)
            METADATA.create_all(session.connection, checkfirst=False)
            for statement in (*_GUARD, *(grant.format(role=quoted) for grant in _GRANT)):
                session.run(statement)
            self._check_role(session, role)
            yield session
        self._new = False

    def _opened(self) -> Connection:
        connection = super()._opened()
        try:
            self._check(Session(connection, self.placeholder))
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _check(self, session: Session) -> None:
        settings = {**_SETTINGS, "lock_timeout": f"{int(self.wait_seconds * 1000)}ms"}
        setting = ", ".join(["set_config(?, ?, false)"] * len(settings))
        values = [value for pair in settings.items() for value in pair]
        if self._new:
            session.run(f"SELECT {setting}", values)
            return
        row = session.row(_STATE.format(settings=setting), values)
        if row is None:
            raise self._unfit("the row that appenders lock is gone", "put a backup back")
        format_, replica, read_only, reading, commits, syncs, pages, encoding = row[:8]
        if format_ != FORMAT:
            raise other_format(self.where, format_)
        if replica or "on" in (read_only, reading):
            raise self._unfit("it is a replica or read-only", "connect to the primary server")
        if commits not in _SAFE_COMMITS:
            raise self._unfit(
                f"synchronous_commit is {commits}: it would forget what it has committed", "set it to on for the role"
            )
        for name, value in (("fsync", syncs), ("full_page_writes", pages)):
            if value != "on":
                raise self._unfit(f"{name} is {value}: a power cut would damage it", "set it to on in the server")
        if encoding != "UTF8":
            raise self._unfit(f"its encoding is {encoding}", "use a database with the encoding UTF8")
        if not self._as_owner:
            self._check_role(session, self._role)

    def _check_role(self, session: Session, role: str) -> None:
        (changeable,) = session.rows(_MAY_CHANGE, (role,) * 3)[0]
        if changeable:
            raise self._unfit(
                f"the role {role!r} may change or remove what lies in {changeable} (it is a superuser, owns them, or "
                "was granted UPDATE, DELETE, TRUNCATE or TRIGGER)",
                "connect as a role that may only SELECT and INSERT",
            )

    def _unfit(self, what: str, remedy: str) -> LedgerUnreadable:
        return LedgerUnreadable(f"the ledger {self.where} is not used: {what}; {remedy}")

    def _lock(self, session: Session) -> None:
        if not self._new:
            session.run(f"SELECT {SCHEMA}.lock_head()")

    def _explanation(self, error: BaseException, cause: str) -> LedgerError:
        state: Any = getattr(error, "sqlstate", None)
        if state == "55P03":
            return LedgerBusy(
                f"{self.where} was locked by another process for {self.wait_seconds:g} s; nothing was answered: try "
                "again, and look for a session that holds it"
            )
        if state in {"42P01", "3F000"}:
            return LedgerUnreadable(
                f"{self.where} holds no ledger ({cause}); check the address in ledger.url, or put a backup back"
            )
        if state == "42501":
            return LedgerUnreadable(
                f"the role {self._role!r} may not do this in {self.where} ({cause}); grant it what 'afterfact init' "
                "grants, or set the owner's address where the owner is needed"
            )
        if state is None or state.startswith(("08", "57P", "28")):
            return LedgerUnreadable(
                f"{self.where} cannot be reached ({cause}), so nothing is answered; start the server, or check the "
                "address, the role and its password in ~/.pgpass"
            )
        return LedgerUnreadable(
            f"{self.where} cannot be used ({cause}), so nothing is answered; look at its server's log"
        )
