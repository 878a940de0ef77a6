"""The gate every other room passes: ask before work begins, answer before anything is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from access.credentials import authenticate
from access.decision import Decision, Request, Who, decide, decide_act
from access.ledger.chain import Draft, Entry
from access.ledger.ledger import Ledger
from access.names import recordable
from access.rules import Rules, rules_from
from access.vocabulary import Vocabulary, load_vocabulary
from foundation.errors import EXIT_REFUSED, AfterfactError

_RECORDED_TYPE = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*")
_OWN_TYPES = {"ledger", "operator", "tenant", "credential", "licence", "moratorium", "registry"}
_OWN_ENDINGS = {"answered", "refused"}
_SEAL = object()


@dataclass(frozen=True)
class Receipt:
    """The ledger entry that stands for an answer, a refusal or an act. `time` is a moment in UTC; `head` is the
    entry's digest, 64 hexadecimal digits: printed on paper, it shows later that the ledger was not rewritten."""

    number: int
    time: str
    head: str


class Refused(AfterfactError):
    """The rules refused. The message names every rule that spoke and until when it stands."""

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, decision: Decision, receipt: Receipt) -> None:
        super().__init__(message)
        self.decision = decision
        self.receipt = receipt


class Permit:
    """Leave to work on one request; only Gate.ask makes one. It shows nothing yet: the answer is decided anew."""

    def __init__(self, seal: object, request: Request, decision: Decision) -> None:
        if seal is not _SEAL:
            raise TypeError("a Permit comes from Gate.ask")
        self.request = request
        self.decision = decision

    @property
    def who(self) -> Who:
        """Who asks, with role, name, kind, person and credential id."""
        return self.decision.who

    @property
    def tenant(self) -> str | None:
        """The tenant's name; None for an operator."""
        return self.who.name if self.who.role == "tenant" else None

    @property
    def kind(self) -> str | None:
        """The tenant's kind; None for an operator."""
        return self.who.kind

    @property
    def person(self) -> str | None:
        """The person who asks."""
        return self.who.person

    @property
    def role(self) -> str:
        """ "tenant" or "operator"."""
        return self.who.role

    @property
    def credential(self) -> str | None:
        """The credential's public id."""
        return self.who.credential


