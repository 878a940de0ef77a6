"""What licences, moratoria and earlier refusals say: to who asks, for whom, and to the gallery's owner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rulebook import (
    LONG_AGO,
    NOW,
    SEARCH,
    WORDS,
    approval,
    change,
    credential,
    decided,
    just_before,
    moratorium,
    moved,
    refused_before,
    refusing,
    registry,
    tenant,
)

from access.decision import decide
from access.requests import History
from access.rules import Moratorium, Rules

SHERIFF = tenant()
POLICE = tenant("Police", "municipal-police")
FIND_THEM = tenant("Find Them", "anti-trafficking-organisation")
TOMORROW = moved(NOW, days=1)
SUSPENDED = change("suspended", LONG_AGO, 2, why="audit overdue")
REVOKED = change("revoked", LONG_AGO, 2, why="searched without a case")


def exempting(decision: Any) -> list[str]:
    return [one.text for one in decision.findings_that("exempts")]


# Licences


@pytest.mark.parametrize(
    ("changes", "terms", "says"),
    [
        ([SUSPENDED], {}, "is suspended since 2017-01-01 00:00 UTC, until it is reinstated: audit overdue"),
        (
            [SUSPENDED, change("active", TOMORROW, 3)],
            {},
            "is suspended since 2017-01-01 00:00 UTC, until 2026-03-02 12:00 UTC: audit overdue",
        ),
        ([REVOKED], {}, "is revoked since 2017-01-01 00:00 UTC, for good: searched without a case"),
        ([], {"until": NOW}, "expired on 2026-03-01 12:00 UTC"),
        ([], {"begins": TOMORROW}, "begins on 2026-03-02 12:00 UTC"),
    ],
)
def test_a_licence_that_is_not_active_refuses_and_says_since_when_and_why(
    changes: list[Any], terms: dict[str, Any], says: str
) -> None:
    decision = decided(registry(tenant("Sheriff", "sheriff", *changes, **terms)))
    assert refusing(decision) == ["licence"]
    assert f"the licence of 'Sheriff' {says}" in decision.reasons


def test_a_licence_both_suspended_and_expired_is_told_as_both() -> None:
    decision = decided(registry(tenant("Sheriff", "sheriff", SUSPENDED, until=NOW)))
    assert refusing(decision) == ["licence", "licence"]


def test_a_suspension_dated_ahead_refuses_from_its_moment() -> None:
    rules = registry(tenant("Sheriff", "sheriff", change("suspended", NOW, 2)))
    assert decided(rules, now=just_before(NOW)).allowed
    assert not decided(rules, now=NOW).allowed


@pytest.mark.parametrize(
    ("terms", "asked", "rule", "says"),
    [
        ({}, {"gallery": "state"}, "gallery", "gallery 'state' is not granted to 'Sheriff' (granted: county)"),
        ({"operations": frozenset({"index"})}, {}, "operation", "'search' is not granted to 'Sheriff'"),
        ({"operations": frozenset({"search"})}, {"operation": "index"}, "operation", "(granted: search)"),
        ({"purposes": frozenset({"homicide"})}, {}, "purpose", "'robbery' is not granted to 'Sheriff'"),
        ({"largest_k": 20}, {"k": 21}, "k", "a list of 21 is asked for, and the licence of 'Sheriff' allows 20"),
        ({"must_state": frozenset({"offence"})}, {}, "statement", "to state its offence; give --offence"),
        ({"must_state": frozenset({"basis"})}, {}, "statement", "to state its basis; give --basis"),
        ({"must_state": frozenset({"reference"})}, {"reference": "  "}, "statement", "to state its reference"),
        ({"case_pattern": "2026-######"}, {}, "case", "look like '2026-######' (#: a digit, @: a letter)"),
    ],
)
def test_what_the_terms_do_not_grant_is_refused(
    terms: dict[str, Any], asked: dict[str, Any], rule: str, says: str
) -> None:
    decision = decided(registry(tenant(**terms)), **asked)
    assert refusing(decision) == [rule]
    assert says in decision.reasons


@pytest.mark.parametrize(
    ("terms", "asked"),
    [
        ({"largest_k": 20}, {"k": 20}),
        ({"must_state": frozenset({"basis", "offence"})}, {"basis": "warrant", "offence": "robbery, first degree"}),
        ({"case_pattern": "2026-####"}, {}),
        ({"queries_a_day": 1}, {}),
    ],
)
def test_what_the_terms_just_grant_is_allowed(terms: dict[str, Any], asked: dict[str, Any]) -> None:
    assert decided(registry(tenant(**terms)), **asked).allowed


@pytest.mark.parametrize(("asked", "outcome"), [(0, "allowed"), (2, "allowed"), (3, "refused"), (4, "refused")])
def test_queries_a_day_are_counted_up_to_the_number_allowed(asked: int, outcome: str) -> None:
    decision = decided(registry(tenant(queries_a_day=3)), history=History(today={"Sheriff": asked}))
    assert decision.outcome == outcome


def test_a_limit_of_queries_a_day_leaves_other_operations_alone() -> None:
    rules = registry(tenant(queries_a_day=0))
    assert decided(rules, operation="evaluate").allowed
    assert refusing(decided(rules)) == ["day"]


def test_reading_a_gallery_comes_with_the_gallery() -> None:
    rules = registry(tenant(operations=frozenset({"search"})))
    assert decided(rules, operation="read", purpose=None, case=None, operator=None).allowed
    assert not decided(rules, operation="read", gallery="state").allowed


def test_a_kind_that_is_no_longer_known_is_refused() -> None:
    assert refusing(decided(registry(tenant(kind="posse")))) == ["kind"]


@pytest.mark.parametrize("case", ["SECRET-77", "SECRET-77\n", "SECRET-77" * 20])
def test_no_finding_holds_the_case_number(case: str) -> None:
    rules = registry(tenant(case_pattern="2026-####", must_state=frozenset({"offence"})), moratoria=[moratorium()])
    history = History(refused=(refused_before(7, "homicide"),))
    decision = decided(rules, history=history, case=case, gallery="state")
    assert {"case", "moratorium", "gallery", "statement"} <= set(refusing(decision))
    assert "SECRET" not in repr(decision)


# Parties


def test_an_exempt_organisation_cannot_search_for_a_barred_one() -> None:
    rules = registry(SHERIFF, FIND_THEM, moratoria=[moratorium(everyone=True, exempt_tenants={"Find Them"})])
    assert decided(rules, "Find Them").allowed
    decision = decided(rules, "Find Them", beneficiary="Sheriff")
    assert refusing(decision) == ["moratorium"]
    assert "bars beneficiary 'Sheriff', sheriff, from search" in decision.reasons


@pytest.mark.parametrize(
    ("beneficiary", "rule", "says"),
    [
        (tenant(), None, ""),
        (tenant("Sheriff", "sheriff", SUSPENDED), "licence", "beneficiary 'Sheriff' is suspended"),
        (tenant("Sheriff", "sheriff", REVOKED), "licence", "beneficiary 'Sheriff' is revoked"),
        (tenant(until=NOW), "licence", "beneficiary 'Sheriff' expired"),
        (tenant(galleries=frozenset({"other"})), "gallery", "not granted to beneficiary 'Sheriff'"),
        (tenant(purposes=frozenset()), "purpose", "not granted to beneficiary 'Sheriff' (granted: none)"),
        (tenant(operations=frozenset({"index"})), "operation", "not granted to beneficiary 'Sheriff'"),
        (tenant(largest_k=5), "k", "the licence of beneficiary 'Sheriff' allows 5"),
        (tenant(queries_a_day=0), "day", "beneficiary 'Sheriff' has asked 0 times today"),
        (tenant(must_state=frozenset({"offence"})), "statement", "the licence of 'Sheriff' requires"),
        (tenant(case_pattern="A-##"), "case", "case numbers of 'Sheriff' look like 'A-##'"),
        (tenant(kind="posse"), "kind", "beneficiary 'Sheriff' is of kind 'posse'"),
    ],
)
def test_the_beneficiarys_licence_binds_as_the_askers_does(beneficiary: Any, rule: str | None, says: str) -> None:
    decision = decided(registry(FIND_THEM, beneficiary), "Find Them", beneficiary="Sheriff", k=20)
    assert refusing(decision) == ([rule] if rule else [])
    assert says in decision.reasons


def test_an_unknown_beneficiary_is_refused_with_the_nearest_name() -> None:
    decision = decided(registry(SHERIFF, FIND_THEM), "Find Them", beneficiary="Sherif")
    assert refusing(decision) == ["beneficiary"]
    assert "'Sherif', for whom it is, is no tenant here; did you mean 'Sheriff'?" in decision.reasons


def test_naming_oneself_as_beneficiary_changes_nothing() -> None:
    rules = registry(tenant(must_state=frozenset({"offence"})), moratoria=[moratorium()])
    assert decided(rules, beneficiary="Sheriff").findings == decided(rules).findings


@pytest.mark.parametrize(
    ("owner", "moratoria", "rule"),
    [
        (POLICE, [], None),
        (tenant("Police", "municipal-police", SUSPENDED), [], "licence"),
        (tenant("Police", "municipal-police", REVOKED), [], "licence"),
        (tenant("Police", "municipal-police", until=NOW), [], "licence"),
        (POLICE, [moratorium(kinds={"municipal-police"})], "moratorium"),
        (tenant("Police", "municipal-police", galleries=frozenset()), [], None),
    ],
)
def test_the_gallerys_owner_binds_whoever_asks_there(owner: Any, moratoria: list[Moratorium], rule: str | None) -> None:
    rules = registry(FIND_THEM, owner, moratoria=moratoria, owners={"county": "Police"})
    assert refusing(decided(rules, "Find Them")) == ([rule] if rule else [])
    elsewhere = registry(FIND_THEM, owner, moratoria=moratoria, owners={"other": "Police"})
    assert decided(elsewhere, "Find Them").allowed


def test_the_strictest_of_three_parties_wins_and_each_is_told() -> None:
    barred = moratorium(everyone=True, exempt_tenants={"Find Them"})
    rules = registry(FIND_THEM, SHERIFF, POLICE, moratoria=[barred], owners={"county": "Police"})
    decision = decided(rules, "Find Them", beneficiary="Sheriff")
    assert [one.effect for one in decision.findings if one.rule == "moratorium"] == ["exempts", "refuses", "refuses"]
    assert "beneficiary 'Sheriff'" in decision.reasons
    assert "owner 'Police'" in decision.reasons


# Moratoria


def test_a_moratorium_says_whom_from_what_until_when_and_why() -> None:
    june = moratorium(start="2020-06-10T00:00:00.000000Z", until=TOMORROW, link="https://example.org/june")
    assert decided(registry(SHERIFF, moratoria=[june])).reasons == (
        "moratorium 'june' bars sheriff from search from 2020-06-10 00:00 UTC until 2026-03-02 12:00 UTC: "
        "until there is a law (https://example.org/june)"
    )
    assert "until further notice" in decided(registry(SHERIFF, moratoria=[moratorium()])).reasons


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "refused"),
        ({"kinds": {"municipal-police"}}, "allowed"),
        ({"kinds": set(), "tenants": {"Sheriff"}}, "refused"),
        ({"kinds": set(), "tenants": {"Police"}}, "allowed"),
        ({"kinds": set(), "everyone": True}, "refused"),
        ({"operations": {"index", "new-licences"}}, "allowed"),
        ({"exempt_tenants": {"Sheriff"}}, "allowed"),
        ({"exempt_kinds": {"sheriff"}}, "allowed"),
        ({"exempt_purposes": {"homicide"}}, "refused"),
        ({"exempt_purposes": {"robbery"}}, "held"),
        ({"lifted": NOW}, "allowed"),
        ({"start": TOMORROW}, "allowed"),
        ({"until": NOW}, "allowed"),
    ],
)
def test_whom_and_what_a_moratorium_bars(fields: dict[str, Any], outcome: str) -> None:
    assert decided(registry(SHERIFF, moratoria=[moratorium(**fields)])).outcome == outcome


def test_two_moratoria_both_speak() -> None:
    rules = registry(SHERIFF, moratoria=[moratorium("june"), moratorium("city-ban", until=TOMORROW)])
    decision = decided(rules)
    assert [one.name for one in decision.findings_that("refuses")] == ["june", "city-ban"]


@pytest.mark.parametrize(
    "exemption", [{"exempt_tenants": {"Sheriff"}}, {"exempt_kinds": {"sheriff"}}, {"exempt_purposes": {"robbery"}}]
)
def test_an_exemption_from_one_moratorium_is_none_from_another(exemption: dict[str, Any]) -> None:
    rules = registry(SHERIFF, moratoria=[moratorium("june", **exemption), moratorium("city-ban")])
    decision = decided(rules, history=History(approved=(approval(9, "clerk"),)))
    assert decision.outcome == "refused"
    assert [one.name for one in decision.findings_that("refuses")] == ["city-ban"]
    assert [one.name for one in decision.findings_that("exempts")] == ["june"]
    assert "'june'" in decision.reasons


def test_a_tenant_registered_anew_is_covered_by_what_named_the_old_one() -> None:
    named = moratorium(kinds=set(), tenants={"Sheriff"})
    anew = tenant("Sheriff's Office", "research", formerly="Sheriff")
    rules = registry(tenant("Sheriff", "sheriff", REVOKED), anew, FIND_THEM, moratoria=[named])
    assert refusing(decided(rules, "Sheriff's Office")) == ["moratorium"]
    assert refusing(decided(rules, "Find Them", beneficiary="Sheriff's Office")) == ["moratorium"]


# Approvals of an exempt purpose

BY_PURPOSE = [moratorium(exempt_purposes={"robbery"})]
MARSH = approval(9, "B. Marsh", "tenant")


def under_exemption(*approvals: Any, rules: Rules | None = None, **asked: Any) -> Any:
    marsh = credential("marsh", "Sheriff", person="B. Marsh", approver=True)
    known = rules or registry(SHERIFF, moratoria=BY_PURPOSE, credentials=[marsh])
    return decided(known, history=History(approved=approvals), **asked)


def test_an_exempt_purpose_is_held_until_an_operator_or_a_colleague_approves() -> None:
    held = under_exemption()
    assert held.outcome == "held"
    assert "the exemption of purpose robbery needs a named approver other than who asks" in held.reasons
    assert under_exemption(MARSH).allowed
    assert under_exemption(approval(9, "clerk")).allowed
    assert "june" in exempting(under_exemption(MARSH))[0]


def test_nobody_approves_their_own_query() -> None:
    assert under_exemption(MARSH, operator="B. Marsh").outcome == "held"
    assert under_exemption(approval(9, "D. Ito")).outcome == "held"


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": "homicide"},
        {"tenant": "Police"},
        {"beneficiary": "Police"},
        {"holder": "Police"},
        {"until": NOW},
    ],
)
def test_an_approval_of_something_else_or_one_that_ended_is_none(other: dict[str, str]) -> None:
    assert under_exemption(approval(9, "B. Marsh", "tenant", **other)).outcome == "held"


def test_an_approval_stands_up_to_its_end() -> None:
    assert under_exemption(approval(9, "clerk", until=moved(NOW, microseconds=1))).allowed


def test_an_exempt_purpose_of_the_beneficiary_needs_an_approver_too() -> None:
    rules = registry(SHERIFF, FIND_THEM, moratoria=BY_PURPOSE)
    leave = approval(9, "clerk", tenant="Find Them")
    assert decided(rules, "Find Them", beneficiary="Sheriff").outcome == "held"
    assert decided(rules, "Find Them", beneficiary="Sheriff", history=History(approved=(leave,))).allowed
    assert decided(rules, "Find Them").allowed


def test_an_approval_does_not_move_a_moratorium_without_that_exemption() -> None:
    rules = registry(SHERIFF, moratoria=[moratorium()])
    assert under_exemption(approval(9, "clerk"), rules=rules).outcome == "refused"


# What was refused before

IMMIGRATION = refused_before(5, "immigration")


def with_past(*refused: Any, approved: tuple[Any, ...] = (), who: str = "Sheriff", **asked: Any) -> Any:
    rules = registry(SHERIFF, POLICE, FIND_THEM, credentials=[credential("ito", "Sheriff", person="D. Ito")])
    return decided(rules, who, history=History(tuple(refused), approved), **asked)


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        (IMMIGRATION, "held"),
        (refused_before(5, "homicide"), "held"),
        (refused_before(5, "robbery", "Police"), "held"),
        (refused_before(5, "robbery", "Find Them", "Police"), "held"),
        (refused_before(5, "robbery", "Sheriff", "Police"), "held"),
        (refused_before(5, "homicide", on="probe"), "held"),
        (refused_before(5, "robbery"), "allowed"),
        (refused_before(5, "robery"), "allowed"),
        (refused_before(5, "roberry"), "allowed"),
        (refused_before(5, "robery", "Police"), "held"),
    ],
)
def test_what_was_refused_under_another_purpose_tenant_or_beneficiary_is_held(before: Any, outcome: str) -> None:
    assert with_past(before).outcome == outcome


def test_a_held_query_names_the_refusal_and_who_can_release_it() -> None:
    held = with_past(refused_before(5, "homicide", on="probe"))
    assert [one.rule for one in held.findings_that("holds")] == ["earlier"]
    assert "this probe was refused before under another purpose or tenant (ledger entry 5)" in held.reasons
    assert "operator" in held.reasons
    assert "afterfact access approve" in held.reasons


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (approval(6, "clerk"), "allowed"),
        (approval(4, "clerk"), "held"),
        (approval(6, "B. Marsh", "tenant"), "held"),
        (approval(6, "clerk", purpose="homicide"), "held"),
        (approval(6, "clerk", tenant="Police"), "held"),
        (approval(6, "clerk", until=NOW), "held"),
    ],
)
def test_only_an_operators_approval_later_than_the_refusal_releases(given: Any, outcome: str) -> None:
    assert with_past(IMMIGRATION, approved=(given,)).outcome == outcome


def test_a_further_refusal_after_the_approval_holds_again() -> None:
    again = refused_before(8, "fraud")
    assert with_past(IMMIGRATION, again, approved=(approval(6, "clerk"),)).outcome == "held"
    assert with_past(IMMIGRATION, again, approved=(approval(6, "clerk"), approval(9, "clerk"))).allowed


@pytest.mark.parametrize("asked_before", ["immigration", "immigration-status", "protest", "assembly", "intelligence"])
def test_what_is_no_purpose_on_purpose_is_no_misspelling_of_one_that_is(asked_before: str) -> None:
    for purpose in ("robbery", "missing-person", "identify-deceased", "testing", "homicide"):
        assert with_past(refused_before(5, asked_before), purpose=purpose).outcome == "held"


# Evaluation outside galleries


def test_evaluating_ones_own_photos_needs_the_operation_and_no_gallery() -> None:
    elsewhere = tenant("Lab", "research", galleries=frozenset({"state"}))
    searcher = tenant("Searcher", "research", operations=frozenset({"search"}))
    rules = registry(elsewhere, searcher)

    assert decided(rules, "Lab", operation="evaluate", gallery="").allowed
    assert refusing(decided(rules, "Lab", operation="evaluate")) == ["gallery"]
    assert refusing(decided(rules, "Searcher", operation="evaluate", gallery="")) == ["operation"]


@pytest.mark.parametrize("operation", ["search", "index"])
def test_nothing_else_can_be_asked_without_a_gallery(operation: str) -> None:
    assert "gallery" in refusing(decided(registry(SHERIFF), operation=operation, gallery=""))


def test_a_bar_on_search_leaves_own_photos_alone_and_one_on_evaluation_does_not() -> None:
    on_search, on_both = moratorium(), moratorium(operations={"search", "evaluate"})

    assert refusing(decided(registry(SHERIFF, moratoria=[on_search]), operation="evaluate")) == ["moratorium"]
    assert decided(registry(SHERIFF, moratoria=[on_search]), operation="evaluate", gallery="").allowed
    assert refusing(decided(registry(SHERIFF, moratoria=[on_both]), operation="evaluate", gallery="")) == ["moratorium"]


# Cut-offs


@pytest.mark.parametrize(
    ("own", "beneficiary", "owner", "strictest"),
    [
        (None, None, None, None),
        ("0.01", None, None, "0.01"),
        (None, "0.003", None, "0.003"),
        ("0.01", "0.003", "0.02", "0.003"),
        ("0.1", None, "0.02", "0.02"),
    ],
)
def test_the_strictest_cut_off_of_who_asks_for_whom_and_the_owner_holds(
    own: str | None, beneficiary: str | None, owner: str | None, strictest: str | None
) -> None:
    tenants = (
        tenant("Sheriff", mark_fpir=own),
        tenant("Police", "municipal-police", mark_fpir=beneficiary),
        tenant("Find Them", "anti-trafficking-organisation", mark_fpir=owner),
    )
    rules = registry(*tenants, owners={"county": "Find Them"})

    decision = decided(rules, beneficiary="Police")

    assert decision.allowed
    assert decision.mark_fpir == strictest


def test_a_cut_off_dated_ahead_holds_from_its_moment() -> None:
    later = change("terms", TOMORROW, 2, changed={"mark_fpir": "0.01"})
    rules = registry(tenant("Sheriff", "sheriff", later))

    assert decided(rules).mark_fpir is None
    assert decided(rules, now=TOMORROW).mark_fpir == "0.01"


# Testers: photos of their own, and no gallery

LABORATORY = tenant("Lab", "independent-tester")
TEST = {"operation": "test", "gallery": "", "purpose": "testing"}


def test_a_tester_tests_outside_galleries() -> None:
    assert decided(registry(LABORATORY), "Lab", **TEST).allowed


@pytest.mark.parametrize("operation", ["search", "index", "evaluate", "test", "read"])
def test_a_tester_touches_no_gallery_whatever_its_licence_grants(operation: str) -> None:
    decision = decided(registry(LABORATORY), "Lab", operation=operation)

    assert refusing(decision) == ["kind"]
    assert "touches no gallery" in decision.reasons


@pytest.mark.parametrize("kind", sorted(set(WORDS.kinds) - {"independent-tester"}))
def test_no_other_kind_tests_whatever_its_licence_grants(kind: str) -> None:
    assert refusing(decided(registry(tenant(kind=kind)), **TEST)) == ["kind"]


def test_no_tester_tests_for_an_agency() -> None:
    decision = decided(registry(LABORATORY, SHERIFF), "Lab", beneficiary="Sheriff", **TEST)

    assert refusing(decision) == ["kind"]
    assert "beneficiary 'Sheriff' is of kind sheriff" in decision.reasons


def test_where_no_kind_is_a_tester_nobody_tests() -> None:
    words = replace(WORDS, groups={})

    assert refusing(decide(registry(LABORATORY), words, "Lab", replace(SEARCH, **TEST), NOW)) == ["kind"]


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({}, []),
        ({"everyone": True}, ["moratorium"]),
        ({"tenants": {"Lab"}}, ["moratorium"]),
        ({"everyone": True, "apart": {"test"}}, []),
        ({"everyone": True, "apart": {"evaluate"}}, ["moratorium"]),
        ({"everyone": True, "exempt_kinds": {"independent-tester"}}, []),
        ({"everyone": True, "operations": {"test"}}, ["moratorium"]),
        ({"everyone": True, "operations": {"index"}}, []),
    ],
)
def test_a_bar_on_search_bars_tests_too_for_whom_it_covers(fields: dict[str, Any], refused: list[str]) -> None:
    rules = registry(LABORATORY, moratoria=[moratorium(**fields)])

    assert refusing(decided(rules, "Lab", **TEST)) == refused


def test_a_barred_agency_that_is_granted_tests_is_refused_twice_over() -> None:
    assert refusing(decided(registry(SHERIFF, moratoria=[moratorium()]), **TEST)) == ["kind", "moratorium"]


@pytest.mark.parametrize(("asked", "outcome"), [(2, "allowed"), (3, "refused")])
def test_a_testers_batches_are_counted_as_queries_are(asked: int, outcome: str) -> None:
    rules = registry(tenant("Lab", "independent-tester", queries_a_day=3))

    assert decided(rules, "Lab", history=History(today={"Lab": asked}), **TEST).outcome == outcome
