"""From rule entries to the present state. Pure: entries in, state out; an entry not understood stops everything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from access.fpir import is_fpir
from access.ledger.chain import FORMAT, Entry
from access.ledger.errors import LedgerUnreadable
from access.rules import (
    AUTHORITIES,
    BARRED,
    GRANTED,
    ROLES,
    STATEMENTS,
    Change,
    Credential,
    Licence,
    Moratorium,
    Operator,
    Proposal,
    Rules,
    Tenant,
    Terms,
)

# Exactly what each entry's body holds: an unknown field was written by a newer Afterfact, whose rule this one
# would not enforce.
_FIELDS = {
    "ledger.created": {"format"},
    "operator.added": {"role", "authority", "by", "why"},
    "operator.removed": {"by", "why"},
    "operator.recovered": {"role", "authority", "by", "why"},
    "credential.issued": {"credential", "role", "person", "approver", "until", "secret_sha256", "by", "why"},
    "credential.revoked": {"credential", "by", "why"},
    "tenant.added": {"kind", "formerly", "from", "terms", "by", "why"},
    "licence.terms": {"from", "terms", "by", "why"},
    "licence.suspended": {"from", "by", "why"},
    "licence.reinstated": {"from", "until", "by", "why"},
    "licence.revoked": {"from", "by", "why"},
    "gallery.owned": {"owner", "by", "why"},
    "moratorium.declared": {
        *("authority", "preset", "reason", "link", "from", "until", "named", "kinds", "tenants", "everyone"),
        *("operations", "apart", "exempt_tenants", "exempt_kinds", "exempt_purposes", "by"),
    },
    "moratorium.extended": {"until", "by", "why"},
    "moratorium.shortened": {"until", "by", "why"},
    "moratorium.exempted": {"tenants", "kinds", "purposes", "by", "why"},
    "moratorium.lifted": {"by", "why"},
    "moratorium.ended": {"until"},
    "proposal.made": {"act", "terms", "by", "why"},
    "details.erased": {"entries", "authority", "dated", "by", "why"},
}

_TERMS = {one.name for one in fields(Terms)}
_LATER_TERMS = {"mark_fpir"}  # licences of earlier builds do not have them, and then they bind nobody

_LICENCE_CHANGES = {
    "licence.terms": "terms",
    "licence.suspended": "suspended",
    "licence.reinstated": "active",
    "licence.revoked": "revoked",
}


def rules_from(entries: Iterable[Entry], at: str | None = None) -> Rules:
    """Returns the state that rule entries in order lead to; with `at`, the state as it was at that moment.

    Raises LedgerUnreadable, naming the entry, for one that this version does not know in every part.
    """
    state = _State()
    for entry in entries:
        if at is not None and entry.time > at:
            break
        try:
            state.apply(entry, json.loads(entry.body))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerUnreadable(
                f"ledger entry {entry.number} ({entry.type}) is not understood by this version of Afterfact "
                f"({' '.join(str(error).split())}); nothing is answered: use the version that wrote it or a newer one"
            ) from error
    return Rules(state.operators, state.tenants, state.credentials, state.moratoria, state.owners, state.proposals)


def read_terms(given: Mapping[str, Any]) -> Terms:
    """Returns the terms that an entry's body holds. Raises ValueError for a field or word it does not know."""
    missing = _TERMS - _LATER_TERMS - given.keys()
    if missing:
        raise ValueError(f"term {min(missing)!r}")
    return Terms(**_read_some_terms(given))


def _read_some_terms(given: Mapping[str, Any]) -> dict[str, Any]:
    odd = given.keys() - _TERMS
    if odd:
        raise ValueError(f"term {min(odd)!r}")
    terms = {name: frozenset(value) if isinstance(value, list) else value for name, value in given.items()}
    _words(terms.get("operations", ()), GRANTED)
    _words(terms.get("must_state", ()), STATEMENTS)
    if terms.get("mark_fpir") is not None and not is_fpir(terms["mark_fpir"]):
        raise ValueError(f"share {terms['mark_fpir']!r}")
    return terms


