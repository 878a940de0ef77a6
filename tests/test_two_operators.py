"""What loosens takes two: one operator proposes, a second one of the same authority approves, and nobody else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from officials import appoint, appoint_for, newest, pass_time
from rulebook import SEARCH, House, moved, open_house

from access.acts.moratoria import Exemption, Moratoria, MoratoriumTerms
from access.acts.operators import Operators
from access.acts.queries import Queries
from access.acts.tenants import Tenants, WantedTerms
from access.gate import Refused
from access.ledger.chain import Entry
from foundation.errors import AfterfactError, InputError

LAW = "the law is in force"
SOON = "2026-03-02T00:00Z"
ORDER = ("Circuit Court, 26-117", "2026-03-04", "expunged")


@dataclass(frozen=True)
class Loosening:
    """An act that takes two: how it is proposed and approved, and whether it has been done."""

    propose: Callable[[House, str], Entry]
    approve: Callable[[House, str, int], Any]
    done: Callable[[House], bool]


def _moratorium(act: str, done: Callable[[Any], bool], *how: Any) -> Loosening:
    return Loosening(
        lambda house, who: getattr(Moratoria(house.gate, who), act)("june", *how, LAW),
        lambda house, who, number: Moratoria(house.gate, who).approve_change(f"moratorium.{act}", "june", number),
        lambda house: done(_june(house)),
    )


def _june(house: House) -> Any:
    return house.gate.rules()[0].moratoria["june"]


LOOSENINGS = {
    "lift": _moratorium("lift", lambda june: june.lifted is not None),
    "shorten": _moratorium("shorten", lambda june: june.until == "2026-03-02T00:00:00.000000Z", SOON),
    "exempt": _moratorium("exempt", lambda june: "Sheriff" in june.exempt_tenants, Exemption(tenants=["Sheriff"])),
    "register anew": Loosening(
        lambda house, who: Tenants(house.gate, who).propose_anew(
            "Sheriff II", "sheriff", WantedTerms(galleries=["county"]), "Gone"
        ),
        lambda house, who, number: Tenants(house.gate, who).approve_anew("Sheriff II", number),
        lambda house: "Sheriff II" in house.gate.rules()[0].tenants,
    ),
    "operator of another authority": Loosening(
        lambda house, who: Operators(house.gate, who).propose_other("Judge", "licensing-officer", "court", "treaty"),
        lambda house, who, number: Operators(house.gate, who).approve_other("Judge", number),
        lambda house: "Judge" in house.gate.rules()[0].operators,
    ),
    "erase": Loosening(
        lambda house, who: Queries(house.gate, who).propose_erasure([_answered(house)], *ORDER),
        lambda house, who, number: Queries(house.gate, who).approve_erasure(number),
        lambda house: house.gate.ledger.recent(1, number=_answered(house), details=True)[0].details is None,
    ),
}
every_loosening = pytest.mark.parametrize("name", LOOSENINGS)


def _answered(house: House) -> int:
    return house.gate.ledger.recent(1, type="search.answered")[0].entry.number


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with two administrators, an answer, a moratorium and a revoked tenant."""
    house = open_house(tmp_path)
    house.second = appoint(house, "B. Bell")
    house.register("Sheriff", "sheriff")
    house.register("Gone", "sheriff")
    assert house.ask() == "allowed"
    house.tenants.revoke("Gone", "searched without a case")
    house.moratoria.declare(MoratoriumTerms("june", "until there is a law", ["police"], duration="1y"))
    return house


@every_loosening
def test_a_proposal_alone_changes_nothing(house: House, name: str) -> None:
    made = LOOSENINGS[name].propose(house, house.clerk)
    assert made.type == "proposal.made"
    assert not LOOSENINGS[name].done(house)


