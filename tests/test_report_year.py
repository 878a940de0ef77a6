"""The yearly report: every question, exemption, hold, approval and wrong credential of a year, counted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebook import NOW, SEARCH, House, moved, open_house

from access.acts.moratoria import MoratoriumTerms
from access.credentials import make_credential
from access.gate import Refused
from access.ledger.chain import Draft, canonical, seal
from access.ledger.reading import Recorded
from access.report import YearReport, report_year


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Sheriff and Find Them, who may do everything with gallery county."""
    opened = open_house(tmp_path)
    opened.register("Sheriff", "sheriff")
    opened.register("Find Them", "anti-trafficking-organisation", operations=["search", "index"])
    return opened


def reported(house: House, year: int = 2026) -> dict[str, Any]:
    start, end = f"{year}-01-01T00:00:00.000000Z", f"{year + 1}-01-01T00:00:00.000000Z"
    return report_year(year, house.gate.ledger.stream(since=start, until=end)).as_json()


def queries(report: dict[str, Any]) -> set[tuple[str, ...]]:
    names = ("operation", "tenant", "purpose", "outcome", "count")
    return {tuple(str(one[name]) for name in names) for one in report["queries"]}


def bar_sheriffs(house: House, **more: Any) -> None:
    house.moratoria.declare(MoratoriumTerms("june", "law", kinds=["sheriff"], **more))


def answer(house: House, name: str, body: dict[str, Any], **asked: Any) -> None:
    permit = house.gate.ask(house.credentials[name], replace(SEARCH, **asked))
    house.gate.answer(permit, body)
    house.gate.handed_out()


def test_questions_are_counted_by_operation_tenant_purpose_and_outcome(house: House) -> None:
    for body in ({"outcome": "CANDIDATES", "candidates": 20}, {"outcome": "CANDIDATES", "candidates": 1}):
        answer(house, "Sheriff", body)
    answer(house, "Sheriff", {"outcome": "NO_FACE"})
    answer(house, "Find Them", {"enrolled": 3}, operation="index", purpose=None, case=None)
    house.ask("Find Them", purpose="immigration", case="2")
    house.ask("Find Them", purpose="missing-person", case="2")
    assert queries(reported(house)) == {
        ("search", "Sheriff", "robbery", "CANDIDATES", "2"),
        ("search", "Sheriff", "robbery", "NO_FACE", "1"),
        ("index", "Find Them", "-", "answered", "1"),
        ("search", "Find Them", "immigration", "refused", "1"),
        ("search", "Find Them", "missing-person", "held", "1"),
    }


def test_a_question_without_a_candidate_is_counted_as_such(house: House) -> None:
    answer(house, "Sheriff", {"outcome": "CANDIDATES", "candidates": 0})
    assert queries(reported(house)) == {("search", "Sheriff", "robbery", "no candidates", "1")}


def test_a_question_that_was_never_answered_is_not_counted(house: House) -> None:
    house.gate.ask(house.credentials["Sheriff"], SEARCH)
    assert reported(house)["queries"] == []


def test_questions_for_another_agency_are_counted_and_ones_own_are_not(house: House) -> None:
    house.ask("Find Them", beneficiary="Sheriff")
    house.ask("Find Them", beneficiary="Find Them", case="2")
    house.ask("Find Them", beneficiary="", case="3")
    house.ask("Find Them", case="4")
    told = [{"tenant": "Find Them", "beneficiary": "Sheriff", "count": 1}]
    assert reported(house)["for_another_agency"] == told


def test_refusals_are_counted_by_every_rule_that_refused(house: House) -> None:
    bar_sheriffs(house)
    house.ask()
    house.ask(gallery="state", case="2")
    assert reported(house)["refused_by_rule"] == {"gallery": 1, "moratorium": 2}


def test_an_exemption_is_counted_where_it_let_an_answer_through(house: House) -> None:
    bar_sheriffs(house, exempt_purposes=["missing-person"])
    assert house.ask() == "refused"
    assert house.ask(purpose="missing-person", case="2") == "held"
    assert reported(house)["exemptions_used"] == []
    house.queries.approve_query("Sheriff", "2", "missing-person", "checked the file")
    assert house.ask(purpose="missing-person", case="2") == "allowed"
    report = reported(house)
    assert report["exemptions_used"] == [{"moratorium": "june", "tenant": "Sheriff", "count": 1}]
    assert report["approvals"] == [{"tenant": "Sheriff", "approver": "clerk", "count": 1}]


def test_an_exemption_of_who_asks_and_for_whom_was_used_once(house: House) -> None:
    house.register("Lost Ones", "anti-trafficking-organisation")
    bar_sheriffs(house, exempt_kinds=["anti-trafficking-organisation"])
    assert house.ask("Find Them", beneficiary="Lost Ones") == "allowed"
    assert reported(house)["exemptions_used"] == [{"moratorium": "june", "tenant": "Find Them", "count": 1}]


