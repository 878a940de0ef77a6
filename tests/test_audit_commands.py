"""`afterfact audit`: shows, verifies, exports, reports, confirms the clock and erases, and tells the ledger of it."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from databases import Server, ServerPlace
from officials import Shell, forged, open_shell, types_after
from rulebook import SEARCH, House, open_house

from access.acts.moratoria import MoratoriumTerms
from access.acts.queries import Queries
from access.gate import Gate, Refused
from access.ledger.errors import LedgerClockError
from access.ledger.ledger import DATABASE, Ledger
from foundation.errors import EXIT_DONE, EXIT_ERROR, EXIT_REFUSED, EXIT_USAGE

PRIVATE = {"case": "CASE-77-SECRET", "probe": "cd" * 32, "reference": "REPORT-88", "offence": "OFFENCE-99"}
SUBJECT = "SUBJECT-S0004"
YEAR = datetime.now(UTC).year
ORDER = ("--authority", "Circuit Court, 26-117", "--dated", "2026-03-04", "--reason", "expunged")


@dataclass
class Office(Shell):
    """A house with a sheriff and two administrators."""

    sheriff: str = ""
    second: str = ""

    def ask(self, credential: str | None = None, **asked: Any) -> int:
        """Asks and answers a search; returns its entry's number."""
        gate = Gate.open(self.home)
        try:
            permit = gate.ask(credential or self.sheriff, replace(SEARCH, **asked))
            body = {"outcome": "CANDIDATES", "candidates": 1}
            return gate.answer(permit, body, {"candidates": [{"subject": SUBJECT, "distance": "0.41"}]}).number
        except Refused as refused:
            return refused.receipt.number if refused.receipt else 0
        finally:
            gate.handed_out()

    def erase(self, *numbers: int) -> int:
        """Erases details of entries with two administrators; returns the erasing entry's number."""
        proposed = self.json("audit", "erase", *numbers, *ORDER)["proposal"]
        return int(self.json("audit", "erase", "--approve", proposed, credential=self.second)["entry"])

    def bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.home.rglob("*") if path.is_file())


@pytest.fixture
def office(tmp_path: Path) -> Office:
    shell = open_shell(tmp_path)
    return Office(shell.home, shell.clerk, shell.tenant("Sheriff", "sheriff"), shell.operator("B. Bell"))


# show


def test_show_tells_the_newest_first_and_no_case(office: Office) -> None:
    office.ask(**PRIVATE)
    office.ask(gallery="state")
    shown = office.json("audit", "show", "--limit", 2)
    assert [one["type"] for one in shown] == ["search.refused", "search.answered"]
    assert "details" not in shown[0]
    table = office.done("audit", "show").out
    assert "search.answered" in table
    assert PRIVATE["case"] not in table


def test_show_without_details_leaves_no_entry(office: Office) -> None:
    before = office.head
    office.done("audit", "show")
    assert office.head == before


def test_show_with_details_tells_them_and_leaves_an_entry_first(office: Office) -> None:
    number = office.ask(**PRIVATE)
    (one,) = office.json("audit", "show", "--entry", number, "--details")
    assert one["details"]["case"] == PRIVATE["case"]
    assert one["details"]["answer"]["candidates"][0]["subject"] == SUBJECT
    assert PRIVATE["case"] in office.done("audit", "show", "--entry", number, "--details").out
    assert types_after(Ledger(office.home), number) == ["audit.read", "audit.read"]


def test_the_entry_of_a_reading_says_who_read_what(office: Office) -> None:
    number = office.ask(**PRIVATE)
    office.done("audit", "show", "--entry", number, "--details", credential=office.second)
    (reading,) = Ledger(office.home).recent(1)
    assert reading.body["by"]["operator"] == "B. Bell"
    assert reading.body["asked"]["number"] == number


@pytest.mark.parametrize(
    ("filters", "types"),
    [
        (("--type", "search.refused"), {"search.refused"}),
        (("--tenant", "Sheriff"), {"search.refused", "search.answered", "tenant.added", "credential.issued"}),
        (("--tenant", "Nobody"), set()),
        (("--entry", "1"), {"ledger.created"}),
        (("--entry", "99999"), set()),
        (("--limit", "1"), {"search.refused"}),
    ],
)
def test_show_filters(office: Office, filters: tuple[str, ...], types: set[str]) -> None:
    office.ask()
    office.ask(gallery="state")
    assert {one["type"] for one in office.json("audit", "show", *filters)} == types


