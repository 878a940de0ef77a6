"""Reading entries inside a transaction, each of them checked; and the view of them that deciders are given."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from access.ledger.chain import FIRST_LINK, FORMAT, Entry, commitment, trace_tag
from access.ledger.errors import LedgerTampered
from access.ledger.home import KEY
from access.ledger.store import Session, Store, other_format
from access.ledger.tables import IS_RULE

COLUMNS = ", ".join(f"e.{name}" for name in Entry._fields)
WIDTH = len(Entry._fields)
_TAGS_AT_ONCE = 500
WITH_DETAILS = f"SELECT {COLUMNS}, d.salt, d.body FROM entries e LEFT JOIN details d ON d.entry = e.number"


@dataclass(frozen=True)
class Recorded:
    """An entry as read for people: its body and, where asked for and not erased, its details."""

    entry: Entry
    body: dict[str, Any]
    details: dict[str, Any] | None


class Reader:
    """Turns rows into entries that a holder of the key wrote. One for each ledger; it keeps the rules it has seen."""

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = key
        self._last = f"SELECT {COLUMNS}, {store.clock} FROM entries e ORDER BY e.number DESC LIMIT 1"
        self._rules_between = (
            f"SELECT {COLUMNS} FROM entries e {store.rules_hint} WHERE {IS_RULE} "
            "AND e.number > ? AND e.number <= ? ORDER BY e.number DESC"
        )
        self._rules: tuple[Entry, ...] = ()
        self._rules_lock = threading.Lock()

    def last(self, session: Session, mark: tuple[int, str]) -> tuple[Entry, str]:
        """Returns the last entry, having held it against the high-water mark, and the database's time."""
        row = session.row(self._last)
        if row is None:
            raise self.tampered(f"it holds no entry, but entry {mark[0]} has been seen")
        last = self.authentic(Entry._make(row[:WIDTH]))
        if last.number < mark[0]:
            raise self.tampered(
                f"it ends at entry {last.number}, but entry {mark[0]} has been seen: an older copy was put back, or "
                "the last entries were cut off"
            )
        marked = last if last.number == mark[0] else self.recorded(session, mark[0])[0]
        if marked.digest != mark[1]:
            raise self.tampered(f"entry {mark[0]} is not the one that has been seen under this number")
        return last, str(row[WIDTH])

    def rules(self, session: Session, last: Entry) -> tuple[Entry, ...]:
        """Returns the rule entries up to last, having checked that none was changed and none is missing.

        The last entry names the last rule entry by its digest, and each rule entry the one before it, so the digests
        alone show it. Those checked before are not read again: what ends in the same digest has the same content.
        """
        end = last.rule_link()
        known = self._rules
        while known and known[-1].number > end[0]:  # another thread has seen more than this transaction may
            known = known[:-1]
        if known and known[-1].rule_link() == end:
            return known
        link, fresh = end, []
        for row in session.rows(self._rules_between, (known[-1].number if known else 0, end[0])):
            entry = Entry._make(row)
            if entry.number < link[0]:
                break
            if entry.number == 1:
                self._check_format(entry)
            if (entry.number, entry.digest) != link:
                raise self._changed(entry)
            link = (entry.rule_number, entry.rule_digest)
            fresh.append(entry)
        if link != (known[-1].rule_link() if known else (0, FIRST_LINK)):
            raise self.tampered(f"rule entry {link[0]}, which entry {(fresh or [last])[-1].number} names, is gone")
        with self._rules_lock:
            if self._rules is known:
                self._rules = (*known, *reversed(fresh))
            elif self._rules[-1] != fresh[0]:
                return (*known, *reversed(fresh))
            return self._rules

    def recorded(self, session: Session, number: int) -> tuple[Entry, dict[str, Any] | None]:
        """Returns an entry, and its details unless it has none or they were erased."""
        row = session.row(f"{WITH_DETAILS} WHERE e.number = ?", (number,))
        if row is None:
            raise self.tampered(f"entry {number} is gone")
        return self.checked(row)

    def checked(self, row: Sequence[Any]) -> tuple[Entry, dict[str, Any] | None]:
        """Returns entry and details of a row of WITH_DETAILS."""
        entry = self.authentic(Entry._make(row[:WIDTH]))
        salt, details = row[WIDTH : WIDTH + 2]
        if details is None:
            return entry, None
        if json.loads(entry.body).get("details") != commitment(str(salt), str(details)):
            raise self.tampered(f"the details of entry {entry.number} were changed")
        return entry, json.loads(details)

    def found(self, session: Session, name: str, last: Entry, limit: int) -> list[Entry]:
        """Returns up to limit entries, newest first, that carry a trace and lie no higher than last."""
        query = (
            f"SELECT {COLUMNS}, d.salt, d.body FROM traces t LEFT JOIN entries e ON e.number = t.entry "
            "LEFT JOIN details d ON d.entry = t.entry "
            "WHERE t.tag = ? AND t.entry <= ? ORDER BY t.entry DESC LIMIT ?"
        )
        found = []
        for row in session.rows(query, (trace_tag(name, self._key), last.number, limit)):
            if row[0] is None:
                raise self.tampered("a trace leads to an entry that is gone")
            entry, details = self.checked(row)
            if name not in (*json.loads(entry.body).get("traces", ()), *(details or {}).get("traces", ())):
                raise self.tampered(f"a trace leads to entry {entry.number}, which does not carry it")
            found.append(entry)
        return found

    def count(self, session: Session, name: str, last: Entry) -> int:
        """Returns how many entries carry a trace, as the index of traces says."""
        query = "SELECT count(*) FROM traces WHERE tag = ? AND entry <= ?"
        return int(session.rows(query, (trace_tag(name, self._key), last.number))[0][0])

    def carried(self, session: Session, names: Sequence[str], last: Entry) -> set[str]:
        """Returns those names under which the index of traces has an entry."""
        by_tag = {trace_tag(name, self._key): name for name in names}
        tags, found = sorted(by_tag), set()
        for first in range(0, len(tags), _TAGS_AT_ONCE):
            part = tags[first : first + _TAGS_AT_ONCE]
            query = f"SELECT DISTINCT tag FROM traces WHERE tag IN ({', '.join('?' * len(part))}) AND entry <= ?"
            found |= {by_tag[row[0]] for row in session.rows(query, (*part, last.number))}
        return found

    def authentic(self, entry: Entry) -> Entry:
        """Returns entry. Raises LedgerTampered where its MAC does not fit."""
        if not entry.is_authentic(self._key):
            raise self._changed(entry)
        return entry

    def tampered(self, what: str) -> LedgerTampered:
        """Returns the error that says what is wrong with this ledger."""
        return LedgerTampered(
            f"the ledger {self._store.where} cannot be relied on: {what}; nothing is answered: run 'afterfact audit "
            "verify' and keep the files as they are"
        )

    def _changed(self, entry: Entry) -> LedgerTampered:
        return self.tampered(f"entry {entry.number} was changed, or {KEY} is not the key it was written with")

    def _check_format(self, first: Entry) -> None:
        try:
            found = json.loads(first.body)["format"]
        except (ValueError, TypeError, KeyError):
            raise self._changed(first) from None
        if found != FORMAT:
            raise other_format(self._store.where, found)


