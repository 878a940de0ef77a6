"""What a search answers: a lead, which says itself what it is not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from indexer.extraction import Extraction
from indexer.face import Face
from indexer.locations import readable
from indexer.quality import Quality
from search.advice import advise, remarks_on, warn_of_groups
from search.candidates import Candidate

NOTICE = (
    "Investigative lead only. This is not a positive identification and not probable cause to arrest: "
    "a list names the most similar faces of this gallery, whether or not the person is in it."
)


@dataclass(frozen=True)
class Probe:
    """The probe as it was searched. faces: how many were found. face: which of them was searched, from 1,
    largest first. box: where it is."""

    name: str
    digest: str
    width: int
    height: int
    faces: int
    face: int
    box: tuple[int, int, int, int]
    quality: Quality
    advice: list[str]


def box_of(face: Face) -> tuple[int, int, int, int]:
    """Returns where a face is in its photo: left, top, right, bottom, in upright pixels."""
    box = face.detection
    return box.left, box.top, box.right, box.bottom


def describe_probe(path: Path, extraction: Extraction, face: Face) -> Probe:
    """Returns the probe photo as it was searched with one of its faces."""
    return Probe(
        name=readable(path.name),
        digest=extraction.digest,
        width=extraction.width,
        height=extraction.height,
        faces=len(extraction.faces),
        face=next(number for number, one in enumerate(extraction.faces, start=1) if one is face),
        box=box_of(face),
        quality=face.quality,
        advice=advise(face.quality),
    )


@dataclass(frozen=True)
class Lead:
    """The answer to one probe, recorded as one ledger entry before it exists. time: of the entry, UTC.

    distances: which they are, for people. sampled: of how many of the gallery's own faces the rates are told; None
    where the version is not calibrated. cut_off: the FPIR beyond which candidates are marked, where a licence or who
    asks has one.
    """

    probe: Probe
    candidates: list[Candidate]
    by: str
    gallery: str
    version: int
    published: str
    faces_searched: int
    model: dict[str, Any]
    distances: str
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
    sampled: int | None = None
    cut_off: str | None = None
    notice: str = field(default=NOTICE)

    @property
    def is_chance(self) -> bool:
        """Whether even rank 1 is no nearer than chance gives."""
        return bool(self.candidates) and (rate := self.candidates[0].rate) is not None and rate.is_chance

    @property
    def remarks(self) -> list[str]:
        """What the list's distances mean, in whole sentences; the mark of a list that chance gives comes first."""
        return remarks_on(self.candidates, self.sampled, self.cut_off, self.version, self.is_chance)

    @property
    def warnings(self) -> list[str]:
        """Of groups, as the gallery's list states them, that get false positives as near much more often."""
        return warn_of_groups(self.candidates)

    def as_json(self) -> dict[str, Any]:
        """Returns the lead for machines; distances are texts, as in the ledger."""
        whole = {name: value for name, value in asdict(self).items() if name not in ("probe", "candidates")}
        return {
            "outcome": "CANDIDATES",
            **whole,
            "probe": asdict(self.probe),
            "candidates": [
                {**candidate.as_json(), "beyond_cut_off": candidate.beyond(self.cut_off)}
                for candidate in self.candidates
            ],
            "is_chance": self.is_chance,
            "remarks": self.remarks,
            "warnings": self.warnings,
        }