@pytest.mark.parametrize(
    "filters",
    [("--limit", "0"), ("--entry", "x"), ("--entry", str(10**30)), ("--tenant", "\udcff"), ("--type", "\udcff")],
)
@pytest.mark.parametrize("details", [(), ("--details",)])
def test_a_filter_that_is_none_gets_one_line_or_nothing(
    office: Office, filters: tuple[str, ...], details: tuple[str, ...]
) -> None:
    finished = office.run("audit", "show", *filters, *details)
    assert finished.code in (EXIT_DONE, EXIT_USAGE)
    assert finished.err.count("\n") == (finished.code == EXIT_USAGE)


@pytest.mark.parametrize("command", [("show",), ("show", "--details"), ("report", "--year", YEAR)])
def test_the_ledger_is_not_for_tenants(office: Office, command: tuple[object, ...]) -> None:
    code, error = office.fails("audit", *command, credential=office.sheriff)
    assert (code, "is for operators of this archive" in error) == (EXIT_REFUSED, True)


# verify


def test_verify_names_the_last_entry_and_that_nobody_outside_vouches(office: Office) -> None:
    number, head, _ = office.done("audit", "head").out.split()
    first, second = office.done("audit", "verify").out.splitlines()
    assert first.startswith(f"Intact up to entry {number} ")
    assert "no anchor was given, so nobody outside this machine vouches for it" in first
    assert second == f"Head: {head}"


def test_verify_against_kept_heads_tells_how_many_entries_came_later(office: Office, tmp_path: Path) -> None:
    heads = tmp_path / "heads.txt"
    kept = office.done("audit", "head").out
    heads.write_text(f"# kept by the auditor\n\n{kept}")
    anchored = int(kept.split()[0])
    office.ask()
    office.ask()
    out = office.done("audit", "verify", "--anchor", heads).out
    assert f"anchored up to entry {anchored}, 2 later entries not anchored" in out
    told = office.json("audit", "verify", "--anchor", heads)
    assert (told["intact"], told["anchored"], told["number"]) == (True, anchored, anchored + 2)


def test_a_head_that_is_of_another_history_is_not_intact(office: Office, tmp_path: Path) -> None:
    heads = tmp_path / "heads.txt"
    heads.write_text(f"3 {'ab' * 32} 2026-03-01T12:00:00.000000Z\n")
    finished = office.run("audit", "verify", "--anchor", heads)
    assert finished.code == EXIT_ERROR
    assert "NOT intact. entry 3: entry 3 is not the one that was anchored" in finished.out
    assert "Intact up to entry 2." in finished.out


def test_a_head_above_the_end_shows_that_the_tail_was_cut(office: Office, tmp_path: Path) -> None:
    heads = tmp_path / "heads.txt"
    heads.write_text(f"9999 {'ab' * 32}\n")
    finished = office.run("audit", "verify", "--anchor", heads)
    assert (finished.code, "entry 9999 was anchored" in finished.out) == (EXIT_ERROR, True)


@pytest.mark.parametrize("line", ["12", "0 " + "a" * 64, "1 xyz", "1 " + "a" * 63])
def test_a_line_of_heads_that_is_none_is_named(office: Office, tmp_path: Path, line: str) -> None:
    heads = tmp_path / "heads.txt"
    heads.write_text(f"# heads\n{line}\n")
    code, error = office.fails("audit", "verify", "--anchor", heads)
    assert (code, f"--anchor {heads}: line 2 of the anchors" in error) == (EXIT_USAGE, True)


@pytest.mark.parametrize("content", ["", "\n", "# heads\n"])
def test_a_file_of_heads_that_holds_none_is_an_error_that_names_it(
    office: Office, tmp_path: Path, content: str
) -> None:
    heads = tmp_path / "heads.txt"
    heads.write_text(content)
    code, error = office.fails("audit", "verify", "--anchor", heads)
    assert (code, f"--anchor {heads}: the file of anchors holds none" in error) == (EXIT_USAGE, True)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_of_heads_that_cannot_be_read_is_named(office: Office, tmp_path: Path, content: bytes | None) -> None:
    heads = tmp_path / "heads.txt"
    if content is not None:
        heads.write_bytes(content)
    code, error = office.fails("audit", "verify", "--anchor", heads)
    assert (code, f"--anchor {heads} cannot be read" in error) == (EXIT_USAGE, True)


