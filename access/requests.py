"""What is asked, and what the ledger knows about it already: the two things a decision is made of besides the rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from access.names import recordable, tidy
from access.questions import Question
from access.rules import OUTSIDE

_TELLABLE = 1_000_000
"""From which length of a list on an entry does not repeat what was asked."""


@dataclass(frozen=True)
class Request:
    """What is asked. `operator` names the person who asks, where the credential is an organisation's.

    `operation` is one of access.rules.OPERATIONS. `gallery` is "" where it touches none, which only an evaluation
    or a test can: of the asker's own photos. A search needs `purpose` and `case`; `beneficiary` is the tenant
    that it is for (None: the asking one), `probe` the SHA-256 of its photo, `k` the length of its candidate list.
    `offence`, `basis` and `reference` are what a licence can require a query to state.
    """

    operation: str
    gallery: str
    purpose: str | None = None
    case: str | None = None
    operator: str | None = None
    beneficiary: str | None = None
    k: int | None = None
    offence: str | None = None
    basis: str | None = None
    reference: str | None = None
    probe: str | None = None

    @property
    def outside_galleries(self) -> bool:
        """Whether it is about the asker's own photos and touches no gallery."""
        return self.operation in OUTSIDE and not self.gallery

    def tidied(self) -> Request:
        """Returns the request with every text in Unicode's composed form, as names are kept."""
        texts: dict[str, Any] = {
            name: tidy(value) for name, value in dataclasses.asdict(self).items() if isinstance(value, str)
        }
        return dataclasses.replace(self, **{**texts, "beneficiary": texts.get("beneficiary") or None})

    def recorded(self) -> dict[str, Any]:
        """Returns what an entry keeps for good."""
        kept = ("operation", "gallery", "purpose", "operator", "beneficiary", "basis")
        k = self.k if self.k is None or abs(self.k) < _TELLABLE else None
        return {**{name: recordable(getattr(self, name)) for name in kept}, "k": k}

    def erasable(self) -> dict[str, Any]:
        """Returns what may have to be erased one day: what could tell which case, and whose."""
        kept = ("case", "offence", "reference", "probe")
        return {name: recordable(getattr(self, name)) for name in kept if getattr(self, name) is not None}


@dataclass(frozen=True)
class Earlier:
    """A query on the same case or probe that the rules refused. `on`: "case" or "probe".

    `question` is None where there are so many of them that not all were read: it is then nobody's own question.
    """

    number: int
    on: str
    question: Question | None


@dataclass(frozen=True)
class Approval:
    """One approver's leave for one case, purpose, asking tenant and beneficiary. `role`: "operator" or "tenant"."""

    number: int
    time: str
    until: str
    tenant: str
    beneficiary: str
    purpose: str
    role: str
    holder: str
    person: str

    def approves(self, tenant: str, beneficiary: str, purpose: str | None, now: str) -> bool:
        """Whether it is about this asking tenant, beneficiary and purpose, and still stands."""
        return (self.tenant, self.beneficiary, self.purpose) == (tenant, beneficiary, purpose) and now < self.until


@dataclass(frozen=True)
class History:
    """What the ledger knows about a request. `today`: this UTC day's queries, by tenant that asked or was asked for."""

    refused: tuple[Earlier, ...] = ()
    approved: tuple[Approval, ...] = ()
    today: Mapping[str, int] = field(default_factory=dict)


NOTHING_KNOWN = History()
"""Of a request that nothing is known about."""
