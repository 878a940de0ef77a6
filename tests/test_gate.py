"""The gate: what other rooms pass, what it records, and that the order of entries is the promise."""

from __future__ import annotations

import multiprocessing
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from access.acts.registry import MoratoriumTerms, Registry

from access.credentials import make_credential
from access.gate import Gate, Permit, Receipt, Refused, Request
from access.homes import make_home
from access.ledger.errors import LedgerAbsent, LedgerTampered
from access.ledger.ledger import DATABASE, Ledger
from access.ledger.verification import verify
from foundation.errors import EXIT_REFUSED, InputError

SEARCH = Request("search", "county", purpose="robbery", case="2026-0117", operator="D. Ito")


class Clock:
    now = "2026-03-01T12:00:00.000000Z"

    def __call__(self) -> str:
        return self.now


@dataclass
class House:
    path: Path
    clock: Clock
    gate: Gate
    operator: str
    sheriff: str

    @property
    def registry(self) -> Registry:
        return Registry(self.gate, self.operator)

    def last(self) -> dict[str, object]:
        newest = self.gate.ledger.recent(1, details=True)[0]
        return {"type": newest.entry.type, "subject": newest.entry.subject, **newest.body, "told": newest.details}


@pytest.fixture
def house(tmp_path: Path) -> House:
    clock = Clock()
    home = tmp_path / "home"
    operator = make_home(home, "clerk", clock=clock).text
    gate = Gate(Ledger(home, clock=clock))
    sheriff = Registry(gate, operator).add_tenant("Sheriff", "sheriff", ["county"], until="2027-01-01T00:00Z").text
    return House(home, clock, gate, operator, sheriff)


def june(**changes: object) -> MoratoriumTerms:
    return replace(MoratoriumTerms("june", "until there is a law", ["police"], duration="1y"), **changes)  # type: ignore[arg-type]


def test_ask_then_answer_leaves_one_entry(house: House) -> None:
    before = house.gate.ledger.head().number
    permit = house.gate.ask(house.sheriff, SEARCH)
    assert (permit.tenant, permit.kind, permit.person, permit.role) == ("Sheriff", "sheriff", "D. Ito", "tenant")
    assert house.gate.ledger.head().number == before
    receipt = house.gate.answer(permit, {"gallery_version": 3, "k": 20}, {"candidates": [{"distance": "0.41"}]})
    assert receipt == Receipt(before + 1, house.clock.now, house.gate.ledger.head().digest)
    entry = house.last()
    assert (entry["type"], entry["subject"]) == ("search.answered", "Sheriff")
    assert entry["answer"] == {"gallery_version": 3, "k": 20}
    assert entry["told"] == {"case": "2026-0117", "answer": {"candidates": [{"distance": "0.41"}]}}
    assert entry["request"] == {
        "operation": "search",
        "gallery": "county",
        "purpose": "robbery",
        "operator": "D. Ito",
    }


def test_a_float_in_an_answer_is_refused_before_anything_is_recorded(house: House) -> None:
    permit = house.gate.ask(house.sheriff, SEARCH)
    with pytest.raises(TypeError, match="distances and shares as strings"):
        house.gate.answer(permit, {}, {"candidates": [{"distance": 0.41}]})
    assert house.last()["type"] == "credential.issued"


def test_a_refused_search_leaves_an_entry_and_says_every_rule(house: House) -> None:
    house.registry.declare(june(name="first"))
    house.registry.declare(june(name="second", duration=None))
    with pytest.raises(Refused) as caught:
        house.gate.ask(house.sheriff, replace(SEARCH, gallery="state"))
    refused, message = caught.value, str(caught.value)
    assert refused.exit_code == EXIT_REFUSED
    assert "\n" not in message
    for part in ("'state' is not granted", "'first' bars", "2027-03-01 12:00 UTC", "'second' bars", "further notice"):
        assert part in message
    assert refused.receipt.number == house.gate.ledger.head().number
    entry = house.last()
    assert (entry["type"], entry["subject"]) == ("search.refused", "Sheriff")
    assert entry["told"] == {"case": "2026-0117"}
    assert "2026-0117" not in repr({name: value for name, value in entry.items() if name != "told"})


