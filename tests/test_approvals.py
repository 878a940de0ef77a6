"""Approvals: whom an exempt purpose needs, what holds a question that was refused before, and how leave lapses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from officials import appoint, newest, pass_time
from rulebook import SEARCH, House, open_house

from access.acts.moratoria import MoratoriumTerms
from access.acts.queries import Queries
from access.gate import Refused
from access.ledger.chain import Entry
from foundation.errors import InputError

MISSING = {"purpose": "missing-person", "operator": None}
CASE = SEARCH.case or ""


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A sheriff barred but for missing persons; D. Ito and R. Osei work there, and R. Osei may approve."""
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff")
    house.register("Find Them", "anti-trafficking-organisation")
    for person, approver in (("D. Ito", False), ("R. Osei", True)):
        made = house.tenants.issue_credential("Sheriff", person, "colleague", approver=approver)
        house.credentials[person] = made.text
    terms = MoratoriumTerms("terms", "criminal cases", ["police"], exempt_purposes=["missing-person"])
    house.moratoria.declare(terms)
    return house


def approve(house: House, who: str = "", purpose: str = "missing-person", case: str = CASE, **more: Any) -> Entry:
    text = house.credentials.get(who, house.clerk)
    return Queries(house.gate, text).approve_query("Sheriff", case, purpose, "report 88", **more)


# Under an exempt purpose


def test_an_exempt_purpose_is_held_for_an_approver(house: House) -> None:
    assert "needs a named approver other than who asks: afterfact access approve" in house.reasons("D. Ito", **MISSING)
    assert newest(house)["type"] == "search.held"


def test_an_operator_approves(house: House) -> None:
    approve(house)
    assert house.ask("D. Ito", **MISSING) == "allowed"
    assert any("approved by 'clerk', operator" in one["text"] for one in newest(house)["findings"])


def test_an_approver_of_the_same_organisation_approves(house: House) -> None:
    approve(house, "R. Osei")
    assert house.ask("D. Ito", **MISSING) == "allowed"


def test_an_approver_does_not_approve_for_themselves(house: House) -> None:
    approve(house, "R. Osei")
    assert house.ask("R. Osei", **MISSING) == "held"


def test_an_approver_does_not_slip_in_as_the_organisation(house: House) -> None:
    approve(house, "R. Osei")
    assert house.ask("Sheriff", purpose="missing-person", operator="R. Osei") == "held"


def test_nobody_without_the_right_approves(house: House) -> None:
    with pytest.raises(Refused, match=r"'D\. Ito' is no approver; ask an operator for a credential with --approver"):
        approve(house, "D. Ito")
    assert newest(house)["type"] == "registry.refused"


def test_an_approver_approves_for_their_own_agency_only(house: House) -> None:
    other = house.tenants.issue_credential("Find Them", "M. Lund", "approver", approver=True)
    house.credentials["M. Lund"] = other.text
    with pytest.raises(Refused, match="approves for 'Find Them' only, not for 'Sheriff'"):
        approve(house, "M. Lund")


def test_an_auditor_approves_nothing(house: House) -> None:
    auditor = appoint(house, "B. Bell", "auditor")
    with pytest.raises(Refused, match="is auditor"):
        Queries(house.gate, auditor).approve_query("Sheriff", CASE, "missing-person", "report 88")


def test_an_approver_whose_credential_was_revoked_approves_nothing(house: House) -> None:
    house.tenants.revoke_credential("Sheriff", house.credentials["R. Osei"].split(".")[1], "left")
    with pytest.raises(Refused, match="was revoked"):
        approve(house, "R. Osei")


