"""What a search answers: a lead, which says itself what it is not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from indexer.quality import Quality
from search.candidates import Candidate

NOTICE = (
    "Investigative lead only. This is not a positive identification and not probable cause to arrest: "
    "a list names the most similar faces of this gallery, whether or not the person is in it."
)


@dataclass(frozen=True)
class Probe:
    """The probe as it was searched. box: of the face that was searched. faces: how many were found."""

    name: str
    digest: str
    width: int
    height: int
    faces: int
    box: tuple[int, int, int, int]
    quality: Quality
    advice: list[str]


@dataclass(frozen=True)
class Lead:
    """The answer to one probe, recorded as one ledger entry before it exists. time: of the entry, UTC."""

    probe: Probe
    candidates: list[Candidate]
    by: str
    gallery: str
    version: int
    published: str
    faces_searched: int
    model: dict[str, Any]
    tenant: str
    kind: str
    person: str
    beneficiary: str
    case: str
    purpose: str
    basis: str | None
    time: str
    entry: int
    head: str
    notice: str = field(default=NOTICE)

    def as_json(self) -> dict[str, Any]:
        """Returns the lead for machines; distances are texts, as in the ledger."""
        whole = {name: value for name, value in asdict(self).items() if name not in ("probe", "candidates")}
        return {
            "outcome": "CANDIDATES",
            **whole,
            "probe": asdict(self.probe),
            "candidates": [candidate.as_json() for candidate in self.candidates],
        }