class Gate:
    """Decides on the ledger of one data home, and records every answer, refusal and act there."""

    def __init__(self, ledger: Ledger, vocabulary: Vocabulary | None = None) -> None:
        self.ledger = ledger
        self.vocabulary = vocabulary or load_vocabulary()
        self._read: tuple[Sequence[Entry], Rules] | None = None

    @classmethod
    def open(cls, home: Path) -> Gate:
        """Opens the gate of a data home. Raises LedgerError (say, LedgerAbsent: run 'afterfact init')."""
        return cls(Ledger(home))

    def ask(self, credential_text: str, request: Request) -> Permit:
        """Authenticates and decides, before any work. An allowed request is not recorded until it is answered.

        Raises Refused, after the refusal was recorded, and LedgerError where nothing can be decided.
        """
        request = request.tidied()
        entries, now = self.ledger.read_rules()
        rules = self._rules(entries)
        decision = decide(rules, self.vocabulary, authenticate(rules, credential_text), request, now)
        if not decision.allowed:
            decision, _ = self._settle(request, lambda rules: authenticate(rules, credential_text), None)
        return Permit(_SEAL, request, decision)

    def answer(self, permit: Permit, body: Mapping[str, Any], details: Mapping[str, Any] | None = None) -> Receipt:
        """Decides again, in the transaction that records the answer; only then may the answer be shown.

        `body` (gallery version, model, counts) stays for good; `details` (probe digest, candidates) may be erased
        one day; the case number is put there as well. Both are JSON values, distances written as strings: a float
        raises TypeError. Raises Refused where a rule has changed since ask, and LedgerError.
        """
        _, receipt = self._settle(permit.request, lambda _rules: permit.credential, (body, details))
        if receipt is None:
            raise AssertionError("an answer is always recorded")
        return receipt

    def record(self, credential_text: str, type: str, subject: str, body: Mapping[str, Any]) -> Receipt:
        """Records an operator's act outside access, such as "gallery.rolled-back", with the gallery as subject.

        Raises Refused where the credential is not an operator's, ValueError for a type that access keeps for
        itself, TypeError for a float in body, LedgerError.
        """
        room, _, ending = type.partition(".")
        if not _RECORDED_TYPE.fullmatch(type) or room in _OWN_TYPES or ending in _OWN_ENDINGS:
            raise ValueError(f"entry type {type!r} is not 'room.done', or access keeps it for itself")
        entries = self.act(credential_text, type, lambda _rules, _now: [Draft(type, subject, dict(body))])
        return receipt_of(entries[-1])

    def act(self, credential_text: str, act: str, drafts: Callable[[Rules, str], Sequence[Draft]]) -> list[Entry]:
        """Appends an operator's act, whose drafts are made from the rules and the time inside the transaction.

        Each draft gets who did it as "by". Raises Refused (recorded), LedgerError, and what drafts raises.
        """
        refused: list[Decision] = []

        def settle(entries: Sequence[Entry], now: str) -> Sequence[Draft]:
            rules = self._rules(entries)
            decision = decide_act(rules, authenticate(rules, credential_text), act)
            if not decision.allowed:
                refused.append(decision)
                return [Draft("registry.refused", decision.who.name, {"act": act, **_spoken(decision)})]
            by = {"operator": decision.who.name, "credential": decision.who.credential}
            return [Draft(one.type, one.subject, {**one.body, "by": by}, one.details) for one in drafts(rules, now)]

        appended = self.ledger.append_decided(settle)
        if refused:
            raise _refusal(act, refused[0], appended[-1])
        return appended

    def admit(self, credential_text: str, act: str) -> tuple[Rules, str]:
        """Returns the rules and the time to an operator who only reads. Raises Refused (recorded) and LedgerError."""
        entries, now = self.ledger.read_rules()
        rules = self._rules(entries)
        if not decide_act(rules, authenticate(rules, credential_text), act).allowed:
            self.act(credential_text, act, lambda _rules, _now: [])
        return rules, now

    def rules(self) -> tuple[Rules, str]:
        """Returns the rules and the time; for what reveals no query. Raises LedgerError."""
        entries, now = self.ledger.read_rules()
        return self._rules(entries), now

    def _settle(
        self,
        request: Request,
        proven: Callable[[Rules], str | None],
        answer: tuple[Mapping[str, Any], Mapping[str, Any] | None] | None,
    ) -> tuple[Decision, Receipt | None]:
        """Decides inside the transaction that appends: the answer if there is one, a refusal where it is refused."""
        decided: list[Decision] = []

        def settle(entries: Sequence[Entry], now: str) -> Sequence[Draft]:
            rules = self._rules(entries)
            decision = decide(rules, self.vocabulary, proven(rules), request, now)
            decided.append(decision)
            if decision.allowed and answer is None:
                return []
            body = {"request": _recorded(request), **_spoken(decision)}
            details: dict[str, Any] = {"case": recordable(request.case)}
            if not decision.allowed:
                return [Draft(f"{_room(request)}.refused", decision.who.name, body, details)]
            given, given_details = answer or ({}, None)
            if given_details is not None:
                details["answer"] = dict(given_details)
            return [Draft(f"{_room(request)}.answered", decision.who.name, {**body, "answer": dict(given)}, details)]

        appended = self.ledger.append_decided(settle)
        decision = decided[-1]
        if not decision.allowed:
            raise _refusal(
                f"{recordable(request.operation)} of gallery {recordable(request.gallery)!r}", decision, appended[-1]
            )
        return decision, receipt_of(appended[-1]) if appended else None

    def _rules(self, entries: Sequence[Entry]) -> Rules:
        # The ledger hands back the same tuple until a rule entry is appended; reading it once is enough.
        if self._read is None or self._read[0] is not entries:
            self._read = (entries, rules_from(entries))
        return self._read[1]


def receipt_of(entry: Entry) -> Receipt:
    """Returns the receipt of an entry."""
    return Receipt(entry.number, entry.time, entry.digest)


def _refusal(what: str, decision: Decision, entry: Entry) -> Refused:
    message = f"refused: {what} (ledger entry {entry.number}): {decision.reasons}"
    return Refused(message, decision, receipt_of(entry))


def _spoken(decision: Decision) -> dict[str, Any]:
    who = {name: recordable(value) for name, value in asdict(decision.who).items()}
    return {"who": who, "findings": [asdict(finding) for finding in decision.findings]}


def _recorded(request: Request) -> dict[str, Any]:
    # The case number is not here: it may have to be erased, and goes into the details.
    return {
        "operation": recordable(request.operation),
        "gallery": recordable(request.gallery),
        "purpose": recordable(request.purpose),
        "operator": recordable(request.operator),
    }


def _room(request: Request) -> str:
    return request.operation if request.operation in ("search", "index") else "unknown"


__all__ = ["Gate", "Permit", "Receipt", "Refused", "Request", "receipt_of"]
