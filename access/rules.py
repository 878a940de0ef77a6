"""The present state of operators, tenants, licences, credentials and moratoria, read from the rule entries.

There is no other place where that state is kept. Pure: entries in, state out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from access.ledger.chain import FORMAT, Entry
from access.ledger.errors import LedgerUnreadable

OPERATIONS = ("search", "index")
"""What a tenant can be granted and a moratorium can bar."""

# Exactly what each entry's body holds: an unknown field was written by a newer Afterfact, whose rule this one
# would not enforce.
_FIELDS = {
    "ledger.created": {"format"},
    "operator.added": {"by", "why"},
    "credential.issued": {"credential", "role", "person", "secret_sha256", "by", "why"},
    "credential.revoked": {"credential", "by", "why"},
    "tenant.added": {"kind", "galleries", "operations", "until", "by", "why"},
    "tenant.granted": {"galleries", "operations", "by", "why"},
    "licence.suspended": {"by", "why"},
    "licence.reinstated": {"until", "by", "why"},
    "licence.revoked": {"by", "why"},
    "moratorium.declared": {
        *("reason", "link", "from", "until", "named_kinds", "kinds", "operations"),
        *("exempt_tenants", "exempt_purposes", "by"),
    },
    "moratorium.lifted": {"by", "why"},
}


@dataclass(frozen=True)
class Licence:
    """A tenant's licence. `state` is what operators last set; `until` is its own end (a moment, not included)."""

    state: str
    since: str
    until: str | None
    why: str

    def at(self, now: str) -> str:
        """Returns "active", "suspended", "revoked" or "expired" as it stands at a moment."""
        if self.state != "revoked" and self.ended(now):
            return "expired"
        return self.state

    def ended(self, now: str) -> bool:
        """Whether the licence's own end has come."""
        return self.until is not None and now >= self.until


@dataclass(frozen=True)
class Tenant:
    """An organisation that may ask, and what it was granted."""

    name: str
    kind: str
    galleries: frozenset[str]
    operations: frozenset[str]
    licence: Licence
    added: str


@dataclass(frozen=True)
class Credential:
    """A credential as the ledger knows it: never its secret. `holder` is a tenant's or an operator's name."""

    id: str
    role: str
    holder: str
    person: str | None
    secret_sha256: str = field(repr=False)
    issued: str
    revoked: str | None = None
    revoked_why: str | None = None


@dataclass(frozen=True)
class Moratorium:
    """A time during which kinds of tenant may not do operations: from `start` up to, not including, `until`."""

    name: str
    reason: str
    link: str | None
    start: str
    until: str | None
    named_kinds: tuple[str, ...]
    kinds: frozenset[str]
    operations: frozenset[str]
    exempt_tenants: frozenset[str]
    exempt_purposes: frozenset[str]
    declared: str
    lifted: str | None = None
    lifted_why: str | None = None

    def state(self, now: str) -> str:
        """Returns "upcoming", "in force", "ended" or "lifted"."""
        if self.lifted is not None:
            return "lifted"
        if now < self.start:
            return "upcoming"
        return "ended" if self.until is not None and now >= self.until else "in force"

    def covers(self, kind: str, operation: str) -> bool:
        """Whether it is about this kind and operation at all, whatever the time."""
        return kind in self.kinds and operation in self.operations


@dataclass(frozen=True)
class Rules:
    """The state after some rule entries, by name or id."""

    operators: Mapping[str, str]
    tenants: Mapping[str, Tenant]
    credentials: Mapping[str, Credential]
    moratoria: Mapping[str, Moratorium]

    def credentials_of(self, role: str, holder: str) -> list[Credential]:
        """Returns the credentials issued to a tenant or operator, oldest first."""
        return [one for one in self.credentials.values() if (one.role, one.holder) == (role, holder)]