def test_verify_names_the_first_bad_entry(office: Office) -> None:
    number = office.ask()
    office.ask()
    with sqlite3.connect(office.home / DATABASE) as connection:
        connection.execute("DROP TRIGGER entries_refuse_update")
        connection.execute("UPDATE entries SET subject = 'Nobody' WHERE number = ?", (number,))
    connection.close()
    finished = office.run("audit", "verify")
    assert finished.code == EXIT_ERROR
    assert f"NOT intact. entry {number}: its MAC does not fit" in finished.out


def test_verify_and_head_need_no_credential(office: Office) -> None:
    nobody = forged(office.clerk)
    office.done("audit", "verify", credential=nobody)
    office.done("audit", "head", credential=nobody)


# export


def test_an_export_holds_every_entry_a_line_and_ends_with_its_own(office: Office, tmp_path: Path) -> None:
    office.ask(**PRIVATE)
    target = tmp_path / "entries.jsonl"
    out = office.done("audit", "export", "--to", target).out
    lines = [json.loads(line) for line in target.read_text("ascii").splitlines()]
    assert [one["number"] for one in lines] == list(range(1, len(lines) + 1))
    assert out == f"Exported {len(lines)} entries to {target}.\n"
    assert (lines[-1]["type"], lines[-1]["number"]) == ("audit.export", office.head)
    assert lines[-1]["head"] == Ledger(office.home).head().digest
    assert PRIVATE["case"] not in target.read_text()


def test_an_export_with_details_says_so_in_its_entry(office: Office, tmp_path: Path) -> None:
    number = office.ask(**PRIVATE)
    target = tmp_path / "entries.jsonl"
    office.done("audit", "export", "--details", "--to", target)
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert lines[number - 1]["details"]["case"] == PRIVATE["case"]
    assert Ledger(office.home).recent(1)[0].body["asked"]["details"] is True


