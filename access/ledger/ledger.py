"""The ledger: one append-only chain of entries, and the one way to append to it.

Every append locks the ledger, reads the rules, decides, then appends, in one transaction. So no entry that allows
anything has a number above the entry that forbids it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from access.ledger.answers import Answering, FileAnswers, SessionAnswers
from access.ledger.chain import ERASED, FORMAT, Draft, Entry
from access.ledger.errors import LedgerClockError
from access.ledger.home import ADDRESS, ANSWERS, DATABASE, KEY, MARK, find_database, read_key, read_owner, read_url
from access.ledger.marks import HighWaterMark
from access.ledger.reading import WIDTH, WITH_DETAILS, Reader, Recorded, View
from access.ledger.sqlite import SqliteStore
from access.ledger.store import WAIT_SECONDS, Session, Store
from access.ledger.writing import insert
from access.times import instant, shown
from foundation.files import write_whole

Decide = Callable[[View], Sequence[Draft]]
"""Given the rules, the time and the traces, what to append. An exception appends nothing."""

JUMP_LIMIT = timedelta(days=2)
"""How far the clock may stand after the newest entry before an operator has to confirm it."""

_Seen = TypeVar("_Seen")
_BATCH = 1000
_LOWEST = -(2**63)


class Ledger:
    """The chain of entries of one data home. Fails closed: whatever does not fit raises a LedgerError."""

    def __init__(
        self, home: Path, *, clock: Callable[[], str] | None = None, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """Opens the ledger of a data home: the database that its ledger.url names, or else its ledger.sqlite.

        `clock` (a moment, see access.times) takes the database clock's place in tests. `wait_seconds` is how long
        a transaction waits for another process. Raises LedgerAbsent and LedgerUnreadable.
        """
        url = find_database(home)
        self.home = home
        self.key = read_key(home / KEY)
        self.mark = HighWaterMark(home / MARK)
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._on_server = url is not None
        if url is None:
            self._store: Store = SqliteStore(home / DATABASE, wait_seconds)
            self._answers: FileAnswers | SessionAnswers = FileAnswers(home / ANSWERS)
        else:
            from access.ledger.postgresql import PostgresStore  # a search on one host is spared its import

            self._store = PostgresStore(url, wait_seconds)
            self._answers = SessionAnswers(self._store)
        self._reader = Reader(self._store, self.key)

    @property
    def where(self) -> str:
        """The database, for people: the file's path, or the address."""
        return self._store.where

    @classmethod
    def create(
        cls,
        home: Path,
        drafts: Sequence[Draft],
        *,
        clock: Callable[[], str] | None = None,
        url: str | None = None,
        owner_url: str | None = None,
    ) -> Ledger:
        """Makes key, database and mark in an existing folder without any, with a first entry and then drafts.

        `url` is the address under which the service connects to PostgreSQL; without it the ledger is an SQLite file.
        `owner_url` (or else AFTERFACT_LEDGER_OWNER) is the address under which its tables are made. Raises
        FileExistsError where a ledger is there already, InputError for an address that is none or that holds a
        password, LedgerUnreadable for a database that is not fit for it.
        """
        for name in (KEY, DATABASE, ADDRESS, MARK):
            if (home / name).exists():
                raise FileExistsError(home / name)
        service = None if url is None else read_url(url, "the ledger's address")
        owner = None if url is None else read_owner(owner_url)
        write_whole(home / KEY, secrets.token_bytes(32).hex().encode() + b"\n", mode=0o600)
        (home / ANSWERS).mkdir(mode=0o700)
        if service is None:
            (home / DATABASE).touch(mode=0o600)
        else:
            write_whole(home / ADDRESS, f"{url}\n".encode(), mode=0o600)
        ledger = cls(home, clock=clock)
        with contextlib.ExitStack() as stack:
            if service is None or owner is None:
                session = stack.enter_context(SqliteStore(home / DATABASE).make())
            else:
                from access.ledger.postgresql import PostgresStore

                maker = PostgresStore(owner, as_owner=True)
                session = stack.enter_context(maker.make(str(service.username)))
            now = clock() if clock else str(session.rows(f"SELECT {ledger._store.clock}")[0][0])
            last = None
            for draft in (Draft("ledger.created", "ledger", {"format": FORMAT}), *drafts):
                last = insert(session, ledger._reader, ledger.key, draft, last, now)
            assert last is not None
            ledger.mark.create(last.number, last.digest)
        return ledger

    def append_decided(self, decide: Decide, *, clock_confirmed: bool = False, as_owner: bool = False) -> list[Entry]:
        """Appends what decide returns, having locked the ledger first; returns the new entries.

        `clock_confirmed`: an operator vouches for a clock that has jumped. `as_owner`: connect to PostgreSQL under
        AFTERFACT_LEDGER_OWNER, as drafts that erase details need; in SQLite it changes nothing. Raises LedgerBusy,
        LedgerTampered, LedgerClockError, LedgerUnreadable, ValueError for a draft that cannot stand, and whatever
        decide raises; nothing is appended then. Where only the mark cannot be written the entries stand, and
        MarkError is raised.
        """
        mark = self.mark.read()
        appended: list[Entry] = []
        with (
            self._store_for(as_owner).transaction(writes=True) as session,
            self._view(session, mark, clock_confirmed) as view,
        ):
            last = view.last
            for draft in decide(view):
                if draft.erases and not as_owner:
                    raise ValueError(f"a draft that erases the details of {draft.erases} is appended as_owner")
                last = insert(session, self._reader, self.key, draft, last, view.now)
                appended.append(last)
        if appended:
            self.mark.raise_to(last.number, last.digest)
        return appended

    def read(self, look: Callable[[View], _Seen]) -> _Seen:
        """Returns what look makes of the rules, the time and the traces, in a transaction that only reads.

        View.rules is the same tuple object as long as no rule entry was appended. Raises as append_decided.
        """
        mark = self.mark.read()
        with self._store.transaction() as session, self._view(session, mark, False) as view:
            return look(view)

    def head(self) -> Entry:
        """Returns the last entry, checked. Raises LedgerBusy, LedgerTampered and LedgerUnreadable."""
        return self._last()[0]

    def clock_state(self) -> tuple[str, str]:
        """Returns the newest entry's time and the time now, whatever they are. Raises as head."""
        last, now = self._last()
        return last.time, now

    def recent(
        self,
        limit: int,
        *,
        subject: str | None = None,
        type: str | None = None,
        details: bool = False,
        number: int | None = None,
        after: int | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[Recorded]:
        """Returns the newest entries, newest first, each checked against its MAC.

        `number` leaves one entry, if it is there; `after` leaves out the entries up to a number; `since` and `until`
        (moments) those before the one and from the other on. Raises as head.
        """
        with self._store.transaction() as session:
            wanted: list[tuple[str, Any]] = [("e.number > ?", _LOWEST if after is None else after)]
            if number is not None:
                wanted.append(("e.number = ?", number))
            if subject is not None:
                wanted.append(("e.subject = ?", subject))
            if type is not None:
                wanted.append(("e.type = ?", type))
            if since is not None:
                wanted.append(("e.number >= ?", self._first_at(session, since)))
            if until is not None:
                wanted.append(("e.number < ?", self._first_at(session, until)))
            where = " AND ".join(condition for condition, _ in wanted)
            rows = session.rows(
                f"{WITH_DETAILS} WHERE {where} ORDER BY e.number DESC LIMIT ?", [*(value for _, value in wanted), limit]
            )
        return [self._recorded(row, details) for row in rows]

    def stream(
        self, *, since: str | None = None, until: str | None = None, details: bool = False
    ) -> Iterator[Recorded]:
        """Yields the entries from `since` on and before `until` (moments), in their order, up to the newest at the
        beginning. Each is checked, and that none is missing between them. Raises as head.

        They are read a batch at a time, so that memory does not grow and appending goes on meanwhile.
        """
        mark = self.mark.read()
        with self._store.transaction() as session:
            end = self._reader.last(session, mark)[0].number + 1
            number = 1 if since is None else self._first_at(session, since)
            end = end if until is None else min(end, self._first_at(session, until))
        previous: str | None = None
        while number < end:
            with self._store.transaction() as session:
                rows = session.rows(
                    f"{WITH_DETAILS} WHERE e.number >= ? AND e.number < ? ORDER BY e.number",
                    (number, min(end, number + _BATCH)),
                )
            if not rows:
                raise self._reader.tampered(f"entry {number} is gone")
            for row in rows:
                recorded = self._recorded(row, details)
                if recorded.entry.number != number or recorded.entry.previous != (previous or recorded.entry.previous):
                    raise self._reader.tampered(f"entry {number} is gone or does not follow from the one before it")
                previous = recorded.entry.digest
                yield recorded
                number += 1

    def rows_after(self, number: int | None, limit: int) -> tuple[list[tuple[Any, ...]], list[tuple[int, str]]]:
        """Returns up to limit rows after an entry (None: from the lowest), unchecked: an Entry's fields, then salt and
        body of its details; and entry and tag of the traces that lead to them. Raises LedgerBusy, LedgerUnreadable."""
        low = _LOWEST if number is None else number
        with self._store.transaction() as session:
            rows = session.rows(f"{WITH_DETAILS} WHERE e.number > ? ORDER BY e.number LIMIT ?", (low, limit))
            tags = "SELECT entry, tag FROM traces WHERE entry >= ? AND entry <= ?"
            return rows, session.rows(tags, (rows[0][0], rows[-1][0])) if rows else []

    def erasures_after(self, number: int) -> list[Entry]:
        """Returns the entries after a number that order details to be erased; those whose MAC fits. Raises as
        rows_after."""
        with self._store.transaction() as session:
            query = f"{WITH_DETAILS} WHERE e.type = ? AND e.number > ? ORDER BY e.number"
            entries = [Entry._make(row[:WIDTH]) for row in session.rows(query, (ERASED, number))]
        return [entry for entry in entries if entry.is_authentic(self.key)]

    def astray(self, table: str) -> int | None:
        """Returns the lowest number of an absent entry that `table` (details or traces) has a row for, or None.
        Raises as rows_after."""
        query = f"SELECT min(t.entry) FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM entries WHERE number = t.entry)"
        with self._store.transaction() as session:
            found = session.rows(query)[0][0]
        return None if found is None else int(found)

    def answering(self) -> Answering:
        """Registers an answer as in flight; call it before the answer's transaction begins. Raises LedgerUnreadable."""
        return self._answers.begin()

    def outstanding(self, wait_seconds: float) -> int:
        """Looks which answers are in flight now, waits up to wait_seconds for those and not for later ones, and
        returns how many are still not handed out. Raises LedgerUnreadable."""
        return self._answers.outstanding(wait_seconds)

    def _store_for(self, as_owner: bool) -> Store:
        if not (as_owner and self._on_server):
            return self._store
        from access.ledger.postgresql import PostgresStore

        return PostgresStore(read_owner(None), self._wait_seconds, as_owner=True)

    @contextlib.contextmanager
    def _view(self, session: Session, mark: tuple[int, str], clock_confirmed: bool) -> Iterator[View]:
        last, now = self._reader.last(session, mark)
        now = self._clock() if self._clock else now
        doubted = self._check_clock(last, now, clock_confirmed)
        view = View(self._reader, session, last, now, doubted)
        try:
            yield view
        finally:
            view.close()

    def _last(self) -> tuple[Entry, str]:
        mark = self.mark.read()
        with self._store.transaction() as session:
            last, now = self._reader.last(session, mark)
        return last, self._clock() if self._clock else now

    @staticmethod
    def _check_clock(last: Entry, now: str, confirmed: bool) -> bool:
        """Returns whether the clock has jumped; raises LedgerClockError where nobody says that it is right."""
        if now < last.time:
            raise LedgerClockError(
                f"the clock says {shown(now)}, but ledger entry {last.number} was written at {shown(last.time)}; "
                "nothing is answered until the clock is set right"
            )
        jumped = instant(now) - instant(last.time) > JUMP_LIMIT
        if jumped and not confirmed:
            raise LedgerClockError(
                f"the clock says {shown(now)}, and the newest ledger entry is from {shown(last.time)}: more than "
                f"{JUMP_LIMIT.days} days without an entry, or the clock was wound on; nothing is answered until an "
                "operator confirms the time: afterfact audit clock --confirm"
            )
        return jumped

    def _recorded(self, row: Sequence[Any], details: bool) -> Recorded:
        entry, kept = self._reader.checked(row)
        return Recorded(entry, json.loads(entry.body), kept if details else None)

    @staticmethod
    def _first_at(session: Session, moment: str) -> int:
        """Returns the first number whose entry's time is not before moment. Times never fall as numbers rise, so
        halving finds it and no index of times is needed."""
        (low,), (high,) = (session.rows(f"SELECT coalesce({end}(number), 0) FROM entries")[0] for end in ("min", "max"))
        high += 1
        while low < high:
            middle = (low + high) // 2
            row = session.row("SELECT number, time FROM entries WHERE number >= ? ORDER BY number LIMIT 1", (middle,))
            if row is None or row[1] >= moment:
                high = middle
            else:
                low = row[0] + 1
        return int(low)