def rules_from(entries: Iterable[Entry], at: str | None = None) -> Rules:
    """Returns the state that rule entries in order lead to; with `at`, the state as it was at that moment.

    Raises LedgerUnreadable, naming the entry, for one that this version does not know in every part.
    """
    state = _State({}, {}, {}, {})
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
    return Rules(state.operators, state.tenants, state.credentials, state.moratoria)


@dataclass
class _State:
    operators: dict[str, str]
    tenants: dict[str, Tenant]
    credentials: dict[str, Credential]
    moratoria: dict[str, Moratorium]

    def apply(self, entry: Entry, body: dict[str, Any]) -> None:
        odd = sorted(_FIELDS[entry.type] ^ set(body))
        if odd:
            raise ValueError(f"field {odd[0]!r}")
        subject = entry.subject
        match entry.type:
            case "ledger.created":
                if body["format"] != FORMAT:
                    raise ValueError(f"format {body['format']}")
            case "operator.added":
                self.operators[_fresh(subject, self.operators)] = entry.time
            case "credential.issued":
                holder = self.tenants if body["role"] == "tenant" else self.operators
                if subject not in holder:
                    raise ValueError(f"unknown holder {subject!r}")
                self.credentials[_fresh(body["credential"], self.credentials)] = Credential(
                    id=body["credential"],
                    role=body["role"],
                    holder=subject,
                    person=body["person"],
                    secret_sha256=body["secret_sha256"],
                    issued=entry.time,
                )
            case "credential.revoked":
                revoked = replace(self.credentials[body["credential"]], revoked=entry.time, revoked_why=body["why"])
                self.credentials[body["credential"]] = revoked
            case "tenant.added":
                self.tenants[_fresh(subject, self.tenants)] = Tenant(
                    name=subject,
                    kind=body["kind"],
                    galleries=frozenset(body["galleries"]),
                    operations=_operations(body),
                    licence=Licence("active", entry.time, body["until"], body["why"]),
                    added=entry.time,
                )
            case "tenant.granted":
                tenant = self.tenants[subject]
                self.tenants[subject] = replace(
                    tenant,
                    galleries=tenant.galleries | set(body["galleries"]),
                    operations=tenant.operations | _operations(body),
                )
            case "licence.suspended" | "licence.reinstated" | "licence.revoked":
                self._change_licence(entry, body)
            case "moratorium.declared":
                self.moratoria[_fresh(subject, self.moratoria)] = Moratorium(
                    name=subject,
                    reason=body["reason"],
                    link=body["link"],
                    start=body["from"],
                    until=body["until"],
                    named_kinds=tuple(body["named_kinds"]),
                    kinds=frozenset(body["kinds"]),
                    operations=_operations(body),
                    exempt_tenants=frozenset(body["exempt_tenants"]),
                    exempt_purposes=frozenset(body["exempt_purposes"]),
                    declared=entry.time,
                )
            case "moratorium.lifted":
                lifted = replace(self.moratoria[subject], lifted=entry.time, lifted_why=body["why"])
                self.moratoria[subject] = lifted

    def _change_licence(self, entry: Entry, body: dict[str, Any]) -> None:
        tenant = self.tenants[entry.subject]
        if tenant.licence.state == "revoked":
            raise ValueError("a revoked licence never comes back")
        state = {"licence.suspended": "suspended", "licence.reinstated": "active", "licence.revoked": "revoked"}
        until = body.get("until") or tenant.licence.until
        licence = Licence(state[entry.type], entry.time, until, body["why"])
        self.tenants[entry.subject] = replace(tenant, licence=licence)


def _fresh(name: str, known: Mapping[str, Any]) -> str:
    if name in known:
        raise ValueError(f"{name!r} a second time")
    return name


def _operations(body: dict[str, Any]) -> frozenset[str]:
    unknown = set(body["operations"]) - set(OPERATIONS)
    if unknown:
        raise ValueError(f"operation {min(unknown)!r}")
    return frozenset(body["operations"])
