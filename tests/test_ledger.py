"""The ledger: one chain, nothing changed, removed or put back unseen, and one append at a time."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from access.ledger.chain import Draft, canonical
from access.ledger.errors import (
    LedgerAbsent,
    LedgerBusy,
    LedgerClockError,
    LedgerError,
    LedgerTampered,
    LedgerUnreadable,
    MarkError,
)
from access.ledger.ledger import DATABASE, KEY, MARK, Ledger
from access.ledger.verification import verify

NOON = "2026-03-01T12:00:00.000000Z"


class Clock:
    def __init__(self, now: str = NOON) -> None:
        self.now = now

    def __call__(self) -> str:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    """Entry 1 created, 2 operator (a rule), 3 answer with details, 4 moratorium (a rule), 5 and 6 answers."""
    made = Ledger.create(tmp_path, [Draft("operator.added", "clerk", {"by": {}, "why": "first"})], clock=clock)
    append(made, Draft("search.answered", "sheriff", {"k": 20}, {"case": "2026-0117"}))
    append(made, Draft("moratorium.declared", "june", {"reason": "law"}))
    append(made, Draft("search.answered", "sheriff", {"k": 20}, {"case": "2026-0118"}))
    append(made, Draft("search.answered", "sheriff", {"k": 50}, {"case": "2026-0119"}))
    return made


def append(ledger: Ledger, *drafts: Draft) -> None:
    ledger.append_decided(lambda _rules, _now: drafts)


def tamper(home: Path, *statements: str) -> None:
    with sqlite3.connect(home / DATABASE) as connection:
        connection.execute("DROP TRIGGER IF EXISTS entries_refuse_update")
        connection.execute("DROP TRIGGER IF EXISTS entries_refuse_delete")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_entries_are_numbered_chained_and_intact(ledger: Ledger) -> None:
    found = verify(ledger)
    assert found.intact
    assert (found.number, found.details_kept, found.details_erased) == (6, 3, 0)
    assert found.head == ledger.head().digest
    entries = [one.entry for one in reversed(ledger.recent(10))]
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert all(after.previous == before.digest for before, after in itertools.pairwise(entries))
    assert [entry.rule_number for entry in entries] == [0, 1, 2, 2, 4, 4]


def test_details_are_apart_and_only_committed_to(ledger: Ledger) -> None:
    newest = ledger.recent(1, details=True)[0]
    assert newest.details == {"case": "2026-0119"}
    assert "2026-0119" not in newest.entry.body
    assert len(newest.body["details"]) == 64


def test_erased_details_are_told_and_leave_the_chain_whole(ledger: Ledger, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM details WHERE entry = 3")
    found = verify(ledger)
    assert found.intact
    assert (found.details_kept, found.details_erased) == (2, 1)


def test_floats_are_refused_because_distances_are_strings() -> None:
    with pytest.raises(TypeError, match=r"body\.candidates\[0\]\.distance is the float 0\.41"):
        canonical({"candidates": [{"distance": 0.41}]})


@pytest.mark.parametrize("column", ["time", "type", "subject", "body", "previous", "rule_digest", "mac"])
def test_verify_names_the_entry_whose_byte_was_flipped(ledger: Ledger, tmp_path: Path, column: str) -> None:
    tamper(
        tmp_path,
        f"UPDATE entries SET {column} = substr({column}, 1, 5) || char(unicode(substr({column}, 6, 1)) + 1) "
        f"|| substr({column}, 7) WHERE number = 4",
    )
    found = verify(ledger)
    assert (found.first_bad, found.number) == (4, 3)
    with pytest.raises(LedgerTampered, match="entry 4"):
        Ledger(tmp_path).read_rules()


def test_a_byte_that_is_no_text_is_named_too(ledger: Ledger, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE entries SET body = CAST(x'7bff7d' AS TEXT) WHERE number = 3")
    assert verify(ledger).first_bad == 3


def test_an_attacker_without_the_key_cannot_rebuild_the_chain(ledger: Ledger, tmp_path: Path) -> None:
    forged = replace(ledger.recent(1)[0].entry, body='{"k":2}')
    tamper(
        tmp_path,
        f"UPDATE entries SET body = '{forged.body}', mac = '{forged.mac_under(b'a guess')}' WHERE number = 6",
        f"UPDATE head SET digest = '{forged.digest}'",
    )
    ledger.mark.create(6, forged.digest)
    found = verify(ledger)
    assert found.first_bad == 6
    assert found.problem is not None
    assert "MAC" in found.problem
    with pytest.raises(LedgerTampered, match="entry 6 was changed"):
        Ledger(tmp_path).head()


def test_changed_details_are_found(ledger: Ledger, tmp_path: Path) -> None:
    tamper(tmp_path, 'UPDATE details SET body = \'{"case":"2026-9999"}\' WHERE entry = 5')
    found = verify(ledger)
    assert (found.first_bad, found.problem) == (5, "its details were changed")


def test_a_cut_tail_is_refused_by_the_mark(ledger: Ledger, tmp_path: Path) -> None:
    fifth = ledger.recent(2)[1].entry
    tamper(
        tmp_path,
        "DELETE FROM entries WHERE number = 6",
        "DELETE FROM details WHERE entry = 6",
        f"UPDATE head SET number = 5, digest = '{fifth.digest}'",
    )
    with pytest.raises(LedgerTampered, match="ends at entry 5, but entry 6 has been seen"):
        append(Ledger(tmp_path), Draft("search.answered", "sheriff", {}))
    found = verify(Ledger(tmp_path))
    assert not found.intact
    assert found.number == 5


def test_an_older_copy_put_back_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    shutil.copy(tmp_path / DATABASE, tmp_path / "yesterday")
    append(ledger, Draft("moratorium.declared", "july", {"reason": "law"}))
    shutil.copy(tmp_path / "yesterday", tmp_path / DATABASE)
    with pytest.raises(LedgerTampered, match="older copy was put back"):
        Ledger(tmp_path).read_rules()
    assert not verify(Ledger(tmp_path)).intact


def test_an_older_copy_that_grew_again_is_refused(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    shutil.copytree(tmp_path, tmp_path.parent / "elsewhere")
    append(ledger, Draft("moratorium.declared", "july", {"reason": "law"}))
    other = Ledger(tmp_path.parent / "elsewhere", clock=clock)
    append(other, Draft("search.answered", "sheriff", {}), Draft("search.answered", "sheriff", {}))
    shutil.copy(other.path, tmp_path / DATABASE)
    with pytest.raises(LedgerTampered, match="entry 7 is not the one that has been seen"):
        Ledger(tmp_path, clock=clock).read_rules()
    assert not verify(Ledger(tmp_path)).intact


@pytest.mark.parametrize("number", [2, 4])
def test_a_removed_rule_entry_is_missed_by_reading_rules_alone(ledger: Ledger, tmp_path: Path, number: int) -> None:
    tamper(tmp_path, f"DELETE FROM entries WHERE number = {number}")
    with pytest.raises(LedgerTampered, match="is gone"):
        Ledger(tmp_path).read_rules()
    assert verify(ledger).first_bad == number


def test_a_rule_entry_disguised_as_another_type_is_missed(ledger: Ledger, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE entries SET type = 'search.answered' WHERE number = 4")
    with pytest.raises(LedgerTampered):
        Ledger(tmp_path).read_rules()


def test_another_key_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / KEY).write_text("ab" * 32)
    with pytest.raises(LedgerTampered, match=r"ledger\.key is not the key"):
        Ledger(tmp_path).read_rules()
    assert verify(Ledger(tmp_path)).first_bad == 1


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [("zz", 0o600, "cannot be read"), ("abcd", 0o600, "16 bits"), ("ab" * 32, 0o640, "chmod 600")],
)
def test_an_unfit_key_is_refused(ledger: Ledger, tmp_path: Path, content: str, mode: int, says: str) -> None:
    (tmp_path / KEY).write_text(content)
    (tmp_path / KEY).chmod(mode)
    with pytest.raises(LedgerUnreadable, match=says):
        Ledger(tmp_path)


def test_absent_ledger_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(LedgerAbsent, match="run 'afterfact init'"):
        Ledger(tmp_path / "nowhere")


def test_a_lost_database_is_not_made_anew(ledger: Ledger, tmp_path: Path) -> None:
    ledger.path.unlink()
    with pytest.raises(LedgerAbsent, match="put it back from a backup"):
        Ledger(tmp_path)
    with pytest.raises(LedgerError):
        ledger.read_rules()
    assert not ledger.path.exists()


@pytest.mark.parametrize("content", [None, b"", b"6 abc", b"x" * 96])
def test_an_unreadable_mark_is_refused(ledger: Ledger, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / MARK).unlink()
    if content is not None:
        (tmp_path / MARK).write_bytes(content)
    with pytest.raises(MarkError, match=r"ledger\.mark"):
        ledger.read_rules()
    assert not verify(ledger).intact


def test_a_file_that_is_no_database_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(LedgerUnreadable, match="nothing is answered"):
        Ledger(tmp_path).read_rules()


def test_a_clock_that_runs_backwards_is_refused(ledger: Ledger, clock: Clock) -> None:
    append(ledger, Draft("search.answered", "sheriff", {}))  # the same moment is in order
    clock.now = "2026-03-01T11:59:59.999999Z"
    with pytest.raises(LedgerClockError, match=r"11:59:59\.999999 UTC.*12:00 UTC.*clock is set right"):
        append(ledger, Draft("search.answered", "sheriff", {}))
    with pytest.raises(LedgerClockError):
        ledger.read_rules()


def test_the_database_clock_has_the_width_of_a_moment(ledger: Ledger, tmp_path: Path) -> None:
    _, now = Ledger(tmp_path).read_rules()
    assert len(now) == len(NOON)
    assert now > NOON


def test_an_exception_in_the_decision_appends_nothing(ledger: Ledger) -> None:
    def decide(_rules: object, _now: str) -> list[Draft]:
        raise ValueError("undecided")

    with pytest.raises(ValueError, match="undecided"):
        ledger.append_decided(decide)
    assert ledger.head().number == 6


def test_commits_are_synced_and_entries_refuse_change(ledger: Ledger) -> None:
    with ledger._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "truncate"
    plain = sqlite3.connect(ledger.path)
    for statement in ("UPDATE entries SET subject = 'x'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.DatabaseError, match="never changed"):
            plain.execute(statement)
    plain.close()


def test_two_at_once_wait_and_a_stuck_one_is_named(ledger: Ledger, tmp_path: Path) -> None:
    holder = sqlite3.connect(ledger.path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerBusy, match=r"locked by another process for 0\.2 s"):
        append(Ledger(tmp_path, wait_seconds=0.2), Draft("search.answered", "sheriff", {}))
    threading.Timer(0.3, lambda: holder.execute("ROLLBACK")).start()
    append(Ledger(tmp_path), Draft("search.answered", "sheriff", {}))
    assert verify(ledger).number == 7


def _append_many(home: Path, count: int) -> None:
    ledger = Ledger(home)
    for _ in range(count):
        append(ledger, Draft("search.answered", "sheriff", {}, {"case": "2026-0117"}))


def test_processes_append_to_one_chain(ledger: Ledger, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_many, args=(tmp_path, 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    found = verify(ledger)
    assert found.intact
    assert found.number == 106
    assert ledger.mark.read() == (106, found.head)


def test_body_text_is_canonical_and_kept_as_written(ledger: Ledger) -> None:
    append(ledger, Draft("search.answered", "sheriff", {"z": 1, "é": ["0.41", None, True], "a": {"b": "\n"}}))
    body = ledger.recent(1)[0].entry.body
    assert body == '{"a":{"b":"\\n"},"z":1,"é":["0.41",null,true]}'
    assert json.loads(body)["é"] == ["0.41", None, True]