class View:
    """What a decider sees, inside the transaction that appends what it decides and not after it.

    `rules` are all rule entries, oldest first; `now` is the moment; `last` is the newest entry. `doubted`: whether the
    clock has jumped, and only an operator who may confirm it may append anything.
    """

    def __init__(self, reader: Reader, session: Session, last: Entry, now: str, doubted: bool = False) -> None:
        self.rules: tuple[Entry, ...] = reader.rules(session, last)
        self.now = now
        self.last = last
        self.doubted = doubted
        self._reader = reader
        self._session: Session | None = session

    def find(self, name: str, limit: int = 200) -> list[Entry]:
        """Returns up to limit entries that carry a trace, newest first, each checked. Raises LedgerTampered."""
        return self._reader.found(self._open_session(), name, self.last, limit)

    def count(self, name: str) -> int:
        """Returns how many entries carry a trace. Unlike `find` it reads no entry: only a verification would see
        that a trace was removed or added."""
        return self._reader.count(self._open_session(), name, self.last)

    def carried(self, names: Sequence[str]) -> set[str]:
        """Returns those traces that some entry carries; as `count`, it reads no entry."""
        return self._reader.carried(self._open_session(), names, self.last)

    def close(self) -> None:
        """Ends the view with its transaction."""
        self._session = None

    def _open_session(self) -> Session:
        if self._session is None:
            raise RuntimeError("a View is valid only inside its transaction")
        return self._session