@every_loosening
def test_a_second_operator_brings_it_about_and_both_are_named(house: House, name: str) -> None:
    act = LOOSENINGS[name]
    number = act.propose(house, house.clerk).number
    act.approve(house, house.second, number)
    assert act.done(house)
    entries = [one for one in house.gate.ledger.recent(3) if one.body.get("by", {}).get("proposal") == number]
    assert entries
    assert all(one.body["by"]["operator"] == "B. Bell" for one in entries)
    assert all(one.body["by"]["proposed_by"] == "clerk" for one in entries)


@every_loosening
def test_nobody_approves_their_own_proposal(house: House, name: str) -> None:
    act = LOOSENINGS[name]
    number = act.propose(house, house.clerk).number
    with pytest.raises(InputError, match=rf"proposal {number} .*'clerk'.*second operator"):
        act.approve(house, house.clerk, number)
    assert not act.done(house)


@every_loosening
def test_a_second_credential_of_the_same_person_is_no_second_operator(house: House, name: str) -> None:
    act = LOOSENINGS[name]
    number = act.propose(house, house.clerk).number
    other = Operators(house.gate, house.clerk).issue_credential("clerk", "for the other desk").text
    with pytest.raises(InputError, match="second operator"):
        act.approve(house, other, number)


@every_loosening
def test_what_is_done_is_not_done_again(house: House, name: str) -> None:
    act = LOOSENINGS[name]
    number = act.propose(house, house.clerk).number
    act.approve(house, house.second, number)
    with pytest.raises(InputError, match=f"proposal {number} was approved already, in ledger entry"):
        act.approve(house, house.second, number)


@every_loosening
def test_a_proposal_of_someone_removed_meanwhile_is_void(house: House, name: str) -> None:
    act, third = LOOSENINGS[name], appoint(house, "C. Cole")
    number = act.propose(house, third).number
    Operators(house.gate, house.clerk).remove("C. Cole", "left the office")
    with pytest.raises(InputError, match=r"is of 'C\. Cole', who is no operator any more; propose it again"):
        act.approve(house, house.second, number)
    assert not act.done(house)


@every_loosening
@pytest.mark.parametrize("who", ["auditor", "tenant", "removed"])
def test_who_may_not_propose_may_not_approve(house: House, name: str, who: str) -> None:
    act = LOOSENINGS[name]
    if who == "auditor":
        text = appoint(house, "D. Dunn", "auditor")
    elif who == "removed":
        text = appoint(house, "D. Dunn")
        Operators(house.gate, house.clerk).remove("D. Dunn", "left")
    else:
        text = house.credentials["Sheriff"]
    number = act.propose(house, house.clerk).number
    with pytest.raises(Refused):
        act.propose(house, text)
    with pytest.raises(Refused):
        act.approve(house, text, number)
    assert newest(house)["type"] == "registry.refused"
    assert not act.done(house)


@every_loosening
def test_a_proposal_that_does_not_exist_is_named_with_those_that_wait(house: House, name: str) -> None:
    act = LOOSENINGS[name]
    number = act.propose(house, house.clerk).number
    with pytest.raises(InputError, match=rf"--approve 99 is no proposal of .* \(waiting: {number}\)"):
        act.approve(house, house.second, 99)


def test_a_proposal_waits_seven_days_and_not_a_moment_longer(house: House) -> None:
    first, second = (house.moratoria.lift("june", LAW) for _ in range(2))
    for _ in range(6):
        pass_time(house, days=1)
    house.clock.now = moved(first.time, days=7, microseconds=-1)
    lift = Moratoria(house.gate, house.second)
    house.clock.now = moved(first.time, days=7)
    with pytest.raises(InputError, match=f"proposal {first.number} lapsed after 7 days; propose it again"):
        lift.approve_change("moratorium.lift", "june", first.number)
    house.clock.now = moved(first.time, days=7)
    assert _june(house).lifted is None
    again = house.moratoria.lift("june", LAW)
    assert again.number > second.number
    assert lift.approve_change("moratorium.lift", "june", again.number).type == "moratorium.lifted"