def test_a_suspended_agencys_approver_approves_nothing(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    with pytest.raises(Refused, match="is suspended"):
        approve(house, "R. Osei")


def test_leave_lapses_after_seven_days(house: House) -> None:
    approve(house)
    for _ in range(6):
        pass_time(house, days=1)
    assert house.ask("D. Ito", **MISSING) == "allowed"
    pass_time(house, days=1)
    assert house.ask("D. Ito", **MISSING) == "held"


def test_leave_lasts_as_long_as_it_says(house: House) -> None:
    approve(house, span="1h")
    house.clock.now = "2026-03-01T12:59:59.999999Z"
    assert house.ask("D. Ito", **MISSING) == "allowed"
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    assert house.ask("D. Ito", **MISSING) == "held"


@pytest.mark.parametrize("other", [{"case": "2026-0118"}, {"case": "2026-01-17"}, {"beneficiary": "Find Them"}])
def test_leave_is_for_one_case_and_one_beneficiary(house: House, other: dict[str, str]) -> None:
    approve(house)
    assert house.ask("D. Ito", **MISSING, **other) == "held"


def test_leave_for_another_purpose_is_none(house: House) -> None:
    approve(house, purpose="robbery")
    assert house.ask("D. Ito", **MISSING) == "held"


def test_leave_finds_its_case_in_any_spelling(house: House) -> None:
    approve(house, case="2026 - 0117 a")
    assert house.ask("D. Ito", **MISSING, case="2026-0117A") == "allowed"


def test_leave_lifts_no_moratorium(house: House) -> None:
    approve(house, purpose="robbery")
    assert house.ask("D. Ito", purpose="robbery", operator=None) == "refused"


def test_leave_that_ends_between_ask_and_answer_is_seen_by_answer(house: House) -> None:
    approve(house, span="1h")
    permit = house.gate.ask(house.credentials["D. Ito"], replace(SEARCH, **MISSING))
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    with pytest.raises(Refused, match="held for an approver"):
        house.gate.answer(permit, {})


def test_an_approval_keeps_its_case_in_the_details_alone(house: House) -> None:
    approve(house)
    entry = newest(house)
    told = entry.pop("told")
    assert (entry["type"], entry["subject"], told["case"]) == ("query.approved", "Sheriff", CASE)
    assert CASE not in repr(entry)


@pytest.mark.parametrize(
    ("tenant", "purpose", "case", "says"),
    [
        ("Sherif", "robbery", "26-1", "did you mean 'Sheriff'"),
        ("Sheriff", "robery", "26-1", "did you mean 'robbery'"),
        ("Sheriff", "robbery", "\n", "is empty"),
        ("Sheriff", "robbery", "x" * 65, "has 65 characters, allowed are 64"),
    ],
)
def test_what_is_approved_has_to_exist(house: House, tenant: str, purpose: str, case: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        house.queries.approve_query(tenant, case, purpose, "report 88")
    assert says in str(caught.value)


def test_a_stranger_learns_no_tenants_name_by_approving(house: House) -> None:
    stranger = Queries(house.gate, "af1.0000000000000000." + "A" * 43)
    with pytest.raises(Refused) as caught:
        stranger.approve_query("Nobody", "26-1", "robbery", "x")
    assert "Find Them" not in str(caught.value)


def test_a_tenant_learns_no_others_name_by_approving(house: House) -> None:
    with pytest.raises((Refused, InputError)) as caught:
        Queries(house.gate, house.credentials["D. Ito"]).approve_query("Nobody", "26-1", "robbery", "x")
    assert "Find Them" not in str(caught.value)


# What was refused before


@pytest.fixture
def refused(house: House) -> House:
    """A robbery on the case was refused; then the moratorium was lifted."""
    assert house.ask("D. Ito", purpose="robbery", operator=None, probe="ab" * 32) == "refused"
    house.lift("terms")
    return house


@pytest.mark.parametrize(
    "again",
    [
        {"purpose": "missing-person"},
        {"purpose": "homicide"},
        {"purpose": "homicide", "case": "2026 -0117"},
        {"purpose": "homicide", "case": "another", "probe": "ab" * 32},
    ],
)
def test_a_case_or_probe_refused_before_is_held_under_another_purpose(refused: House, again: dict[str, Any]) -> None:
    assert refused.ask("D. Ito", operator=None, **again) == "held"


def test_it_is_held_under_another_tenant_as_well(refused: House) -> None:
    assert "was refused before under another purpose or tenant" in refused.reasons("Find Them", purpose="robbery")


def test_the_same_question_is_not_held(refused: House) -> None:
    assert refused.ask("D. Ito", purpose="robbery", operator=None) == "allowed"


def test_an_approver_of_the_agency_is_not_enough_for_it(refused: House) -> None:
    approve(refused, "R. Osei", purpose="homicide")
    assert refused.ask("D. Ito", purpose="homicide", operator=None) == "held"


def test_an_operator_is(refused: House) -> None:
    approve(refused, purpose="homicide")
    assert refused.ask("D. Ito", purpose="homicide", operator=None) == "allowed"


def test_an_operators_leave_from_before_the_refusal_does_not_count(house: House) -> None:
    approve(house, purpose="homicide")
    assert house.ask("D. Ito", purpose="robbery", operator=None) == "refused"
    house.lift("terms")
    assert house.ask("D. Ito", purpose="homicide", operator=None) == "held"


def test_a_fault_of_form_holds_nothing(house: House) -> None:
    house.lift("terms")
    assert house.ask("Sheriff", purpose="robbery", operator=None) == "refused"
    assert house.ask("Sheriff", purpose="homicide") == "allowed"


def test_a_question_without_a_purpose_holds_nothing(house: House) -> None:
    house.lift("terms")
    assert house.ask(purpose=None) == "refused"
    assert house.ask(purpose="robbery") == "allowed"


def test_a_misspelt_purpose_holds_nothing(house: House) -> None:
    house.lift("terms")
    assert house.ask(purpose="robery") == "refused"
    assert house.ask(purpose="robbery") == "allowed"


def test_a_purpose_that_is_none_holds_what_comes_after(house: House) -> None:
    house.lift("terms")
    assert house.ask(purpose="immigration") == "refused"
    assert house.ask(purpose="missing-person") == "held"


def test_a_strangers_case_holds_nobody(house: House) -> None:
    house.lift("terms")
    house.credentials["stranger"] = "af1.0000000000000000." + "A" * 43
    assert house.ask("stranger", purpose="robbery") == "refused"
    assert house.ask(purpose="homicide") == "allowed"


def test_many_misspelt_tries_do_not_push_a_refusal_out_of_sight(refused: House) -> None:
    for number in range(201):
        assert refused.ask("D. Ito", purpose=f"missing-person{number}", operator=None) == "refused"
    assert refused.ask("D. Ito", purpose="missing-person", operator=None) == "held"
