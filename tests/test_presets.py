"""The presets in configs/moratoria/: each boundary, whom each bars from what, and files that are not right."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from rulebook import (
    NOW,
    WORDS,
    House,
    approval,
    credential,
    decided,
    just_before,
    moved,
    open_house,
    preset_moratorium,
    refusing,
    registry,
    tenant,
)

from access.acts.moratoria import MoratoriumTerms, with_preset
from access.acts.tenants import WantedTerms
from access.decision import Decision, decide_act, with_new_licence
from access.gate import Refused
from access.presets import load_preset, preset_names, read_preset
from access.requests import History
from access.rules import Rules
from foundation.errors import InputError

NAMES = [
    *("aclu-2020", "amazon-extension-2021", "amazon-statement-2020", "amazon-terms"),
    *("city-ban", "coalition-2018", "ibm-2020", "microsoft-2020"),
]
KINDS = {
    "Police": "municipal-police",
    "Sheriff": "sheriff",
    "Troopers": "state-police",
    "Bureau": "federal-law-enforcement",
    "Border": "immigration-enforcement",
    "Prosecutor": "prosecutor",
    "Jail": "corrections",
    "Defender": "public-defender",
    "Coroner": "medical-examiner",
    "Find Them": "anti-trafficking-organisation",
    "Children": "missing-children-organisation",
    "Innocence": "innocence-organisation",
    "University": "research",
}
POLICE = {"Police", "Sheriff", "Troopers"}
LAW_ENFORCEMENT = POLICE | {"Bureau", "Border", "Prosecutor", "Jail"}
GOVERNMENT = LAW_ENFORCEMENT | {"Defender", "Coroner"}
TENANTS = [tenant(name, kind) for name, kind in KINDS.items()]
OPERATIONS = ("search", "index", "evaluate", "read", "new-licences")


def under(name: str, start: str | None = None, **more: Any) -> Rules:
    """The registry with a preset declared in it."""
    return registry(*TENANTS, moratoria=[preset_moratorium(name, registry(*TENANTS), start, **more)])


def judged(rules: Rules, who: str, operation: str, now: str, **asked: Any) -> Decision:
    """What an organisation, or for new-licences the operator who would license it, is told."""
    if operation == "new-licences":
        return with_new_licence(decide_act(rules, "clerk", "tenant.add", now), rules, rules.tenants[who], now, now)
    return decided(rules, who, now, operation=operation, **asked)


def barred(rules: Rules, operation: str, now: str) -> set[str]:
    """Whom the rules refuse an operation."""
    return {name for name in KINDS if not judged(rules, name, operation, now).allowed}


def test_every_preset_of_the_record_is_there_and_loads() -> None:
    assert preset_names() == NAMES
    for name in NAMES:
        assert load_preset(name, WORDS)["summary"]


ALL_BUT_NEW = ("search", "index", "evaluate", "read")


@pytest.mark.parametrize(
    ("name", "operations", "whom"),
    [
        ("aclu-2020", OPERATIONS, LAW_ENFORCEMENT),
        ("amazon-extension-2021", OPERATIONS, POLICE),
        ("amazon-statement-2020", OPERATIONS, POLICE),
        ("amazon-terms", ("search", "read"), POLICE),
        ("city-ban", OPERATIONS, {"Police"}),
        ("coalition-2018", OPERATIONS, GOVERNMENT),
        ("ibm-2020", ("new-licences",), set(KINDS)),
        ("microsoft-2020", ("new-licences",), POLICE),
    ],
)
def test_whom_each_preset_bars_from_what(name: str, operations: tuple[str, ...], whom: set[str]) -> None:
    rules = under(name, start="now")
    assert {operation: barred(rules, operation, NOW) for operation in OPERATIONS} == {
        operation: whom if operation in operations else set() for operation in OPERATIONS
    }


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_preset_stops_a_laboratorys_tests_and_none_lets_police_test(name: str) -> None:
    laboratory = tenant("Laboratory", "independent-tester")
    rules = registry(*TENANTS, laboratory, moratoria=[preset_moratorium(name, registry(*TENANTS), "now")])
    asked = {"operation": "test", "gallery": "", "purpose": "testing"}

    assert decided(rules, "Laboratory", **asked).allowed
    assert "kind" in refusing(decided(rules, "Police", **asked))


BEGINS = {
    "aclu-2020": "2020-06-10T00:00:00.000000Z",
    "amazon-extension-2021": "2021-06-10T00:00:00.000000Z",
    "amazon-statement-2020": "2020-06-10T00:00:00.000000Z",
    "coalition-2018": "2018-05-22T00:00:00.000000Z",
    "ibm-2020": "2020-06-08T00:00:00.000000Z",
    "microsoft-2020": "2020-06-11T00:00:00.000000Z",
}
END = "2021-06-10T00:00:00.000000Z"


@pytest.mark.parametrize("name", sorted(BEGINS))
def test_a_preset_bars_from_its_first_moment_and_not_a_microsecond_before(name: str) -> None:
    rules, start = under(name), BEGINS[name]
    assert judged(rules, "Sheriff", "new-licences", just_before(start)).allowed
    assert refusing(judged(rules, "Sheriff", "new-licences", start)) == ["moratorium"]


@pytest.mark.parametrize("name", sorted({*BEGINS} - {"ibm-2020", "microsoft-2020"}))
def test_a_preset_that_bars_searches_does_so_from_its_first_moment(name: str) -> None:
    rules, start = under(name), BEGINS[name]
    assert decided(rules, "Sheriff", just_before(start)).allowed
    assert refusing(decided(rules, "Sheriff", start)) == ["moratorium"]
    assert decided(rules, "University", start).allowed


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        (just_before(BEGINS["amazon-statement-2020"]), True),
        (BEGINS["amazon-statement-2020"], False),
        (just_before(END), False),
        (END, True),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_statement_of_june_2020_binds_for_one_year(operation: str, now: str, allowed: bool) -> None:
    rules = under("amazon-statement-2020", exempt_tenants=["Troopers"])
    assert judged(rules, "Sheriff", operation, now).allowed is allowed
    assert judged(rules, "Prosecutor", operation, now).allowed
    assert judged(rules, "Troopers", operation, now).allowed


@pytest.mark.parametrize("name", sorted({*BEGINS} - {"amazon-statement-2020"}))
def test_the_others_have_no_end(name: str) -> None:
    assert refusing(judged(under(name), "Sheriff", "new-licences", "9999-12-31T23:59:59.999999Z")) == ["moratorium"]


def test_the_extension_takes_over_in_the_moment_in_which_the_first_one_ends() -> None:
    first = preset_moratorium("amazon-statement-2020", registry(*TENANTS))
    second = preset_moratorium("amazon-extension-2021", registry(*TENANTS))
    rules = registry(*TENANTS, moratoria=[first, second])
    for now, name in ((just_before(END), first.name), (END, second.name)):
        assert [one.name for one in decided(rules, "Police", now).findings_that("refuses")] == [name]


def test_the_statement_exempts_organisations_and_no_purpose() -> None:
    rules = under("amazon-statement-2020", start="now", exempt_tenants=["Find Them"])
    for purpose in ("human-trafficking", "missing-person"):
        assert refusing(decided(rules, "Police", purpose=purpose)) == ["moratorium"]
    assert decided(rules, "Find Them", purpose="human-trafficking").allowed
    assert refusing(decided(rules, "Find Them", purpose="human-trafficking", beneficiary="Police")) == ["moratorium"]


def test_a_named_organisation_goes_on_even_where_everyone_is_barred() -> None:
    rules = under("ibm-2020", start="now", exempt_tenants=["Find Them"])
    assert barred(rules, "new-licences", NOW) == set(KINDS) - {"Find Them"}


def test_under_the_service_terms_police_look_for_the_missing_with_an_approver_and_for_nobody_else() -> None:
    rules = under("amazon-terms")
    marsh = credential("marsh", "Police", person="B. Marsh", approver=True)
    rules = replace(rules, credentials={**rules.credentials, marsh.id: marsh})
    missing = {"who": "Police", "purpose": "missing-person"}
    about = {"tenant": "Police", "beneficiary": "Police", "purpose": "missing-person"}

    def after(person: str, role: str, **more: Any) -> str:
        given = approval(9, person, role, **{**about, **more})
        return decided(rules, history=History(approved=(given,)), **missing).outcome

    assert refusing(decided(rules, "Police", purpose="robbery")) == ["moratorium"]
    assert refusing(decided(rules, "Police", purpose="identify-deceased")) == ["moratorium"]
    assert decided(rules, **missing).outcome == "held"
    assert after("clerk", "operator") == "allowed"
    assert after("B. Marsh", "tenant", holder="Police") == "allowed"
    assert after("D. Ito", "tenant", holder="Police") == "held"
    assert after("B. Marsh", "tenant", holder="Sheriff") == "held"


def test_the_service_terms_leave_measuring_indexing_and_licences_alone() -> None:
    rules = under("amazon-terms")
    assert [one for one in OPERATIONS if judged(rules, "Police", one, NOW).allowed] == [
        "index",
        "evaluate",
        "new-licences",
    ]


@pytest.mark.parametrize("name", ["aclu-2020", "coalition-2018", "city-ban"])
def test_a_blanket_ban_exempts_no_purpose_and_no_kind(name: str) -> None:
    rules = under(name, start="now")
    allowed = [one for one in WORDS.purposes if decided(rules, "Police", purpose=one).outcome != "refused"]
    assert allowed == []
    assert next(iter(rules.moratoria.values())).exempt_kinds == frozenset()


@pytest.mark.parametrize(
    ("name", "authority"), [("city-ban", "legislature"), *((name, "vendor") for name in NAMES if name != "city-ban")]
)
def test_whose_operators_lift_it(name: str, authority: str) -> None:
    assert next(iter(under(name).moratoria.values())).authority == authority


def test_a_preset_declared_from_another_day_keeps_its_length() -> None:
    june = preset_moratorium("amazon-statement-2020", registry(*TENANTS), start="2026-04-01T00:00-07:00")
    assert (june.start, june.until) == ("2026-04-01T07:00:00.000000Z", "2027-04-01T07:00:00.000000Z")


def test_an_operators_own_end_takes_the_place_of_the_presets() -> None:
    june = preset_moratorium("amazon-statement-2020", registry(*TENANTS), start="now", duration="30d")
    assert (june.start, june.until) == (NOW, moved(NOW, days=30))


def test_exemptions_of_the_operator_come_on_top_of_the_presets() -> None:
    terms = preset_moratorium("amazon-terms", registry(*TENANTS), exempt_purposes=["identify-deceased"])
    assert terms.exempt_purposes == {"missing-person", "identify-deceased"}


def test_a_presets_own_end_goes_with_its_own_start_only() -> None:
    preset = read_preset({**PLAIN, "from": "2020-01-01T00:00Z", "until": "2020-02-01T00:00Z"}, "x.yaml", WORDS)
    assert with_preset(preset, MoratoriumTerms("x", ""), None).until == "2020-02-01T00:00Z"
    assert with_preset(preset, MoratoriumTerms("x", ""), "2026-04-01T00:00Z").until is None


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A sheriff with a year's licence for robbery in gallery county, and then no new licences for anybody."""
    opened = open_house(tmp_path)
    opened.register("Sheriff", "sheriff", purposes=["robbery"], duration="1y")
    ibm = with_preset(load_preset("ibm-2020", WORDS), MoratoriumTerms("ibm", "", preset="ibm-2020"), None)
    opened.moratoria.declare(ibm)
    return opened


