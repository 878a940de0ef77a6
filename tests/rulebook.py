"""A registry in few lines, for tests of the rules: people, licences, moratoria, entries; and a house with a ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from databases import Clock

from access.acts.moratoria import Moratoria, MoratoriumTerms, with_preset
from access.acts.operators import Operators
from access.acts.queries import Queries
from access.acts.tenants import Tenants, WantedTerms
from access.credentials import NewCredential
from access.decision import Decision, decide
from access.gate import Gate, Refused
from access.homes import make_home
from access.ledger.chain import FORMAT, Draft, Entry, canonical, seal
from access.ledger.ledger import Ledger
from access.presets import load_preset
from access.questions import question
from access.requests import NOTHING_KNOWN, Approval, Earlier, History, Request
from access.rules import GRANTED, Change, Credential, Licence, Moratorium, Operator, Rules, Tenant, Terms
from access.times import instant, moment
from access.vocabulary import load_vocabulary

WORDS = load_vocabulary()
NOW = "2026-03-01T12:00:00.000000Z"
LONG_AGO = "2017-01-01T00:00:00.000000Z"
SEARCH = Request("search", "county", purpose="robbery", case="2026-0117", operator="D. Ito")
EVERYTHING = Terms(frozenset({"county"}), frozenset(GRANTED), frozenset(WORDS.purposes))


def moved(at: str, **by: float) -> str:
    """Returns a moment that lies a timedelta away from another."""
    return moment(instant(at) + timedelta(**by))


def just_before(at: str) -> str:
    """Returns the last moment before another."""
    return moved(at, microseconds=-1)


def change(what: str, effective: str, entry: int, **more: Any) -> Change:
    """Returns one change of a licence."""
    return Change(what, effective, entry, LONG_AGO, "clerk", more.pop("why", "because"), **more)


def licence(*changes: Change, begins: str = LONG_AGO, **terms: Any) -> Licence:
    """Returns a licence to do everything with gallery county, with other terms and later changes where given."""
    first = change("active", begins, 1, terms=replace(EVERYTHING, **terms))
    return Licence((first, *changes))


def tenant(
    name: str = "Sheriff",
    kind: str = "sheriff",
    *changes: Change,
    formerly: str | None = None,
    begins: str = LONG_AGO,
    **terms: Any,
) -> Tenant:
    """Returns a tenant with such a licence."""
    return Tenant(name, kind, licence(*changes, begins=begins, **terms), LONG_AGO, formerly)


def moratorium(name: str = "june", **fields: Any) -> Moratorium:
    """Returns a moratorium that bars sheriffs from searching since long ago, or with other fields."""
    plain = Moratorium(
        name=name,
        authority="vendor",
        reason="until there is a law",
        link=None,
        preset=None,
        start=LONG_AGO,
        until=None,
        named=("sheriff",),
        kinds=frozenset({"sheriff"}),
        tenants=frozenset(),
        everyone=False,
        operations=frozenset({"search"}),
        apart=frozenset(),
        exempt_tenants=frozenset(),
        exempt_kinds=frozenset(),
        exempt_purposes=frozenset(),
        declared=LONG_AGO,
        entry=1,
    )
    return replace(plain, **{name: _frozen(value) for name, value in fields.items()})


def credential(id: str, holder: str, role: str = "tenant", **fields: Any) -> Credential:
    """Returns a credential that has been valid since long ago, or with other fields."""
    plain = Credential(id, role, holder, None, "0" * 64, LONG_AGO)
    return replace(plain, **fields)


def registry(
    *tenants: Tenant,
    moratoria: Sequence[Moratorium] = (),
    owners: Mapping[str, str] | None = None,
    credentials: Sequence[Credential] = (),
    operators: Sequence[Operator] = (Operator("clerk", "administrator", "vendor", LONG_AGO),),
) -> Rules:
    """Returns the rules of these. Every tenant and operator has a credential whose id is its name."""
    organisations = [credential(one.name, one.name) for one in tenants]
    people = [credential(one.name, one.name, "operator", person=one.name) for one in operators]
    return Rules(
        operators={one.name: one for one in operators},
        tenants={one.name: one for one in tenants},
        credentials={one.id: one for one in (*organisations, *people, *credentials)},
        moratoria={one.name: one for one in moratoria},
        owners=dict(owners or {}),
        proposals={},
    )


def decided(
    rules: Rules, who: str | None = "Sheriff", now: str = NOW, history: History = NOTHING_KNOWN, **asked: Any
) -> Decision:
    """Returns what the rules say to SEARCH, with other fields where given."""
    return decide(rules, WORDS, who, replace(SEARCH, **asked), now, history)


def refusing(decision: Decision) -> list[str]:
    """Returns the sorts of rule that refuse, in order."""
    return [one.rule for one in decision.findings_that("refuses")]


def refused_before(
    number: int, purpose: str, name: str = "Sheriff", beneficiary: str | None = None, on: str = "case"
) -> Earlier:
    """Returns a refusal on the same case or probe."""
    known = Rules({}, dict.fromkeys([beneficiary or name]), {}, {}, {}, {})
    return Earlier(number, on, question(known, WORDS, name, beneficiary, purpose))


def approval(number: int, person: str, role: str = "operator", **fields: Any) -> Approval:
    """Returns leave for the sheriff's searches for robbery, or with other fields."""
    holder = person if role == "operator" else "Sheriff"
    plain = Approval(number, NOW, moved(NOW, days=7), "Sheriff", "Sheriff", "robbery", role, holder, person)
    return replace(plain, **fields)


