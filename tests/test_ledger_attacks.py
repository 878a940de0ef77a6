"""Whoever may write to the ledger's database: what is found out, by whom, and what only an anchor finds."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from databases import Clock, Place, ServerPlace, literal

from access.ledger.chain import Draft, Entry, seal, trace_tag
from access.ledger.errors import LedgerTampered
from access.ledger.ledger import KEY, Ledger
from access.ledger.verification import read_anchors, verify
from foundation.errors import InputError

ANSWER = Draft("search.answered", "sheriff", {"k": 20}, {"case": "2026-0117"}, ("permit:1",), ("case:117",))
LAST = 8


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(place: Place, clock: Clock) -> Ledger:
    """Rule entries 1, 2 and 5; answers with details and traces 3, 4, 6 and 7, of which 4's are erased by 8."""
    made = place.create([Draft("operator.added", "clerk", {"by": {}, "why": "first"})], clock)
    append(made, ANSWER, ANSWER, Draft("moratorium.declared", "june", {"reason": "law"}), ANSWER, ANSWER)
    made.append_decided(lambda _view: [Draft("details.erased", "clerk", {}, erases=(4,))], as_owner=True)
    return made


def append(ledger: Ledger, *drafts: Draft) -> None:
    ledger.append_decided(lambda _view: drafts)


def entries_of(ledger: Ledger) -> list[Entry]:
    return [one.entry for one in ledger.stream()]


def insert(entry: Entry) -> str:
    return f"INSERT INTO entries VALUES ({', '.join(literal(value) for value in entry)})"


def refuse_all(ledger: Ledger, says: str) -> None:
    for ask in (lambda: ledger.read(lambda view: view.rules), lambda: append(ledger, ANSWER)):
        with pytest.raises(LedgerTampered, match=says):
            ask()


@dataclass(frozen=True)
class Change:
    statement: str
    first_bad: int | None


