"""The gate: what other rooms pass, what it records, and what it never hands out."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from officials import appoint, forged, newest, open_shell, pass_time, types_after
from rulebook import SEARCH, House, open_house

from access.acts.moratoria import Moratoria, MoratoriumTerms
from access.acts.operators import Operators, rotate
from access.acts.tenants import Tenants, WantedTerms
from access.credentials import make_credential
from access.gate import Gate, Permit, Receipt, Refused, Request
from access.ledger.chain import Draft
from access.ledger.errors import LedgerAbsent, LedgerClockError, LedgerTampered, LedgerUnreadable
from access.ledger.ledger import DATABASE, Ledger
from access.ledger.verification import verify
from foundation.errors import EXIT_REFUSED, InputError

PROBE = "ab" * 32
INDEX = Request("index", "county")


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff", until="2027-01-01T00:00Z")
    return house


def june(**changes: Any) -> MoratoriumTerms:
    return replace(MoratoriumTerms("june", "until there is a law", ["police"], duration="1y"), **changes)


def ask(house: House, request: Request = SEARCH, name: str = "Sheriff") -> Permit:
    return house.gate.ask(house.credentials[name], request)


# What is recorded


def test_ask_records_nothing_and_answer_leaves_one_entry(house: House) -> None:
    before = house.gate.ledger.head().number
    permit = ask(house)
    assert house.gate.ledger.head().number == before
    receipt = house.gate.answer(permit, {"k": 20})
    assert receipt == Receipt(before + 1, house.clock.now, house.gate.ledger.head().digest)
    assert types_after(house.gate.ledger, before) == ["search.answered"]


def test_a_permit_tells_who_asks(house: House) -> None:
    who = ask(house).who
    assert (who.role, who.name, who.kind, who.person) == ("tenant", "Sheriff", "sheriff", "D. Ito")
    assert ask(house).tenant == "Sheriff"


def test_an_answers_entry_keeps_request_answer_and_findings_for_good(house: House) -> None:
    request = replace(SEARCH, k=20, basis="warrant", reference="26-117")
    house.gate.answer(ask(house, request), {"gallery_version": 3})
    entry = newest(house)
    assert (entry["type"], entry["subject"]) == ("search.answered", "Sheriff")
    assert entry["answer"] == {"gallery_version": 3}
    assert entry["request"] == {
        "operation": "search",
        "gallery": "county",
        "purpose": "robbery",
        "operator": "D. Ito",
        "beneficiary": None,
        "basis": "warrant",
        "k": 20,
    }
    assert entry["who"]["name"] == "Sheriff"
    assert "licence" in {one["rule"] for one in entry["findings"]}


@pytest.mark.parametrize("barred", [False, True])
def test_case_probe_and_candidates_stand_in_the_details_and_nowhere_in_the_body(house: House, barred: bool) -> None:
    request = replace(SEARCH, probe=PROBE, offence="armed robbery", reference="report 88")
    if barred:
        house.moratoria.declare(june())
        with pytest.raises(Refused):
            ask(house, request)
    else:
        house.gate.answer(ask(house, request), {"k": 20}, {"candidates": [{"subject": "S0004", "distance": "0.41"}]})
    entry = newest(house)
    told = entry.pop("told")
    assert (told["case"], told["probe"], told["offence"], told["reference"]) == (
        "2026-0117",
        PROBE,
        "armed robbery",
        "report 88",
    )
    assert told.get("answer") == (None if barred else {"candidates": [{"subject": "S0004", "distance": "0.41"}]})
    for private in ("2026-0117", PROBE, "armed robbery", "report 88", "S0004"):
        assert private not in repr(entry)


def test_the_database_does_not_tell_a_case_outside_its_details(house: House) -> None:
    house.gate.answer(ask(house, replace(SEARCH, probe=PROBE)), {"k": 20})
    with sqlite3.connect(house.path / DATABASE) as connection:
        rows = [repr(row) for table in ("entries", "traces") for row in connection.execute(f"SELECT * FROM {table}")]
    connection.close()
    assert not any("2026-0117" in row or PROBE in row for row in rows)


def test_k_is_recorded_and_judged(house: House) -> None:
    house.register("Small", "research", largest_k=5)
    assert "allows 5" in house.reasons("Small", k=6)
    assert house.ask("Small", k=5, case="another") == "allowed"
    assert newest(house)["request"]["k"] == 5


@pytest.mark.parametrize("where", ["body", "details"])
def test_a_float_in_an_answer_is_refused_before_anything_is_recorded(house: House, where: str) -> None:
    permit, before = ask(house), house.gate.ledger.head().number
    floats = {"candidates": [{"distance": 0.41}]}
    with pytest.raises(TypeError, match="distances and shares as strings"):
        house.gate.answer(permit, floats if where == "body" else {}, floats if where == "details" else None)
    assert house.gate.ledger.head().number == before
    assert house.gate.outstanding(0) == 0


def test_an_answer_needs_no_details(house: House) -> None:
    house.register("Reader", "research")
    permit = ask(house, Request("read", "county", operator="D. Ito"), "Reader")
    house.gate.answer(permit, {"version": 3})
    assert (newest(house)["type"], newest(house)["told"]) == ("read.answered", None)


# Refusals


def test_a_refused_search_leaves_an_entry_and_says_every_rule(house: House) -> None:
    house.moratoria.declare(june(name="first"))
    house.moratoria.declare(june(name="second", duration=None))
    with pytest.raises(Refused) as caught:
        ask(house, replace(SEARCH, gallery="state"))
    refused, message = caught.value, str(caught.value)
    assert refused.exit_code == EXIT_REFUSED
    assert "\n" not in message
    for part in ("'state' is not granted", "'first' bars", "2027-03-01 12:00 UTC", "'second' bars", "further notice"):
        assert part in message
    assert refused.receipt is not None
    assert refused.receipt.number == house.gate.ledger.head().number
    assert (newest(house)["type"], newest(house)["subject"]) == ("search.refused", "Sheriff")


def test_what_is_refused_stays_refused_in_the_entry_with_reason_and_link(house: House) -> None:
    house.moratoria.declare(june(link="https://example.com/statement"))
    assert "until there is a law (https://example.com/statement)" in house.reasons()


def test_an_operation_nobody_knows_is_refused_with_an_entry(house: House) -> None:
    with pytest.raises(Refused, match="'look' is no operation"):
        ask(house, replace(SEARCH, operation="look"))
    assert newest(house)["type"] == "unknown.refused"


@pytest.mark.parametrize("text", ["x" * 10_000, "\udcff\x00\n", "\u202egnp.exe"])
def test_whatever_is_sent_can_be_refused_and_recorded_in_bounds(house: House, text: str) -> None:
    request = Request("search", text, purpose=text, case=text, operator=text, beneficiary=text, basis=text, probe=text)
    with pytest.raises(Refused) as caught:
        ask(house, request)
    assert len(str(caught.value)) < 10_000
    (one,) = house.gate.ledger.recent(1, details=True)
    assert one.entry.type == "search.refused"
    assert len(one.entry.body) < 20_000
    assert verify(house.gate.ledger).intact


def test_a_list_length_beyond_every_number_is_refused_with_an_entry(house: House) -> None:
    with pytest.raises(Refused, match="lower -k"):
        ask(house, replace(SEARCH, k=2**60))
    assert newest(house)["type"] == "search.refused"


# What changes between ask and answer


def test_a_moratorium_declared_between_ask_and_answer_refuses_the_answer(house: House) -> None:
    permit = ask(house)
    declared = house.moratoria.declare(june())
    with pytest.raises(Refused, match="moratorium 'june' bars sheriff"):
        house.gate.answer(permit, {"k": 20})
    assert types_after(house.gate.ledger, declared.number) == ["search.refused"]


@pytest.mark.parametrize("act", ["suspend", "revoke"])
def test_a_suspended_or_revoked_licence_is_seen_by_answer(house: House, act: str) -> None:
    permit = ask(house)
    getattr(house.tenants, act)("Sheriff", "audit overdue")
    with pytest.raises(Refused, match="audit overdue"):
        house.gate.answer(permit, {})


def test_a_revoked_credential_is_seen_by_answer(house: House) -> None:
    permit = ask(house)
    house.tenants.revoke_credential("Sheriff", permit.who.credential or "", "lost")
    with pytest.raises(Refused, match="was revoked on 2026-03-01 12:00 UTC: lost"):
        house.gate.answer(permit, {})


def test_a_rotated_credential_is_seen_by_answer(house: House) -> None:
    permit = ask(house)
    rotate(house.gate, house.credentials["Sheriff"])
    with pytest.raises(Refused, match="was revoked"):
        house.gate.answer(permit, {})


def test_the_end_of_a_licence_is_seen_by_answer(house: House) -> None:
    house.register("Brief", "sheriff", duration="1h")
    permit = ask(house, name="Brief")
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    with pytest.raises(Refused, match="expired on 2026-03-01 13:00 UTC"):
        house.gate.answer(permit, {})


def test_the_end_of_a_credential_is_seen_by_answer(house: House) -> None:
    brief = house.tenants.issue_credential("Sheriff", "R. Osei", "for an hour", span="1h").text
    permit = house.gate.ask(brief, replace(SEARCH, operator=None))
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    with pytest.raises(Refused, match="expired on 2026-03-01 13:00 UTC"):
        house.gate.answer(permit, {})


def test_a_moratorium_on_the_agency_it_is_for_is_seen_by_answer(house: House) -> None:
    house.register("Find Them", "anti-trafficking-organisation")
    permit = ask(house, replace(SEARCH, beneficiary="Sheriff"), "Find Them")
    house.moratoria.declare(june())
    with pytest.raises(Refused, match="beneficiary 'Sheriff'"):
        house.gate.answer(permit, {})


def test_a_moratorium_on_the_gallerys_owner_is_seen_by_answer(house: House) -> None:
    house.register("Find Them", "anti-trafficking-organisation")
    house.queries.own("county", "Sheriff", "agreement")
    permit = ask(house, name="Find Them")
    house.moratoria.declare(june())
    with pytest.raises(Refused, match="owner 'Sheriff'"):
        house.gate.answer(permit, {})


def test_a_day_that_was_used_up_meanwhile_is_seen_by_answer(house: House) -> None:
    house.register("Few", "research", queries_a_day=1)
    first, second = ask(house, name="Few"), ask(house, name="Few")
    house.gate.answer(first, {})
    with pytest.raises(Refused, match="asked 1 times today"):
        house.gate.answer(second, {})


def test_an_operator_removed_while_indexing_publishes_nothing(house: House) -> None:
    permit = house.gate.ask(appoint(house, "B. Bell"), INDEX)
    Operators(house.gate, house.clerk).remove("B. Bell", "left the office")
    with pytest.raises(Refused, match="left the office"):
        house.gate.answer(permit, {"enrolled": 1200})
    assert newest(house)["type"] == "index.refused"


# Licences and moratoria over time


def test_a_reinstated_licence_answers_again(house: House) -> None:
    house.tenants.suspend("Sheriff", "audit overdue")
    assert "audit overdue" in house.reasons()
    house.tenants.reinstate("Sheriff", "audit passed")
    assert house.ask() == "allowed"


@pytest.mark.parametrize("act", ["reinstate", "suspend", "revoke"])
def test_a_revoked_licence_never_comes_back(house: House, act: str) -> None:
    house.tenants.revoke("Sheriff", "searched without a case")
    with pytest.raises(InputError, match="never comes back"):
        getattr(house.tenants, act)("Sheriff", "please")
    with pytest.raises(InputError, match="is there already"):
        house.register("SHERIFF", "sheriff")
    assert "for good: searched without a case" in house.reasons()


def test_an_expired_licence_is_renewed_with_a_new_end(house: House) -> None:
    house.register("Brief", "sheriff", duration="1h")
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    with pytest.raises(InputError, match="expired on 2026-03-01 13:00 UTC; give a new end"):
        house.tenants.reinstate("Brief", "renewed")
    house.tenants.reinstate("Brief", "renewed", duration="1y")
    assert house.ask("Brief") == "allowed"


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        ("2026-03-01T12:59:59.999999Z", "allowed"),
        ("2026-03-01T13:00:00.000000Z", "refused"),
        ("2026-03-01T13:59:59.999999Z", "refused"),
        ("2026-03-01T14:00:00.000000Z", "allowed"),
    ],
)
def test_a_moratoriums_boundaries_on_the_ledgers_clock(house: House, now: str, outcome: str) -> None:
    house.moratoria.declare(june(start="2026-03-01T13:00Z", until="2026-03-01T14:00Z", duration=None))
    house.clock.now = now
    assert house.ask() == outcome


def test_a_moratorium_that_has_lapsed_is_told_once_at_the_next_entry(house: House) -> None:
    declared = house.moratoria.declare(june(duration="1h"))
    house.clock.now = "2026-03-01T13:00:00.000000Z"
    ask(house)
    assert types_after(house.gate.ledger, declared.number) == []
    assert [house.ask(), house.ask()] == ["allowed", "allowed"]
    assert types_after(house.gate.ledger, declared.number) == ["moratorium.ended", "search.answered", "search.answered"]


@pytest.mark.parametrize("entry", ["act", "refusal", "refused act"])
def test_any_next_entry_tells_that_a_moratorium_has_lapsed(house: House, entry: str) -> None:
    declared = house.moratoria.declare(june(duration="1h"))
    house.clock.now = "2026-03-01T14:00:00.000000Z"
    if entry == "act":
        house.tenants.suspend("Sheriff", "audit overdue")
    elif entry == "refusal":
        house.ask(gallery="state")
    else:
        with pytest.raises(Refused):
            Tenants(house.gate, house.credentials["Sheriff"]).suspend("Sheriff", "x")
    types = types_after(house.gate.ledger, declared.number)
    assert types[0] == "moratorium.ended"
    assert len(types) == 2


def test_a_lifted_moratorium_is_never_told_to_have_lapsed(house: House) -> None:
    house.moratoria.declare(june(duration="1h"))
    house.lift("june")
    lifted = house.gate.ledger.head().number
    house.clock.now = "2026-03-01T14:00:00.000000Z"
    house.ask()
    assert types_after(house.gate.ledger, lifted) == ["search.answered"]


@pytest.mark.parametrize("act", ["suspend", "revoke"])
def test_a_licence_that_has_not_begun_can_be_suspended_or_revoked(house: House, act: str) -> None:
    house.register("Later", "research", start="2026-03-02T00:00Z")
    getattr(house.tenants, act)("Later", "second thoughts")
    house.clock.now = "2026-03-02T00:00:00.000000Z"
    assert house.ask("Later", case="another") == "refused"
    assert house.ask() == "allowed"


def test_no_order_of_changes_to_one_licence_stops_the_whole_house(house: House) -> None:
    house.register("Later", "research", start="2026-03-02T00:00Z")
    for act in ("suspend", "revoke"):
        with contextlib.suppress(InputError):
            getattr(house.tenants, act)("Later", "second thoughts")
    assert house.ask() == "allowed"


def test_new_terms_do_not_begin_a_licence_early(house: House) -> None:
    house.register("Later", "research", start="2026-03-02T00:00Z")
    house.tenants.change_terms("Later", WantedTerms(largest_k=10), "agreement")
    assert "begins on 2026-03-02 00:00 UTC" in house.reasons("Later")


# Who may what


def test_a_permit_comes_from_the_gate_alone(house: House) -> None:
    decision = ask(house).decision
    with pytest.raises(TypeError, match=r"Gate\.ask"):
        Permit(object(), SEARCH, decision)


def test_a_refused_request_gives_no_permit_to_answer_with(house: House) -> None:
    house.moratoria.declare(june())
    permit = None
    with pytest.raises(Refused):
        permit = ask(house)
    assert permit is None


def test_names_in_another_unicode_form_are_the_same_name(house: House) -> None:
    made = house.tenants.add("Jose\u0301", "research", WantedTerms(galleries=["gal\u00e9rie"]), person="Rene\u0301e")
    request = replace(SEARCH, gallery="gale\u0301rie", operator="Ren\u00e9e")
    assert house.gate.ask(made.text, request).tenant == "Jos\u00e9"


def test_an_administrator_indexes(house: House) -> None:
    permit = house.gate.ask(house.clerk, INDEX)
    assert (permit.who.role, permit.tenant, permit.who.person) == ("operator", None, "clerk")
    house.gate.answer(permit, {"enrolled": 1200})
    assert newest(house)["type"] == "index.answered"


@pytest.mark.parametrize("role", ["licensing-officer", "auditor"])
def test_only_an_administrator_among_operators_indexes(house: House, role: str) -> None:
    with pytest.raises(Refused, match=f"index is for administrators, and 'B. Bell' is {role}"):
        house.gate.ask(appoint(house, "B. Bell", role), INDEX)


@pytest.mark.parametrize("operation", ["search", "evaluate"])
@pytest.mark.parametrize("role", ["administrator", "auditor"])
def test_no_operator_searches(house: House, role: str, operation: str) -> None:
    with pytest.raises(Refused, match="operators hold no licence and may not search"):
        house.gate.ask(appoint(house, "B. Bell", role), replace(SEARCH, operation=operation, operator=None))


@pytest.mark.parametrize("role", ["administrator", "licensing-officer", "auditor"])
def test_every_operator_reads_every_gallery(house: House, role: str) -> None:
    assert house.gate.readable(appoint(house, "B. Bell", role), ["county", "state"]) == ["county", "state"]


def test_an_operator_does_not_index_what_belongs_to_a_barred_owner(house: House) -> None:
    house.queries.own("county", "Sheriff", "agreement")
    house.moratoria.declare(june(operations=["index"]))
    with pytest.raises(Refused, match="owner 'Sheriff'"):
        house.gate.ask(house.clerk, INDEX)


def test_a_purpose_that_nobody_approves_opens_no_barred_owners_gallery(house: House) -> None:
    house.queries.own("county", "Sheriff", "agreement")
    house.moratoria.declare(june(operations=["index"], exempt_purposes=["missing-person"]))
    with pytest.raises(Refused, match="owner 'Sheriff'"):
        house.gate.ask(house.clerk, replace(INDEX, purpose="missing-person"))


def test_a_tenant_reads_the_galleries_of_its_licence_and_no_other(house: House) -> None:
    assert house.gate.readable(house.credentials["Sheriff"], ["county", "state"]) == ["county"]


def test_a_tenant_that_may_read_none_of_the_galleries_is_refused_with_an_entry(house: House) -> None:
    with pytest.raises(Refused, match="'state' is not granted"):
        house.gate.readable(house.credentials["Sheriff"], ["state", "nation"])
    assert newest(house)["type"] == "read.refused"


def test_where_there_is_no_gallery_yet_there_is_nothing_to_refuse(house: House) -> None:
    assert house.gate.readable(house.credentials["Sheriff"], []) == []


def test_a_barred_tenant_may_not_read_either(house: House) -> None:
    house.moratoria.declare(june())
    with pytest.raises(Refused, match="bars sheriff from read"):
        house.gate.readable(house.credentials["Sheriff"], ["county"])


@pytest.mark.parametrize("text", [*("", "af1", "af1.x.y"), "\x00\udcff" * 3, "unknown", "secret", "swapped"])
def test_a_credential_that_does_not_fit_is_refused_and_told_to_nobody(house: House, text: str) -> None:
    sheriff = house.credentials["Sheriff"]
    texts = {
        "unknown": make_credential().text,
        "secret": forged(sheriff),
        "swapped": ".".join([*sheriff.split(".")[:2], house.clerk.split(".")[2]]),
    }
    with pytest.raises(Refused, match="the credential is not known here") as caught:
        house.gate.ask(texts.get(text, text), SEARCH)
    assert newest(house)["subject"] == "unknown"
    assert sheriff.split(".")[1] not in str(caught.value)


def test_acts_with_a_tenants_credential_are_refused_with_an_entry(house: House) -> None:
    with pytest.raises(Refused, match=r"tenant\.suspend is for operators of this archive, and 'Sheriff' is none"):
        Tenants(house.gate, house.credentials["Sheriff"]).suspend("Sheriff", "x")
    entry = newest(house)
    assert (entry["type"], entry["subject"], entry["act"]) == ("registry.refused", "Sheriff", "tenant.suspend")


def test_a_tenant_is_not_admitted_to_the_ledger_and_that_is_told(house: House) -> None:
    with pytest.raises(Refused):
        house.gate.admit(house.credentials["Sheriff"], "audit.show")
    assert (newest(house)["type"], newest(house)["act"]) == ("registry.refused", "audit.show")


def test_an_auditor_reads_and_leaves_no_entry(house: House) -> None:
    auditor, before = appoint(house, "B. Bell", "auditor"), house.gate.ledger.head().number
    house.gate.admit(auditor, "audit.show")
    assert house.gate.ledger.head().number == before


# Acts of other rooms


def test_other_rooms_record_their_acts_with_who_did_them(house: House) -> None:
    receipt = house.gate.record(house.clerk, "gallery.rolled-back", "county", {"version": 3})
    assert receipt.number == house.gate.ledger.head().number
    entry = newest(house)
    assert (entry["type"], entry["subject"], entry["version"]) == ("gallery.rolled-back", "county", 3)
    assert entry["by"]["operator"] == "clerk"


@pytest.mark.parametrize(
    "type_",
    [
        *("tenant.added", "licence.reinstated", "search.answered", "registry.refused", "gallery.owned"),
        *("details.erased", "moratorium.lifted", "proposal.made", "query.approved", "clock.confirmed"),
        *("Gallery", "a.b.c", "", "gallery.", "gallery.held", "gallery.rolled-back\n"),
    ],
)
def test_access_keeps_its_own_types_for_itself(house: House, type_: str) -> None:
    before = house.gate.ledger.head().number
    with pytest.raises(ValueError, match="entry type"):
        house.gate.record(house.clerk, type_, "county", {})
    assert house.gate.ledger.head().number == before


def test_a_licensing_officer_records_no_act_of_another_room(house: House) -> None:
    with pytest.raises(Refused, match="for role administrator"):
        house.gate.record(house.second, "gallery.rolled-back", "county", {"version": 3})


def test_who_records_an_act_cannot_say_that_another_did_it(house: House) -> None:
    house.gate.record(house.clerk, "gallery.rolled-back", "county", {"by": {"operator": "second"}})
    assert newest(house)["by"]["operator"] == "clerk"


@pytest.mark.parametrize("field", [{"details": "ab" * 32}, {"traces": ["day:2026-03-01:Sheriff"]}])
def test_an_act_of_another_room_cannot_pass_for_more_than_it_is(house: House, field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        house.gate.record(house.clerk, "gallery.rolled-back", "county", field)
    assert verify(house.gate.ledger).intact


# Bad values


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"kinds": ["polise"]}, "unknown kind 'polise'; did you mean 'police'?"),
        ({"kinds": []}, "give --kind, --tenant or --everyone"),
        ({"everyone": True}, "covers kinds or tenants, or everyone"),
        ({"tenants": ["Sherif"]}, "unknown tenant 'Sherif'; did you mean 'Sheriff'?"),
        ({"operations": ["serch"]}, "unknown operation 'serch'; did you mean 'search'?"),
        ({"apart": ["evaluat"]}, "did you mean 'evaluate'?"),
        ({"authority": "cort"}, "unknown authority 'cort'; did you mean 'court'?"),
        ({"exempt_tenants": ["Sherif"]}, "unknown tenant 'Sherif'; did you mean 'Sheriff'?"),
        ({"exempt_purposes": ["homicid"]}, "unknown purpose 'homicid'; did you mean 'homicide'?"),
        ({"start": "2026-06-10"}, "--from '2026-06-10' names no time zone"),
        ({"until": "2026-06-10T00:00Z"}, "--until and --for both"),
        ({"until": "2020-06-10T00:00Z", "duration": None}, "is not after the start"),
        ({"reason": " "}, "--reason '' is empty"),
        ({"link": "javascript:x"}, "is no http or https address"),
        ({"name": "a\nb"}, "control or invisible"),
        ({"name": "Unknown"}, "strangers"),
    ],
)
def test_bad_terms_are_named_and_leave_no_entry(house: House, terms: dict[str, Any], says: str) -> None:
    before = house.gate.ledger.head().number
    with pytest.raises(InputError) as caught:
        house.moratoria.declare(june(**terms))
    assert says in str(caught.value)
    assert house.gate.ledger.head().number == before


def test_a_moratoriums_name_is_taken_once_whatever_its_case(house: House) -> None:
    house.moratoria.declare(june())
    with pytest.raises(InputError, match="'june' is there already"):
        house.moratoria.declare(june(name="June"))


@pytest.mark.parametrize("act", ["lift", "extend", "shorten"])
def test_a_lifted_moratorium_is_finished(house: House, act: str) -> None:
    house.moratoria.declare(june())
    house.lift("june")
    more = ("2026-04-01T00:00Z",) if act == "shorten" else ()
    with pytest.raises(InputError, match="lifted already"):
        getattr(house.moratoria, act)("june", *more, "again")


def test_a_whole_credential_pasted_as_an_id_is_not_repeated(house: House) -> None:
    with pytest.raises(InputError) as caught:
        house.tenants.revoke_credential("Sheriff", house.credentials["Sheriff"], "lost")
    assert house.credentials["Sheriff"].split(".")[2] not in str(caught.value)


# What is still in flight


def test_an_answer_is_outstanding_until_it_is_handed_out(house: House) -> None:
    house.gate.answer(ask(house), {})
    assert Gate(Ledger(house.path, clock=house.clock)).outstanding(0) == 1
    house.gate.handed_out()
    assert Gate(Ledger(house.path, clock=house.clock)).outstanding(0) == 0


def test_a_permit_alone_is_not_outstanding(house: House) -> None:
    ask(house)
    assert house.gate.outstanding(0) == 0


def test_a_refused_answer_does_not_hide_that_an_earlier_one_is_not_shown_yet(house: House) -> None:
    first, second = ask(house), ask(house)
    house.gate.answer(first, {})
    house.tenants.suspend("Sheriff", "audit overdue")
    with pytest.raises(Refused):
        house.gate.answer(second, {})
    assert house.gate.outstanding(0) == 1
    house.gate.handed_out()
    assert house.gate.outstanding(0) == 0


def _answer_and_hold(home: Path, credential: str, told: Connection) -> None:
    gate = Gate.open(home)
    gate.answer(gate.ask(credential, SEARCH), {})
    told.send("answered")
    time.sleep(60)


@pytest.mark.parametrize("killed", [False, True])
def test_a_process_holding_an_answer_counts_until_it_is_killed(tmp_path: Path, killed: bool) -> None:
    shell = open_shell(tmp_path)
    sheriff = shell.tenant("Sheriff", "sheriff")
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_answer_and_hold, args=(shell.home, sheriff, there))
    process.start()
    assert here.poll(60)
    assert process.pid is not None
    if killed:
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("access.commands.shared.HAND_OUT_SECONDS", 0.2)
        declared = shell.json("moratorium", "declare", "june", "--kind", "police", "--reason", "law")
        said = shell.done("tenant", "suspend", "Sheriff", "--reason", "law").out
    process.kill()
    process.join(10)
    assert declared["outstanding"] == (0 if killed else 1)
    assert ("Every answer allowed before it has been handed out" in said) == killed


# Failing closed


def test_a_tampered_rule_fails_closed(house: House) -> None:
    house.moratoria.declare(june())
    with sqlite3.connect(house.path / DATABASE) as connection:
        connection.execute("DROP TRIGGER entries_refuse_delete")
        connection.execute("DELETE FROM entries WHERE type = 'moratorium.declared'")
    connection.close()
    with pytest.raises(LedgerTampered):
        Gate(Ledger(house.path, clock=house.clock)).ask(house.credentials["Sheriff"], SEARCH)


def test_without_a_home_the_gate_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(LedgerAbsent, match="run 'afterfact init'"):
        Gate.open(tmp_path)


def test_a_rule_of_a_later_version_stops_every_answer(house: House) -> None:
    odd = Draft("moratorium.lifted", "june", {"by": {"operator": "clerk"}, "why": "x", "unless": "it rains"})
    house.gate.ledger.append_decided(lambda _view: [odd])
    with pytest.raises(LedgerUnreadable, match="not understood by this version"):
        ask(house)


def test_a_long_silence_needs_an_administrator(house: House) -> None:
    house.clock.now = "2026-03-04T12:00:00.000001Z"
    with pytest.raises(LedgerClockError, match="audit clock --confirm"):
        ask(house)
    pass_time(house)
    assert house.ask() == "allowed"


def test_moratoria_of_another_authority_are_not_for_the_vendors_operators(house: House) -> None:
    house.moratoria.declare(june(authority="court"))
    with pytest.raises(Refused, match="only operators of the court"):
        Moratoria(house.gate, house.clerk).lift("june", "the law is in force")
