"""The gate on a real ledger against a small model of the rules, through random lives of an archive."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rulebook import WORDS, House, open_house

from access.acts.moratoria import Exemption, Moratoria, MoratoriumTerms
from access.acts.queries import Queries
from access.acts.tenants import Tenants, WantedTerms
from access.credentials import authenticate
from access.decision import check, decide_act, with_new_licence
from access.gate import Permit, Refused
from access.ledger.errors import LedgerClockError
from access.ledger.verification import verify
from access.requests import NOTHING_KNOWN, Request
from access.times import moment
from foundation.errors import InputError

POLICE = {"sheriff", "municipal-police"}
KINDS = [*sorted(POLICE), "prosecutor", "anti-trafficking-organisation"]
NAMES = [f"Agency {letter}" for letter in "ABCDE"]
GALLERIES = ["county", "state"]
PURPOSES = ["robbery", "missing-person"]
CASES = ["2026-1", "2026-2"]
OPERATIONS = ["search", "search", "search", "index", "evaluate"]
DAYS = timedelta(days=1)
HOURS = timedelta(hours=1)
ASKING = "D. Ito"


# The model: what happened, in the ledger's order, and what the rules say of it. It calls nothing of access.


@dataclass(frozen=True)
class Question:
    """Who asks what, for whom, where, in which case and for what."""

    tenant: str
    beneficiary: str
    operation: str
    gallery: str
    case: str | None
    purpose: str | None


@dataclass(frozen=True)
class Bar:
    """A moratorium as it was declared."""

    start: datetime
    end: datetime | None
    kinds: frozenset[str]
    tenants: frozenset[str]
    everyone: bool
    operations: frozenset[str]
    apart: frozenset[str]
    exempt_tenants: frozenset[str]
    exempt_kinds: frozenset[str]
    exempt_purposes: frozenset[str]


@dataclass
class Model:
    """The rules, after some events."""

    kind: dict[str, str] = field(default_factory=dict)
    formerly: dict[str, str | None] = field(default_factory=dict)
    begins: dict[str, datetime] = field(default_factory=dict)
    changes: dict[str, list[tuple[datetime, int, str]]] = field(default_factory=dict)
    bars: dict[str, Bar] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[int, Question]] = field(default_factory=list)
    approved: list[tuple[int, datetime, Question]] = field(default_factory=list)

    def take(self, number: int, what: str, *about: Any) -> None:
        """Takes in one event, whose ledger entry has this number."""
        match what, about:
            case "registered", (name, kind, begins, formerly):
                self.kind[name], self.begins[name], self.formerly[name] = kind, begins, formerly
                self.changes[name] = []
            case "suspended" | "active" | "revoked", (name, start):
                self.changes[name].append((start, number, what))
            case "declared", (name, bar):
                self.bars[name] = bar
            case "lifted", (name,):
                del self.bars[name]
            case "exempted", (name, tenant):
                self.bars[name] = replace(self.bars[name], exempt_tenants=self.bars[name].exempt_tenants | {tenant})
            case "ends", (name, end):
                self.bars[name] = replace(self.bars[name], end=end)
            case "owned", (gallery, name):
                self.owners[gallery] = name
            case "refused", (question,):
                if not any(same_question(known, question) for _, known in self.asked_in(question.case)):
                    self.refused.append((number, question))
            case "approved", (until, question):
                self.approved.append((number, until, question))
            case _:
                raise AssertionError(what)

    def licence(self, name: str, now: datetime) -> str:
        """How a licence stands. Revoked is for good, in whatever order changes were made."""
        past = sorted(one for one in self.changes[name] if one[0] <= now)
        if any(what == "revoked" for _, _, what in past):
            return "revoked"
        if now < self.begins[name]:
            return "not begun"
        return past[-1][2] if past else "active"

    def dated_revocation(self, name: str) -> bool:
        """Whether it was, or is to be, revoked."""
        return any(what == "revoked" for _, _, what in self.changes[name])

    def names(self, name: str) -> set[str]:
        """The tenant's name and those that it bore before."""
        earlier = self.formerly[name]
        return {name} | (self.names(earlier) if earlier else set())

    def in_force(self, now: datetime) -> Iterator[Bar]:
        """The moratoria in force."""
        return (one for one in self.bars.values() if one.start <= now and (one.end is None or now < one.end))

    def barred(self, kind: str, names: set[str], own: str, operation: str, purpose: str | None, now: datetime) -> str:
        """What the moratoria say to one party: allowed, held or refused."""
        verdict = "allowed"
        for bar in self.in_force(now):
            hidden = operation == "evaluate" and "search" in bar.operations and "evaluate" not in bar.apart
            about = operation in bar.operations or hidden
            covered = bar.everyone or kind in bar.kinds or bool(names & bar.tenants)
            if not about or not covered or own in bar.exempt_tenants or kind in bar.exempt_kinds:
                continue
            if purpose not in bar.exempt_purposes:
                return "refused"
            verdict = "held"
        return verdict

    def verdict(self, question: Question, now: datetime) -> str:
        """What the rules say to a question: allowed, held or refused."""
        parties = {question.tenant, question.beneficiary} | {self.owners.get(question.gallery, question.tenant)}
        said = [
            self.barred(self.kind[name], self.names(name), name, question.operation, question.purpose, now)
            for name in parties
        ]
        if "refused" in said or any(self.licence(name, now) != "active" for name in parties):
            return "refused"
        if question.case is None:
            return "held" if "held" in said else "allowed"
        leave = [
            number
            for number, until, about in self.approved
            if now < until and same_question(about, question) and about.case == question.case
        ]
        others = [number for number, known in self.asked_in(question.case) if not same_question(known, question)]
        lacking = "held" in said and not leave
        return "held" if lacking or (others and not any(number > max(others) for number in leave)) else "allowed"

    def asked_in(self, case: str | None) -> list[tuple[int, Question]]:
        """The questions refused in a case."""
        return [(number, known) for number, known in self.refused if case is not None and known.case == case]

    def may_be_licensed(self, name: str, kind: str, formerly: str | None, now: datetime) -> bool:
        """Whether no moratorium on new licences bars it."""
        names = {name} | (self.names(formerly) if formerly else set())
        return self.barred(kind, names, name, "new-licences", None, now) == "allowed"