def test_without_new_licences_those_who_hold_one_search_on_and_lose_nothing_to_a_suspension(house: House) -> None:
    assert house.ask() == "allowed"
    house.tenants.suspend("Sheriff", "audit")
    assert house.ask(case="2") == "refused"
    house.tenants.reinstate("Sheriff", "audit passed")
    assert house.ask(case="3") == "allowed"


def test_without_new_licences_terms_may_be_narrowed(house: House) -> None:
    house.tenants.change_terms("Sheriff", WantedTerms(largest_k=5, must_state=["basis"], duration="30d"), "less")
    assert house.ask(k=5, basis="warrant") == "allowed"


@pytest.mark.parametrize(
    "wider",
    [
        WantedTerms(galleries=["county", "state"]),
        WantedTerms(operations=["search", "index"]),
        WantedTerms(purposes=["robbery", "homicide"]),
        WantedTerms(duration="2y"),
    ],
)
def test_without_new_licences_no_terms_are_widened(house: House, wider: WantedTerms) -> None:
    with pytest.raises(Refused, match="'ibm' bars sheriff from new-licences"):
        house.tenants.change_terms("Sheriff", wider, "more")


def test_without_new_licences_nobody_is_registered_or_renewed(house: House) -> None:
    for kind in ("sheriff", "research"):
        with pytest.raises(Refused, match=f"'ibm' bars {kind} from new-licences"):
            house.register("New", kind)
    with pytest.raises(Refused, match="'ibm' bars"):
        house.tenants.reinstate("Sheriff", "renewal", duration="2y")