@pytest.mark.parametrize("wrong", ["", "af1", "af1.x.y", "unknown", "secret", "swapped", "\x00\udcff" * 3])
def test_a_credential_that_does_not_fit_is_refused_with_an_entry(house: House, wrong: str) -> None:
    stranger = make_credential().text
    head, public_id, _ = house.sheriff.split(".")
    texts = {
        "unknown": stranger,
        "secret": ".".join([head, public_id, stranger.split(".")[2]]),
        "swapped": ".".join([head, public_id, house.operator.split(".")[2]]),
    }
    with pytest.raises(Refused, match="the credential is not known here") as caught:
        house.gate.ask(texts.get(wrong, wrong), SEARCH)
    assert house.last()["subject"] == "unknown"
    assert house.sheriff.split(".")[1] not in str(caught.value)


def test_a_moratorium_declared_between_ask_and_answer_refuses_the_answer(house: House) -> None:
    permit = house.gate.ask(house.sheriff, SEARCH)
    declared = house.registry.declare(june())
    with pytest.raises(Refused, match="moratorium 'june' bars sheriff"):
        house.gate.answer(permit, {"k": 20})
    types = [one.entry.type for one in house.gate.ledger.recent(100) if one.entry.number > declared.number]
    assert types == ["search.refused"]


@pytest.mark.parametrize("change", ["suspend", "revoke", "credential", "expire"])
def test_what_changed_since_ask_is_seen_by_answer(house: House, change: str) -> None:
    permit = house.gate.ask(house.sheriff, SEARCH)
    if change == "expire":
        house.clock.now = "2027-01-01T00:00:00.000000Z"
    elif change == "credential":
        house.registry.revoke_credential("Sheriff", permit.credential or "", "lost")
    else:
        getattr(house.registry, change)("Sheriff", "audit overdue")
    with pytest.raises(Refused, match=r"suspended|revoked|expired"):
        house.gate.answer(permit, {})


def test_a_reinstated_licence_answers_again_and_a_revoked_one_never(house: House) -> None:
    house.registry.suspend("Sheriff", "audit overdue")
    with pytest.raises(Refused, match="audit overdue"):
        house.gate.ask(house.sheriff, SEARCH)
    house.registry.reinstate("Sheriff", "audit passed")
    house.gate.answer(house.gate.ask(house.sheriff, SEARCH), {})
    house.registry.revoke("Sheriff", "searched without a case")
    for act in (house.registry.reinstate, house.registry.suspend, house.registry.revoke):
        with pytest.raises(InputError, match="never comes back"):
            act("Sheriff", "please")
    with pytest.raises(InputError, match="is there already"):
        house.registry.add_tenant("SHERIFF", "sheriff", ["county"])
    with pytest.raises(Refused, match="for good"):
        house.gate.ask(house.sheriff, SEARCH)


def test_an_expired_licence_is_renewed_with_a_new_end(house: House) -> None:
    house.clock.now = "2027-01-01T00:00:00.000000Z"
    with pytest.raises(InputError, match=r"expired on 2027-01-01 00:00 UTC; give a new end"):
        house.registry.reinstate("Sheriff", "renewed")
    house.registry.reinstate("Sheriff", "renewed", duration="1y")
    assert house.gate.ask(house.sheriff, SEARCH).tenant == "Sheriff"


def test_boundaries_of_a_moratorium_on_the_ledgers_clock(house: House) -> None:
    house.registry.declare(june(start="2026-04-01T00:00Z", until="2026-05-01T00:00Z", duration=None))
    seen = []
    for now in (
        "2026-03-31T23:59:59.999999Z",
        "2026-04-01T00:00:00.000000Z",
        "2026-04-30T23:59:59.999999Z",
        "2026-05-01T00:00:00.000000Z",
    ):
        house.clock.now = now
        try:
            house.gate.answer(house.gate.ask(house.sheriff, SEARCH), {})
            seen.append("answered")
        except Refused:
            seen.append("refused")
    assert seen == ["answered", "refused", "refused", "answered"]


def test_names_in_another_unicode_form_are_the_same_name(house: House) -> None:
    find = house.registry.add_tenant("Jose\u0301", "research", ["gal\u00e9rie"], person="Rene\u0301e")
    request = replace(SEARCH, gallery="gale\u0301rie", operator="Ren\u00e9e")
    assert house.gate.ask(find.text, request).tenant == "Jos\u00e9"


def test_a_permit_comes_from_the_gate_alone(house: House) -> None:
    decision = house.gate.ask(house.sheriff, SEARCH).decision
    with pytest.raises(TypeError, match=r"Gate\.ask"):
        Permit(object(), SEARCH, decision)


