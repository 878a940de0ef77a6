"""What the gate hands back: a permit to work, a receipt for what was recorded, a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from access.decision import Decision, Who
from access.ledger.chain import Entry
from access.requests import Request
from foundation.errors import EXIT_REFUSED, AfterfactError

SEAL = object()
"""Who holds it may make a Permit: the gate."""


@dataclass(frozen=True)
class Receipt:
    """The ledger entry that stands for an answer, a refusal or an act. `time` is a moment in UTC; `head` is the
    entry's digest, 64 hexadecimal digits: printed on paper, it shows later that the ledger was not rewritten."""

    number: int
    time: str
    head: str


class Refused(AfterfactError):
    """The rules refused, or hold it for an approver. The message names every rule that spoke and until when it stands.

    `receipt` is None for a wrong credential that was only counted.
    """

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, decision: Decision, receipt: Receipt | None) -> None:
        super().__init__(message)
        self.decision = decision
        self.receipt = receipt


class Permit:
    """Leave to work on one request; only Gate.ask makes one. It shows nothing yet: the answer is decided anew."""

    def __init__(self, seal: object, request: Request, decision: Decision) -> None:
        if seal is not SEAL:
            raise TypeError("a Permit comes from Gate.ask")
        self.request = request
        self.decision = decision

    @property
    def who(self) -> Who:
        """Who asks, with role, name, kind, person and credential id."""
        return self.decision.who

    @property
    def mark_fpir(self) -> str | None:
        """The strictest cut-off, an FPIR, by which a licence has candidates marked; None where none does."""
        return self.decision.mark_fpir

    @property
    def tenant(self) -> str | None:
        """The tenant's name; None for an operator."""
        return self.who.name if self.who.role == "tenant" else None


def receipt_of(entry: Entry) -> Receipt:
    """Returns the receipt of an entry."""
    return Receipt(entry.number, entry.time, entry.digest)


def refusal(what: str, decision: Decision, entry: Entry | None, note: str = "") -> Refused:
    """Returns the refusal that tells every rule that spoke, and its entry."""
    word = "held for an approver" if decision.outcome == "held" else "refused"
    where = f" (ledger entry {entry.number})" if entry else ""
    return Refused(f"{word}: {what}{where}: {decision.reasons}{note}", decision, receipt_of(entry) if entry else None)