def preset_moratorium(name: str, rules: Rules, start: str | None = None, now: str = NOW, **more: Any) -> Moratorium:
    """Returns the moratorium that declaring a preset gives."""
    terms = MoratoriumTerms(name=name, reason="", preset=name, **more)
    return with_preset(load_preset(name, WORDS), terms, start).as_declared(WORDS, rules, now)


BY = {"operator": "clerk", "credential": "00" * 8}
WHY = {"by": BY, "why": "because"}


def chain(*drafts: tuple[str, str, Mapping[str, Any]]) -> list[Entry]:
    """Returns sealed entries after those of a new house, one an hour; the first draft is entry 3, of 02:00."""
    first = ("ledger.created", "ledger", {"format": FORMAT})
    clerk = ("operator.added", "clerk", {"role": "administrator", "authority": "vendor", **WHY})
    entries: list[Entry] = []
    for hour, (type_, subject, body) in enumerate((first, clerk, *drafts)):
        last = entries[-1] if entries else None
        entries.append(seal(Draft(type_, subject, body), canonical(body), last, at_hour(hour), b"k" * 32))
    return entries


def at_hour(hour: int) -> str:
    """Returns the moment at which `chain` writes its entry of that hour."""
    return f"2026-03-01T{hour:02}:00:00.000000Z"


@dataclass
class House:
    """A data home with a real ledger, two operators of the vendor, and a clock that a test moves."""

    path: Path
    clock: Clock
    gate: Gate
    clerk: str
    second: str
    credentials: dict[str, str]

    @property
    def tenants(self) -> Tenants:
        """What the first operator does to tenants."""
        return Tenants(self.gate, self.clerk)

    @property
    def moratoria(self) -> Moratoria:
        """What the first operator does to moratoria."""
        return Moratoria(self.gate, self.clerk)

    @property
    def queries(self) -> Queries:
        """What the first operator does around queries."""
        return Queries(self.gate, self.clerk)

    def register(self, name: str, kind: str, *, start: str = "now", **wanted: Any) -> NewCredential:
        """Registers a tenant with gallery county, or with the terms given; keeps its credential."""
        terms = WantedTerms(**{"galleries": ["county"], **wanted})
        made = self.tenants.add(name, kind, terms, start=start)
        self.credentials[name] = made.text
        return made

    def ask(self, name: str = "Sheriff", **asked: Any) -> str:
        """Asks and answers SEARCH, with other fields where given; returns allowed, held or refused."""
        try:
            permit = self.gate.ask(self.credentials[name], replace(SEARCH, **asked))
            self.gate.answer(permit, {"outcome": "CANDIDATES", "candidates": 2})
        except Refused as refused:
            return refused.decision.outcome
        finally:
            self.gate.handed_out()
        return "allowed"

    def reasons(self, name: str = "Sheriff", **asked: Any) -> str:
        """Returns why the question is refused or held; an empty text where it is allowed."""
        try:
            self.gate.ask(self.credentials[name], replace(SEARCH, **asked))
        except Refused as refused:
            return str(refused)
        return ""

    def lift(self, name: str) -> Entry:
        """Lifts a moratorium: the first operator proposes, the second approves."""
        number = self.moratoria.lift(name, "the law is in force").number
        return Moratoria(self.gate, self.second).approve_change("moratorium.lift", name, number)


def open_house(folder: Path, now: str = NOW) -> House:
    """Makes a house in an empty folder."""
    clock, home = Clock(now), folder / "home"
    clerk = make_home(home, "clerk", clock=clock).text
    gate = Gate(Ledger(home, clock=clock))
    second = Operators(gate, clerk).add("second", "licensing-officer", "so that there are two").text
    return House(home, clock, gate, clerk, second, {})


def _frozen(value: Any) -> Any:
    return frozenset(value) if isinstance(value, set) else value