def test_an_export_is_a_file_for_its_owner_alone(office: Office, tmp_path: Path) -> None:
    target = tmp_path / "entries.jsonl"
    office.done("audit", "export", "--to", target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_an_export_between_two_moments(office: Office, tmp_path: Path) -> None:
    ledger = Ledger(office.home)
    number = office.ask()
    since = ledger.head().time
    office.ask()
    target = tmp_path / "entries.jsonl"
    office.done("audit", "export", "--since", since, "--to", target)
    numbers = [json.loads(line)["number"] for line in target.read_text().splitlines()]
    assert numbers[0] <= number
    assert numbers == list(range(numbers[0], office.head + 1))
    none = tmp_path / "none.jsonl"
    office.done("audit", "export", "--until", "2020-01-01T00:00Z", "--to", none)
    assert none.read_text() == ""


def test_an_export_overwrites_nothing_and_then_leaves_no_entry(office: Office, tmp_path: Path) -> None:
    target, before = tmp_path / "entries.jsonl", office.head
    target.write_text("mine")
    code, error = office.fails("audit", "export", "--to", target)
    assert (code, f"--to {target} exists already; name a new file" in error) == (EXIT_USAGE, True)
    assert (target.read_text(), office.head) == ("mine", before)


def test_an_export_into_no_folder_is_one_line_and_no_entry(office: Office, tmp_path: Path) -> None:
    before = office.head
    assert office.fails("audit", "export", "--to", tmp_path / "none" / "e.jsonl")[0] in (EXIT_ERROR, EXIT_USAGE)
    assert office.head == before


def test_a_tenant_exports_nothing(office: Office, tmp_path: Path) -> None:
    target = tmp_path / "entries.jsonl"
    assert office.fails("audit", "export", "--to", target, credential=office.sheriff)[0] == EXIT_REFUSED
    assert not target.exists()


# report


def test_the_report_counts_what_happened(office: Office) -> None:
    rescue = office.tenant("Find Them", "anti-trafficking-organisation")
    terms = ("--kind", "police", "--exempt-purpose", "missing-person", "--reason", "law", "--for", "1y")
    office.ask()
    office.ask()
    office.done("moratorium", "declare", "terms", *terms)
    office.ask(case="26-2")  # refused
    office.ask(rescue, case="26-3", beneficiary="Sheriff")  # refused, for another agency
    office.ask(case="26-4", purpose="missing-person")  # held
    leave = ("--tenant", "Sheriff", "--case", "26-4", "--purpose", "missing-person", "--reason", "report 88")
    office.done("access", "approve", *leave, credential=office.second)
    office.ask(case="26-4", purpose="missing-person")  # answered, exempt
    office.ask(rescue, case="26-5")
    for _ in range(4):
        office.ask(forged(office.sheriff))
    told = office.json("audit", "report", "--year", YEAR)
    assert {(one["tenant"], one["purpose"], one["outcome"]): one["count"] for one in told["queries"]} == {
        ("Sheriff", "robbery", "CANDIDATES"): 2,
        ("Sheriff", "robbery", "refused"): 1,
        ("Sheriff", "missing-person", "held"): 1,
        ("Sheriff", "missing-person", "CANDIDATES"): 1,
        ("Find Them", "robbery", "refused"): 1,
        ("Find Them", "robbery", "CANDIDATES"): 1,
    }
    assert told["for_another_agency"] == [{"tenant": "Find Them", "beneficiary": "Sheriff", "count": 1}]
    assert told["refused_by_rule"] == {"moratorium": 2}
    assert told["held"] == [{"tenant": "Sheriff", "rule": "approver", "count": 1}]
    assert told["exemptions_used"] == [{"moratorium": "terms", "tenant": "Sheriff", "count": 1}]
    assert told["approvals"] == [{"tenant": "Sheriff", "approver": "B. Bell", "count": 1}]
    assert told["wrong_credentials"] == 4
    assert told["acts"]["moratorium.declared"] == 1
    assert told["entries"] == office.head


def test_the_report_is_a_page_for_people_too(office: Office) -> None:
    office.ask()
    out = office.done("audit", "report", "--year", YEAR).out
    assert out.startswith(f"{YEAR}: ")
    for part in ("Queries:", "Sheriff", "robbery", "Exemptions used: none.", "Held for an approver: none."):
        assert part in out


def test_a_year_without_entries_is_a_report_of_nothing(office: Office) -> None:
    told = office.json("audit", "report", "--year", 2001)
    assert (told["entries"], told["queries"]) == (0, [])


def test_the_report_leaves_no_entry(office: Office) -> None:
    before = office.head
    office.done("audit", "report", "--year", YEAR)
    assert office.head == before


# clock: no command can set it, so a jump is shown through the Python API


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff")
    return house


def test_two_quiet_days_need_nobody(house: House) -> None:
    house.clock.now = "2026-03-03T12:00:00.000000Z"
    assert house.ask() == "allowed"


def test_a_jump_stops_every_act_until_an_administrator_confirms_it(house: House) -> None:
    before = house.gate.ledger.head().number
    house.clock.now = "2026-03-03T12:00:00.000001Z"
    with pytest.raises(LedgerClockError, match="audit clock --confirm"):
        house.gate.ask(house.credentials["Sheriff"], SEARCH)
    with pytest.raises(LedgerClockError):
        house.tenants.suspend("Sheriff", "audit overdue")
    assert house.gate.ledger.head().number == before
    entry = house.queries.confirm_clock("the office was closed")
    told = json.loads(entry.body)
    assert (told["last"], told["now"]) == ("2026-03-01T12:00:00.000000Z", "2026-03-03T12:00:00.000001Z")
    assert house.ask() == "allowed"


def test_a_clock_set_right_again_needs_nothing(house: House) -> None:
    house.clock.now = "2027-03-01T12:00:00.000000Z"
    with pytest.raises(LedgerClockError):
        house.gate.ask(house.credentials["Sheriff"], SEARCH)
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    assert house.ask() == "allowed"


def test_a_clock_before_the_newest_entry_is_not_confirmed_away(house: House) -> None:
    house.clock.now = "2026-03-01T11:59:59.999999Z"
    with pytest.raises(LedgerClockError, match="until the clock is set right"):
        house.queries.confirm_clock("it is right")


def test_a_jump_past_a_moratorium_is_told_with_its_confirmation(house: House) -> None:
    declared = house.moratoria.declare(MoratoriumTerms("june", "law", ["police"], duration="30d"))
    house.clock.now = "2026-05-01T00:00:00.000000Z"
    house.queries.confirm_clock("the office was closed")
    assert types_after(house.gate.ledger, declared.number) == ["moratorium.ended", "clock.confirmed"]


@pytest.mark.parametrize("who", ["licensing officer", "tenant", "stranger"])
def test_a_refused_confirmation_leaves_the_clock_unconfirmed(house: House, who: str) -> None:
    declared = house.moratoria.declare(MoratoriumTerms("june", "law", ["police"], duration="30d"))
    texts = {"licensing officer": house.second, "tenant": house.credentials["Sheriff"], "stranger": forged(house.clerk)}
    house.clock.now = "2026-05-01T00:00:00.000000Z"
    with pytest.raises((Refused, LedgerClockError)):
        Queries(house.gate, texts[who]).confirm_clock("it is right")
    with pytest.raises(LedgerClockError):
        house.gate.ask(house.credentials["Sheriff"], SEARCH)
    assert types_after(house.gate.ledger, declared.number) == []


def test_the_clock_is_shown_and_confirmed_by_command(office: Office) -> None:
    assert re.match(
        r"Newest entry: \d{4}-.* UTC\. The ledger's clock: \d{4}-.* UTC\.", office.done("audit", "clock").out
    )
    before = office.head
    assert office.json("audit", "clock", "--confirm", "--reason", "office was closed")["entry"] == before + 1
    assert Ledger(office.home).recent(1)[0].body["why"] == "office was closed"


# erase


def test_erased_details_are_gone_from_every_file_of_the_home(office: Office) -> None:
    numbers = [office.ask(**PRIVATE), office.ask(**PRIVATE, gallery="state")]
    assert all(text.encode() in office.bytes() for text in (*PRIVATE.values(), SUBJECT))
    office.erase(*numbers)
    assert [text for text in (*PRIVATE.values(), SUBJECT) if text.encode() in office.bytes()] == []


def test_the_entries_stay_and_show_says_that_their_details_were_erased(office: Office) -> None:
    number = office.ask(**PRIVATE)
    (before,) = Ledger(office.home).recent(1, number=number)
    office.erase(number)
    (after,) = Ledger(office.home).recent(1, number=number, details=True)
    assert (after.entry, after.details) == (before.entry, None)
    assert "erased" in office.done("audit", "show", "--entry", number, "--details").out


def test_verify_counts_what_was_erased_under_orders_and_is_intact(office: Office) -> None:
    first, second = office.ask(**PRIVATE), office.ask(case="26-2")
    office.erase(first)
    out = office.done("audit", "verify").out
    assert "; details of 1 entries erased under orders" in out
    told = office.json("audit", "verify")
    assert (told["intact"], told["details_erased"], told["details_kept"]) == (True, 1, 1)
    assert second == first + 1


def test_the_erasing_entry_names_order_date_entries_and_both_operators(office: Office) -> None:
    number = office.ask(**PRIVATE)
    erasing = office.erase(number)
    (entry,) = Ledger(office.home).recent(1, number=erasing)
    assert entry.body["entries"] == [number]
    assert (entry.body["authority"], entry.body["dated"]) == ("Circuit Court, 26-117", "2026-03-04")
    assert (entry.body["by"]["operator"], entry.body["by"]["proposed_by"]) == ("B. Bell", "A. Clerk")


def test_the_report_is_the_same_after_erasing(office: Office) -> None:
    numbers = [office.ask(**PRIVATE), office.ask(**PRIVATE, gallery="state")]
    before = office.json("audit", "report", "--year", YEAR)["queries"]
    office.erase(*numbers)
    assert office.json("audit", "report", "--year", YEAR)["queries"] == before


def test_a_refusal_so_erased_holds_nothing_any_more(office: Office) -> None:
    number = office.ask(case="26-9", purpose="immigration")
    assert Ledger(office.home).recent(1)[0].entry.type == "search.refused"
    office.erase(number)
    office.ask(case="26-9")
    assert Ledger(office.home).recent(1)[0].entry.type == "search.answered"


def test_a_days_count_survives_erasing(office: Office) -> None:
    office.done("tenant", "terms", "Sheriff", "--queries-a-day", 1, "--reason", "policy")
    office.erase(office.ask())
    office.ask(case="26-2")
    assert Ledger(office.home).recent(1)[0].entry.type == "search.refused"


def test_details_that_vanish_without_an_order_are_found(office: Office) -> None:
    number = office.ask(**PRIVATE)
    with sqlite3.connect(office.home / DATABASE) as connection:
        connection.execute("DELETE FROM details WHERE entry = ?", (number,))
    connection.close()
    finished = office.run("audit", "verify")
    assert (finished.code, f"entry {number}: " in finished.out) == (EXIT_ERROR, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("7", *ORDER[2:]), "--authority is missing"),
        (("7", *ORDER[:2], *ORDER[4:]), "--dated is missing"),
        (("7", *ORDER[:4]), "--reason is missing"),
        (ORDER, "ENTRIES is missing"),
        (("x", *ORDER), "'x' is not a valid integer"),
        (("7", "--approve", "9"), "--approve takes the proposal as it is; leave out ENTRIES"),
        (("--approve", "9"), "--approve 9 is no proposal of audit.erase"),
        (("1", *ORDER), "entry 1 has no details"),
        (("999999", *ORDER), "999999"),
    ],
)
def test_a_wrong_order_gets_one_line(office: Office, arguments: tuple[str, ...], says: str) -> None:
    code, error = office.fails("audit", "erase", *arguments)
    assert (code, says in error) == (EXIT_USAGE, True), error


