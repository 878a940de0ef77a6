"""PostgreSQL itself keeps the service from changing the ledger, and the ledger refuses a server that would not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from databases import Clock, Server, ServerPlace

from access.ledger.chain import Draft
from access.ledger.errors import LedgerUnreadable
from access.ledger.home import ADDRESS, KEY
from access.ledger.ledger import Ledger
from access.ledger.verification import verify
from foundation.errors import InputError

ANSWER = Draft("search.answered", "sheriff", {"k": 20}, {"case": "2026-0117"}, ("permit:1",))


@pytest.fixture
def on_server(tmp_path: Path, postgresql: Server) -> ServerPlace:
    return ServerPlace(tmp_path, postgresql)


@pytest.fixture
def ledger(on_server: ServerPlace) -> Ledger:
    return on_server.create([ANSWER])


@pytest.fixture
def service(ledger: Ledger, on_server: ServerPlace) -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(on_server.url, autocommit=True)
    connection.execute("SET search_path = afterfact")
    with connection:
        yield connection


@pytest.mark.parametrize("table", ["entries", "details", "traces", "head"])
def test_the_service_may_not_change_or_remove_anything(service: psycopg.Connection, table: str) -> None:
    column = {"entries": "number", "head": "format"}.get(table, "entry")
    for statement in (
        f"UPDATE {table} SET {column} = 1",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"ALTER TABLE {table} ADD COLUMN x int",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TABLE {table}",
        f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION refuse_change()",
        f"SELECT * FROM {table} FOR UPDATE",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute(statement)  # type: ignore[arg-type]


def test_the_service_may_make_nothing_in_the_schema(service: psycopg.Connection) -> None:
    for statement in (
        "CREATE TABLE afterfact.x (y int)",
        "CREATE OR REPLACE FUNCTION afterfact.lock_head() RETURNS integer LANGUAGE sql AS 'SELECT 2'",
        "DROP TRIGGER entries_refuse_change ON entries",
        "DROP FUNCTION lock_head()",
        "INSERT INTO head VALUES (2, 2)",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute(statement)  # type: ignore[arg-type]


def test_the_owner_may_not_change_an_entry_by_a_slip(ledger: Ledger, on_server: ServerPlace) -> None:
    with psycopg.connect(on_server.owner_url, autocommit=True) as owner:
        for statement in ("UPDATE {} SET subject = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
                owner.execute(statement.format("afterfact.entries"))  # type: ignore[arg-type]


@pytest.mark.parametrize("right", ["UPDATE", "UPDATE (body)", "DELETE", "TRUNCATE", "TRIGGER"])
@pytest.mark.parametrize("table", ["entries", "traces"])
def test_a_role_that_may_change_the_ledger_is_refused(
    ledger: Ledger, on_server: ServerPlace, right: str, table: str
) -> None:
    right = right.replace("body", "tag") if table == "traces" else right
    on_server.tamper(f"GRANT {right} ON {table} TO {on_server.service}")
    with pytest.raises(LedgerUnreadable, match=f"'{on_server.service}' may change or remove what lies in {table}"):
        on_server.open().head()


def test_owner_and_superuser_are_refused_as_service(ledger: Ledger, on_server: ServerPlace) -> None:
    for role in (on_server.owner, "postgres"):
        (on_server.home / ADDRESS).write_text(on_server.server.url(role, on_server.database))
        with pytest.raises(LedgerUnreadable, match="may change or remove"):
            on_server.open().head()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("synchronous_commit = local", "synchronous_commit is local"),
        ("default_transaction_read_only = on", "replica or read-only; connect to the primary"),
    ],
)
def test_a_server_that_forgets_or_follows_is_refused(
    ledger: Ledger, on_server: ServerPlace, setting: str, says: str
) -> None:
    on_server.tamper(f"ALTER ROLE {on_server.service} SET {setting}")
    for ask in (lambda: on_server.open().read(len), lambda: verify(on_server.open())):
        with pytest.raises(LedgerUnreadable, match=says):
            ask()


def test_a_new_ledger_for_an_unfit_role_leaves_nothing(on_server: ServerPlace) -> None:
    on_server.tamper(f"GRANT {on_server.owner} TO {on_server.service}")
    with pytest.raises(LedgerUnreadable, match="may change or remove"):
        on_server.create()
    assert on_server.tamper("SELECT 1 FROM pg_namespace WHERE nspname = 'afterfact'") == []


def test_a_second_ledger_in_one_database_is_refused(ledger: Ledger, on_server: ServerPlace, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match="holds a ledger already"):
        Ledger.create(other, [], url=on_server.url, owner_url=on_server.owner_url)


def test_addresses_hold_no_password_and_name_postgresql(tmp_path: Path) -> None:
    for url, says in (
        ("postgresql://service:secret@db/ledger", "PGPASSFILE"),
        ("postgresql://service@db/ledger?password=secret", "PGPASSFILE"),
        ("mysql://service@db/ledger", "SQLite, or in PostgreSQL"),
        ("postgresql://db/ledger", "names no role"),
        ("ledger", "is no database address"),
    ):
        with pytest.raises(InputError, match=says) as refused:
            Ledger.create(tmp_path, [], url=url, owner_url="postgresql://owner@db/ledger")
        assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_the_owner_is_needed_and_named(ledger: Ledger, on_server: ServerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFTERFACT_LEDGER_OWNER", raising=False)
    with pytest.raises(InputError, match="AFTERFACT_LEDGER_OWNER is not set"):
        ledger.append_decided(lambda _view: [Draft("details.erased", "x", {}, erases=(2,))], as_owner=True)
    monkeypatch.setenv("AFTERFACT_LEDGER_OWNER", on_server.owner_url)
    ledger.append_decided(lambda _view: [Draft("details.erased", "x", {}, erases=(2,))], as_owner=True)
    assert verify(ledger).details_erased == 1


def test_without_psycopg_the_remedy_is_named(
    ledger: Ledger, on_server: ServerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerUnreadable, match=r"pip install afterfact\[postgresql\]"):
        on_server.open()


def test_a_server_that_is_not_there_is_named(ledger: Ledger, on_server: ServerPlace) -> None:
    (on_server.home / ADDRESS).write_text("postgresql://service@/ledger?host=/nowhere")
    with pytest.raises(LedgerUnreadable, match="postgresql://service@/ledger cannot be reached"):
        on_server.open().head()


def test_a_connection_that_the_server_ended_is_replaced(ledger: Ledger, on_server: ServerPlace) -> None:
    ledger.head()
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{on_server.service}'"
    assert on_server.tamper(ended)
    assert ledger.read(lambda view: view.last.number) == 2


def test_two_homes_share_one_ledger_under_one_key(ledger: Ledger, on_server: ServerPlace, tmp_path: Path) -> None:
    second = tmp_path / "second host"
    second.mkdir()
    for name in (ADDRESS, KEY, "ledger.mark"):
        (second / name).write_bytes((on_server.home / name).read_bytes())
        (second / name).chmod(0o600)
    Ledger(second).append_decided(lambda _view: [Draft("moratorium.declared", "june", {})])
    assert ledger.read(lambda view: [entry.subject for entry in view.rules]) == ["ledger", "june"]


def test_time_is_the_servers(on_server: ServerPlace) -> None:
    ledger = on_server.create()
    assert Clock().now < ledger.read(lambda view: view.now) <= ledger.clock_state()[1]
