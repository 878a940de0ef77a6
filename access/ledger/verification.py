"""Walks the whole ledger and says up to where it is intact, and which entry is the first bad one."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from access.ledger.chain import FIRST_LINK, FORMAT, Entry, commitment, is_mac, trace_tag
from access.ledger.errors import MarkError
from access.ledger.ledger import Ledger
from access.ledger.reading import WIDTH
from foundation.errors import InputError

_BATCH = 5000
_ANCHOR = re.compile(r"([1-9][0-9]{0,17})\s+([0-9a-f]{64})(\s+\S.*)?")


@dataclass(frozen=True)
class Verification:
    """What a walk found. `problem` is None where every entry is as it was written.

    `number` and `head` name the last entry found intact; `first_bad` the first that is not (None where the fault
    is no entry's own, such as a mark above the end). `details_erased` counts entries whose details were erased by
    order. `anchored` is the highest anchor's number that holds: up to it no holder of the key rewrote anything.
    """

    number: int
    head: str
    time: str | None
    details_kept: int
    details_erased: int
    first_bad: int | None
    problem: str | None
    anchored: int | None = None

    @property
    def intact(self) -> bool:
        """Whether no problem was found."""
        return self.problem is None


def read_anchors(text: str) -> list[tuple[int, str]]:
    """Returns the anchors in a text, one a line as `afterfact audit head` prints them: number, digest, time.

    Empty lines and lines that begin with # are passed over. Raises InputError naming the line that is none, and where
    there is no anchor at all.
    """
    anchors = []
    for place, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        parts = _ANCHOR.fullmatch(content)
        if not parts:
            raise InputError(
                f"line {place} of the anchors is {content[:80]!r}; write number, digest of 64 hexadecimal digits and "
                "time, as 'afterfact audit head' prints them"
            )
        anchors.append((int(parts[1]), parts[2]))
    if not anchors:
        raise InputError("the file of anchors holds none; name the one that 'afterfact audit head' was printed into")
    return anchors


def verify(
    ledger: Ledger,
    progress: Callable[[int], None] = lambda _number: None,
    anchors: Iterable[tuple[int, str]] = (),
) -> Verification:
    """Checks every entry's place, digest of the one before, MAC, time, link to the rules, details and traces, the
    anchors (number and digest of entries written down elsewhere), then the high-water mark. Calls progress with the
    number reached, every few thousand entries.

    Memory does not grow with the ledger. Entries are read a batch at a time, so that appending goes on meanwhile.
    Raises LedgerBusy and LedgerUnreadable.
    """
    walk = _Walk(ledger, anchors)
    mark: tuple[int, str] | None = None
    try:
        mark = ledger.mark.read()  # before the walk: what is appended during it only lies above
    except MarkError as error:
        walk.problem = str(error)
    unreadable_mark, walk.problem = walk.problem, None
    if mark is not None:
        walk.marked = mark[0]
    while walk.problem is None:
        rows, traces = ledger.rows_after(walk.number or None, _BATCH)
        if not rows:
            break
        walk.batch(rows, traces)
        progress(walk.number)
    if walk.problem is None:
        walk.problem = unreadable_mark or walk.end_fault(mark)
    return Verification(
        number=walk.number,
        head=walk.digest,
        time=walk.time or None,
        details_kept=walk.kept,
        details_erased=walk.erased,
        first_bad=walk.first_bad,
        problem=walk.problem,
        anchored=walk.anchored,
    )


class _Walk:
    """Where a verification stands: the last entry found intact, and what the next one has to fit."""

    def __init__(self, ledger: Ledger, anchors: Iterable[tuple[int, str]]) -> None:
        self.number, self.digest, self.time = 0, FIRST_LINK, ""
        self.kept = self.erased = 0
        self.first_bad: int | None = None
        self.problem: str | None = None
        self.anchored: int | None = None
        self.marked: int | None = None
        self._marked_digest: str | None = None
        self._ledger = ledger
        self._key = ledger.key
        self._rule = (0, FIRST_LINK)
        self._anchors: dict[int, set[str]] = defaultdict(set)
        for number, digest in anchors:
            self._anchors[number].add(digest)
        # A bit for each entry, because every entry's details may have been erased.
        self._ordered = bytearray()
        self._orders_read = 0

    def batch(self, rows: Sequence[tuple[Any, ...]], traces: Sequence[tuple[int, str]]) -> None:
        """Checks rows in their order, up to the first bad one."""
        tags: dict[int, set[str]] = defaultdict(set)
        for number, tag in traces:
            tags[number].add(tag)
        for row in rows:
            entry = Entry._make(row[:WIDTH])
            self.problem = self._fault(entry, row[WIDTH], row[WIDTH + 1], tags.get(entry.number, set()))
            if self.problem is not None:
                self.first_bad = self.number + 1
                return

    def end_fault(self, mark: tuple[int, str] | None) -> str | None:
        """Returns what is wrong with the end of a walk that found every entry intact."""
        if mark and mark[0] > self.number:
            return (
                f"it ends at entry {self.number}, but entry {mark[0]} has been seen: an older copy was put back, or "
                "the last entries were cut off"
            )
        if mark and self._marked_digest != mark[1]:
            return f"entry {mark[0]} is not the one that has been seen under this number"
        above = [number for number in self._anchors if number > self.number]
        if above:
            return (
                f"it ends at entry {self.number}, but entry {min(above)} was anchored: the last entries were cut off, "
                "or the anchor is of another ledger"
            )
        for table in ("details", "traces"):
            astray = self._ledger.astray(table)
            if astray is not None:
                return f"it holds {table} of an entry {astray}, which there is not"
        return None

    def _fault(self, entry: Entry, salt: str | None, details: str | None, tags: set[str]) -> str | None:
        digest = entry.digest
        for fault in self._place_faults(entry, digest):
            return fault
        body = json.loads(entry.body) if '"details"' in entry.body or '"traces"' in entry.body else {}
        for fault in self._details_faults(entry.number, body.get("details"), salt, details):
            return fault
        names = body.get("traces", ())
        if details is not None and '"traces"' in details:
            names = (*names, *json.loads(details).get("traces", ()))
        if tags != {trace_tag(name, self._key) for name in names}:
            return "the traces that lead to it are not those it was written with"
        if entry.number in self._anchors:
            if self._anchors[entry.number] != {digest}:
                return (
                    f"entry {entry.number} is not the one that was anchored: the ledger was rewritten before it or the "
                    "anchor is of another ledger"
                )
            self.anchored = entry.number
        if entry.number == self.marked:
            self._marked_digest = digest
        self.kept += details is not None
        self.erased += details is None and "details" in body
        self.number, self.digest, self.time = entry.number, digest, entry.time
        if entry.is_rule:
            self._rule = (entry.number, digest)
        return None

    def _place_faults(self, entry: Entry, digest: str) -> Iterator[str]:
        expected = self.number + 1
        if entry.number < expected:
            yield f"there is an entry {entry.number} before the first"
        if entry.number > expected:
            yield f"entry {expected} is gone"
        if not is_mac(entry.mac, digest, self._key):
            yield "its MAC does not fit: it was changed, or written with another key"
        if entry.previous != self.digest:
            yield "it does not follow from the entry before it"
        if (entry.rule_number, entry.rule_digest) != self._rule:
            yield "it does not name the last rule entry before it"
        if entry.time < self.time:
            yield f"its time {entry.time} is before the time of the entry before it, {self.time}"
        if expected == 1 and json.loads(entry.body).get("format") != FORMAT:
            yield f"it is not the first entry of a ledger of format {FORMAT}"

    def _details_faults(
        self, number: int, committed: str | None, salt: str | None, details: str | None
    ) -> Iterator[str]:
        if details is None:
            if committed is not None and not self._was_ordered(number):
                yield "its details are gone without an order to erase them"
        elif committed is None:
            yield "it has details that it does not commit to"
        elif commitment(str(salt), str(details)) != committed:
            yield "its details were changed"

    def _was_ordered(self, number: int) -> bool:
        if not self._bit(number):
            # Read again for each one missing: it may have been erased since the walk began.
            for order in self._ledger.erasures_after(self._orders_read):
                for erased in json.loads(order.body).get("entries", ()):
                    if erased < order.number:
                        self._set_bit(erased)
                self._orders_read = order.number
        return self._bit(number)

    def _bit(self, number: int) -> bool:
        return number // 8 < len(self._ordered) and bool(self._ordered[number // 8] >> number % 8 & 1)

    def _set_bit(self, number: int) -> None:
        self._ordered.extend(bytes(max(0, number // 8 + 1 - len(self._ordered))))
        self._ordered[number // 8] |= 1 << number % 8