@pytest.mark.parametrize("start", ["now", moved(NOW, days=300)])
def test_a_renewal_that_begins_later_is_a_renewal_too(house: House, start: str) -> None:
    length = {"now": "400d"}.get(start, "100d")
    with pytest.raises(Refused, match="'ibm' bars"):
        house.tenants.reinstate("Sheriff", "renewal", duration=length, start=start)
    with pytest.raises(Refused, match="'ibm' bars"):
        house.tenants.change_terms("Sheriff", WantedTerms(duration=length), "renewal", start=start)


@pytest.mark.parametrize("name", NAMES)
def test_each_preset_names_a_source_with_a_date_and_marks_what_is_our_modelling(name: str) -> None:
    text = resources.files("configs").joinpath("moratoria", f"{name}.yaml").read_text("utf-8")
    comments = " ".join(line.partition("#")[2].strip() for line in text.splitlines() if "#" in line)
    months = "January|February|March|April|May|June|July|August|September|October|November|December"
    assert re.search(r"Source: |Modelled on ", comments)
    assert re.search(rf"({months}) (20\d\d)|\d+ ({months}) 20\d\d", comments)
    assert "OUR MODELLING" in comments
    assert '"' in comments


PLAIN: dict[str, Any] = {
    "summary": "A test.",
    "authority": "vendor",
    "reason": "A reason.",
    "kinds": ["police"],
    "operations": ["search"],
}