def test_a_proposal_still_stands_just_before_seven_days_are_over(house: House) -> None:
    made = house.moratoria.lift("june", LAW)
    for _ in range(6):
        pass_time(house, days=1)
    house.clock.now = moved(made.time, days=7, microseconds=-1)
    lifted = Moratoria(house.gate, house.second).approve_change("moratorium.lift", "june", made.number)
    assert lifted.type == "moratorium.lifted"


def test_a_lapsed_proposal_is_not_among_those_that_wait(house: House) -> None:
    number = house.moratoria.lift("june", LAW).number
    for _ in range(7):
        pass_time(house, days=1)
    with pytest.raises(InputError, match=r"\(waiting: none\)"):
        Moratoria(house.gate, house.second).approve_change("moratorium.lift", "june", number + 1)


def test_a_proposal_is_for_its_own_subject(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("july", "until there is a law", ["police"]))
    number = house.moratoria.lift("june", LAW).number
    with pytest.raises(InputError, match=f"--approve {number} is no proposal of moratorium.lift for 'july'"):
        Moratoria(house.gate, house.second).approve_change("moratorium.lift", "july", number)


def test_a_proposal_is_for_its_own_act(house: House) -> None:
    number = house.moratoria.exempt("june", Exemption(tenants=["Sheriff"]), "named").number
    with pytest.raises(InputError, match=r"is no proposal of moratorium\.lift"):
        Moratoria(house.gate, house.second).approve_change("moratorium.lift", "june", number)
    assert _june(house).lifted is None


def test_what_was_proposed_is_what_comes_about(house: House) -> None:
    number = house.moratoria.exempt("june", Exemption(tenants=["Sheriff"]), "named in the statement").number
    done = Moratoria(house.gate, house.second).approve_change("moratorium.exempt", "june", number)
    assert newest(house)["why"] == "named in the statement"
    assert done.subject == "june"
    assert (_june(house).exempt_tenants, _june(house).exempt_kinds) == ({"Sheriff"}, frozenset())


def test_a_proposal_that_can_no_longer_be_done_is_refused(house: House) -> None:
    shorter = house.moratoria.shorten("june", SOON, LAW).number
    house.lift("june")
    with pytest.raises(InputError, match="lifted already"):
        Moratoria(house.gate, house.second).approve_change("moratorium.shorten", "june", shorter)


def test_an_end_that_has_passed_meanwhile_is_not_approved(house: House) -> None:
    number = house.moratoria.shorten("june", SOON, LAW).number
    pass_time(house, days=1)
    with pytest.raises(InputError, match="does not lie between now and the end"):
        Moratoria(house.gate, house.second).approve_change("moratorium.shorten", "june", number)


# Authorities


@pytest.fixture
def court(house: House) -> str:
    """The credential of a court's operator, whose moratorium is called `order`."""
    credential = appoint_for(house, "Judge", "court")
    order = MoratoriumTerms("order", "pending review", ["police"], authority="court", duration="30d")
    house.moratoria.declare(order)
    return credential


@pytest.mark.parametrize(
    ("act", "how"),
    [("lift", ()), ("shorten", (SOON,)), ("exempt", (Exemption(tenants=["Sheriff"]),))],
)
def test_a_vendors_operator_cannot_change_a_courts_moratorium(house: House, court: str, act: str, how: Any) -> None:
    with pytest.raises(Refused, match="only operators of the court may do"):
        getattr(house.moratoria, act)("order", *how, LAW)
    assert newest(house)["type"] == "registry.refused"


def test_a_vendors_operator_cannot_extend_a_courts_moratorium(house: House, court: str) -> None:
    with pytest.raises(Refused, match="only operators of the court may do"):
        house.moratoria.extend("order", "for good measure")


def test_a_vendors_operator_cannot_second_a_courts(house: House, court: str) -> None:
    number = Moratoria(house.gate, court).lift("order", LAW).number
    with pytest.raises(Refused, match="only operators of the court"):
        Moratoria(house.gate, house.second).approve_change("moratorium.lift", "order", number)
    assert house.gate.rules()[0].moratoria["order"].lifted is None