def same_question(one: Question, other: Question) -> bool:
    """Whether the two are the same tenant's for the same beneficiary and purpose."""
    return (one.tenant, one.beneficiary, one.purpose) == (other.tenant, other.beneficiary, other.purpose)


def without_a_case_where_none_is_asked(question: Question) -> Question:
    """An index belongs to no case and has no purpose."""
    return replace(question, case=None, purpose=None) if question.operation == "index" else question


# The machine: the same events, done to the real gate.

some_hours = st.sampled_from([0, 1, 6, 30])


class ArchiveLife(RuleBasedStateMachine):
    """An archive that registers, suspends, declares, lifts and answers, while its clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="afterfact-life-"))
        self.house: House = open_house(self.folder)
        self.model = Model()
        self.events: list[tuple[int, tuple[Any, ...]]] = []
        self.answers: dict[int, Question] = {}
        self.permits: list[tuple[Question, Permit]] = []
        self.held: list[Question] = []
        self.seen: tuple[int, datetime] | None = None
        self.second = Tenants(self.house.gate, self.house.second)

    @property
    def now(self) -> datetime:
        return datetime.fromisoformat(self.house.clock.now)

    def took(self, number: int, *event: Any) -> None:
        self.events.append((number, event))
        self.model.take(number, *event)

    def head(self) -> int:
        return self.house.gate.ledger.head().number

    def attempt(self, act: Any, *event: Any, must: bool) -> None:
        """Does an act; where it is refused as impossible, nothing has changed, and it must not be for no reason."""
        before = self.head()
        try:
            entry = act()
        except InputError as error:
            assert not must, f"{event}: {error}"
            assert self.head() == before
        else:
            self.took(entry.number, *event)

    @initialize()
    def four_agencies_one_of_them_registered_anew(self) -> None:
        for name, kind in zip(NAMES, KINDS, strict=False):
            self.enrol(name, kind, 0)
        self.took(self.house.tenants.revoke(NAMES[1], "because").number, "revoked", NAMES[1], self.now)
        self.enrol_anew(NAMES[1], "prosecutor")

    @precondition(lambda self: self.free())
    @rule(data=st.data(), kind=st.sampled_from(KINDS), ahead=some_hours)
    def register(self, data: st.DataObject, kind: str, ahead: int) -> None:
        self.enrol(data.draw(st.sampled_from(self.free())), kind, ahead)

    def free(self) -> list[str]:
        return [name for name in NAMES if name not in self.model.kind]

    def enrol(self, name: str, kind: str, ahead: int) -> None:
        begins = self.now + ahead * HOURS
        try:
            terms = {"galleries": GALLERIES, "operations": sorted(set(OPERATIONS))}
            self.house.register(name, kind, start=begins.isoformat(), **terms)
        except Refused:
            assert not self.model.may_be_licensed(name, kind, None, self.now)
            return
        assert self.model.may_be_licensed(name, kind, None, self.now)
        self.took(self.head(), "registered", name, kind, begins, None)

    @precondition(lambda self: self.gone())
    @rule(data=st.data(), kind=st.sampled_from(KINDS))
    def register_anew(self, data: st.DataObject, kind: str) -> None:
        self.enrol_anew(data.draw(st.sampled_from(self.gone())), kind)

    def gone(self) -> list[str]:
        revoked = [
            name for name in NAMES if name in self.model.kind and self.model.licence(name, self.now) == "revoked"
        ]
        return [name for name in revoked if f"{name} II" not in self.model.kind]

    def enrol_anew(self, old: str, kind: str) -> None:
        name = f"{old} II"
        wanted = WantedTerms(galleries=GALLERIES, operations=sorted(set(OPERATIONS)))
        number = self.house.tenants.propose_anew(name, kind, wanted, old).number
        with pytest.raises((InputError, Refused), match=r"second operator|new-licences"):
            self.house.tenants.approve_anew(name, number)
        try:
            made = self.second.approve_anew(name, number)
        except Refused:
            assert not self.model.may_be_licensed(name, kind, old, self.now)
            return
        assert self.model.may_be_licensed(name, kind, old, self.now)
        self.house.credentials[name] = made.text
        self.took(self.head(), "registered", name, kind, self.now, old)

    @precondition(lambda self: self.model.kind)
    @rule(data=st.data(), what=st.sampled_from(["suspended", "suspended", "active", "active", "revoked"]))
    def change_a_licence(self, data: st.DataObject, what: str) -> None:
        name = data.draw(self.registered())
        ahead = data.draw(some_hours)
        start = self.now + ahead * HOURS
        act = {
            "suspended": self.house.tenants.suspend,
            "active": self.house.tenants.reinstate,
            "revoked": self.house.tenants.revoke,
        }[what]
        stands, final = self.model.licence(name, self.now), self.model.dated_revocation(name)
        must = {
            "suspended": ahead == 0 and stands == "active",
            "active": ahead == 0 and stands == "suspended" and not final,
            "revoked": ahead == 0 and stands != "revoked",
        }[what]
        self.attempt(lambda: act(name, "because", start=start.isoformat()), what, name, start, must=must)

    @precondition(lambda self: len(self.model.bars) < 4)
    @rule(data=st.data(), begins=st.sampled_from([-40, -1, 0, 1, 20]), length=st.sampled_from([None, 1, 41, 60]))
    def declare(self, data: st.DataObject, begins: int, length: int | None) -> None:
        start = self.now + begins * HOURS
        end = None if length is None else start + length * HOURS
        whom = data.draw(st.sampled_from(["police", "one kind", "tenant", "everyone"]))
        kind, tenant = data.draw(st.sampled_from(KINDS)), data.draw(self.registered())
        operations = data.draw(st.sampled_from([["search"], ["search"], ["index"], ["search", "new-licences"]]))
        exempt = data.draw(st.sampled_from(["nothing", "tenant", "kind", "purpose"]))
        exempted = data.draw(self.registered()), data.draw(st.sampled_from(KINDS))
        bar = Bar(
            start=start,
            end=end,
            kinds=frozenset({"police": POLICE, "one kind": {kind}}.get(whom, set())),
            tenants=frozenset({tenant} if whom == "tenant" else ()),
            everyone=whom == "everyone",
            operations=frozenset(operations),
            apart=frozenset(data.draw(st.sampled_from([(), ("evaluate",)]))),
            exempt_tenants=frozenset({exempted[0]} if exempt == "tenant" else ()),
            exempt_kinds=frozenset({exempted[1]} if exempt == "kind" else ()),
            exempt_purposes=frozenset({"missing-person"} if exempt == "purpose" else ()),
        )
        terms = MoratoriumTerms(
            name=f"moratorium {self.head()}",
            reason="until there is a law",
            kinds={"police": ["police"], "one kind": [kind]}.get(whom, []),
            tenants=sorted(bar.tenants),
            everyone=bar.everyone,
            start=start.isoformat(),
            until=end.isoformat() if end else None,
            operations=operations,
            apart=sorted(bar.apart),
            exempt_tenants=sorted(bar.exempt_tenants),
            exempt_kinds=sorted(bar.exempt_kinds),
            exempt_purposes=sorted(bar.exempt_purposes),
        )
        self.attempt(lambda: self.house.moratoria.declare(terms), "declared", terms.name, bar, must=True)

    @precondition(lambda self: self.model.bars)
    @rule(data=st.data(), what=st.sampled_from(["lift", "exempt", "extend"]))
    def change_a_moratorium(self, data: st.DataObject, what: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.bars)))
        bar, moratoria = self.model.bars[name], self.house.moratoria
        over = bar.end is not None and bar.end <= self.now
        if what == "extend":
            act = lambda: moratoria.extend(name, "still no law")  # noqa: E731
            self.attempt(act, "ends", name, None, must=not over and bar.end is not None)
            return
        tenant = data.draw(self.registered())
        before = self.head()
        try:
            if what == "lift":
                proposed = moratoria.lift(name, "a law")
            else:
                proposed = moratoria.exempt(name, Exemption(tenants=[tenant]), "they look for victims")
        except InputError:
            assert over
            assert self.head() == before
            return
        assert not over
        act_named = f"moratorium.{what}"
        with pytest.raises(InputError, match="second operator"):
            moratoria.approve_change(act_named, name, proposed.number)
        done = Moratoria(self.house.gate, self.house.second).approve_change(act_named, name, proposed.number)
        self.took(done.number, *(("lifted", name) if what == "lift" else ("exempted", name, tenant)))

    @precondition(lambda self: len(self.model.owners) < len(GALLERIES))
    @rule(data=st.data(), gallery=st.sampled_from(GALLERIES))
    def own(self, data: st.DataObject, gallery: str) -> None:
        name = data.draw(self.registered())
        entry = self.house.queries.own(gallery, name, "their photos")
        if gallery in self.model.owners:  # another owner could end what bars the gallery
            assert entry.type == "proposal.made"
            entry = Queries(self.house.gate, self.house.second).approve_owner(gallery, entry.number)
        self.took(entry.number, "owned", gallery, name)

    @precondition(lambda self: self.model.kind)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        question = data.draw(st.sampled_from(self.held)) if self.held else data.draw(self.questions("search"))
        number = self.house.queries.approve_query(
            question.tenant,
            f" {question.case}".upper(),
            question.purpose or "",
            "checked the file",
            beneficiary=question.beneficiary,
            span="12h",
        ).number
        self.took(number, "approved", self.now + 12 * HOURS, question)

    @rule(step=st.sampled_from([timedelta(microseconds=1), HOURS, 6 * HOURS, 20 * HOURS, 47 * HOURS]))
    def time_goes_on(self, step: timedelta) -> None:
        self.house.clock.now = moment(self.now + step)
        last, _ = self.house.gate.ledger.clock_state()
        if self.now - datetime.fromisoformat(last) > 2 * DAYS:
            asking = next(iter(self.house.credentials.values()))
            with pytest.raises(LedgerClockError):
                self.house.gate.ask(asking, Request("read", "county"))
            self.house.queries.confirm_clock("the server was off")

    @precondition(lambda self: self.model.kind)
    @rule(data=st.data(), count=st.integers(1, 6))
    def ask(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            again = self.held and data.draw(st.booleans())
            question = data.draw(st.sampled_from(self.held) if again else self.questions())
            self.put(question, data.draw(st.booleans()))

    def put(self, question: Question, later: bool) -> None:
        expected = self.model.verdict(question, self.now)
        try:
            permit = self.house.gate.ask(self.house.credentials[question.tenant], requested(question))
        except Refused as refused:
            self.was_refused(question, refused, expected)
            return
        assert expected == "allowed", question
        if later:
            self.permits.append((question, permit))
        else:
            self.answer(question, permit)

    @precondition(lambda self: self.permits)
    @rule()
    def answer_what_was_asked_before(self) -> None:
        while self.permits:
            self.answer(*self.permits.pop())

    def answer(self, question: Question, permit: Permit) -> None:
        expected = self.model.verdict(question, self.now)
        try:
            receipt = self.house.gate.answer(permit, {"outcome": "CANDIDATES", "candidates": 1})
        except Refused as refused:
            self.was_refused(question, refused, expected)
            return
        finally:
            self.house.gate.handed_out()
        assert expected == "allowed", question
        assert receipt.number == self.head()
        self.answers[receipt.number] = question

    def was_refused(self, question: Question, refused: Refused, expected: str) -> None:
        assert refused.decision.outcome == expected, (question, str(refused))
        assert refused.receipt is not None
        assert refused.receipt.number == self.head()
        if expected == "held" and question.case is not None:
            self.held.append(question)
        if expected == "refused" and question.case is not None:
            self.took(refused.receipt.number, "refused", question)

    @invariant()
    def a_dry_run_of_anybodys_question_says_what_the_model_says(self) -> None:
        seen = (len(self.events), self.now)
        if seen == self.seen:
            return
        self.seen = seen
        rules, now = self.house.gate.rules()
        for question in self.everybodys_questions():
            dry = check(rules, WORDS, rules.tenants[question.tenant], requested(question), now, NOTHING_KNOWN)
            assert dry.outcome == self.model.verdict(question, self.now), (question, dry.reasons)
        clerk = authenticate(rules, self.house.clerk)
        for name, tenant in rules.tenants.items():
            licence = with_new_licence(decide_act(rules, clerk, "tenant.add", now), rules, tenant, now, now)
            former = self.model.formerly[name]
            assert licence.allowed is self.model.may_be_licensed(name, self.model.kind[name], former, self.now)

    def everybodys_questions(self) -> Iterator[Question]:
        for name, gallery, operation in product(sorted(self.model.kind), GALLERIES, sorted(set(OPERATIONS))):
            for beneficiary, purpose in product({name, min(self.model.kind)}, PURPOSES):
                question = Question(name, beneficiary, operation, gallery, "new", purpose)
                yield without_a_case_where_none_is_asked(question)

    def registered(self) -> st.SearchStrategy[str]:
        return st.sampled_from(sorted(self.model.kind))

    def questions(self, operation: str | None = None) -> st.SearchStrategy[Question]:
        made = st.builds(
            Question,
            tenant=self.registered(),
            beneficiary=self.registered(),
            operation=st.just(operation) if operation else st.sampled_from(OPERATIONS),
            gallery=st.sampled_from(GALLERIES),
            case=st.sampled_from(CASES),
            purpose=st.sampled_from(PURPOSES),
        )
        for_oneself = made.map(lambda one: replace(one, beneficiary=one.tenant))
        return st.one_of(for_oneself, for_oneself, made).map(without_a_case_where_none_is_asked)

    def teardown(self) -> None:
        try:
            self.check_the_whole_ledger()
        finally:
            shutil.rmtree(self.folder)

    def check_the_whole_ledger(self) -> None:
        """Every answer has its entry, every entry's answer was allowed at its number, and nothing was changed."""
        ledger = self.house.gate.ledger
        assert verify(ledger).intact
        entries = [one.entry for one in ledger.stream()]
        assert [one.time for one in entries] == sorted(one.time for one in entries)
        answered = {one.number: one for one in entries if one.type.endswith(".answered")}
        assert answered.keys() == self.answers.keys()
        past, coming = Model(), list(self.events)
        for number, entry in answered.items():
            while coming and coming[0][0] < number:
                past_number, event = coming.pop(0)
                past.take(past_number, *event)
            assert past.verdict(self.answers[number], datetime.fromisoformat(entry.time)) == "allowed"


def requested(question: Question) -> Request:
    """The question as the gate is asked it."""
    return Request(
        question.operation,
        question.gallery,
        purpose=question.purpose,
        case=question.case,
        operator=ASKING,
        beneficiary=None if question.beneficiary == question.tenant else question.beneficiary,
    )


TestArchiveLife = ArchiveLife.TestCase
TestArchiveLife.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a life has at most 30 steps; making one shorter takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
