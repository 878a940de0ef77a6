"""The desk that every act passes: a credential, checks and entry in one transaction, two operators where it must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from access.credentials import NewCredential
from access.decision import Decision, decide_act, with_new_licence
from access.gate import Gate
from access.ledger.chain import Draft, Entry
from access.names import read_name, read_reason
from access.roles import PROPOSAL_DAYS
from access.rules import Moratorium, Proposal, Rules, Tenant
from access.times import instant, moment, shown
from access.vocabulary import one_of
from foundation.errors import InputError

MakeDrafts = Callable[[Rules, str], list[Draft]]
"""Given the rules and the time, an act's entries; an InputError where the act is not possible."""

FromTerms = Callable[[Rules, str, Mapping[str, Any], str], list[Draft]]
"""The same for an act that takes two operators: given also its terms and the reason."""

Licensee = Callable[[Rules, str], tuple[Tenant, str] | None]
"""Given the rules and the time, the tenant that gets a new licence and from when on, or None."""

CREDENTIAL_SPAN = "1y"
"""How long a credential lasts where nothing else is said."""


class Desk:
    """Acts by one operator, whose credential text it is given.

    Every act raises InputError for a value that is not allowed, Refused (recorded) where the credential may not do
    it, and LedgerError where the ledger cannot be relied on. Reasons are kept for good.
    """

    def __init__(self, gate: Gate, credential_text: str) -> None:
        self.gate = gate
        self.credential_text = credential_text

    def act(
        self,
        act: str,
        drafts: MakeDrafts,
        *,
        authority: Callable[[Rules], str] | None = None,
        licensee: Licensee | None = None,
        as_owner: bool = False,
    ) -> Entry:
        """Does an act; returns its last entry.

        `authority` names the one whose operators alone may do it; `licensee` the tenant that it would give a new
        licence, where it does, which a moratorium may bar, and from when on.
        """

        def judge(rules: Rules, proven: str | None, now: str) -> Decision:
            decision = decide_act(rules, proven, act, now, authority(rules) if authority else None)
            licence = licensee(rules, now) if licensee and decision.allowed else None
            return with_new_licence(decision, rules, *licence, now) if licence else decision

        return self.gate.act(self.credential_text, act, drafts, judge=judge, as_owner=as_owner)[-1]

    def propose(
        self,
        act: str,
        subject: str,
        terms: Callable[[Rules, str], Mapping[str, Any]],
        why: str,
        drafts: FromTerms,
        authority: Callable[[Rules], str] | None = None,
    ) -> Entry:
        """Proposes an act that takes two operators, with its whole terms; returns the proposal's entry."""
        reason = read_reason(why)

        def proposal(rules: Rules, now: str) -> list[Draft]:
            whole = dict(terms(rules, now))
            drafts(rules, now, whole, reason)  # what cannot be done is not proposed
            return [Draft("proposal.made", subject, {"act": act, "terms": whole, "why": reason})]

        return self.act(act, proposal, authority=authority)

    def approve(
        self,
        act: str,
        subject: str,
        number: int,
        drafts: FromTerms,
        authority: Callable[[Rules], str] | None = None,
        licensee: Licensee | None = None,
        as_owner: bool = False,
    ) -> Entry:
        """Does what another operator proposed under this number, on the proposal's own terms; returns its entry."""

        def approved(rules: Rules, now: str) -> list[Draft]:
            known = _proposal(rules, number, act, subject, now)
            if known.operator == self.gate.holder(rules, self.credential_text):
                raise InputError(f"proposal {number} was made by {known.operator!r}; a second operator approves it")
            by = {"proposal": known.number, "proposed_by": known.operator}
            return [replace(one, body={**one.body, "by": by}) for one in drafts(rules, now, known.terms, known.why)]

        return self.act(act, approved, authority=authority, licensee=licensee, as_owner=as_owner)