@dataclass
class _State:
    operators: dict[str, Operator] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    moratoria: dict[str, Moratorium] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    proposals: dict[int, Proposal] = field(default_factory=dict)

    def apply(self, entry: Entry, body: dict[str, Any]) -> None:
        odd = _FIELDS[entry.type] ^ body.keys()
        if odd:
            raise ValueError(f"field {min(odd)!r}")
        room, _, done = entry.type.partition(".")
        match room:
            case "ledger":
                if body["format"] != FORMAT:
                    raise ValueError(f"format {body['format']}")
            case "operator":
                self._apply_operator(entry, body, done)
            case "credential":
                self._apply_credential(entry, body, done)
            case "tenant":
                self._apply_tenant(entry, body)
            case "licence":
                self._apply_licence(entry, body)
            case "gallery":
                self.owners[entry.subject] = self.tenants[body["owner"]].name
            case "moratorium":
                self._apply_moratorium(entry, body, done)
            case "proposal":
                self.proposals[entry.number] = Proposal(
                    *(entry.number, body["act"], entry.subject, body["terms"]),
                    *(body["why"], body["by"]["operator"], entry.time),
                )
        approved = body.get("by", {}).get("proposal")
        if approved is not None:
            self.proposals[approved] = replace(self.proposals[approved], done=entry.number)

    def _apply_tenant(self, entry: Entry, body: dict[str, Any]) -> None:
        change = _change("active", entry, body, terms=read_terms(body["terms"]))
        formerly = self.tenants[body["formerly"]].name if body["formerly"] is not None else None
        self.tenants[_fresh(entry.subject, self.tenants)] = Tenant(
            entry.subject, body["kind"], Licence((change,)), entry.time, formerly
        )

    def _apply_operator(self, entry: Entry, body: dict[str, Any], done: str) -> None:
        if done == "removed":
            self.operators[entry.subject] = replace(self.operators[entry.subject], removed=entry.time)
            return
        known = self.operators.get(entry.subject)
        if known and known.removed is None:
            raise ValueError(f"{entry.subject!r} a second time")
        (role,), (authority,) = _words([body["role"]], ROLES), _words([body["authority"]], AUTHORITIES)
        self.operators[entry.subject] = Operator(entry.subject, role, authority, entry.time)

    def _apply_credential(self, entry: Entry, body: dict[str, Any], done: str) -> None:
        if done == "revoked":
            known = self.credentials[body["credential"]]
            self.credentials[known.id] = replace(known, revoked=entry.time, revoked_why=body["why"])
            return
        both: Mapping[str, Mapping[str, Any]] = {"tenant": self.tenants, "operator": self.operators}
        holders = both[body["role"]]
        if entry.subject not in holders:
            raise ValueError(f"unknown holder {entry.subject!r}")
        self.credentials[_fresh(body["credential"], self.credentials)] = Credential(
            id=body["credential"],
            role=body["role"],
            holder=entry.subject,
            person=body["person"],
            secret_sha256=body["secret_sha256"],
            issued=entry.time,
            until=body["until"],
            approver=body["approver"],
        )

    def _apply_licence(self, entry: Entry, body: dict[str, Any]) -> None:
        tenant = self.tenants[entry.subject]
        if tenant.licence.revoked_by(body["from"]):
            raise ValueError("a revoked licence never comes back")
        changed = _read_some_terms(body["terms"]) if "terms" in body else {}
        if body.get("until") is not None:
            changed = {"until": body["until"]}
        change = _change(_LICENCE_CHANGES[entry.type], entry, body, changed=changed)
        self.tenants[tenant.name] = replace(tenant, licence=Licence((*tenant.licence.changes, change)))

    def _apply_moratorium(self, entry: Entry, body: dict[str, Any], done: str) -> None:
        if done == "declared":
            name = _fresh(entry.subject, self.moratoria)
            self.moratoria[name] = declared(name, entry.time, entry.number, body)
            return
        known = self.moratoria[entry.subject]
        match done:
            case "extended" | "shortened":
                known = replace(known, until=body["until"])
            case "exempted":
                known = replace(
                    known,
                    exempt_tenants=known.exempt_tenants | set(body["tenants"]),
                    exempt_kinds=known.exempt_kinds | set(body["kinds"]),
                    exempt_purposes=known.exempt_purposes | set(body["purposes"]),
                )
            case "lifted":
                known = replace(known, lifted=entry.time, lifted_why=body["why"])
            case "ended":
                known = replace(known, end_told=True)
        self.moratoria[entry.subject] = known


def declared(name: str, time: str, number: int, body: Mapping[str, Any]) -> Moratorium:
    """Returns the moratorium that an entry of this name, time, number and body declares. Raises ValueError."""
    (authority,) = _words([body["authority"]], AUTHORITIES)
    return Moratorium(
        name=name,
        authority=authority,
        reason=body["reason"],
        link=body["link"],
        preset=body["preset"],
        start=body["from"],
        until=body["until"],
        named=tuple(body["named"]),
        kinds=frozenset(body["kinds"]),
        tenants=frozenset(body["tenants"]),
        everyone=body["everyone"],
        operations=_words(body["operations"], BARRED),
        apart=_words(body["apart"], BARRED),
        exempt_tenants=frozenset(body["exempt_tenants"]),
        exempt_kinds=frozenset(body["exempt_kinds"]),
        exempt_purposes=frozenset(body["exempt_purposes"]),
        declared=time,
        entry=number,
    )


def _change(what: str, entry: Entry, body: dict[str, Any], **more: Any) -> Change:
    return Change(what, body["from"], entry.number, entry.time, body["by"]["operator"], body["why"], **more)


def _fresh(name: str, known: Mapping[str, Any]) -> str:
    if name in known:
        raise ValueError(f"{name!r} a second time")
    return name


def _words(given: Iterable[str], allowed: Iterable[str]) -> frozenset[str]:
    words = frozenset(given)
    unknown = words.difference(allowed)
    if unknown:
        raise ValueError(f"word {min(unknown)!r}")
    return words
