"""The one decision: boundaries, exemptions, and every rule that spoke."""

from __future__ import annotations

from dataclasses import replace

import pytest

from access.decision import Decision, Request, decide, decide_act
from access.rules import Credential, Licence, Moratorium, Rules, Tenant
from access.vocabulary import load_vocabulary

START, END = "2020-06-10T00:00:00.000000Z", "2021-06-10T00:00:00.000000Z"
DURING = "2020-12-01T00:00:00.000000Z"
EARLY = "2020-01-01T00:00:00.000000Z"
SEARCH = Request("search", "county", purpose="robbery", case="2026-0117", operator="D. Ito")
JUNE = Moratorium(
    name="june-2020",
    reason="until there is a law",
    link="https://example.org/june",
    start=START,
    until=END,
    named_kinds=("police",),
    kinds=frozenset({"municipal-police", "sheriff", "state-police"}),
    operations=frozenset({"search"}),
    exempt_tenants=frozenset(),
    exempt_purposes=frozenset(),
    declared=EARLY,
)


def tenant(name: str, kind: str, **changes: object) -> Tenant:
    licence = Licence("active", EARLY, None, "new")
    plain = Tenant(name, kind, frozenset({"county"}), frozenset({"search"}), licence, EARLY)
    return replace(plain, **changes)  # type: ignore[arg-type]


def credential(id_: str, role: str, holder: str, person: str | None = None, revoked: str | None = None) -> Credential:
    return Credential(id_, role, holder, person, "0" * 64, EARLY, revoked, "left" if revoked else None)


SHERIFF = tenant("Sheriff", "sheriff")
FIND_THEM = tenant("Find Them", "anti-trafficking-organisation")


def rules(*moratoria: Moratorium, tenants: tuple[Tenant, ...] = (SHERIFF, FIND_THEM)) -> Rules:
    known = [
        credential("sheriff", "tenant", "Sheriff"),
        credential("ito", "tenant", "Sheriff", person="D. Ito"),
        credential("left", "tenant", "Sheriff", revoked=EARLY),
        credential("find", "tenant", "Find Them"),
        credential("clerk", "operator", "clerk", person="clerk"),
    ]
    return Rules(
        operators={"clerk": EARLY},
        tenants={one.name: one for one in tenants},
        credentials={one.id: one for one in known},
        moratoria={one.name: one for one in moratoria},
    )


def judge(state: Rules, who: str | None = "sheriff", request: Request = SEARCH, now: str = DURING) -> Decision:
    return decide(state, load_vocabulary(), who, request, now)


def refusing(decision: Decision) -> list[str]:
    return [finding.rule for finding in decision.findings if finding.effect == "refuses"]


def test_an_active_tenant_may_search_what_it_was_granted() -> None:
    decision = judge(rules())
    assert decision.allowed
    assert (decision.who.name, decision.who.kind, decision.who.person) == ("Sheriff", "sheriff", "D. Ito")
    spoke = [finding.rule for finding in decision.findings]
    assert spoke == ["credential", "purpose", "licence", "gallery", "operation"]


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        ("2020-06-09T23:59:59.999999Z", True),
        (START, False),
        ("2021-06-09T23:59:59.999999Z", False),
        (END, True),
    ],
)
def test_a_moratorium_binds_from_its_start_up_to_not_including_its_end(now: str, allowed: bool) -> None:
    assert judge(rules(JUNE), now=now).allowed is allowed


def test_a_moratorium_says_whom_from_what_until_when_and_why() -> None:
    decision = judge(rules(JUNE))
    assert decision.reasons == (
        "moratorium 'june-2020' bars sheriff from search from 2020-06-10 00:00 UTC until 2021-06-10 00:00 UTC: "
        "until there is a law (https://example.org/june)"
    )
    assert "until further notice" in judge(rules(replace(JUNE, until=None))).reasons


def test_a_moratorium_leaves_other_kinds_and_operations_alone() -> None:
    assert judge(rules(JUNE), "find").allowed
    sheriff = tenant("Sheriff", "sheriff", operations=frozenset({"search", "index"}))
    index = Request("index", "county", operator="D. Ito")
    assert judge(rules(JUNE, tenants=(sheriff,)), request=index).allowed
    both = replace(JUNE, operations=frozenset({"search", "index"}))
    assert not judge(rules(both, tenants=(sheriff,)), request=index).allowed


def test_a_lifted_moratorium_is_silent() -> None:
    assert judge(rules(replace(JUNE, lifted=DURING, lifted_why="law"))).allowed


def test_exemptions_by_tenant_and_by_purpose_are_told() -> None:
    everyone = replace(JUNE, kinds=frozenset(load_vocabulary().kinds), exempt_tenants=frozenset({"Find Them"}))
    assert not judge(rules(everyone)).allowed
    exempt = judge(rules(everyone), "find")
    assert exempt.allowed
    assert [(f.effect, f.name) for f in exempt.findings if f.rule == "moratorium"] == [("exempts", "june-2020")]
    by_purpose = replace(JUNE, exempt_purposes=frozenset({"missing-person"}))
    assert judge(rules(by_purpose), request=replace(SEARCH, purpose="missing-person")).allowed
    assert not judge(rules(by_purpose)).allowed