def changed(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice([char for char in "09afz{é" if char != text[at]]) + text[at + 1 :]


def random_change(rows: dict[str, list[tuple]], chance: random.Random) -> Change:
    """Returns one change to one row, and the entry that is the first bad one after it."""
    table = chance.choice(["entries", "entries", "details", "traces"])
    row = list(chance.choice(rows[table]))
    keys = {"entries": ["number"], "details": ["entry"], "traces": ["tag", "entry"]}[table]
    names = {"entries": list(Entry._fields), "details": ["entry", "salt", "body"], "traces": ["tag", "entry"]}[table]
    where = " AND ".join(f"{name} = {literal(row[names.index(name)])}" for name in keys)
    number = row[names.index(keys[-1])]
    # Without the last entry there is no order to erase the details of 4.
    end = 4 if table == "entries" and number == LAST else number
    if chance.random() < 0.2:
        return Change(f"DELETE FROM {table} WHERE {where}", end)
    if chance.random() < 0.2:
        other = chance.choice([-3, 0, LAST + 1, LAST + 5])
        row[names.index(keys[-1])] = other
        beyond = {"entries": 1 if other < 1 else LAST + 1}.get(table)
        return Change(f"INSERT INTO {table} VALUES ({', '.join(literal(value) for value in row)})", beyond)
    column = chance.randrange(len(names))
    value = row[column]
    if isinstance(value, int):
        value = chance.choice([-7, 0, LAST + 1, LAST + 9]) if names[column] in keys else value + chance.choice([-1, 1])
        # Moved below the first one, an entry is met before its own place is.
        end = 1 if table == "entries" and names[column] == "number" and value < 1 else end
    else:
        value = changed(value, chance)
    return Change(f"UPDATE {table} SET {names[column]} = {literal(value)} WHERE {where}", end)


def test_every_single_change_is_found_where_it_is(ledger: Ledger, place: Place) -> None:
    rows = {table: place.tamper(f"SELECT * FROM {table}") for table in place.tables}
    restore = place.backup()
    chance = random.Random(7)
    for _ in range(250 if isinstance(place, ServerPlace) else 1000):
        change = random_change(rows, chance)
        place.tamper(change.statement)
        found = verify(ledger)
        assert found.problem is not None, change
        assert found.first_bad == change.first_bad, (change, found)
        place.tamper(*restore)
    assert verify(ledger).intact


@pytest.mark.parametrize("column", ["time", "type", "subject", "body", "previous", "rule_digest"])
def test_a_changed_rule_is_refused_by_whoever_reads_the_rules(ledger: Ledger, place: Place, column: str) -> None:
    place.tamper(f"UPDATE entries SET {column} = {column} || ' ' WHERE number = 5")
    refuse_all(place.open(Clock()), "rule entry 5|entry 5 was changed")


@pytest.mark.parametrize("number", [2, 5])
def test_a_removed_rule_is_missed_by_reading_rules_alone(ledger: Ledger, place: Place, number: int) -> None:
    place.tamper(f"DELETE FROM entries WHERE number = {number}")
    refuse_all(place.open(Clock()), f"rule entry {number}.* is gone")


def test_a_rule_in_between_is_no_rule(ledger: Ledger, place: Place) -> None:
    fourth = entries_of(ledger)[3]
    place.tamper("DELETE FROM entries WHERE number = 4", insert(fourth._replace(type="moratorium.lifted")))
    refuse_all(place.open(Clock()), "entry 4 was changed")


def test_without_the_key_a_recomputed_chain_is_found(ledger: Ledger, place: Place) -> None:
    forged = rewritten(ledger, b"a guessed key", lambda entry: entry.subject.replace("sheriff", "rescue"))
    place.tamper("DELETE FROM entries", *map(insert, forged))
    ledger.mark.create(LAST, forged[-1].digest)
    found = verify(ledger)
    assert (found.first_bad, found.problem) == (1, "its MAC does not fit: it was changed, or written with another key")
    refuse_all(place.open(Clock()), "entry 8 was changed")


def test_with_the_key_a_rewritten_ledger_is_found_by_an_anchor_alone(ledger: Ledger, place: Place) -> None:
    entries = entries_of(ledger)
    anchors = [(entry.number, entry.digest) for entry in (entries[2], entries[5])]
    assert verify(ledger, anchors=anchors).anchored == 6
    forged = rewritten(ledger, ledger.key, lambda entry: "rescue" if entry.number == 4 else entry.subject)
    place.tamper("DELETE FROM entries", *map(insert, forged))
    ledger.mark.create(LAST, forged[-1].digest)
    assert verify(ledger).intact
    found = verify(ledger, anchors=anchors)
    assert (found.number, found.first_bad, found.anchored) == (5, 6, 3)
    assert found.problem is not None
    assert "entry 6 is not the one that was anchored: the ledger was rewritten before it" in found.problem


def rewritten(ledger: Ledger, key: bytes, subject: Callable[[Entry], str]) -> list[Entry]:
    made: list[Entry] = []
    for entry in entries_of(ledger):
        draft = Draft(entry.type, subject(entry), {})
        made.append(seal(draft, entry.body, made[-1] if made else None, entry.time, key))
    return made


def test_an_anchor_above_the_end_is_a_problem(ledger: Ledger) -> None:
    found = verify(ledger, anchors=[(9, "0" * 64)])
    assert found.problem is not None
    assert "ends at entry 8, but entry 9 was anchored" in found.problem


def test_anchors_are_read_as_they_are_printed() -> None:
    one, two = "a" * 64, "b" * 64
    text = f"# printed monthly\n\n12 {one} 2026-03-01T12:00:00.000000Z\n  13   {two}\n"
    assert read_anchors(text) == [(12, one), (13, two)]
    for nothing in ("", "# printed monthly\n"):  # cut off, it must not pass for none given
        with pytest.raises(InputError, match="holds none"):
            read_anchors(nothing)
    for line in ("12", f"twelve {one}", f"12 {one[1:]}", f"0 {one}"):
        with pytest.raises(InputError, match="line 2 of the anchors"):
            read_anchors(f"12 {one}\n{line}")


def test_yesterdays_backup_put_back_is_refused(ledger: Ledger, place: Place) -> None:
    yesterday = place.backup()
    append(ledger, Draft("moratorium.declared", "july", {"reason": "law"}))
    place.tamper(*yesterday)
    refuse_all(place.open(Clock()), "ends at entry 8, but entry 9 has been seen: an older copy was put back")
    found = verify(ledger)
    assert (found.number, found.first_bad, found.intact) == (8, None, False)


def test_yesterdays_backup_that_grew_again_is_refused(ledger: Ledger, place: Place, clock: Clock) -> None:
    yesterday, mark = place.backup(), ledger.mark.read()
    append(ledger, Draft("moratorium.declared", "july", {"reason": "law"}))
    seen = ledger.mark.read()
    place.tamper(*yesterday)
    ledger.mark.create(*mark)
    append(place.open(clock), ANSWER, ANSWER)
    ledger.mark.create(*seen)
    refuse_all(place.open(clock), "entry 9 is not the one that has been seen")
    assert not verify(ledger).intact


def test_a_cut_tail_is_refused(ledger: Ledger, place: Place) -> None:
    place.tamper("DELETE FROM entries WHERE number > 6", "DELETE FROM details WHERE entry > 6")
    refuse_all(place.open(Clock()), "ends at entry 6, but entry 8 has been seen")
    place.tamper("DELETE FROM entries")
    refuse_all(place.open(Clock()), "holds no entry")


def test_another_key_is_refused(ledger: Ledger, place: Place) -> None:
    (place.home / KEY).write_text(secrets.token_hex(32))
    refuse_all(place.open(Clock()), r"ledger\.key is not the key")
    assert verify(place.open()).first_bad == 1


def test_details_gone_without_an_order_are_found(ledger: Ledger, place: Place) -> None:
    place.tamper("DELETE FROM details WHERE entry = 6")
    found = verify(ledger)
    assert (found.first_bad, found.problem) == (6, "its details are gone without an order to erase them")


def test_an_order_counts_only_for_earlier_entries(ledger: Ledger, place: Place) -> None:
    append(ledger, Draft("details.erased", "clerk", {"entries": [10]}), ANSWER)
    place.tamper("DELETE FROM details WHERE entry = 10")
    assert verify(ledger).first_bad == 10


def test_changed_details_are_found_by_whoever_reads_them(ledger: Ledger, place: Place) -> None:
    place.tamper('UPDATE details SET body = \'{"case":"2026-9999"}\' WHERE entry = 6')
    with pytest.raises(LedgerTampered, match="details of entry 6 were changed"):
        ledger.recent(10, details=True)
    with pytest.raises(LedgerTampered, match="details of entry 6 were changed"):
        ledger.read(lambda view: view.find("permit:1"))


def test_a_trace_removed_or_added_is_found(ledger: Ledger, place: Place) -> None:
    tag = trace_tag("case:117", ledger.key)
    place.tamper(f"DELETE FROM traces WHERE tag = '{tag}' AND entry = 6")
    assert verify(ledger).first_bad == 6
    place.tamper(f"INSERT INTO traces VALUES ('{tag}', 6)", f"INSERT INTO traces VALUES ('{tag}', 5)")
    assert verify(ledger).first_bad == 5
    with pytest.raises(LedgerTampered, match="a trace leads to entry 5, which does not carry it"):
        ledger.read(lambda view: view.find("case:117"))


def test_a_stream_misses_what_is_gone(ledger: Ledger, place: Place) -> None:
    place.tamper("DELETE FROM entries WHERE number = 4")
    with pytest.raises(LedgerTampered, match="entry 4 is gone"):
        list(ledger.stream())


def test_a_byte_that_is_no_text_is_found_under_its_number(tmp_path: Path) -> None:
    place = Place(tmp_path)
    ledger = place.create(clock=Clock())
    append(ledger, ANSWER, Draft("moratorium.declared", "june", {}), ANSWER)
    place.tamper("UPDATE entries SET body = CAST(x'7bff7d' AS TEXT) WHERE number = 3")
    assert verify(ledger).first_bad == 3
    refuse_all(place.open(Clock()), "entry 3 was changed")


def test_bodies_name_no_private_trace(ledger: Ledger) -> None:
    assert all("117" not in json.dumps(one.body.get("traces", [])) for one in ledger.recent(10))
