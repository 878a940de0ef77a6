"""The gate every other room passes: ask before work begins, answer before anything is shown."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from access.credentials import authenticate
from access.decision import Decision, check, decide, decide_act
from access.history import erasable_traces, kept_traces, probe_trace, read_history
from access.ledger.chain import Draft, Entry
from access.ledger.ledger import Answering, Ledger, View
from access.names import recordable
from access.receipts import SEAL, Permit, Receipt, Refused, receipt_of, refusal
from access.replay import rules_from
from access.requests import History, Request
from access.rules import ASKED_WITH_A_CASE, OPERATIONS, Rules, Tenant
from access.strangers import count_stranger
from access.vocabulary import Vocabulary, load_vocabulary

JudgeAct = Callable[[Rules, str | None, str], Decision]
"""Given the rules, the id of the proven credential and the time, whether an act may be done."""

T = TypeVar("T")

_RECORDED_TYPE = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*")
_OWN_TYPES = {
    *("ledger", "operator", "tenant", "credential", "credentials", "licence", "moratorium", "registry"),
    *("proposal", "details", "query", "clock", "audit"),
}
_RESERVED = {"details", "traces", "entries"}
_OWN_ENDINGS = {"answered", "refused", "held", "owned"}


class Gate:
    """Decides on the ledger of one data home, and records every answer, refusal and act there."""

    def __init__(self, ledger: Ledger, vocabulary: Vocabulary | None = None) -> None:
        self.ledger = ledger
        self.vocabulary = vocabulary or load_vocabulary()
        self._read: tuple[Sequence[Entry], Rules] | None = None
        self._answering: Answering | None = None

    @classmethod
    def open(cls, home: Path) -> Gate:
        """Opens the gate of a data home. Raises LedgerError (say, LedgerAbsent: run 'afterfact init')."""
        return cls(Ledger(home))

    def ask(self, credential_text: str, request: Request) -> Permit:
        """Authenticates and decides, before any work. An allowed request is not recorded until it is answered.

        Raises Refused, after the refusal was recorded, and LedgerError where nothing can be decided.
        """
        request = request.tidied()
        decision = self.ledger.read(lambda view: self._decide(view, self._proven(view, credential_text), request)[0])
        if decision.who.role == "unknown":
            raise self._stranger(_told(request), decision)
        if not decision.allowed:
            decision, _ = self._settle(request, lambda view: self._proven(view, credential_text), None)
        return Permit(SEAL, request, decision)

    def answer(self, permit: Permit, body: Mapping[str, Any], details: Mapping[str, Any] | None = None) -> Receipt:
        """Decides again, in the transaction that records the answer; only then may the answer be shown.

        `body` (gallery version, model, counts) stays for good; `details` (candidates) may be erased one day; case
        and probe are put there as well. Both are JSON values, distances written as strings: a float raises
        TypeError. Call handed_out once it has been shown. Raises Refused where a rule has changed since ask, and
        LedgerError.
        """
        begun = self._answering is None
        if self._answering is None:
            self._answering = self.ledger.answering()
        try:
            _, receipt = self._settle(permit.request, lambda _view: permit.who.credential, (body, details))
        except BaseException:
            if begun:  # else an answer before this one is still to be shown
                self.handed_out()
            raise
        if receipt is None:
            raise AssertionError("an answer is always recorded")
        return receipt

    def handed_out(self) -> None:
        """Says that every answer so far has been shown, or never will be."""
        if self._answering is not None:
            self._answering.handed_out()
            self._answering = None

    def record(self, credential_text: str, type: str, subject: str, body: Mapping[str, Any]) -> Receipt:
        """Records an administrator's act outside access, such as "gallery.rolled-back", with the gallery as subject.

        Raises Refused where the credential is no administrator's, ValueError for a type or a field that access keeps
        for itself, TypeError for a float in body, LedgerError.
        """
        room, _, ending = type.partition(".")
        if not _RECORDED_TYPE.fullmatch(type) or room in _OWN_TYPES or ending in _OWN_ENDINGS:
            raise ValueError(f"entry type {type!r} is not 'room.done', or access keeps it for itself")
        reserved = _RESERVED & body.keys()
        if reserved:
            raise ValueError(f"body field {min(reserved)!r} is the ledger's own")
        drafts = [Draft(type, subject, dict(body))]
        return receipt_of(self.act(credential_text, "gallery.change", lambda _rules, _now: drafts)[-1])

    def act(
        self,
        credential_text: str,
        act: str,
        drafts: Callable[[Rules, str], Sequence[Draft]],
        *,
        judge: JudgeAct | None = None,
        clock_confirmed: bool = False,
        as_owner: bool = False,
    ) -> list[Entry]:
        """Appends an act, whose drafts are made from the rules and the time inside the transaction.

        Each draft gets who did it as "by". `judge` takes decide_act's place. Raises Refused (recorded),
        LedgerError, and what drafts raises.
        """
        judge = judge or (lambda rules, proven, now: decide_act(rules, proven, act, now))
        refused: list[Decision] = []

        def settle(view: View) -> Sequence[Draft]:
            rules = self._rules(view.rules)
            decision = judge(rules, authenticate(rules, credential_text), view.now)
            if not decision.allowed:
                refused.append(decision)
                if decision.who.role == "unknown" or view.doubted:  # an entry would confirm the time, too
                    return []
                body = {"act": act, **_spoken(decision)}
                return [*_lapsed(rules, view.now), Draft("registry.refused", decision.who.name, body)]
            by = {"operator": decision.who.name, "credential": decision.who.credential}
            made = [_done_by(one, by) for one in drafts(rules, view.now)]
            return [*_lapsed(rules, view.now), *made] if made else []

        appended = self.ledger.append_decided(settle, clock_confirmed=clock_confirmed, as_owner=as_owner)
        if refused and refused[0].who.role == "unknown":
            raise self._stranger(act, refused[0])
        if refused:
            raise refusal(act, refused[0], appended[-1] if appended else None)
        return appended

    def admit(self, credential_text: str, act: str) -> tuple[Rules, str]:
        """Returns the rules and the time to an operator who only reads. Raises Refused (recorded) and LedgerError."""
        rules, now = self.rules()
        if not decide_act(rules, authenticate(rules, credential_text), act, now).allowed:
            self.act(credential_text, act, lambda _rules, _now: [])
        return rules, now

    def rules(self) -> tuple[Rules, str]:
        """Returns the rules and the time; for what reveals no query. Raises LedgerError."""
        return self.ledger.read(lambda view: (self._rules(view.rules), view.now))

    def readable(self, credential_text: str, galleries: Sequence[str]) -> list[str]:
        """Returns those galleries whose facts the bearer may read. Raises Refused (recorded) where there are some and
        none may be read."""

        def look(view: View) -> list[str]:
            proven = self._proven(view, credential_text)
            return [one for one in galleries if self._decide(view, proven, Request("read", one))[0].allowed]

        found = self.ledger.read(look)
        if not found and (galleries or self.holder(self.rules()[0], credential_text) is None):
            self.ask(credential_text, Request("read", galleries[0] if galleries else ""))
        return found

    def holder(self, rules: Rules, credential_text: str) -> str | None:
        """Returns whose credential it is, or None."""
        proven = authenticate(rules, credential_text)
        return rules.credentials[proven].holder if proven else None

    def rules_at(self, at: str) -> Rules:
        """Returns the rules as they were known at a moment; one to come gives the present ones."""
        return self.ledger.read(lambda view: rules_from(view.rules, at))

    def check(self, rules: Rules, tenant: Tenant, request: Request, at: str) -> Decision:
        """Returns what a tenant's request would be told at a moment, and records nothing."""
        request = request.tidied()
        history = self.ledger.read(lambda view: read_history(view, rules, self.vocabulary, request, tenant.name, at))
        return check(rules, self.vocabulary, tenant, request, at, history)

    def probes_among(self, digests: Iterable[str]) -> set[str]:
        """Returns those digests (SHA-256 of photos) that the ledger knows as a probe's."""
        by_trace = {probe_trace(one): one for one in digests}
        return {by_trace[trace] for trace in self.ledger.read(lambda view: view.carried(list(by_trace)))}

    def outstanding(self, wait_seconds: float) -> int:
        """Returns how many processes still hold answers that were allowed before this call, having waited for them
        up to wait_seconds."""
        return self.ledger.outstanding(wait_seconds)

    def _decide(self, view: View, proven: str | None, request: Request) -> tuple[Decision, History]:
        rules = self._rules(view.rules)
        credential = rules.credentials.get(proven) if proven else None
        tenant = credential.holder if credential and credential.role == "tenant" else None
        history = read_history(view, rules, self.vocabulary, request, tenant)
        return decide(rules, self.vocabulary, proven, request, view.now, history), history

    def _settle(
        self,
        request: Request,
        proven: Callable[[View], str | None],
        answer: tuple[Mapping[str, Any], Mapping[str, Any] | None] | None,
    ) -> tuple[Decision, Receipt | None]:
        """Decides inside the transaction that appends: the answer if there is one, a refusal where it is refused."""
        decided: list[Decision] = []

        def settle(view: View) -> Sequence[Draft]:
            decision, history = self._decide(view, proven(view), request)
            decided.append(decision)
            if decision.allowed and answer is None:
                return []
            body = {"request": request.recorded(), **_spoken(decision)}
            details: dict[str, Any] = request.erasable()
            ending = "answered" if decision.allowed else decision.outcome
            if decision.allowed and answer is not None:
                body["answer"] = dict(answer[0])
                if answer[1] is not None:
                    details["answer"] = dict(answer[1])
            rules = self._rules(view.rules)
            traces = erasable_traces(rules, self.vocabulary, request, decision, history)
            draft = Draft(
                *(f"{_room(request)}.{ending}", decision.who.name, body, details or None),
                traces=tuple(kept_traces(request, decision, view.now)),
                private_traces=tuple(traces),
            )
            return [*_lapsed(rules, view.now), draft]

        appended = self.ledger.append_decided(settle)
        decision = decided[-1]
        if not decision.allowed:
            raise refusal(_told(request), decision, appended[-1])
        return decision, receipt_of(appended[-1]) if appended else None

    def _stranger(self, what: str, decision: Decision) -> Refused:
        """Counts a wrong credential, tells the ledger now and then, and returns the refusal."""
        entry = None

        def tell(view: View) -> Sequence[Draft]:
            count, before = count_stranger(self.ledger.home, view.now[:10])
            if not count.is_told:
                return []
            earlier = {"day": before.day, "wrong": before.wrong} if before else None
            body = {"day": count.day, "wrong": count.wrong, "host": socket.gethostname(), "earlier": earlier}
            return [Draft("credentials.refused", "unknown", body)]

        appended = self.ledger.append_decided(tell)
        entry = appended[-1] if appended else None
        return refusal(what, decision, entry, "; wrong credentials are counted in the ledger")

    def _proven(self, view: View, credential_text: str) -> str | None:
        return authenticate(self._rules(view.rules), credential_text)

    def _rules(self, entries: Sequence[Entry]) -> Rules:
        # The ledger hands back the same tuple until a rule entry is appended; reading it once is enough. What is
        # returned is this call's own: another thread may meanwhile have read older entries.
        read = self._read
        if read is None or read[0] is not entries:
            read = self._read = (entries, rules_from(entries))
        return read[1]


def _done_by(draft: Draft, by: Mapping[str, Any]) -> Draft:
    return replace(draft, body={**draft.body, "by": {**draft.body.get("by", {}), **by}})


def _lapsed(rules: Rules, now: str) -> list[Draft]:
    """Tells, before the next entry, every moratorium that has come to its end by lapse of time."""
    return [
        Draft("moratorium.ended", one.name, {"until": one.until})
        for one in rules.moratoria.values()
        if one.state(now) == "ended" and not one.end_told
    ]


def _spoken(decision: Decision) -> dict[str, Any]:
    who = {name: recordable(value) for name, value in asdict(decision.who).items()}
    return {"who": who, "findings": [asdict(finding) for finding in decision.findings]}


def _room(request: Request) -> str:
    return request.operation if request.operation in OPERATIONS else "unknown"


def _told(request: Request) -> str:
    what = "photos outside every gallery" if request.outside_galleries else f"gallery {recordable(request.gallery)!r}"
    return f"{recordable(request.operation)} of {what}"


__all__ = ["ASKED_WITH_A_CASE", "Gate", "Permit", "Receipt", "Refused", "Request", "receipt_of"]
