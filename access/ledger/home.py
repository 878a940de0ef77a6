"""The ledger's files in a data home: their names, its key, and the address of its database."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from access.ledger.errors import LedgerAbsent, LedgerUnreadable
from foundation.errors import InputError

DATABASE = "ledger.sqlite"
ADDRESS = "ledger.url"
KEY = "ledger.key"
MARK = "ledger.mark"
ANSWERS = "answers"

OWNER_VARIABLE = "AFTERFACT_LEDGER_OWNER"
"""The environment variable with the address under which the tables' owner connects."""


def read_key(path: Path) -> bytes:
    """Returns the 32 bytes that entries are sealed with. Raises LedgerUnreadable."""
    try:
        mode, content = path.stat().st_mode, path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(content)
    except (OSError, ValueError) as error:
        raise LedgerUnreadable(
            f"the ledger's key {path} cannot be read ({type(error).__name__}); put it back from where you keep it"
        ) from error
    if len(key) != 32:
        raise LedgerUnreadable(f"the ledger's key {path} has {len(key) * 8} bits, wanted are 256; put it back")
    if mode & 0o077:
        raise LedgerUnreadable(f"the ledger's key {path} can be read by other accounts; run: chmod 600 {path}")
    return key


def find_database(home: Path) -> URL | None:
    """Returns the address in a home's ledger.url, or None where the ledger is its ledger.sqlite.

    Raises LedgerAbsent where there is neither, LedgerUnreadable where there are both or the address is none.
    """
    path = home / ADDRESS
    if not path.exists():
        if (home / DATABASE).is_file():
            return None
        raise absent(home)
    if (home / DATABASE).exists():
        raise LedgerUnreadable(f"{home} holds both {DATABASE} and {ADDRESS}; move away the one that is not the ledger")
    try:
        return read_url(path.read_text(encoding="utf-8").strip(), str(path))
    except (OSError, ValueError, InputError) as error:
        raise LedgerUnreadable(f"the ledger's address {path} cannot be used: {error}") from error


def absent(home: Path) -> LedgerAbsent:
    """Returns the error for a home without a ledger."""
    if (home / KEY).exists():
        return LedgerAbsent(
            f"{home / DATABASE} is gone though its key is there; put it back from a backup: nothing is answered "
            "without it"
        )
    return LedgerAbsent(f"{home} is no data home (there is no {DATABASE}); run 'afterfact init' or give --home")


def read_url(text: str, what: str) -> URL:
    """Returns the address of a PostgreSQL database. Raises InputError naming `what` (a flag, a variable, a file)
    where it is none, names no role, or holds a password, which arguments and files would show."""
    example = "postgresql://afterfact_service@host/ledger"
    try:
        url = make_url(text)
    except ArgumentError:
        raise InputError(f"{what} is no database address; write it as {example}") from None
    if url.password is not None or "password" in url.query:
        raise InputError(
            f"{what} holds a password, which others would get to see; write it without, as {example}, and put the "
            "password into ~/.pgpass or the file that PGPASSFILE names"
        )
    shown = url.render_as_string()
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise InputError(f"{what} is {shown!r}; the ledger lies in SQLite, or in PostgreSQL as {example}")
    if not url.username or not url.database:
        raise InputError(f"{what} is {shown!r}, which names no role or no database; write it as {example}")
    return url.set(drivername="postgresql+psycopg")


def read_owner(given: str | None) -> URL:
    """Returns the address given, or else the one in AFTERFACT_LEDGER_OWNER. Raises InputError where neither is."""
    text = given if given is not None else os.environ.get(OWNER_VARIABLE)
    if not text:
        raise InputError(
            f"the environment variable {OWNER_VARIABLE} is not set; set it to the address under which the tables' "
            "owner connects, as postgresql://afterfact_owner@host/ledger"
        )
    return read_url(text, "the owner's address" if given is not None else OWNER_VARIABLE)