def test_one_administrator_alone_erases_nothing(office: Office) -> None:
    number = office.ask(**PRIVATE)
    proposed = office.json("audit", "erase", number, *ORDER)["proposal"]
    assert office.fails("audit", "erase", "--approve", proposed)[0] == EXIT_USAGE
    assert PRIVATE["case"].encode() in office.bytes()


# On PostgreSQL


@pytest.fixture
def served(tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[Office, ServerPlace]:
    """An office whose ledger lies on a PostgreSQL server, made by the command."""
    place = ServerPlace(tmp_path / "home", postgresql)
    monkeypatch.setenv("AFTERFACT_LEDGER_OWNER", place.owner_url)
    clerk = Shell(place.home, "none").json("init", "--operator", "A. Clerk", "--ledger", place.url)["credential"]
    shell = Shell(place.home, clerk)
    return Office(shell.home, shell.clerk, shell.tenant("Sheriff", "sheriff"), shell.operator("B. Bell")), place


def test_a_round_trip_on_postgresql(served: tuple[Office, ServerPlace], tmp_path: Path) -> None:
    office, _ = served
    office.ask(**PRIVATE)
    office.done("moratorium", "declare", "june", "--kind", "police", "--reason", "law")
    office.ask(case="26-2")
    office.ask(forged(office.sheriff))
    told = office.json("audit", "report", "--year", YEAR)
    assert sorted(one["outcome"] for one in told["queries"]) == ["CANDIDATES", "refused"]
    office.done("audit", "export", "--to", tmp_path / "entries.jsonl")
    assert office.json("audit", "verify")["number"] == office.head


def test_erasing_on_postgresql_takes_the_owner_and_leaves_no_row(
    served: tuple[Office, ServerPlace], monkeypatch: pytest.MonkeyPatch
) -> None:
    office, place = served
    number = office.ask(**PRIVATE)
    proposed = office.json("audit", "erase", number, *ORDER)["proposal"]
    with monkeypatch.context() as patch:
        patch.delenv("AFTERFACT_LEDGER_OWNER")
        code, error = office.fails("audit", "erase", "--approve", proposed, credential=office.second)
        assert (code, "AFTERFACT_LEDGER_OWNER is not set" in error) == (EXIT_USAGE, True)
    assert PRIVATE["case"] in repr(place.tamper("SELECT * FROM details"))
    office.done("audit", "erase", "--approve", proposed, credential=office.second)
    assert PRIVATE["case"] not in repr([place.tamper(f"SELECT * FROM {table}") for table in place.tables])
    assert office.json("audit", "verify")["details_erased"] == 1