def test_two_of_the_court_lift_the_courts_moratorium(house: House, court: str) -> None:
    second = Operators(house.gate, court).add("Second Judge", "licensing-officer", "the bench").text
    number = Moratoria(house.gate, second).lift("order", LAW).number
    Moratoria(house.gate, court).approve_change("moratorium.lift", "order", number)
    assert house.gate.rules()[0].moratoria["order"].lifted is not None


def test_a_courts_operator_cannot_lift_the_vendors_moratorium(house: House, court: str) -> None:
    with pytest.raises(Refused, match="only operators of the vendor"):
        Moratoria(house.gate, court).lift("june", LAW)


def test_a_licensing_officer_adds_no_operator_and_erases_nothing(house: House) -> None:
    officer = appoint(house, "D. Dunn", "licensing-officer")
    for name in ("operator of another authority", "erase"):
        with pytest.raises(Refused, match="is for role administrator"):
            LOOSENINGS[name].propose(house, officer)


# Tightening takes one


def test_one_operator_tightens_alone(house: House) -> None:
    assert house.moratoria.extend("june", "further notice").type == "moratorium.extended"
    assert _june(house).until is None
    assert house.moratoria.declare(MoratoriumTerms("july", "more", everyone=True)).type == "moratorium.declared"
    assert house.tenants.suspend("Sheriff", "audit overdue").type == "licence.suspended"


def test_an_extension_is_never_an_earlier_end(house: House) -> None:
    with pytest.raises(InputError, match="later end"):
        house.moratoria.extend("june", "shorter", until=SOON)


def test_one_operator_cannot_give_a_barred_owners_gallery_to_another(house: House) -> None:
    house.register("Find Them", "anti-trafficking-organisation")
    house.queries.own("county", "Sheriff", "agreement")
    assert house.ask("Find Them") == "refused"
    with contextlib.suppress(AfterfactError):
        house.queries.own("county", "Find Them", "now it is theirs")
    assert house.ask("Find Them") == "refused"


# Registering anew


def test_moratoria_on_the_old_name_cover_the_new_one(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("gone", "they searched without a case", tenants=["Gone"]))
    house.lift("june")
    act = LOOSENINGS["register anew"]
    made = act.approve(house, house.second, act.propose(house, house.clerk).number)
    with pytest.raises(Refused, match="moratorium 'gone' bars"):
        house.gate.ask(made.text, SEARCH)


def test_only_a_revoked_tenant_is_registered_anew(house: House) -> None:
    with pytest.raises(InputError, match="the licence of 'Sheriff' is not revoked"):
        house.tenants.propose_anew("Sheriff II", "sheriff", WantedTerms(galleries=["county"]), "Sheriff")


def test_a_moratorium_on_new_licences_bars_registering_anew(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("sunset", "no new licences", everyone=True, operations=["new-licences"]))
    act = LOOSENINGS["register anew"]
    number = act.propose(house, house.clerk).number
    with pytest.raises(Refused, match="'sunset' bars sheriff from new-licences"):
        act.approve(house, house.second, number)


# Erasing


@pytest.mark.parametrize("entries", [[1], [999_999], [-1], [2**70], []])
def test_only_entries_with_details_can_be_proposed_for_erasure(house: House, entries: list[int]) -> None:
    before = house.gate.ledger.head().number
    with pytest.raises(InputError, match=r"no details|no entry|entries"):
        house.queries.propose_erasure(entries, *ORDER)
    assert house.gate.ledger.head().number == before


@pytest.mark.parametrize("dated", ["2026-13-40", "4 March 2026", "٢٠٢٦-٠٣-٠٤", ""])
def test_an_orders_date_has_to_be_one(house: House, dated: str) -> None:
    with pytest.raises(InputError, match="--dated"):
        house.queries.propose_erasure([_answered(house)], "Circuit Court", dated, "expunged")


def test_erasing_twice_is_harmless(house: House) -> None:
    act = LOOSENINGS["erase"]
    for _ in range(2):
        act.approve(house, house.second, act.propose(house, house.clerk).number)
    assert act.done(house)
