"""The one decision: who asks, in what form, what operators may do, and every rule that spoke."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rulebook import (
    LONG_AGO,
    NOW,
    SEARCH,
    WORDS,
    change,
    credential,
    decided,
    just_before,
    moratorium,
    moved,
    refusing,
    registry,
    tenant,
)

from access import roles
from access.decision import (
    Decision,
    check,
    decide,
    decide_act,
    decide_approval,
    decide_bearer,
    with_new_licence,
)
from access.requests import NOTHING_KNOWN, Request
from access.rules import ROLES, Operator, Rules

SHERIFF = tenant()
ITO = credential("ito", "Sheriff", person="D. Ito")
MARSH = credential("marsh", "Sheriff", person="B. Marsh", approver=True)


def test_an_active_tenant_may_search_what_it_was_granted() -> None:
    decision = decided(registry(SHERIFF))
    assert (decision.outcome, decision.allowed) == ("allowed", True)
    assert (decision.who.name, decision.who.kind, decision.who.person) == ("Sheriff", "sheriff", "D. Ito")
    spoke = [(one.rule, one.effect) for one in decision.findings]
    rules_that_speak = ["credential", "purpose", "licence", "gallery", "operation", "purpose"]
    assert spoke == [(rule, "allows") for rule in rules_that_speak]


def test_every_refusal_is_told_not_only_the_first() -> None:
    suspended = tenant("Sheriff", "sheriff", change("suspended", LONG_AGO, 2, why="audit"), galleries=frozenset())
    left = credential("left", "Sheriff", revoked=LONG_AGO, revoked_why="left")
    rules = registry(suspended, moratoria=[moratorium()], credentials=[left])
    decision = decided(rules, "left", purpose="protest", case=None, operator=None)
    assert refusing(decision) == ["credential", "purpose", "case", "person", "licence", "gallery", "moratorium"]
    for part in ("left", "unknown purpose 'protest'", "no case number", "--operator", "audit", "'june' bars"):
        assert part in decision.reasons


@pytest.mark.parametrize(
    ("asked", "rule", "says"),
    [
        ({"operation": "browse"}, "operation", "'browse' is no operation (search, index, evaluate, test, read)"),
        ({"purpose": None}, "form", "no purpose is given; name one of: aggravated-assault"),
        ({"purpose": "robery"}, "purpose", "unknown purpose 'robery'; did you mean 'robbery'? (known: "),
        ({"purpose": "immigration-status"}, "purpose", "unknown purpose 'immigration-status' (known: "),
        ({"case": None}, "case", "no case number is given"),
        ({"case": "  "}, "case", "the case number is empty"),
        ({"case": "2026\n0117"}, "case", "holds a control or invisible character"),
        ({"case": "9" * 65}, "case", "has 65 characters, allowed are 64"),
        ({"operator": None}, "person", "name the person who asks with --operator"),
        ({"operator": "\x1b[2J"}, "person", "holds a control or invisible character"),
        ({"basis": "warant"}, "statement", "unknown basis 'warant'; did you mean 'warrant'? (known: "),
    ],
)
def test_what_a_request_lacks_refuses_it_with_the_remedy(asked: dict[str, str | None], rule: str, says: str) -> None:
    decision = decided(registry(SHERIFF), **asked)
    assert rule in refusing(decision)
    assert says in decision.reasons


def test_a_long_or_unprintable_text_is_told_cut_and_on_one_line() -> None:
    decision = decided(registry(SHERIFF), purpose="x\n" * 5000, beneficiary="y\r" * 5000)
    assert "\n" not in decision.reasons
    assert "\r" not in decision.reasons
    assert len(decision.reasons) < 1500


def test_a_personal_credential_names_the_person_and_no_other() -> None:
    rules = registry(SHERIFF, credentials=[ITO])
    assert decided(rules, "ito", operator=None).who.person == "D. Ito"
    assert decided(rules, "ito").allowed
    other = decided(rules, "ito", operator="B. Marsh")
    assert refusing(other) == ["person"]
    assert "--operator names 'B. Marsh'" in other.reasons


@pytest.mark.parametrize("who", [None, "nobody"])
def test_an_unknown_credential_is_refused_and_learns_nothing_else_of_the_registry(who: str | None) -> None:
    decision = decided(registry(SHERIFF, moratoria=[moratorium()]), who, gallery="state")
    assert refusing(decision) == ["credential"]
    assert (decision.who.role, decision.who.name) == ("unknown", "unknown")


def test_a_credential_ends_at_its_end_and_not_before() -> None:
    rules = registry(SHERIFF, credentials=[replace(ITO, until=NOW)])
    assert decided(rules, "ito", just_before(NOW)).allowed
    assert refusing(decided(rules, "ito", NOW)) == ["credential"]


def test_a_credential_of_nobody_is_refused() -> None:
    for stray in (credential("stray", "Nobody"), credential("stray", "Sheriff", "robot")):
        assert refusing(decided(registry(SHERIFF, credentials=[stray]), "stray")) == ["credential"]


def test_no_finding_at_all_is_a_refusal() -> None:
    assert replace(decided(registry(SHERIFF)), findings=()).outcome == "refused"


def test_refusals_are_told_before_holds_and_exemptions_last() -> None:
    spoken = decided(registry(SHERIFF, moratoria=[moratorium(exempt_purposes={"robbery"})]), gallery="state")
    assert spoken.outcome == "refused"
    order = [spoken.reasons.index(one) for one in ("is not granted", "named approver", "exempts purpose")]
    assert order == sorted(order)


OPERATORS = [Operator(role, role, "vendor", LONG_AGO) for role in ROLES]


@pytest.mark.parametrize(
    ("operation", "who", "allowed"),
    [
        ("index", "administrator", True),
        ("index", "licensing-officer", False),
        ("index", "auditor", False),
        ("read", "administrator", True),
        ("read", "licensing-officer", True),
        ("read", "auditor", True),
        ("search", "administrator", False),
        ("evaluate", "administrator", False),
    ],
)
def test_operators_hold_no_licence_and_only_the_house_work_is_theirs(operation: str, who: str, allowed: bool) -> None:
    request = Request(operation, "county", purpose="robbery", case="2026-0117")
    assert decide(registry(operators=OPERATORS), WORDS, who, request, NOW).allowed is allowed


def test_an_operator_is_bound_by_the_moratorium_of_a_gallerys_owner() -> None:
    barred = moratorium(operations={"index"})
    rules = registry(SHERIFF, moratoria=[barred], owners={"county": "Sheriff"})
    decision = decide(rules, WORDS, "clerk", Request("index", "county"), NOW)
    assert refusing(decision) == ["moratorium"]
    assert "bars owner 'Sheriff', sheriff, from index" in decision.reasons


def test_a_removed_operator_may_do_nothing() -> None:
    gone = Operator("clerk", "administrator", "vendor", LONG_AGO, removed=NOW)
    rules = registry(SHERIFF, operators=[gone])
    assert "'clerk' is no operator any more" in decide(rules, WORDS, "clerk", Request("index", "county"), NOW).reasons
    assert [act for act in roles.MAY if decide_act(rules, "clerk", act, NOW).allowed] == []


WRITES_NOTHING = {
    *("access.check", "audit.export", "audit.read", "audit.report", "audit.show", "gallery.read", "moratorium.review"),
    *("operator.list", "tenant.list", "tenant.show"),
}
HOUSE_WORK = {
    *("audit.clock", "audit.erase", "gallery.change", "gallery.index"),
    *("operator.add", "operator.credential", "operator.remove"),
}


def test_an_auditor_reads_everything_and_changes_nothing() -> None:
    rules = registry(operators=OPERATORS)
    assert {act for act in roles.MAY if decide_act(rules, "auditor", act, NOW).allowed} == WRITES_NOTHING


def test_a_licensing_officer_does_the_registry_and_not_the_house() -> None:
    rules = registry(operators=OPERATORS)
    able = {act for act in roles.MAY if decide_act(rules, "licensing-officer", act, NOW).allowed}
    assert able == set(roles.MAY) - HOUSE_WORK
    assert all(decide_act(rules, "administrator", act, NOW).allowed for act in roles.MAY)


@pytest.mark.parametrize("act", sorted(roles.MAY))
def test_no_act_is_for_tenants_strangers_or_a_spent_credential(act: str) -> None:
    spent = [
        credential("expired", "clerk", "operator", until=NOW),
        credential("revoked", "clerk", "operator", revoked=LONG_AGO, revoked_why="lost"),
        credential("posing", "clerk"),
    ]
    rules = registry(SHERIFF, tenant("clerk"), credentials=spent)
    for who in ("Sheriff", "expired", "revoked", "posing", "nobody", None):
        assert not decide_act(rules, who, act, NOW).allowed


def test_an_act_that_nobody_defined_is_no_act() -> None:
    with pytest.raises(KeyError):
        decide_act(registry(), "clerk", "tenant.promote", NOW)


def test_only_operators_of_the_authority_do_what_is_its_own() -> None:
    judge = Operator("judge", "licensing-officer", "court", LONG_AGO)
    rules = registry(operators=[judge, Operator("clerk", "administrator", "vendor", LONG_AGO)])
    assert decide_act(rules, "judge", "moratorium.lift", NOW, authority="court").allowed
    refused = decide_act(rules, "clerk", "moratorium.lift", NOW, authority="court")
    assert refusing(refused) == ["authority"]
    assert "only operators of the court may do moratorium.lift here, and 'clerk' is the vendor's" in refused.reasons


def test_a_bearer_may_replace_a_valid_credential_and_no_spent_one() -> None:
    rules = registry(SHERIFF, credentials=[ITO, replace(ITO, id="spent", until=NOW)])
    assert decide_bearer(rules, "ito", NOW).allowed
    assert not decide_bearer(rules, "spent", NOW).allowed
    assert not decide_bearer(rules, None, NOW).allowed


def approving(rules: Rules, who: str, name: str = "Sheriff") -> Decision:
    return decide_approval(rules, who, name, NOW)


def test_who_may_approve_a_query() -> None:
    rules = registry(SHERIFF, tenant("Police", "municipal-police"), operators=OPERATORS, credentials=[ITO, MARSH])
    assert approving(rules, "marsh").allowed
    assert approving(rules, "administrator").allowed
    assert approving(rules, "licensing-officer").allowed
    for who, name in (("auditor", "Sheriff"), ("ito", "Sheriff"), ("Sheriff", "Sheriff"), ("marsh", "Police")):
        assert refusing(approving(rules, who, name)) == ["role"]


def test_an_approver_of_a_suspended_tenant_approves_nothing() -> None:
    suspended = tenant("Sheriff", "sheriff", change("suspended", LONG_AGO, 2, why="audit"))
    assert refusing(approving(registry(suspended, credentials=[MARSH]), "marsh")) == ["licence"]


def licensing(*moratoria: object, who: str = "clerk", name: str = "Sheriff") -> Decision:
    rules = registry(SHERIFF, tenant("New", "sheriff", formerly="Old"), tenant("Old"), moratoria=moratoria)  # type: ignore[arg-type]
    act = decide_act(rules, who, "tenant.add", NOW)
    return with_new_licence(act, rules, rules.tenants[name], NOW, NOW)


def test_a_bar_on_new_licences_binds_the_operator_who_would_give_one() -> None:
    no_new = moratorium(operations={"new-licences"})
    assert licensing(moratorium()).allowed
    assert refusing(licensing(no_new)) == ["moratorium"]
    assert "'june' bars sheriff from new-licences" in licensing(no_new).reasons
    assert licensing(replace(no_new, exempt_tenants=frozenset({"Sheriff"}))).allowed
    assert licensing(replace(no_new, start=moved(NOW, hours=1))).allowed


def test_a_bar_on_new_licences_for_a_revoked_tenant_covers_it_when_registered_anew() -> None:
    named = moratorium(kinds=set(), tenants={"Old"}, operations={"new-licences"})
    assert licensing(named).allowed
    assert refusing(licensing(named, name="New")) == ["moratorium"]


def test_a_dry_run_says_what_the_decision_would_say() -> None:
    rules = registry(SHERIFF, moratoria=[moratorium()])
    dry = check(rules, WORDS, SHERIFF, SEARCH, NOW, NOTHING_KNOWN)
    assert dry.outcome == decided(rules).outcome == "refused"
    assert dry.reasons == decided(rules).reasons