def _proposal(rules: Rules, number: int, act: str, subject: str, now: str) -> Proposal:
    known = rules.proposals.get(number)
    if known is None or known.act != act or known.subject != subject:
        fitting = [str(one.number) for one in rules.proposals.values() if _waits(one, act, subject, now)]
        waiting = ", ".join(fitting) or "none"
        raise InputError(f"--approve {number} is no proposal of {act} for {subject!r} (waiting: {waiting})")
    if known.done is not None:
        raise InputError(f"proposal {number} was approved already, in ledger entry {known.done}")
    if not _waits(known, act, subject, now):
        raise InputError(f"proposal {number} lapsed after {PROPOSAL_DAYS} days; propose it again")
    if rules.operator(known.operator) is None:
        raise InputError(f"proposal {number} is of {known.operator!r}, who is no operator any more; propose it again")
    return known


def _waits(proposal: Proposal, act: str, subject: str, now: str) -> bool:
    lapses = moment(instant(proposal.made) + timedelta(days=PROPOSAL_DAYS))
    return (proposal.act, proposal.subject, proposal.done) == (act, subject, None) and now < lapses


def issued(
    credential: NewCredential,
    role: str,
    holder: str,
    person: str | None,
    why: str,
    until: str | None,
    approver: bool = False,
) -> Draft:
    """Returns the entry that makes a credential valid. Only the digest of its secret is in it."""
    body = {
        "credential": credential.id,
        "role": role,
        "person": person,
        "approver": approver,
        "until": until,
        "secret_sha256": credential.secret_sha256,
        "why": why,
    }
    return Draft("credential.issued", holder, body)


def revoked_credential(rules: Rules, role: str, holder: str, public_id: str, why: str) -> Draft:
    """Returns the entry that revokes one credential of a holder. Raises InputError where it is none of theirs."""
    # A whole credential, pasted by mistake, must not come back in an error.
    if not re.fullmatch(r"[0-9a-f]{16}", public_id):
        raise InputError("--revoke takes a credential's public id: the 16 digits between its two dots")
    valid = [one.id for one in rules.credentials_of(role, holder) if one.revoked is None]
    if public_id not in valid:
        known = ", ".join(valid) or "none"
        raise InputError(f"{holder!r} has no valid credential {public_id} (valid: {known})")
    return Draft("credential.revoked", holder, {"credential": public_id, "why": why})


def tenant_named(rules: Rules, name: str) -> Tenant:
    """Returns the tenant of this name. Raises InputError with the nearest spelling."""
    return rules.tenants[one_of(read_name(name, "tenant"), rules.tenants, "tenant")]


def moratorium_named(rules: Rules, name: str) -> Moratorium:
    """Returns the moratorium of this name. Raises InputError with the nearest spelling."""
    return rules.moratoria[one_of(read_name(name, "moratorium"), rules.moratoria, "moratorium")]


def standing_tenant(rules: Rules, name: str, moment: str) -> Tenant:
    """Returns the tenant of this name, unless its licence is revoked by a moment. Raises InputError."""
    tenant = tenant_named(rules, name)
    revoked = tenant.licence.revoked_by(moment)
    if revoked:
        raise InputError(
            f"the licence of {tenant.name!r} is revoked from {shown(revoked.effective)} on and never comes back; "
            f"register the organisation under another name with --formerly {tenant.name!r}"
        )
    return tenant


def new_name(text: str, what: str, known: Iterable[str]) -> str:
    """Returns a name for something new. Raises InputError where it is no name, or is one already, case apart."""
    name = read_name(text, what)
    if name.casefold() == "unknown":
        raise InputError(f"{what} {name!r} stands for strangers in the ledger; give another name")
    same = [one for one in known if one.casefold() == name.casefold()]
    if same:
        raise InputError(f"{what} {same[0]!r} is there already; give another name")
    return name


def person_named(text: str | None) -> str | None:
    """Returns the name given with --person. Raises InputError."""
    return None if text is None else read_name(text, "--person")
