"""What the ledger knows about a question: earlier refusals of its case or probe, approvals, and the day's queries."""

from __future__ import annotations

import sqlite3
from itertools import product
from pathlib import Path
from string import ascii_lowercase

import pytest
from rulebook import NOW, SEARCH, House, just_before, moved, open_house

from access.acts.moratoria import MoratoriumTerms
from access.acts.queries import Queries
from access.gate import Refused
from access.ledger.ledger import DATABASE
from foundation.errors import InputError

PROBE, OTHER_PROBE = "a" * 64, "b" * 64


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Sheriff, whose licence grants robbery and homicide; Police and Find Them, who may do everything."""
    opened = open_house(tmp_path)
    opened.register("Sheriff", "sheriff", purposes=["robbery", "homicide"])
    opened.register("Police", "municipal-police")
    opened.register("Find Them", "anti-trafficking-organisation")
    return opened


def bar_sheriffs(house: House, name: str = "june", **more: object) -> None:
    house.moratoria.declare(MoratoriumTerms(name, "law", kinds=["sheriff"], **more))  # type: ignore[arg-type]


def refuse_immigration(house: House, **asked: object) -> None:
    assert house.ask(purpose="immigration", **asked) == "refused"


@pytest.mark.parametrize("case", ["2026-0117", " 2026 - 0117", "2026-01 17"])
def test_a_case_refused_under_immigration_is_held_under_robbery_however_it_is_spaced(house: House, case: str) -> None:
    refuse_immigration(house)
    assert house.ask(purpose="robbery", case=case) == "held"


def test_letter_case_makes_no_other_case(house: House) -> None:
    refuse_immigration(house, case="2026-17a")
    assert house.ask(case="2026-17A") == "held"


def test_another_case_is_not_held(house: House) -> None:
    refuse_immigration(house)
    assert house.ask(case="2026-0118") == "allowed"


def test_a_refused_probe_is_held_under_another_case_and_purpose(house: House) -> None:
    refuse_immigration(house, probe=PROBE)
    assert house.ask(case="another", probe=PROBE) == "held"
    assert house.ask(case="another", probe=OTHER_PROBE) == "allowed"
    assert "this probe was refused before" in house.reasons(case="third", probe=PROBE)


def test_another_tenant_with_the_refused_case_or_probe_is_held(house: House) -> None:
    bar_sheriffs(house)
    assert house.ask("Sheriff", probe=PROBE) == "refused"
    assert house.ask("Find Them") == "held"
    assert house.ask("Find Them", case="another", probe=PROBE) == "held"
    assert house.ask("Police", case="another") == "allowed"


def test_another_beneficiary_with_the_refused_case_is_held(house: House) -> None:
    bar_sheriffs(house)
    assert house.ask("Find Them", beneficiary="Sheriff") == "refused"
    assert house.ask("Find Them", beneficiary="Police") == "held"
    assert house.ask("Find Them") == "held"


def test_the_same_question_again_is_not_held(house: House) -> None:
    bar_sheriffs(house, duration="1d")
    assert [house.ask(), house.ask()] == ["refused", "refused"]
    house.clock.now = moved(NOW, days=1)
    assert house.ask() == "allowed"
    assert house.ask(purpose="homicide") == "held"


def test_a_misspelt_purpose_put_right_is_not_held(house: House) -> None:
    assert house.ask(purpose="robery") == "refused"
    assert house.ask(purpose="robbery") == "allowed"
    assert house.ask(purpose="homicide") == "held"


@pytest.mark.parametrize(
    "fault", [{"purpose": None}, {"operator": None}, {"basis": "hunch"}, {"k": 51}, {"case": "2026-0117\n"}]
)
def test_a_slip_of_form_put_right_is_not_held(house: House, fault: dict[str, object]) -> None:
    assert house.ask(**fault) == "refused"
    assert house.ask() == "allowed"


def test_a_purpose_that_the_licence_does_not_grant_and_then_one_that_it_does_is_held(house: House) -> None:
    assert house.ask(purpose="fraud") == "refused"
    assert house.ask(purpose="robbery") == "held"


def test_a_held_question_is_no_refusal_of_its_own(house: House) -> None:
    refuse_immigration(house)
    assert [house.ask(), house.ask(purpose="homicide")] == ["held", "held"]
    house.queries.approve_query("Sheriff", "2026-0117", "robbery", "checked the file")
    assert house.ask() == "allowed"


def test_only_an_operators_later_approval_of_that_very_question_releases(house: House) -> None:
    house.queries.approve_query("Sheriff", "2026-0117", "robbery", "too early")
    refuse_immigration(house)
    assert house.ask() == "held"
    colleague = house.tenants.issue_credential("Sheriff", "B. Marsh", "approver", approver=True).text
    Queries(house.gate, colleague).approve_query("Sheriff", "2026-0117", "robbery", "looks right")
    assert house.ask() == "held"
    house.queries.approve_query("Sheriff", "2026-0117", "homicide", "another purpose")
    house.queries.approve_query("Police", "2026-0117", "robbery", "another tenant")
    assert house.ask() == "held"
    house.queries.approve_query("Sheriff", " 2026-0117 ", "robbery", "checked the file")
    assert house.ask() == "allowed"


def test_an_approval_lapses_and_a_further_refusal_outdates_it(house: House) -> None:
    refuse_immigration(house)
    house.queries.approve_query("Sheriff", "2026-0117", "robbery", "checked the file", span="1d")
    house.clock.now = just_before(moved(NOW, days=1))
    assert house.ask() == "allowed"
    house.clock.now = moved(NOW, days=1)
    assert house.ask() == "held"
    house.queries.approve_query("Sheriff", "2026-0117", "robbery", "checked again")
    assert house.ask(purpose="fraud") == "refused"
    assert house.ask() == "held"


def test_an_exempt_purpose_goes_on_after_a_colleagues_approval_and_not_after_ones_own(house: House) -> None:
    bar_sheriffs(house, exempt_purposes=["robbery"])
    assert house.ask() == "held"
    own = house.tenants.issue_credential("Sheriff", "D. Ito", "approver", approver=True).text
    Queries(house.gate, own).approve_query("Sheriff", "2026-0117", "robbery", "my own")
    assert house.ask() == "held"
    colleague = house.tenants.issue_credential("Sheriff", "B. Marsh", "approver", approver=True).text
    Queries(house.gate, colleague).approve_query("Sheriff", "2026-0117", "robbery", "looks right")
    assert house.ask() == "allowed"
    assert house.ask(case="2026-0118") == "held"


def test_who_is_no_approver_approves_nothing(house: House) -> None:
    for name, credential in house.credentials.items():
        with pytest.raises(Refused, match="is no approver"):
            Queries(house.gate, credential).approve_query(name, "2026-0117", "robbery", "please")


def test_an_approval_names_a_tenant_a_purpose_and_a_case(house: House) -> None:
    for wrong in (("Sherif", "1", "robbery"), ("Sheriff", "1", "robery"), ("Sheriff", " ", "robbery")):
        with pytest.raises(InputError):
            house.queries.approve_query(*wrong, "checked the file")


FLOOD = 210


def refused_purposes(house: House) -> list[str]:
    told = house.gate.ledger.recent(10_000, type="search.refused")
    return [one.body["request"]["purpose"] for one in told]


def test_refusals_under_made_up_purposes_do_not_push_an_earlier_one_out_of_sight(house: House) -> None:
    refuse_immigration(house)
    for number in range(FLOOD):
        house.ask(purpose=f"made-up-{number}")
    assert len(refused_purposes(house)) > FLOOD
    assert house.ask() == "held"


def test_misspellings_of_the_wanted_purpose_do_not_push_an_earlier_refusal_out_of_sight(house: House) -> None:
    refuse_immigration(house)
    letters = [first + second for first, second in product(ascii_lowercase, repeat=2)]
    for ending in letters[:FLOOD]:
        assert house.ask(purpose=f"robbery{ending}") == "refused"
    assert house.ask() == "held"


def test_the_same_refusal_many_times_does_not_push_an_earlier_one_out_of_sight(house: House) -> None:
    bar_sheriffs(house, duration="1d")
    assert house.ask(purpose="homicide") == "refused"
    for _ in range(FLOOD):
        house.ask()
    house.clock.now = moved(NOW, days=1)
    assert house.ask() == "held"


def test_repeating_a_refusal_does_not_outdate_an_approval(house: House) -> None:
    refuse_immigration(house)
    house.queries.approve_query("Sheriff", "2026-0117", "robbery", "checked the file")
    refuse_immigration(house)
    assert house.ask() == "allowed"


def test_answered_searches_count_for_who_asks_and_for_whom_until_midnight(house: House) -> None:
    house.register("Troopers", "state-police", queries_a_day=2)
    assert [house.ask("Troopers"), house.ask("Find Them", beneficiary="Troopers", case="2")] == ["allowed"] * 2
    assert house.ask("Troopers", case="3") == "refused"
    assert house.ask("Find Them", beneficiary="Troopers", case="4") == "refused"
    assert house.ask("Find Them", case="5") == "allowed"
    house.clock.now = "2026-03-01T23:59:59.999999Z"
    assert house.ask("Troopers", case="6") == "refused"
    house.clock.now = "2026-03-02T00:00:00.000000Z"
    assert house.ask("Troopers", case="7") == "allowed"


def test_refused_and_held_searches_do_not_count_against_the_day(house: House) -> None:
    house.register("Troopers", "state-police", queries_a_day=1)
    assert house.ask("Troopers", purpose="immigration") == "refused"
    assert house.ask("Troopers") == "held"
    assert house.ask("Troopers", case="2") == "allowed"
    assert house.ask("Troopers", case="3") == "refused"


def test_two_permits_do_not_get_past_the_number_a_day(house: House) -> None:
    house.register("Troopers", "state-police", queries_a_day=1)
    asked = [house.gate.ask(house.credentials["Troopers"], one) for one in (SEARCH, SEARCH)]
    house.gate.answer(asked[0], {})
    with pytest.raises(Refused, match="has asked 1 times today"):
        house.gate.answer(asked[1], {})


def test_a_probe_is_known_again_by_its_digest_whether_answered_or_refused(house: House) -> None:
    house.ask(probe=PROBE)
    refuse_immigration(house, probe=OTHER_PROBE, case="2")
    assert house.gate.probes_among([PROBE, OTHER_PROBE, "c" * 64]) == {PROBE, OTHER_PROBE}


@pytest.mark.parametrize("case", ["\udcff", "2026\udcff0117", "\ud800", "\x00"])
def test_a_case_that_is_no_text_is_refused_with_an_entry(house: House, case: str) -> None:
    before = house.gate.ledger.head().number
    assert house.ask(case=case) == "refused"
    assert house.ask(case=case, purpose="immigration") == "refused"
    assert house.gate.ledger.head().number == before + 2


def test_an_endless_case_number_does_not_fill_the_disk(house: House) -> None:
    assert house.ask(case="9" * 1_000_000, purpose="immigration") == "refused"
    newest = house.gate.ledger.recent(1, details=True)[0]
    assert len(str(newest.details)) < 5_000


def test_the_index_of_traces_tells_no_case_and_no_probe(house: House) -> None:
    refuse_immigration(house, probe=PROBE)
    with sqlite3.connect(house.path / DATABASE) as connection:
        told = str(connection.execute("SELECT * FROM traces").fetchall())
    connection.close()
    assert "0117" not in told
    assert PROBE not in told