def test_with_two_moratoria_both_speak_and_an_exemption_from_one_is_none_from_the_other() -> None:
    other = replace(JUNE, name="city-ban", until=None)
    both = judge(rules(JUNE, other))
    assert [finding.name for finding in both.findings if finding.effect == "refuses"] == ["june-2020", "city-ban"]
    half = judge(rules(replace(JUNE, exempt_tenants=frozenset({"Sheriff"})), other))
    assert not half.allowed
    assert [(f.name, f.effect) for f in half.findings if f.rule == "moratorium"] == [
        ("june-2020", "exempts"),
        ("city-ban", "refuses"),
    ]
    assert "city-ban" in half.reasons
    assert "june-2020" in half.reasons


def test_every_refusal_is_listed_not_only_the_first() -> None:
    licence = Licence("suspended", EARLY, START, "audit")
    sheriff = tenant("Sheriff", "sheriff", licence=licence, galleries=frozenset({"other"}))
    decision = judge(rules(JUNE, tenants=(sheriff,)), "left", Request("search", "county", purpose="protest"))
    assert refusing(decision) == [
        "credential",
        "purpose",
        "case",
        "person",
        "licence",
        "licence",
        "gallery",
        "moratorium",
    ]


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        (Licence("suspended", EARLY, None, "audit"), "suspended since 2020-01-01 00:00 UTC, until it is reinstated"),
        (Licence("revoked", EARLY, START, "abuse"), "revoked since 2020-01-01 00:00 UTC, for good: abuse"),
        (Licence("active", EARLY, DURING, "new"), "expired on 2020-12-01 00:00 UTC"),
    ],
)
def test_a_licence_that_is_not_active_refuses(licence: Licence, says: str) -> None:
    decision = judge(rules(tenants=(tenant("Sheriff", "sheriff", licence=licence),)))
    assert refusing(decision) == ["licence"]
    assert says in decision.reasons


@pytest.mark.parametrize(
    ("change", "rule", "says"),
    [
        ({"operation": "browse"}, "operation", "'browse' is no operation"),
        ({"operation": "index"}, "operation", "index is not granted to 'Sheriff' (granted: search)"),
        ({"gallery": "state"}, "gallery", "gallery 'state' is not granted"),
        ({"purpose": None}, "purpose", "no purpose is given"),
        ({"purpose": "robery"}, "purpose", "did you mean 'robbery'?"),
        ({"purpose": "immigration-status"}, "purpose", "unknown purpose"),
        ({"case": None}, "case", "no case number"),
        ({"case": "  "}, "case", "is empty"),
        ({"case": "2026\n0117"}, "case", "control"),
        ({"case": "9" * 65}, "case", "65 characters, allowed are 64"),
        ({"operator": None}, "person", "--operator"),
        ({"operator": "\x1b[2J"}, "person", "control"),
    ],
)
def test_what_a_request_lacks_refuses_it(change: dict[str, str | None], rule: str, says: str) -> None:
    decision = judge(rules(), request=replace(SEARCH, **change))  # type: ignore[arg-type]
    assert refusing(decision) == [rule]
    assert says in decision.reasons


def test_a_case_number_is_never_part_of_a_finding() -> None:
    decision = judge(rules(), request=replace(SEARCH, case="SECRET-CASE\n"))
    assert "SECRET" not in repr(decision)


def test_a_personal_credential_names_the_person() -> None:
    assert judge(rules(), "ito", replace(SEARCH, operator=None)).who.person == "D. Ito"
    assert judge(rules(), "ito").allowed
    someone_else = judge(rules(), "ito", replace(SEARCH, operator="B. Marsh"))
    assert refusing(someone_else) == ["person"]


@pytest.mark.parametrize("who", [None, "nobody"])
def test_a_credential_that_is_not_known_is_refused(who: str | None) -> None:
    decision = judge(rules(), who)
    assert refusing(decision) == ["credential"]
    assert decision.who.role == "unknown"


def test_a_kind_that_is_no_longer_known_is_refused() -> None:
    assert refusing(judge(rules(tenants=(tenant("Sheriff", "posse"),)))) == ["kind"]


def test_operators_may_index_and_may_not_search() -> None:
    assert judge(rules(), "clerk", Request("index", "county")).allowed
    decision = judge(rules(), "clerk", replace(SEARCH, operator=None))
    assert refusing(decision) == ["role"]
    assert "hold no licence and may not search" in decision.reasons


def test_no_finding_at_all_is_a_refusal() -> None:
    decision = judge(rules())
    assert not replace(decision, findings=()).allowed


@pytest.mark.parametrize(("who", "allowed"), [("clerk", True), ("sheriff", False), ("left", False), (None, False)])
def test_registry_acts_are_for_operators(who: str | None, allowed: bool) -> None:
    assert decide_act(rules(), who, "tenant.suspend").allowed is allowed