def without(key: str, **more: Any) -> dict[str, Any]:
    return {**{name: value for name, value in PLAIN.items() if name != key}, **more}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({**PLAIN, "exempt_purpose": ["robbery"]}, "unknown key 'exempt_purpose'; did you mean 'exempt_purposes'?"),
        ({**PLAIN, "exempt_tenants": ["Thorn"]}, "unknown key 'exempt_tenants'"),
        ({**PLAIN, "kinds": ["polise"]}, "unknown kind 'polise'; did you mean 'police'?"),
        ({**PLAIN, "exempt_kinds": ["sherif"]}, "unknown kind 'sherif'; did you mean 'sheriff'?"),
        ({**PLAIN, "operations": ["serch"]}, "unknown operation 'serch'; did you mean 'search'?"),
        ({**PLAIN, "operations": ["new-licenses"]}, "did you mean 'new-licences'?"),
        ({**PLAIN, "apart": ["evaluation"]}, "did you mean 'evaluate'?"),
        ({**PLAIN, "apart": ["index"]}, "'index'"),
        ({**PLAIN, "exempt_purposes": ["missing-persons"]}, "did you mean 'missing-person'?"),
        ({**PLAIN, "authority": "vender"}, "unknown authority 'vender'; did you mean 'vendor'?"),
        ({**PLAIN, "until": "2021-06-10T00:00Z", "for": "1y"}, "until and for both name the end"),
        ({**PLAIN, "from": "2020-06-10"}, "2020-06-10"),
        ({**PLAIN, "for": "1m"}, "1m"),
        ({**PLAIN, "everyone": True}, "give kinds, or everyone: true"),
        (without("kinds"), "give kinds, or everyone: true"),
        (without("kinds", everyone="yes"), "give kinds, or everyone: true"),
        ({**PLAIN, "kinds": "police"}, "kinds is 'police'; write a list"),
        ({**PLAIN, "operations": [True]}, "operations is [True]; write a list"),
        ({**PLAIN, "link": 3}, "link is 3; write a text in quotes"),
        ({**PLAIN, "reason": "x" * 501}, "of at most 500 characters"),
        ({**PLAIN, "reason": " "}, "reason is ' '"),
        *((without(key), f"{key} is missing") for key in ("summary", "authority", "reason", "operations")),
    ],
)
def test_a_preset_that_is_not_as_it_should_be_is_refused_and_says_how(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_preset(given, "configs/moratoria/x.yaml", WORDS)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_named_with_its_nearest_spelling() -> None:
    with pytest.raises(InputError, match=r"unknown preset 'amazon-term'; did you mean 'amazon-terms'\?"):
        load_preset("amazon-term", WORDS)


def test_a_preset_for_everyone_loads() -> None:
    assert read_preset(without("kinds", everyone=True), "x.yaml", WORDS)["everyone"] is True
