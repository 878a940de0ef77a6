"""The ledger: one append-only chain of entries, and the one way to append to it.

Every append locks the head, reads the rules, decides, then appends, in one transaction. So no entry that allows
anything has a number above the entry that forbids it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text, update

from access.ledger.chain import FIRST_LINK, FORMAT, RULE_TYPES, Draft, Entry, canonical, commitment, seal
from access.ledger.errors import LedgerAbsent, LedgerClockError, LedgerTampered, LedgerUnreadable
from access.ledger.marks import HighWaterMark
from access.ledger.sqlite import (
    DETAILS,
    ENTRIES,
    HEAD,
    METADATA,
    WAIT_SECONDS,
    explained,
    open_sqlite,
)
from access.times import shown
from foundation.files import write_whole

DATABASE = "ledger.sqlite"
KEY = "ledger.key"
MARK = "ledger.mark"

Decide = Callable[[Sequence[Entry], str], Sequence[Draft]]
"""Given every rule entry and the time, what to append. An exception appends nothing."""

_COLUMNS = [ENTRIES.c[field.name] for field in fields(Entry)]
_CLOCK = text("SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')")


@dataclass(frozen=True)
class Recorded:
    """An entry as read for people: its body and, where asked for and not erased, its details."""

    entry: Entry
    body: dict[str, Any]
    details: dict[str, Any] | None


class Ledger:
    """The chain of entries in one data home. Fails closed: whatever does not fit raises a LedgerError."""

    def __init__(
        self, home: Path, *, clock: Callable[[], str] | None = None, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """Opens the ledger of a data home.

        `clock` (a moment, see access.times) takes the database clock's place in tests. `wait_seconds` is how long
        a transaction waits for another process. Raises LedgerAbsent and LedgerUnreadable.
        """
        self.path = home / DATABASE
        self.mark = HighWaterMark(home / MARK)
        if not self.path.is_file():
            if (home / KEY).exists():
                raise LedgerAbsent(
                    f"{self.path} is gone though its key is there; put it back from a backup: nothing is answered "
                    "without it"
                )
            raise LedgerAbsent(f"{home} is no data home (there is no {DATABASE}); run 'afterfact init' or give --home")
        self.key = _read_key(home / KEY)
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._engine = open_sqlite(self.path, wait_seconds)
        self._rules: tuple[Entry, ...] = ()
        self._rules_lock = threading.Lock()

    @classmethod
    def create(cls, home: Path, drafts: Sequence[Draft], *, clock: Callable[[], str] | None = None) -> Ledger:
        """Makes key, database and mark in an existing folder without any, with a first entry and then drafts.

        Raises FileExistsError where one is there already.
        """
        for name in (KEY, DATABASE, MARK):
            if (home / name).exists():
                raise FileExistsError(home / name)
        write_whole(home / KEY, secrets.token_bytes(32).hex().encode() + b"\n", mode=0o600)
        (home / DATABASE).touch(mode=0o600)
        ledger = cls(home, clock=clock)
        with ledger._transaction() as connection:
            METADATA.create_all(connection)
            first = Draft("ledger.created", "ledger", {"format": FORMAT})
            entry = ledger._insert(connection, first, None, ledger._now(connection))
            connection.execute(insert(HEAD).values(id=1, number=entry.number, digest=entry.digest))
        ledger.mark.create(entry.number, entry.digest)
        if drafts:
            ledger.append_decided(lambda _rules, _now: drafts)
        return ledger

    def append_decided(self, decide: Decide) -> list[Entry]:
        """Appends what decide returns, having locked the head first; returns the new entries.

        Raises LedgerBusy, LedgerTampered, LedgerClockError, LedgerUnreadable, and whatever decide raises; nothing
        is appended then. Where only the mark cannot be written the entries stand, and MarkError is raised.
        """
        mark = self.mark.read()
        appended: list[Entry] = []
        with self._transaction() as connection:
            last, now = self._checked_head(connection, mark)
            for draft in decide(self._checked_rules(connection, last), now):
                last = self._insert(connection, draft, last, now)
                appended.append(last)
            if appended:
                connection.execute(update(HEAD).where(HEAD.c.id == 1).values(number=last.number, digest=last.digest))
        if appended:
            self.mark.raise_to(last.number, last.digest)
        return appended

    def read_rules(self) -> tuple[Sequence[Entry], str]:
        """Returns every rule entry, checked, and the time.

        The same tuple object comes back as long as no rule entry was appended. Raises as append_decided.
        """
        mark = self.mark.read()
        with self._transaction(reads_only=True) as connection:
            last, now = self._checked_head(connection, mark)
            return self._checked_rules(connection, last), now

    def head(self) -> Entry:
        """Returns the last entry, checked. Raises as append_decided."""
        mark = self.mark.read()
        with self._transaction(reads_only=True) as connection:
            return self._checked_head(connection, mark)[0]

    def recent(
        self, limit: int, *, subject: str | None = None, type: str | None = None, details: bool = False
    ) -> list[Recorded]:
        """Returns the newest entries, newest first, each checked against its MAC. Raises as append_decided."""
        query = select(*_COLUMNS, DETAILS.c.body.label("details_body")).join_from(
            ENTRIES, DETAILS, DETAILS.c.entry == ENTRIES.c.number, isouter=True
        )
        if subject is not None:
            query = query.where(ENTRIES.c.subject == subject)
        if type is not None:
            query = query.where(ENTRIES.c.type == type)
        with self._transaction(reads_only=True) as connection:
            rows = connection.execute(query.order_by(ENTRIES.c.number.desc()).limit(limit)).all()
        entries = [self._authentic(Entry(*row[:-1])) for row in rows]
        return [
            Recorded(entry, json.loads(entry.body), json.loads(row[-1]) if details and row[-1] else None)
            for entry, row in zip(entries, rows, strict=True)
        ]

    def rows_after(self, number: int, limit: int) -> Sequence[Row[Any]]:
        """Returns up to limit rows after an entry, unchecked: an Entry's fields, then salt and body of its details."""
        query = select(*_COLUMNS, DETAILS.c.salt, DETAILS.c.body).join_from(
            ENTRIES, DETAILS, DETAILS.c.entry == ENTRIES.c.number, isouter=True
        )
        with self._transaction(reads_only=True) as connection:
            return connection.execute(
                query.where(ENTRIES.c.number > number).order_by(ENTRIES.c.number).limit(limit)
            ).all()

    def head_row(self) -> tuple[int, str] | None:
        """Returns the head row as it lies there, unchecked."""
        with self._transaction(reads_only=True) as connection:
            row = connection.execute(select(HEAD.c.number, HEAD.c.digest).where(HEAD.c.id == 1)).one_or_none()
        return (row[0], row[1]) if row else None

    @contextlib.contextmanager
    def _transaction(self, reads_only: bool = False) -> Iterator[Connection]:
        with (
            explained(str(self.path), self._wait_seconds),
            self._engine.connect().execution_options(reads_only=reads_only) as connection,
            connection.begin(),
        ):
            yield connection

    def _now(self, connection: Connection) -> str:
        return self._clock() if self._clock else str(connection.execute(_CLOCK).scalar_one())

    def _checked_head(self, connection: Connection, mark: tuple[int, str]) -> tuple[Entry, str]:
        """Locks the head (where the database has row locks), and returns its entry and the time."""
        head = connection.execute(
            select(HEAD.c.number, HEAD.c.digest).where(HEAD.c.id == 1).with_for_update()
        ).one_or_none()
        if head is None:
            raise self._tampered("the row that names its last entry is gone")
        if head.number < mark[0]:
            raise self._tampered(
                f"it ends at entry {head.number}, but entry {mark[0]} has been seen: an older copy was put back, or "
                "the last entries were cut off"
            )
        last = self._entry(connection, head.number)
        if last.digest != head.digest:
            raise self._tampered(f"entry {head.number} is not the entry that its head names")
        if self._entry(connection, mark[0]).digest != mark[1]:
            raise self._tampered(f"entry {mark[0]} is not the one that has been seen under this number")
        now = self._now(connection)
        if now < last.time:
            raise LedgerClockError(
                f"the clock says {shown(now)}, but ledger entry {last.number} was written at {shown(last.time)}; "
                "nothing is answered until the host's clock is set right"
            )
        return last, now

    def _checked_rules(self, connection: Connection, last: Entry) -> tuple[Entry, ...]:
        """Returns the rule entries up to last, having checked each MAC and that none is missing.

        Entries already checked by this object are not read again: the digest that the chain ends in covers
        every one of them, so a chain that ends there can have no other content.
        """
        with self._rules_lock:
            known = self._rules
            link = known[-1].rule_link() if known else (0, FIRST_LINK)
            query = select(*_COLUMNS).where(ENTRIES.c.type.in_(sorted(RULE_TYPES)), ENTRIES.c.number > link[0])
            fresh = []
            for row in connection.execute(query.order_by(ENTRIES.c.number)):
                entry = self._authentic(Entry(*row))
                if (entry.rule_number, entry.rule_digest) != link:
                    raise self._tampered(f"a rule entry between entries {link[0]} and {entry.number} is gone")
                link = entry.rule_link()
                fresh.append(entry)
            if link != last.rule_link():
                raise self._tampered(f"rule entry {last.rule_link()[0]}, which entry {last.number} names, is gone")
            if fresh:
                self._rules = (*known, *fresh)
            return self._rules

    def _entry(self, connection: Connection, number: int) -> Entry:
        row = connection.execute(select(*_COLUMNS).where(ENTRIES.c.number == number)).one_or_none()
        if row is None:
            raise self._tampered(f"entry {number} is gone")
        return self._authentic(Entry(*row))

    def _authentic(self, entry: Entry) -> Entry:
        if not entry.is_authentic(self.key):
            raise self._tampered(f"entry {entry.number} was changed, or {KEY} is not the key it was written with")
        return entry

    def _insert(self, connection: Connection, draft: Draft, after: Entry | None, now: str) -> Entry:
        body = dict(draft.body)
        salt, details = secrets.token_hex(16), None
        if draft.details is not None:
            details = canonical(draft.details)
            body["details"] = commitment(salt, details)
        entry = seal(draft, canonical(body), after, now, self.key)
        values = dict(zip((column.name for column in _COLUMNS), astuple(entry), strict=True))
        connection.execute(insert(ENTRIES).values(values))
        if details is not None:
            connection.execute(insert(DETAILS).values(entry=entry.number, salt=salt, body=details))
        return entry

    def _tampered(self, what: str) -> LedgerTampered:
        return LedgerTampered(
            f"the ledger {self.path} cannot be relied on: {what}; nothing is answered: run 'afterfact audit verify' "
            "and keep the files as they are"
        )


def _read_key(path: Path) -> bytes:
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
