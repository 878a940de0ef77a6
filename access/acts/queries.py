"""Acts around queries and the ledger: approve a case, name a gallery's owner, confirm the clock, erase details."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from access.acts.desk import Desk, FromTerms, tenant_named
from access.credentials import authenticate
from access.decision import Decision, decide_approval
from access.history import approval_trace
from access.ledger.chain import Draft, Entry
from access.names import name_problem, read_name, read_reason, tidy
from access.rules import Rules
from access.times import later
from access.vocabulary import one_of
from foundation.errors import InputError

APPROVAL_SPAN = "7d"
"""How long an approval stands where nothing else is said."""

ERASE = "audit.erase"
_HIGHEST = 2**62


class Queries(Desk):
    """What an approver or an operator does around queries."""

    def approve_query(
        self,
        tenant: str,
        case: str,
        purpose: str,
        reason: str,
        *,
        beneficiary: str | None = None,
        span: str = APPROVAL_SPAN,
    ) -> Entry:
        """Approves one tenant's queries on one case for one purpose: under an exempt purpose, or held ones.

        An operator may approve both; an approver of the asking organisation only the first, and never their own.
        """
        one_of(purpose, self.gate.vocabulary.purposes, "purpose")
        case, why = tidy(case), read_reason(reason)
        problem = name_problem(case)
        if problem:
            raise InputError(f"--case {case[:80]!r} {problem}")

        def drafts(rules: Rules, now: str) -> list[Draft]:
            asking = tenant_named(rules, tenant).name
            asked_for = tenant_named(rules, beneficiary).name if beneficiary is not None else asking
            who = decide_approval(rules, authenticate(rules, self.credential_text), asking, now).who
            body = {
                "tenant": asking,
                "beneficiary": asked_for,
                "purpose": purpose,
                "until": later(now, span, "--for"),
                "who": {"role": who.role, "name": who.name, "person": who.person},
                "why": why,
            }
            return [Draft("query.approved", asking, body, {"case": case}, private_traces=(approval_trace(case),))]

        def judge(rules: Rules, proven: str | None, now: str) -> Decision:
            return decide_approval(rules, proven, tenant, now)

        return self.gate.act(self.credential_text, "access.approve", drafts, judge=judge)[-1]

    def own(self, gallery: str, tenant: str, reason: str) -> Entry:
        """Names the tenant whose photos a gallery holds: its licence and moratoria bind every query there.

        A gallery that has an owner gets another one only by two operators, since that could end what bars it.
        """
        gallery, why = read_name(gallery, "gallery"), read_reason(reason)
        if gallery in self.gate.rules()[0].owners:
            terms = {"owner": tenant}
            return self.propose("access.owner", gallery, lambda _rules, _now: terms, why, _owned(gallery))
        return self.act(
            "access.owner", lambda rules, now: _owned(gallery, first=True)(rules, now, {"owner": tenant}, why)
        )

    def approve_owner(self, gallery: str, number: int) -> Entry:
        """Approves another owner that a first operator proposed."""
        gallery = read_name(gallery, "gallery")
        return self.approve("access.owner", gallery, number, _owned(gallery))

    def confirm_clock(self, reason: str) -> Entry:
        """Says that the clock is right, after a jump or a long silence."""
        why = read_reason(reason)
        last, _ = self.gate.ledger.clock_state()

        def drafts(_rules: Rules, at: str) -> list[Draft]:
            return [Draft("clock.confirmed", "ledger", {"last": last, "now": at, "why": why})]

        return self.gate.act(self.credential_text, "audit.clock", drafts, clock_confirmed=True)[-1]

    def propose_erasure(self, entries: Sequence[int], authority: str, dated: str, reason: str) -> Entry:
        """Proposes to erase the details of entries (case, probe, candidates) under an order; the entries stay."""
        order = read_name(authority, "--authority")
        try:
            if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", dated):
                raise ValueError
            date.fromisoformat(dated)
        except ValueError:
            raise InputError(f"--dated {dated[:40]!r} is no date; write the order's, such as 2026-03-04") from None
        if not entries:
            raise InputError("nothing to erase; name the entries by their numbers")
        self.gate.admit(self.credential_text, "audit.show")
        for number in entries:
            self._require_details(number)
        terms = {"entries": sorted(set(entries)), "authority": order, "dated": dated}
        return self.propose(ERASE, "ledger", lambda _rules, _now: terms, reason, self._erased)

    def approve_erasure(self, number: int) -> Entry:
        """Erases what propose_erasure proposed: details, salt and traces, in the transaction that says so."""
        proposal = self.gate.rules()[0].proposals.get(number)
        if proposal is not None and proposal.act == ERASE and proposal.done is None:
            self.gate.admit(self.credential_text, "audit.show")
            for entry in proposal.terms["entries"]:
                self._require_details(entry)
        return self.approve(ERASE, "ledger", number, self._erased, as_owner=True)

    def _require_details(self, number: int) -> None:
        found = self.gate.ledger.recent(1, number=number, details=True) if 0 < number < _HIGHEST else []
        if not found:
            raise InputError(f"the ledger has no entry {number}; see afterfact audit show")
        if "details" not in found[0].body:
            raise InputError(f"entry {number} has no details that could be erased")

    def _erased(self, _rules: Rules, _now: str, terms: Mapping[str, Any], why: str) -> list[Draft]:
        numbers = tuple(terms["entries"])
        return [Draft("details.erased", "ledger", {**terms, "why": why}, erases=numbers)]


def _owned(gallery: str, first: bool = False) -> FromTerms:
    def drafts(rules: Rules, _now: str, terms: Mapping[str, Any], why: str) -> list[Draft]:
        if first and gallery in rules.owners:
            raise InputError(f"gallery {gallery!r} got an owner meanwhile, {rules.owners[gallery]!r}; try again")
        return [Draft("gallery.owned", gallery, {"owner": tenant_named(rules, terms["owner"]).name, "why": why})]

    return drafts
