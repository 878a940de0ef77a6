"""Dry runs: what would be decided, whom a moratorium would bar, how tenants stand on a day, answers to review."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from officials import Shell, open_shell
from rulebook import SEARCH, House, open_house

from access.acts.desk import tenant_named
from access.acts.moratoria import MoratoriumTerms
from access.acts.tenants import WantedTerms
from access.gate import Gate, Request
from access.ledger.ledger import Ledger
from access.outlook import answers_inside, outlook, whom_it_bars
from foundation.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE

FAR = "2027-01-01T00:00Z"


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff")
    house.register("Find Them", "anti-trafficking-organisation")
    return house


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = open_shell(tmp_path)
    shell.tenant("Sheriff", "sheriff")
    shell.tenant("Find Them", "anti-trafficking-organisation")
    return shell


def stands(house: House, name: str = "Sheriff", at: str | None = None) -> dict[str, Any]:
    rules, now = house.gate.rules()
    return outlook(rules, rules.tenants[name], at or now)


# How a tenant stands


def test_a_tenant_that_may_search_is_blocked_by_nothing(house: House) -> None:
    told = stands(house)
    assert (told["state"], told["licence"], told["blocked_by"], told["next"]) == ("may search", "active", [], [])


def test_every_rule_that_blocks_is_named_with_its_end(house: House) -> None:
    house.moratoria.declare(MoratoriumTerms("june", "law", ["police"], duration="1y"))
    house.moratoria.declare(MoratoriumTerms("july", "law", ["police"]))
    house.tenants.suspend("Sheriff", "audit overdue")
    told = stands(house)
    assert told["state"] == "blocked"
    assert told["barred_by"] == ["june", "july"]
    assert any("'june', until 2027-03-01 12:00 UTC" in one for one in told["blocked_by"])
    assert any("'july', until further notice" in one for one in told["blocked_by"])
    assert any("suspended" in one and "audit overdue" in one for one in told["blocked_by"])


def test_a_tenant_whose_licence_grants_no_search_may_not_search(house: House) -> None:
    house.register("Indexer", "research", operations=["index"])
    assert stands(house, "Indexer")["state"] != "may search"


def test_changes_ahead_are_told_in_order(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit", "2026-04-01T00:00Z")
    house.tenants.reinstate("Sheriff", "over", start="2026-05-01T00:00Z")
    steps = [(one["what"], one["from"][:10]) for one in stands(house)["next"]]
    assert steps == [("suspended", "2026-04-01"), ("active", "2026-05-01")]


@pytest.mark.parametrize(
    ("at", "licence", "state"),
    [
        ("2026-03-31T23:59:59.999999Z", "active", "may search"),
        ("2026-04-01T00:00:00.000000Z", "suspended", "blocked"),
        ("2026-05-01T00:00:00.000000Z", "active", "may search"),
        ("2026-06-01T00:00:00.000000Z", "expired", "blocked"),
    ],
)
def test_a_day_to_come_is_told_by_what_is_known_of_it(house: House, at: str, licence: str, state: str) -> None:
    house.tenants.change_terms("Sheriff", WantedTerms(until="2026-06-01T00:00Z"), "shorter")
    house.tenants.suspend("Sheriff", "audit", "2026-04-01T00:00Z")
    house.tenants.reinstate("Sheriff", "over", start="2026-05-01T00:00Z")
    told = stands(house, at=at)
    assert (told["licence"], told["state"]) == (licence, state)


def test_a_licence_that_begins_later_blocks_until_then(house: House) -> None:
    house.register("Later", "research", start="2026-03-02T00:00Z")
    assert (stands(house, "Later")["licence"], stands(house, "Later")["state"]) == ("not begun", "blocked")
    assert stands(house, "Later", "2026-03-02T00:00:00.000000Z")["state"] == "may search"


def test_a_suspended_licence_that_has_not_begun_can_still_be_listed(house: House) -> None:
    house.register("Later", "research", start="2026-03-02T00:00Z")
    house.tenants.suspend("Later", "second thoughts")
    assert stands(house, "Later")["state"] == "blocked"


# Whom a moratorium would bar


def test_a_dry_run_names_for_every_tenant_what_it_would_be(house: House) -> None:
    house.register("Coroner", "medical-examiner")
    terms = MoratoriumTerms(
        *("june", "law", ["government"]), exempt_kinds=["medical-examiner"], exempt_purposes=["missing-person"]
    )
    rules, now = house.gate.rules()
    told = {one["tenant"]: one["effect"] for one in whom_it_bars(_as(house, terms), rules, now)}
    assert told == {
        "Coroner": "exempt",
        "Find Them": "not covered",
        "Sheriff": "barred from search, but for missing-person",
    }


def _as(house: House, terms: MoratoriumTerms) -> Any:
    rules, now = house.gate.rules()
    return terms.as_declared(house.gate.vocabulary, rules, now)


def test_what_a_dry_run_tells_is_what_a_declaration_does(house: House) -> None:
    terms = MoratoriumTerms("june", "law", ["police"], exempt_tenants=["Sheriff"], tenants=["Find Them"])
    rules, now = house.gate.rules()
    told = {one["tenant"]: one["effect"] for one in whom_it_bars(_as(house, terms), rules, now)}
    house.moratoria.declare(terms)
    assert {name: house.ask(name, case=f"of {name}") == "allowed" for name in told} == {
        name: not effect.startswith("barred") for name, effect in told.items()
    }


def test_a_declaration_on_trial_changes_nothing(shell: Shell) -> None:
    before = shell.head
    told = shell.json("moratorium", "declare", "pause", "--everyone", "--reason", "key lost", "--dry-run")
    assert {one["tenant"]: one["effect"] for one in told} == dict.fromkeys(
        ("Find Them", "Sheriff"), "barred from search"
    )
    assert shell.head == before
    assert shell.json("moratorium", "list") == []


def test_a_trial_of_a_wrong_declaration_says_what_is_wrong(shell: Shell) -> None:
    code, error = shell.fails("moratorium", "declare", "x", "--kind", "polise", "--reason", "x", "--dry-run")
    assert (code, "did you mean 'police'" in error) == (EXIT_USAGE, True)


def test_a_tenant_gets_no_dry_run(shell: Shell) -> None:
    credential = shell.tenant("Other", "research")
    trial = ("moratorium", "declare", "x", "--everyone", "--reason", "x", "--dry-run")
    code, error = shell.fails(*trial, credential=credential)
    assert (code, "Sheriff" in error) == (EXIT_REFUSED, False)


# access check


def test_a_check_that_would_be_allowed_ends_with_0_and_records_nothing(shell: Shell) -> None:
    before = shell.head
    told = shell.json("access", "check", "--tenant", "Sheriff", "--purpose", "robbery")
    assert (told["outcome"], told["allowed"]) == ("allowed", True)
    assert {one["rule"] for one in told["findings"]} >= {"licence", "purpose", "gallery", "operation"}
    assert shell.head == before


def test_a_check_that_would_be_refused_ends_with_3_and_tells_every_rule(shell: Shell) -> None:
    for name in ("june", "july"):
        shell.done("moratorium", "declare", name, "--kind", "police", "--reason", "law")
    before = shell.head
    finished = shell.run(
        "access", "check", "--tenant", "Sheriff", "--purpose", "robbery", "--gallery", "state", "--json"
    )
    assert finished.code == EXIT_REFUSED
    refusing = [one["name"] or one["rule"] for one in finished.json()["findings"] if one["effect"] == "refuses"]
    assert refusing == ["gallery", "june", "july"]
    assert shell.head == before


def test_a_check_that_would_be_held_ends_with_3_too(shell: Shell) -> None:
    terms = ("--kind", "police", "--exempt-purpose", "missing-person", "--reason", "law")
    shell.done("moratorium", "declare", "terms", *terms)
    finished = shell.run("access", "check", "--tenant", "Sheriff", "--purpose", "missing-person")
    assert finished.code == EXIT_REFUSED
    assert finished.out.startswith("HELD: search of gallery 'county' by Sheriff, ")


def test_a_check_names_a_wrong_operation(shell: Shell) -> None:
    code, error = shell.fails("access", "check", "--tenant", "Sheriff", "--operation", "serch")
    assert (code, "did you mean 'search'" in error) == (EXIT_USAGE, True)


@pytest.mark.parametrize(("at", "code"), [("now", EXIT_REFUSED), ("2025-01-01T00:00Z", EXIT_USAGE), (FAR, EXIT_DONE)])
def test_a_check_at_a_moment_goes_by_what_holds_or_held_then(shell: Shell, at: str, code: int) -> None:
    shell.done("moratorium", "declare", "june", "--kind", "police", "--for", "2h", "--reason", "law")
    check = ("access", "check", "--tenant", "Sheriff", "--purpose", "robbery", "--at", at)
    assert shell.run(*check).code == code


def test_a_check_of_another_day_counts_that_days_queries(house: House) -> None:
    house.register("Few", "research", queries_a_day=1)
    assert house.ask("Few") == "allowed"
    rules, now = house.gate.rules()
    request = Request("search", "county", "robbery", "26-1", "D. Ito")
    asked = [
        house.gate.check(rules, tenant_named(rules, "Few"), request, at).allowed
        for at in (now, "2026-03-02T00:00:00.000000Z")
    ]
    assert asked == [False, True]


@pytest.mark.parametrize("asked", [{}, {"gallery": "state"}, {"purpose": "immigration"}, {"k": 51}, {"case": None}])
def test_a_check_says_what_asking_says(house: House, asked: dict[str, Any]) -> None:
    request = replace(SEARCH, **asked)
    rules, now = house.gate.rules()
    checked = house.gate.check(rules, tenant_named(rules, "Sheriff"), request, now)
    assert checked.reasons == "" or checked.reasons in house.reasons(**asked)
    assert checked.outcome == house.ask(**asked)


# tenant list --at


def test_the_list_of_a_day_to_come(shell: Shell) -> None:
    shell.done("tenant", "suspend", "Sheriff", "--reason", "audit", "--from", FAR)
    states = {at: _states(shell, at) for at in ("now", FAR)}
    assert states["now"]["Sheriff"] == "may search"
    assert states[FAR] == {"Sheriff": "blocked", "Find Them": "may search"}


def _states(shell: Shell, at: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in shell.json("tenant", "list", "--at", at)}


def test_the_list_of_a_past_moment_is_by_the_rules_as_they_were_known_then(shell: Shell) -> None:
    before = Ledger(shell.home).head().time
    shell.done("moratorium", "declare", "june", "--kind", "police", "--from", "2020-06-10T00:00Z", "--reason", "law")
    shell.tenant("Late", "research")
    assert _states(shell, before) == {"Sheriff": "may search", "Find Them": "may search"}
    assert _states(shell, "now")["Sheriff"] == "blocked"


def test_before_the_house_there_was_nobody(shell: Shell) -> None:
    assert shell.json("tenant", "list", "--at", "2020-01-01T00:00Z") == []


def test_the_list_is_one_screen_with_rule_and_end(shell: Shell) -> None:
    shell.done(*("moratorium", "declare", "june", "--kind", "police", "--reason", "law", "--until", FAR))
    out = " ".join(shell.done("tenant", "list").out.split())
    for part in ("Sheriff", "Find Them", "blocked", "may search", "moratorium 'june'", "2027-01-01 00:00 UTC"):
        assert part in out


def test_the_list_of_a_day_without_a_zone_is_refused(shell: Shell) -> None:
    code, error = shell.fails("tenant", "list", "--at", "2027-01-01")
    assert (code, "--at '2027-01-01' names no time zone" in error) == (EXIT_USAGE, True)


# moratorium review


def review(house: House, name: str = "june") -> list[dict[str, Any]]:
    rules, _ = house.gate.rules()
    return list(answers_inside(house.gate.ledger, rules, rules.moratoria[name]))


def backdated(house: House, **more: Any) -> None:
    house.clock.now = "2026-03-01T15:00:00.000000Z"
    terms = {"kinds": ["police"], "start": "2026-03-01T12:00Z", **more}
    house.moratoria.declare(MoratoriumTerms("june", "law", **terms))


def test_a_backdated_moratorium_lists_the_answers_inside_it(house: House) -> None:
    assert [house.ask(), house.ask("Find Them"), house.ask("Find Them", beneficiary="Sheriff")] == ["allowed"] * 3
    backdated(house)
    found = review(house)
    assert [(one["tenant"], one["beneficiary"]) for one in found] == [("Sheriff", "Sheriff"), ("Find Them", "Sheriff")]
    assert (found[0]["person"], found[0]["purpose"], found[0]["operation"]) == ("D. Ito", "robbery", "search")


def test_tests_are_listed_with_searches_and_evaluations_of_own_photos_are_not(house: House) -> None:
    house.register("Lab", "independent-tester", galleries=[])
    for operation in ("evaluate", "test"):
        assert house.ask("Lab", operation=operation, gallery="", purpose="testing") == "allowed"
    backdated(house, kinds=["independent-tester"])
    assert [one["operation"] for one in review(house)] == ["test"]


def test_past_answers_stay_as_they_are(house: House) -> None:
    house.ask()
    answered = house.gate.ledger.recent(1, type="search.answered")[0].entry
    backdated(house)
    review(house)
    assert house.gate.ledger.recent(1, type="search.answered")[0].entry == answered


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-03-01T12:59:59.999999Z", False),
        ("2026-03-01T13:00:00.000000Z", True),
        ("2026-03-01T13:59:59.999999Z", True),
        ("2026-03-01T14:00:00.000000Z", False),
    ],
)
def test_the_interval_is_half_open_here_too(house: House, at: str, inside: bool) -> None:
    house.clock.now = at
    house.ask()
    backdated(house, start="2026-03-01T13:00Z", until="2026-03-01T14:00Z")
    assert bool(review(house)) == inside


def test_whom_the_moratorium_exempts_is_not_listed(house: House) -> None:
    house.ask()
    house.ask(case="26-2", purpose="missing-person")
    backdated(house, exempt_purposes=["missing-person"])
    assert [one["purpose"] for one in review(house)] == ["robbery"]


def test_a_purpose_said_with_an_index_exempts_from_nothing(house: House) -> None:
    house.register("Indexer", "sheriff", operations=["index"])
    assert house.ask("Indexer", operation="index", purpose="missing-person", case=None) == "allowed"
    backdated(house, operations=["search", "index"], exempt_purposes=["missing-person"])
    assert [one["operation"] for one in review(house)] == ["index"]


def test_refusals_inside_it_are_not_listed(house: House) -> None:
    house.ask(gallery="state")
    backdated(house)
    assert review(house) == []


def test_answers_from_a_barred_owners_gallery_are_listed(house: House) -> None:
    house.queries.own("county", "Sheriff", "agreement")
    house.ask("Find Them")
    backdated(house)
    assert [one["tenant"] for one in review(house)] == ["Find Them"]


def test_operations_that_it_leaves_alone_are_not_listed(house: House) -> None:
    house.gate.answer(house.gate.ask(house.clerk, Request("index", "county")), {})
    house.ask()
    backdated(house, operations=["index"])
    assert review(house) == []


def test_the_review_is_a_command_for_operators(shell: Shell) -> None:
    sheriff = shell.tenant("Deputy", "sheriff")
    gate = Gate.open(shell.home)
    gate.answer(gate.ask(sheriff, SEARCH), {})
    gate.handed_out()
    shell.done("moratorium", "declare", "june", "--kind", "police", "--from", "2020-06-10T00:00Z", "--reason", "law")
    (one,) = shell.json("moratorium", "review", "june")
    assert (one["tenant"], one["purpose"]) == ("Deputy", "robbery")
    assert "1 answers inside june" in shell.done("moratorium", "review", "june").out
    assert shell.fails("moratorium", "review", "june", credential=sheriff)[0] == EXIT_REFUSED
