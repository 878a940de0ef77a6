"""Acts on operators: add, remove, credentials; and the recovery of a house whose operators are all gone."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from typing import Any

from access.acts.desk import CREDENTIAL_SPAN, Desk, FromTerms, issued, new_name, revoked_credential
from access.credentials import NewCredential, authenticate, make_credential
from access.decision import decide_bearer
from access.gate import Gate
from access.ledger.chain import Draft, Entry
from access.ledger.ledger import View
from access.names import read_name, read_reason
from access.replay import rules_from
from access.rules import AUTHORITIES, ROLES, Operator, Rules
from access.times import later
from access.vocabulary import one_of
from foundation.errors import InputError


class Operators(Desk):
    """What an administrator does to operators."""

    def add(self, name: str, role: str, reason: str) -> NewCredential:
        """Adds an operator of one's own authority; returns the credential, to be shown once."""
        one_of(role, ROLES, "role")
        credential, why = make_credential(), read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            terms = {"role": role, "authority": self.own_authority(rules)}
            return _added(rules, now, name, terms, why, credential)

        self.act("operator.add", drafts)
        return credential

    def propose_other(self, name: str, role: str, authority: str, reason: str) -> Entry:
        """Proposes an operator of another authority, whose moratoria one could then lift; a second one approves it."""
        terms = {"role": one_of(role, ROLES, "role"), "authority": one_of(authority, AUTHORITIES, "authority")}
        name = read_name(name, "operator's name")
        return self.propose("operator.add", name, lambda _rules, _now: terms, reason, _adding(name))

    def approve_other(self, name: str, number: int) -> NewCredential:
        """Approves what propose_other proposed; returns the credential, to be shown once."""
        credential, name = make_credential(), read_name(name, "operator's name")
        self.approve("operator.add", name, number, _adding(name, credential))
        return credential

    def remove(self, name: str, reason: str) -> Entry:
        """Removes an operator and revokes every credential of theirs. The last administrator stays."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            known = operator_named(rules, name)
            others = [
                one.name
                for one in rules.operators.values()
                if one.removed is None and one.role == "administrator" and one.name != known.name
            ]
            if known.role == "administrator" and not others:
                raise InputError(f"{known.name!r} is the last administrator; add another one first")
            valid = [one for one in rules.credentials_of("operator", known.name) if one.revoked is None]
            revoked = [Draft("credential.revoked", known.name, {"credential": one.id, "why": why}) for one in valid]
            return [*revoked, Draft("operator.removed", known.name, {"why": why})]

        return self.act("operator.remove", drafts)

    def issue_credential(self, name: str, reason: str, span: str = CREDENTIAL_SPAN) -> NewCredential:
        """Issues a further credential to an operator."""
        credential, why = make_credential(), read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            holder = operator_named(rules, name).name
            return [issued(credential, "operator", holder, holder, why, later(now, span, "--for"))]

        self.act("operator.credential", drafts)
        return credential

    def revoke_credential(self, name: str, public_id: str, reason: str) -> Entry:
        """Revokes one of an operator's credentials, named by its public id."""
        why = read_reason(reason)

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            return [revoked_credential(rules, "operator", operator_named(rules, name).name, public_id, why)]

        return self.act("operator.credential", drafts)

    def own_authority(self, rules: Rules) -> str:
        """Returns the authority of whose credential this is; "vendor" where it is nobody's."""
        known = rules.operator(self.gate.holder(rules, self.credential_text) or "")
        return known.authority if known else "vendor"


def operator_named(rules: Rules, name: str) -> Operator:
    """Returns the operator of this name, unless removed. Raises InputError with the nearest spelling."""
    present = [one.name for one in rules.operators.values() if one.removed is None]
    return rules.operators[one_of(read_name(name, "operator's name"), present, "operator")]


def first_operator(name: str, authority: str, credential: NewCredential, until: str) -> list[Draft]:
    """Returns the entries that a new house begins with."""
    name = read_name(name, "--operator")
    one_of(authority, AUTHORITIES, "authority")
    by, why = {"operator": name, "credential": credential.id}, "first operator"
    return [
        Draft("operator.added", name, {"role": "administrator", "authority": authority, "by": by, "why": why}),
        _by(issued(credential, "operator", name, name, why, until), by),
    ]


def recover(gate: Gate, name: str, reason: str, authority: str = "vendor") -> NewCredential:
    """Makes a new administrator without anybody's credential: for whoever owns the host, when every operator is lost.

    It needs the ledger's key and its files, and it is told in the ledger for good, with the host's account. It also
    confirms the clock.
    Raises InputError and LedgerError.
    """
    one_of(authority, AUTHORITIES, "authority")
    credential, why = make_credential(), read_reason(reason)

    def drafts(view: View) -> Sequence[Draft]:
        known = [one.name for one in rules_from(view.rules).operators.values()]
        new = new_name(name, "operator's name", known)
        by = {"operator": f"account {getpass.getuser()} ({os.getuid()}) of the host", "credential": None}
        terms = {"role": "administrator", "authority": authority}
        until = later(view.now, CREDENTIAL_SPAN, "--for")
        return [
            Draft("operator.recovered", new, {**terms, "by": by, "why": why}),
            _by(issued(credential, "operator", new, new, why, until), by),
        ]

    gate.ledger.append_decided(drafts, clock_confirmed=True)
    return credential


def rotate(gate: Gate, credential_text: str) -> NewCredential:
    """Puts a new credential in the place of the bearer's own, which is revoked in the same transaction.

    It ends when the old one would have: only an operator lets anybody ask for longer.

    Raises Refused (recorded) where it is not valid, and LedgerError.
    """
    credential = make_credential()

    def drafts(rules: Rules, _now: str) -> list[Draft]:
        proven = authenticate(rules, credential_text)
        old = rules.credentials[proven or ""]
        why = f"in the place of {old.id}"
        return [
            issued(credential, old.role, old.holder, old.person, why, old.until, old.approver),
            Draft("credential.revoked", old.holder, {"credential": old.id, "why": f"rotated to {credential.id}"}),
        ]

    gate.act(credential_text, "credential.rotate", drafts, judge=decide_bearer)
    return credential


def _adding(name: str, credential: NewCredential | None = None) -> FromTerms:
    def drafts(rules: Rules, now: str, terms: Mapping[str, Any], why: str) -> list[Draft]:
        return _added(rules, now, name, terms, why, credential or make_credential())

    return drafts


def _added(
    rules: Rules, now: str, name: str, terms: Mapping[str, Any], why: str, credential: NewCredential
) -> list[Draft]:
    name = new_name(name, "operator's name", rules.operators)
    return [
        Draft("operator.added", name, {**terms, "why": why}),
        issued(credential, "operator", name, name, why, later(now, CREDENTIAL_SPAN, "--for")),
    ]


def _by(draft: Draft, by: Mapping[str, Any]) -> Draft:
    return Draft(draft.type, draft.subject, {**draft.body, "by": dict(by)})
