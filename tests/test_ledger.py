"""The ledger on SQLite and on PostgreSQL: one chain, one append at a time, and what deciders and readers get."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import threading

import pytest
from databases import Clock, Place, ServerPlace

from access.ledger.chain import Draft, canonical
from access.ledger.errors import LedgerAbsent, LedgerBusy, LedgerClockError, LedgerUnreadable, MarkError
from access.ledger.ledger import DATABASE, KEY, MARK, Ledger, View
from access.ledger.verification import verify

ANSWER = Draft("search.answered", "sheriff", {"k": 20}, {"case": "2026-0117"})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(place: Place, clock: Clock) -> Ledger:
    """Entry 1 created, 2 operator (a rule), 3 answer with details, 4 moratorium (a rule), 5 and 6 answers."""
    made = place.create([Draft("operator.added", "clerk", {"by": {}, "why": "first"})], clock)
    append(made, ANSWER)
    append(made, Draft("moratorium.declared", "june", {"reason": "law"}))
    append(made, Draft("search.answered", "sheriff", {"k": 20}, {"case": "2026-0118"}))
    append(made, Draft("search.answered", "sheriff", {"k": 50}, {"case": "2026-0119"}))
    return made


def append(ledger: Ledger, *drafts: Draft) -> None:
    ledger.append_decided(lambda _view: drafts)


def numbers(view: View) -> list[int]:
    return [entry.number for entry in view.rules]


def test_entries_are_numbered_chained_and_intact(ledger: Ledger) -> None:
    found = verify(ledger)
    assert found.problem is None
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
    assert ledger.recent(1)[0].details is None


def test_floats_are_refused_because_distances_are_strings() -> None:
    with pytest.raises(TypeError, match=r"body\.candidates\[0\]\.distance is the float 0\.41"):
        canonical({"candidates": [{"distance": 0.41}]})


def test_body_text_is_canonical_and_kept_as_written(ledger: Ledger) -> None:
    append(ledger, Draft("search.answered", "sheriff", {"z": 1, "é": ["0.41", None, True], "a": {"b": "\n"}}))
    body = ledger.recent(1)[0].entry.body
    assert body == '{"a":{"b":"\\n"},"z":1,"é":["0.41",null,true]}'
    assert json.loads(body)["é"] == ["0.41", None, True]


def test_a_decider_sees_rules_time_and_last_entry_and_nothing_afterwards(ledger: Ledger, clock: Clock) -> None:
    kept: list[View] = []

    def decide(view: View) -> list[Draft]:
        kept.append(view)
        assert (numbers(view), view.now, view.last.number) == ([1, 2, 4], clock.now, 6)
        return []

    assert ledger.append_decided(decide) == []
    with pytest.raises(RuntimeError, match="only inside its transaction"):
        kept[0].find("case:1")


def test_rules_are_the_same_object_until_one_is_appended(ledger: Ledger, place: Place, clock: Clock) -> None:
    first = ledger.read(lambda view: view.rules)
    append(ledger, ANSWER)
    assert ledger.read(lambda view: view.rules) is first
    append(place.open(clock), Draft("moratorium.lifted", "june", {"reason": "law"}))
    assert ledger.read(numbers) == [1, 2, 4, 8]
    assert ledger.read(lambda view: view.rules)[:3] == first


def test_traces_lead_to_entries_and_the_database_tells_no_name(ledger: Ledger, place: Place) -> None:
    refused = Draft("search.refused", "sheriff", {}, {"why": "no"}, ("refused",), ("refused-case:2026-0117",))
    append(ledger, refused, ANSWER, refused)
    find = ledger.read(lambda view: [view.find("refused-case:2026-0117"), view.find("refused", 1), view.find("none")])
    assert [[entry.number for entry in found] for found in find] == [[9, 7], [9], []]
    assert ledger.read(lambda view: (view.count("refused"), view.count("none"))) == (2, 0)
    newest = ledger.recent(1, details=True)[0]
    assert newest.body["traces"] == ["refused"]
    assert newest.details == {"why": "no", "traces": ["refused-case:2026-0117"]}
    assert "2026-0117" not in repr(place.tamper("SELECT * FROM traces"))
    assert verify(ledger).intact


def test_a_decider_finds_what_another_process_just_appended(ledger: Ledger, place: Place, clock: Clock) -> None:
    append(place.open(clock), Draft("permit.given", "sheriff", {}, traces=("permit:1",)))
    ledger.append_decided(lambda view: [Draft("permit.used", "x", {})] * view.count("permit:1"))
    assert ledger.head().number == 8


def test_erased_details_go_with_their_private_traces_and_leave_the_chain_whole(ledger: Ledger, place: Place) -> None:
    append(ledger, Draft("search.refused", "sheriff", {}, {"case": "SECRET-77"}, ("public",), ("private", "public")))
    ledger.append_decided(lambda _view: [Draft("details.erased", "clerk", {}, erases=(7, 3))], as_owner=True)
    assert ledger.read(lambda view: (view.count("private"), len(view.find("public")))) == (0, 1)
    assert ledger.recent(1)[0].body == {"entries": [3, 7]}
    assert ledger.recent(2, details=True)[1].details is None
    found = verify(ledger)
    assert (found.problem, found.details_kept, found.details_erased) == (None, 2, 2)
    if not isinstance(place, ServerPlace):
        assert b"SECRET-77" not in (place.home / DATABASE).read_bytes()


def test_an_erasure_names_itself_and_only_what_has_details(ledger: Ledger) -> None:
    for draft, says in (
        (Draft("search.answered", "clerk", {}, erases=(3,)), "only 'details.erased' may"),
        (Draft("details.erased", "clerk", {"entries": [4]}, erases=(3,)), r"\[4\] in the draft's text"),
        (Draft("details.erased", "clerk", {}, erases=(2,)), "entry 2 has no details"),
    ):
        with pytest.raises(ValueError, match=says):
            ledger.append_decided(lambda _view, draft=draft: [draft], as_owner=True)  # type: ignore[misc]
    with pytest.raises(ValueError, match="as_owner"):
        append(ledger, Draft("details.erased", "clerk", {}, erases=(3,)))
    assert verify(ledger).details_kept == 3


def test_entries_are_read_by_subject_type_number_and_time(ledger: Ledger, clock: Clock) -> None:
    clock.now = "2026-03-02T00:00:00.000000Z"
    append(ledger, ANSWER, ANSWER)
    clock.now = "2026-03-03T00:00:00.000000Z"
    append(ledger, ANSWER)

    def read(**filters: str | int) -> list[int]:
        return [one.entry.number for one in ledger.recent(10, **filters)]  # type: ignore[arg-type]

    assert read(type="search.answered") == [9, 8, 7, 6, 5, 3]
    assert read(subject="june") == [4]
    assert read(after=6) == [9, 8, 7]
    assert read(since="2026-03-02T00:00:00.000000Z", until="2026-03-03T00:00:00.000000Z") == [8, 7]
    assert read(until="2026-01-01T00:00:00.000000Z") == []
    assert [one.entry.number for one in ledger.stream()] == list(range(1, 10))
    assert [one.entry.number for one in ledger.stream(since="2026-03-01T12:00:00.000001Z")] == [7, 8, 9]
    streamed = list(ledger.stream(until="2026-03-02T00:00:00.000000Z", details=True))
    assert [one.details for one in streamed][2:4] == [{"case": "2026-0117"}, None]


def test_a_stream_ends_where_the_ledger_did_and_lets_others_append(ledger: Ledger) -> None:
    stream = ledger.stream()
    first = next(stream)
    append(ledger, ANSWER)
    assert [one.entry.number for one in (first, *stream)] == [1, 2, 3, 4, 5, 6]


def test_an_exception_in_the_decision_appends_nothing(ledger: Ledger) -> None:
    def decide(_view: View) -> list[Draft]:
        raise ValueError("undecided")

    with pytest.raises(ValueError, match="undecided"):
        ledger.append_decided(decide)
    assert ledger.head().number == 6


def test_a_clock_that_runs_backwards_is_refused(ledger: Ledger, clock: Clock) -> None:
    append(ledger, ANSWER)  # the same moment is in order
    clock.now = "2026-03-01T11:59:59.999999Z"
    with pytest.raises(LedgerClockError, match=r"11:59:59\.999999 UTC.*12:00 UTC.*clock is set right"):
        append(ledger, ANSWER)
    with pytest.raises(LedgerClockError):
        ledger.read(numbers)


def test_a_clock_wound_on_answers_nothing_until_it_is_confirmed(ledger: Ledger, clock: Clock) -> None:
    clock.now = "2026-03-03T12:00:00.000000Z"
    append(ledger, ANSWER)
    clock.now = "2026-03-05T12:00:00.000001Z"
    for ask in (lambda: ledger.read(numbers), lambda: append(ledger, ANSWER)):
        with pytest.raises(LedgerClockError, match=r"2026-03-03 12:00 UTC: more than 2 days.*audit clock --confirm"):
            ask()
    assert ledger.clock_state() == ("2026-03-03T12:00:00.000000Z", clock.now)
    assert ledger.head().number == len(ledger.recent(100)) == len(list(ledger.stream())) == verify(ledger).number == 7
    ledger.append_decided(lambda _view: [Draft("clock.confirmed", "clerk", {})], clock_confirmed=True)
    append(ledger, ANSWER)


def test_a_clock_set_right_again_needs_nothing(ledger: Ledger, clock: Clock) -> None:
    right, clock.now = clock.now, "2030-01-01T00:00:00.000000Z"
    with pytest.raises(LedgerClockError):
        append(ledger, ANSWER)
    clock.now = right
    append(ledger, ANSWER)


def test_the_database_clock_has_the_width_of_a_moment(place: Place, clock: Clock) -> None:
    now = place.create().read(lambda view: view.now)
    assert len(now) == len(clock.now)
    assert now > clock.now


def test_a_stuck_appender_is_named_and_readers_need_not_wait_for_it(ledger: Ledger, place: Place, clock: Clock) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold(_view: View) -> list[Draft]:
        inside.set()
        done.wait(10)
        return [ANSWER]

    holder = threading.Thread(target=ledger.append_decided, args=(hold,))
    holder.start()
    inside.wait(10)
    other = place.open(clock, wait_seconds=0.2)
    with pytest.raises(LedgerBusy, match=r"locked by another process for 0\.2 s"):
        append(other, ANSWER)
    assert other.head().number == 6
    done.set()
    holder.join(10)
    append(other, ANSWER)
    assert verify(ledger).number == 8


def _append_many(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        append(ledger, ANSWER)


def test_processes_and_threads_append_to_one_chain(ledger: Ledger, place: Place) -> None:
    ledger = place.open(lambda: "2026-03-01T12:00:00.000000Z")
    append(ledger, ANSWER)  # its connection is open when the processes fork
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_many, args=(ledger, 20)) for _ in range(3)]
    threads = [threading.Thread(target=_append_many, args=(ledger, 20)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for process in processes:
        process.start()
    for one in (*processes, *threads):
        one.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    found = verify(ledger)
    assert found.problem is None
    assert found.number == 7 + 6 * 20
    assert ledger.mark.read() == (found.number, found.head)


def test_another_format_is_refused_with_its_age(ledger: Ledger, place: Place) -> None:
    on_server = isinstance(place, ServerPlace)
    for number, age in ((1, "an older"), (3, "a newer")):
        place.tamper(f"UPDATE head SET format = {number}" if on_server else f"PRAGMA user_version = {number}")
        with pytest.raises(LedgerUnreadable, match=f"written by {age} Afterfact, format {number}, this one reads 2"):
            place.open().head()
        with pytest.raises(LedgerUnreadable, match="Afterfact"):
            verify(place.open())


def test_a_database_without_its_tables_is_refused(ledger: Ledger, place: Place) -> None:
    tables = [*place.tables, "head"] if isinstance(place, ServerPlace) else place.tables
    place.tamper(*(f"DROP TABLE {table}" for table in tables))
    with pytest.raises(LedgerUnreadable, match="holds no ledger"):
        place.open().read(numbers)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [("zz", 0o600, "cannot be read"), ("abcd", 0o600, "16 bits"), ("ab" * 32, 0o640, "chmod 600")],
)
def test_an_unfit_key_is_refused(place: Place, content: str, mode: int, says: str) -> None:
    place.create()
    (place.home / KEY).write_text(content)
    (place.home / KEY).chmod(mode)
    with pytest.raises(LedgerUnreadable, match=says):
        place.open()


@pytest.mark.parametrize("content", [None, b"", b"6 abc", b"x" * 96])
def test_an_unreadable_mark_is_refused(place: Place, content: bytes | None) -> None:
    ledger = place.create()
    (place.home / MARK).unlink()
    if content is not None:
        (place.home / MARK).write_bytes(content)
    with pytest.raises(MarkError, match=r"ledger\.mark"):
        ledger.read(numbers)
    assert not verify(ledger).intact


def test_a_home_with_a_ledger_gets_no_second_one(ledger: Ledger, place: Place) -> None:
    with pytest.raises(FileExistsError):
        place.create()
    for name in os.listdir(place.home):
        if name.startswith("ledger."):
            assert (place.home / name).stat().st_mode & 0o077 == 0


def test_absent_ledger_says_what_to_run(place: Place) -> None:
    with pytest.raises(LedgerAbsent, match="run 'afterfact init'"):
        place.open()