def test_what_was_held_is_counted_by_why(house: House) -> None:
    bar_sheriffs(house, exempt_purposes=["missing-person"])
    house.ask(purpose="missing-person", case="1")
    house.ask("Find Them", purpose="immigration", case="2")
    house.ask("Find Them", case="2")
    house.ask("Find Them", purpose="homicide", case="2")
    assert reported(house)["held"] == [
        {"tenant": "Find Them", "rule": "earlier", "count": 2},
        {"tenant": "Sheriff", "rule": "approver", "count": 1},
    ]


def test_a_second_try_that_is_refused_again_is_in_the_report_as_a_second_try(house: House) -> None:
    bar_sheriffs(house)
    house.ask(purpose="robbery")
    house.ask(purpose="homicide")
    assert {"tenant": "Sheriff", "rule": "earlier", "count": 1} in reported(house)["held"]


def test_acts_are_counted_by_type_refused_ones_too(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit")
    with pytest.raises(Refused):
        replace(house, clerk=house.credentials["Find Them"]).tenants.suspend("Sheriff", "audit")
    acts = reported(house)["acts"]
    assert (acts["tenant.added"], acts["licence.suspended"], acts["registry.refused"]) == (2, 1, 1)


def test_every_entry_is_counted_once(house: House) -> None:
    bar_sheriffs(house, exempt_purposes=["missing-person"])
    for purpose in ("robbery", "missing-person", "immigration"):
        house.ask(purpose=purpose)
        house.ask("Find Them", purpose=purpose, case="2")
    house.queries.approve_query("Sheriff", "2", "missing-person", "checked the file")
    report = reported(house)
    counted = sum(one["count"] for one in report["queries"]) + sum(report["acts"].values())
    assert report["entries"] == house.gate.ledger.head().number == counted + len(report["approvals"])


def test_a_year_is_a_calendar_year_of_utc(tmp_path: Path) -> None:
    house = open_house(tmp_path, "2026-12-31T23:59:59.999999Z")
    house.register("Sheriff", "sheriff")
    house.ask()
    house.clock.now = "2027-01-01T00:00:00.000000Z"
    house.ask(case="2")
    for year in (2026, 2027):
        assert queries(reported(house, year)) == {("search", "Sheriff", "robbery", "CANDIDATES", "1")}


@pytest.mark.parametrize("tries", [1, 2, 3, 4, 7, 8, 13])
def test_wrong_credentials_of_a_day_are_known_once_the_next_day_begins(house: House, tries: int) -> None:
    for _ in range(tries):
        with pytest.raises(Refused):
            house.gate.ask(make_credential().text, SEARCH)
    told_so_far = reported(house)["wrong_credentials"]
    assert told_so_far == 1 << (tries.bit_length() - 1)
    house.clock.now = moved(NOW, days=1)
    with pytest.raises(Refused):
        house.gate.ask(make_credential().text, SEARCH)
    assert reported(house)["wrong_credentials"] == tries + 1


@given(st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_wrong_credentials_add_up_whatever_their_number_on_each_day(days: list[int]) -> None:
    report, before = YearReport(2026), None
    for number, wrong in enumerate([*days, 1], start=1):
        day = f"2026-01-{number:02d}"
        told = [count for count in range(1, wrong + 1) if count & (count - 1) == 0]
        for count in told:
            body = {
                "day": day,
                "wrong": count,
                "host": "x",
                "earlier": before if count == 1 else None,
            }
            report.add(stranger_entry(body))
        before = {"day": day, "wrong": wrong} if wrong else before
    assert report.wrong_credentials == sum(days) + 1


def stranger_entry(body: dict[str, Any]) -> Recorded:
    entry = seal(Draft("credentials.refused", "unknown", body), canonical(body), None, NOW, b"k" * 32)
    return Recorded(entry, body, None)


def test_wrong_credentials_of_the_old_year_are_not_the_new_years(tmp_path: Path) -> None:
    house = open_house(tmp_path, "2026-12-31T12:00:00.000000Z")
    for _ in range(3):
        with pytest.raises(Refused):
            house.gate.ask("wrong", SEARCH)
    house.clock.now = "2027-01-01T12:00:00.000000Z"
    with pytest.raises(Refused):
        house.gate.ask("wrong", SEARCH)
    assert reported(house, 2027)["wrong_credentials"] == 1


def test_a_report_holds_no_case_number_and_no_person_who_asked(house: House) -> None:
    house.ask(case="SECRET-77", operator="D. Ito")
    house.ask(case="SECRET-77", operator="D. Ito", purpose="immigration")
    told = str(reported(house))
    assert "SECRET" not in told
    assert "Ito" not in told
