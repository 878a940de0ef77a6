"""Operators and credentials: what a role may, and how a credential ends: by time, rotation, revocation, removal."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from officials import appoint, appoint_for, newest, pass_time, types_after
from rulebook import SEARCH, House, open_house

from access.acts.moratoria import Moratoria, MoratoriumTerms
from access.acts.operators import Operators, recover, rotate
from access.acts.queries import Queries
from access.acts.tenants import Tenants, WantedTerms
from access.credentials import authenticate, make_credential
from access.gate import Gate, Refused
from access.homes import make_home
from access.ledger.errors import LedgerClockError, LedgerUnreadable
from access.ledger.ledger import KEY
from access.rules import ROLES
from foundation.errors import InputError


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff")
    return house


@pytest.fixture
def operators(house: House) -> Operators:
    return Operators(house.gate, house.clerk)


def is_refused(house: House, credential: str) -> str:
    """Returns why a credential may not list operators; an empty text where it may."""
    try:
        house.gate.admit(credential, "operator.list")
    except Refused as refused:
        return str(refused)
    return ""


# Roles

CHANGES: dict[str, Callable[[House, str], Any]] = {
    "tenant": lambda house, who: Tenants(house.gate, who).add("New", "research", WantedTerms(galleries=["county"])),
    "suspension": lambda house, who: Tenants(house.gate, who).suspend("Sheriff", "audit overdue"),
    "terms": lambda house, who: Tenants(house.gate, who).change_terms("Sheriff", WantedTerms(largest_k=5), "policy"),
    "credential": lambda house, who: Tenants(house.gate, who).issue_credential("Sheriff", "R. Osei", "new"),
    "moratorium": lambda house, who: Moratoria(house.gate, who).declare(MoratoriumTerms("june", "law", everyone=True)),
    "owner": lambda house, who: Queries(house.gate, who).own("county", "Sheriff", "agreement"),
    "approval": lambda house, who: Queries(house.gate, who).approve_query("Sheriff", "26-1", "robbery", "seen"),
    "operator": lambda house, who: Operators(house.gate, who).add("Newcomer", "auditor", "more"),
    "removal": lambda house, who: Operators(house.gate, who).remove("second", "left"),
    "operator's credential": lambda house, who: Operators(house.gate, who).issue_credential("second", "lost"),
    "clock": lambda house, who: Queries(house.gate, who).confirm_clock("it is right"),
    "rollback": lambda house, who: house.gate.record(who, "gallery.rolled-back", "county", {"version": 1}),
}
FOR_ADMINISTRATORS = {"operator", "removal", "operator's credential", "clock", "rollback"}


@pytest.mark.parametrize("change", CHANGES)
def test_an_administrator_may_change_everything(house: House, change: str) -> None:
    before = house.gate.ledger.head().number
    CHANGES[change](house, house.clerk)
    assert house.gate.ledger.head().number > before


@pytest.mark.parametrize("change", CHANGES)
def test_an_auditor_changes_nothing(house: House, change: str) -> None:
    with pytest.raises(Refused, match=r"'B\. Bell' is auditor"):
        CHANGES[change](house, appoint(house, "B. Bell", "auditor"))
    assert newest(house)["type"] == "registry.refused"


@pytest.mark.parametrize("change", CHANGES)
def test_a_licensing_officer_changes_tenants_and_moratoria_and_nothing_else(house: House, change: str) -> None:
    if change in FOR_ADMINISTRATORS:
        with pytest.raises(Refused, match="is for role administrator, and 'second' is licensing-officer"):
            CHANGES[change](house, house.second)
    else:
        CHANGES[change](house, house.second)
        assert newest(house)["type"] != "registry.refused"


@pytest.mark.parametrize("role", ROLES)
def test_every_operator_reads_everything(house: House, role: str) -> None:
    text = appoint(house, "B. Bell", role)
    for act in ("audit.show", "audit.read", "audit.export", "audit.report", "tenant.list", "moratorium.review"):
        house.gate.admit(text, act)


def test_a_new_operator_is_of_the_adders_own_authority(house: House) -> None:
    court = appoint_for(house, "Judge", "court")
    Operators(house.gate, court).add("Second Judge", "auditor", "the bench")
    assert house.gate.rules()[0].operators["Second Judge"].authority == "court"


@pytest.mark.parametrize(
    ("name", "role", "says"),
    [
        ("B. Bell", "administator", "did you mean 'administrator'"),
        ("CLERK", "auditor", "'clerk' is there already"),
        ("unknown", "auditor", "stands for strangers"),
        (" B", "auditor", "begins or ends with a space"),
    ],
)
def test_bad_values_for_an_operator_are_named(operators: Operators, name: str, role: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        operators.add(name, role, "more")
    assert says in str(caught.value)


# Removal


def test_a_removed_operators_credentials_are_dead_at_once(house: House, operators: Operators) -> None:
    first = appoint(house, "B. Bell")
    further = operators.issue_credential("B. Bell", "a second desk").text
    operators.remove("B. Bell", "left the office")
    assert "was revoked" in is_refused(house, first)
    assert "was revoked" in is_refused(house, further)


def test_the_last_administrator_cannot_be_removed(house: House, operators: Operators) -> None:
    with pytest.raises(InputError, match="'clerk' is the last administrator; add another one first"):
        operators.remove("clerk", "left the office")
    assert is_refused(house, house.clerk) == ""


def test_with_another_administrator_the_first_one_can_go(house: House, operators: Operators) -> None:
    other = appoint(house, "B. Bell")
    operators.remove("clerk", "left the office")
    assert "was revoked" in is_refused(house, house.clerk)
    with pytest.raises(InputError, match=r"'B\. Bell' is the last administrator"):
        Operators(house.gate, other).remove("B. Bell", "left too")


def test_a_removed_operators_name_is_not_given_again(house: House, operators: Operators) -> None:
    operators.remove("second", "left the office")
    with pytest.raises(InputError, match="'second' is there already"):
        operators.add("second", "auditor", "came back")


def test_a_removed_operator_is_nobody_to_issue_credentials_to(house: House, operators: Operators) -> None:
    operators.remove("second", "left the office")
    with pytest.raises(InputError, match="unknown operator 'second'"):
        operators.issue_credential("second", "again")


# The end of a credential


def test_a_credential_expires_on_the_moment(house: House, operators: Operators) -> None:
    text = operators.issue_credential("second", "for an hour", "1h").text
    house.clock.now = "2026-03-01T12:59:59.999999Z"
    assert is_refused(house, text) == ""
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    assert "expired on 2026-03-01 13:00 UTC; ask an operator for a new one" in is_refused(house, text)


def test_a_credential_lasts_a_year_unless_told_otherwise(house: House) -> None:
    ends = {one.until for one in house.gate.rules()[0].credentials.values()}
    assert ends == {"2027-03-01T12:00:00.000000Z"}


def test_an_expired_credential_can_not_be_rotated(house: House, operators: Operators) -> None:
    text = operators.issue_credential("second", "for an hour", "1h").text
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    with pytest.raises(Refused, match="expired"):
        rotate(house.gate, text)


def test_a_rotated_credential_is_dead_at_once_and_the_new_one_lives(house: House) -> None:
    new = rotate(house.gate, house.second).text
    assert "was revoked on 2026-03-01 12:00 UTC: rotated to" in is_refused(house, house.second)
    assert is_refused(house, new) == ""


def test_a_rotated_credential_stays_the_same_persons_with_the_same_powers(house: House) -> None:
    old = house.tenants.issue_credential("Sheriff", "D. Ito", "approver", approver=True)
    new = rotate(house.gate, old.text)
    known = house.gate.rules()[0].credentials[new.id]
    assert (known.role, known.holder, known.person, known.approver) == ("tenant", "Sheriff", "D. Ito", True)


def test_only_the_bearers_own_credential_is_rotated(house: House) -> None:
    new = rotate(house.gate, house.credentials["Sheriff"])
    assert is_refused(house, house.clerk) == ""
    assert house.gate.ask(new.text, SEARCH).tenant == "Sheriff"


def test_a_bearer_does_not_lengthen_what_an_operator_issued_for_a_short_time(house: House) -> None:
    short = house.tenants.issue_credential("Sheriff", "R. Osei", "for a week", span="7d")
    new = rotate(house.gate, short.text)
    assert house.gate.rules()[0].credentials[new.id].until == "2026-03-08T12:00:00.000000Z"


def test_rotating_is_told_in_the_ledger_without_a_secret(house: House) -> None:
    before = house.gate.ledger.head().number
    new = rotate(house.gate, house.second)
    assert types_after(house.gate.ledger, before) == ["credential.issued", "credential.revoked"]
    bodies = "".join(one.entry.body for one in house.gate.ledger.recent(10))
    assert new.text.split(".")[2] not in bodies


def test_a_stranger_rotates_nothing(house: House) -> None:
    with pytest.raises(Refused, match="not known here"):
        rotate(house.gate, make_credential().text)
    assert newest(house)["type"] == "credentials.refused"


def test_a_revoked_credential_is_refused_with_the_reason(house: House, operators: Operators) -> None:
    text = operators.issue_credential("second", "a second desk")
    operators.revoke_credential("second", text.id, "left on a train")
    assert "left on a train" in is_refused(house, text.text)
    assert is_refused(house, house.second) == ""


def test_revoking_names_the_valid_ones_where_the_id_is_not_among_them(house: House, operators: Operators) -> None:
    mine = house.second.split(".")[1]
    with pytest.raises(InputError, match=rf"'second' has no valid credential 0{{16}} \(valid: {mine}\)"):
        operators.revoke_credential("second", "0" * 16, "lost")


def test_one_holders_credential_is_not_revoked_under_anothers_name(house: House, operators: Operators) -> None:
    with pytest.raises(InputError, match="has no valid credential"):
        operators.revoke_credential("second", house.clerk.split(".")[1], "mistake")


def test_a_proven_secret_is_only_proven_with_its_own_id(house: House) -> None:
    rules = house.gate.rules()[0]
    assert authenticate(rules, house.clerk) == house.clerk.split(".")[1]
    head, public_id, _ = house.clerk.split(".")
    assert authenticate(rules, ".".join([head, public_id, house.second.split(".")[2]])) is None
    assert authenticate(rules, house.clerk + "\n") is None


def test_secrets_have_256_random_bits_and_stay_out_of_repr() -> None:
    made = {make_credential() for _ in range(100)}
    assert len({one.text for one in made}) == 100
    assert all(len(one.text.split(".")[2]) == 43 and one.text.split(".")[2] not in repr(one) for one in made)


# Recovery


def test_the_hosts_owner_recovers_a_house_without_any_credential(house: House) -> None:
    new = recover(house.gate, "New Clerk", "the only clerk died").text
    Operators(house.gate, new).add("Another", "administrator", "so that there are two")
    assert house.gate.rules()[0].operators["New Clerk"].role == "administrator"


def test_a_recovery_stands_in_the_ledger_with_the_hosts_account(house: House) -> None:
    recover(house.gate, "New Clerk", "the only clerk died")
    (entry,) = house.gate.ledger.recent(1, type="operator.recovered")
    account = f"account {getpass.getuser()} ({os.getuid()}) of the host"
    assert (entry.entry.subject, entry.body["why"]) == ("New Clerk", "the only clerk died")
    assert entry.body["by"] == {"operator": account, "credential": None}


def test_a_recovery_revokes_nobody(house: House) -> None:
    recover(house.gate, "New Clerk", "the only clerk died")
    assert is_refused(house, house.clerk) == ""


def test_a_recovery_takes_no_known_name(house: House) -> None:
    with pytest.raises(InputError, match="'clerk' is there already"):
        recover(house.gate, "clerk", "it is me")


def test_a_recovery_works_after_every_credential_has_expired(house: House) -> None:
    house.clock.now = "2028-01-01T00:00:00.000000Z"
    with pytest.raises(LedgerClockError):
        house.gate.admit(house.clerk, "operator.list")
    new = recover(house.gate, "New Clerk", "nobody came for two years").text
    assert is_refused(house, new) == ""
    assert "expired" in is_refused(house, house.clerk)


def test_without_the_ledgers_key_there_is_no_recovery(house: House) -> None:
    (house.path / KEY).unlink()
    with pytest.raises(LedgerUnreadable, match="put it back"):
        recover(Gate.open(house.path), "New Clerk", "the key is lost")


# The first operator


def test_a_house_of_another_authority_begins_with_its_own_operator(tmp_path: Path) -> None:
    text = make_home(tmp_path / "court", "Judge", authority="court").text
    gate = Gate.open(tmp_path / "court")
    Moratoria(gate, text).declare(MoratoriumTerms("order", "pending", everyone=True, authority="court"))
    number = Moratoria(gate, text).lift("order", "reviewed").number
    assert gate.rules()[0].proposals[number].operator == "Judge"


def test_a_name_that_is_none_makes_no_home(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--operator"):
        make_home(tmp_path / "home", "a\nb")
    assert list(tmp_path.iterdir()) == []


def test_a_silent_year_ends_with_a_confirmed_clock(house: House) -> None:
    house.clock.now = "2027-02-01T00:00:00.000000Z"
    with pytest.raises(LedgerClockError, match="audit clock --confirm"):
        house.gate.ask(house.credentials["Sheriff"], SEARCH)
    with pytest.raises(Refused, match="for role administrator"):
        Queries(house.gate, house.second).confirm_clock("it is right")
    pass_time(house)
    assert house.ask() == "allowed"