def test_operators_index_and_record_acts_of_other_rooms(house: House) -> None:
    permit = house.gate.ask(house.operator, Request("index", "county"))
    assert (permit.role, permit.tenant, permit.person) == ("operator", None, "clerk")
    house.gate.answer(permit, {"enrolled": 1200})
    assert house.last()["type"] == "index.answered"
    with pytest.raises(Refused, match="may not search"):
        house.gate.ask(house.operator, replace(SEARCH, operator=None))
    receipt = house.gate.record(house.operator, "gallery.rolled-back", "county", {"version": 3})
    assert receipt.number == house.gate.ledger.head().number
    assert house.last()["by"] == {"operator": "clerk", "credential": permit.credential}
    for kept in ("tenant.added", "licence.reinstated", "search.answered", "registry.refused", "Gallery", "a.b.c"):
        with pytest.raises(ValueError, match="entry type"):
            house.gate.record(house.operator, kept, "county", {})


def test_acts_with_a_tenants_credential_are_refused_with_an_entry(house: House) -> None:
    with pytest.raises(Refused, match=r"tenant\.suspend is for operators of this archive, and 'Sheriff' is none"):
        Registry(house.gate, house.sheriff).suspend("Sheriff", "x")
    entry = house.last()
    assert (entry["type"], entry["subject"], entry["act"]) == ("registry.refused", "Sheriff", "tenant.suspend")
    with pytest.raises(Refused):
        house.gate.admit(house.sheriff, "audit.show")


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"kinds": ["polise"]}, "unknown kind 'polise'; did you mean 'police'?"),
        ({"kinds": []}, "at least one kind"),
        ({"operations": ["serch"]}, "unknown operation 'serch'; did you mean 'search'?"),
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
def test_bad_terms_are_named_and_leave_no_entry(house: House, terms: dict[str, object], says: str) -> None:
    before = house.gate.ledger.head().number
    with pytest.raises(InputError) as caught:
        house.registry.declare(june(**terms))
    assert says in str(caught.value)
    assert house.gate.ledger.head().number == before


def test_doubled_and_finished_moratoria_are_refused(house: House) -> None:
    house.registry.declare(june())
    with pytest.raises(InputError, match="'june' is there already"):
        house.registry.declare(june(name="June"))
    house.registry.lift("june", "the law is in force")
    with pytest.raises(InputError, match="lifted already"):
        house.registry.lift("june", "again")
    house.gate.answer(house.gate.ask(house.sheriff, SEARCH), {})


def test_a_whole_credential_pasted_as_an_id_is_not_repeated(house: House) -> None:
    with pytest.raises(InputError) as caught:
        house.registry.revoke_credential("Sheriff", house.sheriff, "lost")
    assert house.sheriff.split(".")[2] not in str(caught.value)


def test_a_tampered_rule_fails_closed(house: House) -> None:
    house.registry.declare(june())
    with sqlite3.connect(house.path / DATABASE) as connection:
        connection.execute("DROP TRIGGER entries_refuse_delete")
        connection.execute("DELETE FROM entries WHERE type = 'moratorium.declared'")
    connection.close()
    with pytest.raises(LedgerTampered):
        Gate(Ledger(house.path, clock=house.clock)).ask(house.sheriff, SEARCH)


def test_without_a_home_the_gate_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(LedgerAbsent, match="run 'afterfact init'"):
        Gate.open(tmp_path)


def _search_until_refused(home: Path, credential: str, started: object) -> None:
    gate = Gate.open(home)
    for count in range(100_000):
        try:
            gate.answer(gate.ask(credential, SEARCH), {"count": count})
        except Refused:
            return
        if count == 3:
            started.release()  # type: ignore[attr-defined]


def test_no_answer_is_numbered_above_the_moratorium_however_many_ask(tmp_path: Path) -> None:
    home = tmp_path / "home"
    operator = make_home(home, "clerk").text
    registry = Registry(Gate.open(home), operator)
    credential = registry.add_tenant("Sheriff", "sheriff", ["county"]).text
    context = multiprocessing.get_context("fork")
    started = context.Semaphore(0)
    searchers = [context.Process(target=_search_until_refused, args=(home, credential, started)) for _ in range(4)]
    for searcher in searchers:
        searcher.start()
    for _ in searchers:
        assert started.acquire(timeout=30)
    declared = registry.declare(june())
    for searcher in searchers:
        searcher.join(30)
    assert [searcher.exitcode for searcher in searchers] == [0] * 4
    ledger = Ledger(home)
    above = [one.entry for one in ledger.recent(100_000) if one.entry.number > declared.number]
    assert [entry.type for entry in above] == ["search.refused"] * 4
    answered = ledger.recent(100_000, type="search.answered")
    assert len(answered) >= 16
    assert verify(ledger).intact
