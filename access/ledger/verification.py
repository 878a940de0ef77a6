"""Walks the whole ledger and says up to where it is intact, and which entry is the first bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from access.ledger.chain import FIRST_LINK, Entry, commitment
from access.ledger.errors import MarkError
from access.ledger.ledger import Ledger

_BATCH = 5000


@dataclass(frozen=True)
class Verification:
    """What a walk found. `problem` is None where every entry is as it was written.

    `number` and `head` name the last entry found intact; `first_bad` the first that is not (None where the fault
    is no entry's own, such as a mark above the end). `details_erased` counts entries whose details are gone, which
    is allowed and told.
    """

    number: int
    head: str
    time: str | None
    details_kept: int
    details_erased: int
    first_bad: int | None
    problem: str | None

    @property
    def intact(self) -> bool:
        """Whether no problem was found."""
        return self.problem is None


def verify(ledger: Ledger, progress: Callable[[int], None] = lambda _number: None) -> Verification:
    """Checks every entry's place, digest of the one before, MAC, time, link to the rules and details' commitment,
    then the head row and the high-water mark. Calls progress with the number reached, every few thousand entries.

    Memory does not grow with the ledger. Entries are read a batch at a time, so that appending goes on meanwhile.
    Raises LedgerBusy and LedgerUnreadable.
    """
    unreadable_mark = None
    mark: tuple[int, str] | None = None
    try:
        mark = ledger.mark.read()
    except MarkError as error:
        unreadable_mark = str(error)
    head = ledger.head_row()  # before the walk: what is appended during it only lies above
    last: Entry | None = None
    kept = erased = 0
    first_bad: int | None = None
    problem: str | None = None
    digests: dict[int, str] = {}
    anchors = {place[0] for place in (head, mark) if place}
    while problem is None:
        rows = ledger.rows_after(last.number if last else 0, _BATCH)
        if not rows:
            break
        for row in rows:
            *fields, salt, details = row
            entry = Entry(*fields)
            problem = _fault(entry, last, ledger.key)
            committed = json.loads(entry.body).get("details") if problem is None else None
            if problem is None:
                problem = _details_fault(committed, salt, details)
            if problem is not None:
                first_bad = last.number + 1 if last else 1
                break
            kept += details is not None
            erased += committed is not None and details is None
            last = entry
            if entry.number in anchors:
                digests[entry.number] = entry.digest
        if last:
            progress(last.number)
    if problem is None:
        problem = unreadable_mark or _end_fault(last, digests, head, mark)
    return Verification(
        number=last.number if last else 0,
        head=last.digest if last else FIRST_LINK,
        time=last.time if last else None,
        details_kept=kept,
        details_erased=erased,
        first_bad=first_bad,
        problem=problem,
    )


def _fault(entry: Entry, last: Entry | None, key: bytes) -> str | None:
    expected = last.number + 1 if last else 1
    if entry.number != expected:
        return f"entry {expected} is gone"
    if not entry.is_authentic(key):
        return "its MAC does not fit: it was changed, or written with another key"
    if entry.previous != (last.digest if last else FIRST_LINK):
        return "it does not follow from the entry before it"
    if (entry.rule_number, entry.rule_digest) != (last.rule_link() if last else (0, FIRST_LINK)):
        return "it does not name the last rule entry before it"
    if last and entry.time < last.time:
        return f"its time {entry.time} is before the time of the entry before it, {last.time}"
    return None


def _details_fault(committed: str | None, salt: str | None, details: str | None) -> str | None:
    if details is None:
        return None
    if committed is None:
        return "it has details that it does not commit to"
    return None if commitment(salt or "", details) == committed else "its details were changed"


def _end_fault(
    last: Entry | None, digests: dict[int, str], head: tuple[int, str] | None, mark: tuple[int, str] | None
) -> str | None:
    number = last.number if last else 0
    if head is None:
        return "the row that names the last entry is gone"
    if digests.get(head[0]) != head[1]:
        return f"the ledger ends at entry {number}, but its head names another entry {head[0]}"
    if mark and mark[0] > number:
        return (
            f"it ends at entry {number}, but entry {mark[0]} has been seen: an older copy was put back, or the last "
            "entries were cut off"
        )
    if mark and digests.get(mark[0]) != mark[1]:
        return f"entry {mark[0]} is not the one that has been seen under this number"
    return None
