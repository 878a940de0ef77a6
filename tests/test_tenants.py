"""Tenants and their licences: registration, terms, suspension, revocation, each now or from a day to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from officials import newest, pass_time
from rulebook import House, open_house

from access.acts.moratoria import MoratoriumTerms
from access.acts.tenants import WantedTerms
from access.gate import Refused, Request
from foundation.errors import InputError

TOMORROW = "2026-03-02T00:00Z"


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff", until="2027-01-01T00:00Z")
    return house


def change(house: House, start: str = "now", **terms: Any) -> None:
    house.tenants.change_terms("Sheriff", WantedTerms(**terms), "agreement 4", start)


def to_tomorrow(house: House) -> None:
    house.clock.now = "2026-03-02T00:00:00.000000Z"


# Registration


def test_a_new_tenant_may_search_for_every_purpose_and_nothing_else(house: House) -> None:
    terms = house.gate.rules()[0].tenants["Sheriff"].licence.changes[0].terms
    assert terms is not None
    assert terms.operations == {"search"}
    assert terms.purposes == set(house.gate.vocabulary.purposes)
    assert house.ask() == "allowed"
    assert "operation 'evaluate' is not granted" in house.reasons(operation="evaluate")


@pytest.mark.parametrize(
    ("kind", "wanted", "says"),
    [
        ("sherif", {}, "unknown kind 'sherif'; did you mean 'sheriff'?"),
        ("police", {}, "unknown kind 'police'"),
        ("sheriff", {"galleries": []}, "give --gallery"),
        ("sheriff", {"galleries": ["a\tb"]}, "--gallery 'a\\tb' holds a control"),
        ("sheriff", {"operations": ["serch"]}, "did you mean 'search'?"),
        ("sheriff", {"operations": ["read"]}, "unknown operation 'read'"),
        ("sheriff", {"purposes": ["robery"]}, "did you mean 'robbery'?"),
        ("sheriff", {"must_state": ["bases"]}, "did you mean 'basis'?"),
        ("sheriff", {"largest_k": 51}, "--largest-k is 51; give 2 to 50"),
        ("sheriff", {"largest_k": 1}, "--largest-k is 1; give 2 to 50"),
        *(
            ("sheriff", {"mark_fpir": text}, f"--mark-fpir is '{text}'; give a share above 0 and below 1, say 0.01")
            for text in ("0", "1", "0.0", "100%", "-0.1", "nan", "1e-3", "")
        ),
        ("sheriff", {"queries_a_day": -1}, "--queries-a-day is -1; give 0 to 1,000,000"),
        ("sheriff", {"case_pattern": "**"}, "--case-pattern '**' is none"),
        ("sheriff", {"until": "2027-01-01"}, "names no time zone"),
        ("sheriff", {"until": "2026-01-01T00:00Z"}, "is not after the start"),
        ("sheriff", {"until": "2027-01-01T00:00Z", "duration": "1y"}, "give one of them"),
        ("sheriff", {"duration": "1m"}, "--for '1m' is no duration"),
    ],
)
def test_a_wrong_term_is_named_and_registers_nobody(house: House, kind: str, wanted: dict[str, Any], says: str) -> None:
    before = house.gate.ledger.head().number
    with pytest.raises(InputError) as caught:
        house.register("New", kind, **wanted)
    assert says in str(caught.value)
    assert house.gate.ledger.head().number == before


@pytest.mark.parametrize("name", ["SHERIFF", "sheriff", "Unknown", "", " x", "a\x00b", "x" * 65, "a\u200bb"])
def test_a_name_is_printable_short_and_not_taken(house: House, name: str) -> None:
    with pytest.raises(InputError):
        house.register(name, "sheriff")


def test_a_decomposed_name_is_the_composed_one(house: House) -> None:
    house.register("Jose\u0301", "research")
    with pytest.raises(InputError, match="is there already"):
        house.register("JOS\u00c9", "research")
    house.tenants.suspend("Jose\u0301", "audit overdue")
    assert newest(house)["subject"] == "Jos\u00e9"


def test_a_tenant_registered_for_tomorrow_begins_tomorrow(house: House) -> None:
    house.register("Later", "research", start=TOMORROW)
    assert "begins on 2026-03-02 00:00 UTC" in house.reasons("Later")
    to_tomorrow(house)
    assert house.ask("Later") == "allowed"


def test_a_moratorium_on_new_licences_bars_registration_and_not_those_who_are_there(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("sunset", "withdrawn", everyone=True, operations=["new-licences"]))
    with pytest.raises(Refused, match="'sunset' bars research from new-licences"):
        house.register("New", "research")
    assert house.ask() == "allowed"


@pytest.mark.parametrize(
    "wider",
    [
        *({"galleries": ["county", "state"]}, {"operations": ["search", "index"]}, {"duration": "9y"}),
        {"until": "2027-01-01T00:01Z"},
    ],
)
def test_a_wider_or_longer_licence_is_a_new_licence(house: House, wider: dict[str, Any]) -> None:
    house.moratoria.declare(MoratoriumTerms("sunset", "withdrawn", everyone=True, operations=["new-licences"]))
    with pytest.raises(Refused, match="new-licences"):
        change(house, **wider)


@pytest.mark.parametrize("looser", ["0.02", "none"])
def test_a_looser_cut_off_is_a_new_licence_and_a_stricter_one_is_none(house: House, looser: str) -> None:
    change(house, mark_fpir="0.01")
    house.moratoria.declare(MoratoriumTerms("sunset", "withdrawn", everyone=True, operations=["new-licences"]))
    change(house, mark_fpir="0.003")
    with pytest.raises(Refused, match="new-licences"):
        change(house, mark_fpir=looser)


def test_another_case_pattern_is_a_new_licence_and_a_first_one_is_none(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("sunset", "withdrawn", everyone=True, operations=["new-licences"]))
    change(house, case_pattern="2026-####")
    with pytest.raises(Refused, match="new-licences"):
        change(house, case_pattern="*")


def test_renewing_is_a_new_licence_too(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("sunset", "withdrawn", everyone=True, operations=["new-licences"]))
    with pytest.raises(Refused, match="new-licences"):
        house.tenants.reinstate("Sheriff", "renewed", until="2028-01-01T00:00Z")


@pytest.mark.parametrize(
    "narrower",
    [{"purposes": ["robbery"]}, {"largest_k": 5}, {"until": "2026-06-01T00:00Z"}, {"mark_fpir": "0.01"}],
)
def test_a_narrower_or_shorter_licence_is_none(house: House, narrower: dict[str, Any]) -> None:
    house.moratoria.declare(MoratoriumTerms("sunset", "withdrawn", everyone=True, operations=["new-licences"]))
    change(house, **narrower)
    assert newest(house)["type"] == "licence.terms"


# Terms


def test_new_terms_replace_only_those_named(house: House) -> None:
    change(house, largest_k=5, galleries=["county", "state"])
    change(house, queries_a_day=9)
    standing = house.gate.rules()[0].tenants["Sheriff"].licence.at(house.clock.now)
    assert standing is not None
    assert (standing.terms.largest_k, standing.terms.queries_a_day) == (5, 9)
    assert standing.terms.galleries == {"county", "state"}
    assert standing.terms.until == "2027-01-01T00:00:00.000000Z"


def test_terms_of_tomorrow_hold_from_tomorrow(house: House) -> None:
    change(house, TOMORROW, purposes=["homicide"])
    assert house.ask() == "allowed"
    to_tomorrow(house)
    assert "purpose 'robbery' is not granted" in house.reasons()


def test_a_cut_off_is_kept_as_it_was_written_until_none_takes_it_away(house: House) -> None:
    for given, kept in (("0.010", "0.01"), ("none", None)):
        change(house, mark_fpir=given)
        standing = house.gate.rules()[0].tenants["Sheriff"].licence.at(house.clock.now)
        assert standing is not None and standing.terms.mark_fpir == kept


def test_must_state_nothing_takes_the_duty_away(house: House) -> None:
    change(house, must_state=["basis", "reference"])
    assert "requires a query to state its basis" in house.reasons()
    assert house.ask(basis="warrant", reference="26-1") == "allowed"
    change(house, must_state=["nothing"])
    assert house.ask() == "allowed"


def test_a_case_number_has_to_look_as_the_licence_says_and_is_not_repeated(house: House) -> None:
    change(house, case_pattern="2026-####")
    assert house.ask() == "allowed"
    said = house.reasons(case="SECRET-9")
    assert "look like '2026-####'" in said
    assert "SECRET-9" not in said


def test_so_many_queries_a_day_and_on_the_next_day_again(house: House) -> None:
    change(house, queries_a_day=2)
    assert [house.ask(), house.ask(), house.ask()] == ["allowed", "allowed", "refused"]
    to_tomorrow(house)
    assert house.ask() == "allowed"


def test_queries_asked_for_an_agency_count_for_its_day_as_well(house: House) -> None:
    change(house, queries_a_day=1)
    house.register("Find Them", "anti-trafficking-organisation")
    assert house.ask("Find Them", beneficiary="Sheriff") == "allowed"
    assert "has asked 1 times today" in house.reasons()


def test_a_licence_for_no_query_a_day_answers_none(house: House) -> None:
    change(house, queries_a_day=0)
    assert "allows 0 a day" in house.reasons()


def test_nothing_to_change_is_said(house: House) -> None:
    with pytest.raises(InputError, match="nothing to change"):
        change(house)


# Suspension and revocation


def test_a_suspension_of_tomorrow_holds_from_tomorrow(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue", TOMORROW)
    assert house.ask() == "allowed"
    to_tomorrow(house)
    assert "is suspended since 2026-03-02 00:00 UTC, until it is reinstated: audit overdue" in house.reasons()


def test_a_suspension_tells_until_when_where_its_end_is_known(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    house.tenants.reinstate("Sheriff", "audit passed", start=TOMORROW)
    assert "until 2026-03-02 00:00 UTC: audit overdue" in house.reasons()
    to_tomorrow(house)
    assert house.ask() == "allowed"


def test_a_renewal_that_was_entered_before_does_not_end_a_suspension(house: House) -> None:
    change(house, until=TOMORROW)
    house.tenants.reinstate("Sheriff", "next year's contract", until="2028-01-01T00:00Z", start=TOMORROW)
    house.tenants.suspend("Sheriff", "searched without a case")
    to_tomorrow(house)
    assert "is suspended since 2026-03-01 12:00 UTC, until it is reinstated: searched" in house.reasons()
    house.tenants.reinstate("Sheriff", "cleared")
    assert house.ask() == "allowed"  # the new end holds
    pass_time(house, days=200)
    assert house.ask() == "allowed"


def test_a_reinstatement_ahead_is_ended_by_suspending_once_more(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    house.tenants.reinstate("Sheriff", "audit passed", start=TOMORROW)
    house.tenants.suspend("Sheriff", "searched without a case")
    to_tomorrow(house)
    assert house.ask() == "refused"
    assert "until it is reinstated: searched without a case" in house.reasons()


@pytest.mark.parametrize("act", ["suspend", "reinstate", "revoke"])
def test_no_change_is_dated_back(house: House, act: str) -> None:
    with pytest.raises(InputError, match="lies before now"):
        getattr(house.tenants, act)("Sheriff", "x", start="2026-03-01T11:59Z")


def test_terms_are_not_dated_back(house: House) -> None:
    with pytest.raises(InputError, match="lies before now"):
        change(house, "2020-01-01T00:00Z", largest_k=5)


def test_a_licence_is_suspended_once(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    with pytest.raises(InputError, match="is suspended already"):
        house.tenants.suspend("Sheriff", "again")


def test_an_active_licence_has_nothing_to_reinstate(house: House) -> None:
    with pytest.raises(InputError, match="is active; there is nothing to reinstate"):
        house.tenants.reinstate("Sheriff", "please")


def test_a_revocation_of_tomorrow_cannot_be_taken_back(house: House) -> None:
    house.tenants.revoke("Sheriff", "searched without a case", TOMORROW)
    with pytest.raises(InputError, match="never comes back"):
        house.tenants.reinstate("Sheriff", "please", start=TOMORROW)
    assert house.ask() == "allowed"
    to_tomorrow(house)
    assert "for good" in house.reasons()


@pytest.mark.parametrize("act", ["suspend", "revoke"])
def test_a_revocation_of_tomorrow_does_not_protect_until_then(house: House, act: str) -> None:
    house.tenants.revoke("Sheriff", "searched without a case", TOMORROW)
    getattr(house.tenants, act)("Sheriff", "and searches on")
    assert "and searches on" in house.reasons()


def test_a_suspended_tenant_may_neither_search_nor_read(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    with pytest.raises(Refused, match="audit overdue"):
        house.gate.ask(house.credentials["Sheriff"], Request("read", "county"))


def test_every_change_says_who_when_and_why(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    last = house.gate.rules()[0].tenants["Sheriff"].licence.changes[-1]
    assert (last.what, last.by, last.why) == ("suspended", "clerk", "audit overdue")
    assert (last.made, last.effective) == (house.clock.now, house.clock.now)
    assert last.entry == house.gate.ledger.head().number


# Credentials of a tenant


def test_a_persons_credential_names_its_person(house: House) -> None:
    own = house.tenants.issue_credential("Sheriff", "R. Osei", "new colleague").text
    house.credentials["own"] = own
    assert house.gate.ask(own, Request("search", "county", "robbery", "26-9")).who.person == "R. Osei"
    assert "--operator names 'D. Ito'" in house.reasons("own")


def test_an_organisations_credential_needs_a_person_who_asks(house: House) -> None:
    assert "name the person who asks with --operator" in house.reasons(operator=None)


def test_a_revoked_tenant_gets_no_further_credential(house: House) -> None:
    house.tenants.revoke("Sheriff", "searched without a case")
    with pytest.raises(InputError, match="never comes back"):
        house.tenants.issue_credential("Sheriff", "R. Osei", "please")


def test_an_approver_is_a_person(house: House) -> None:
    with pytest.raises(InputError, match="--approver is for a person's own credential"):
        house.tenants.issue_credential("Sheriff", None, "x", approver=True)


def test_a_credential_can_outlive_many_quiet_weekends(house: House) -> None:
    for _ in range(3):
        pass_time(house, days=2)
    assert house.ask() == "allowed"
