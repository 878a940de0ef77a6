"""The one way to candidates: decision, photo, face, embedding, exact search, decision again, entry, lead."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from access.gate import Gate, Permit, Receipt, Request
from foundation.errors import EXIT_CHOICE, AfterfactError, InputError
from foundation.files import digest_file
from indexer.embedder import Embedder
from indexer.extraction import Extraction
from indexer.extractor import FaceExtractor
from indexer.face import Face
from indexer.gallery import Gallery, GalleryError
from indexer.helper_process import HelperProcess
from indexer.limits import Limits
from indexer.locations import path_of, readable
from indexer.outcomes import ABOUT, Outcome
from search.advice import advise
from search.candidates import USUAL, Candidate, format_distance, list_candidates, require_list
from search.faces import GalleryFaces
from search.lead import Lead, Probe


class ProbeError(AfterfactError):
    """The probe has no face to search with. It has its own ledger entry. outcome: which, as in indexer.outcomes."""

    def __init__(self, message: str, outcome: str, receipt: Receipt) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.receipt = receipt


class FaceChoiceNeeded(ProbeError):
    """The probe shows several faces, and the investigator has to say which. numbered: a JPEG of them, or None."""

    exit_code = EXIT_CHOICE

    def __init__(self, message: str, outcome: str, receipt: Receipt, faces: int, numbered: bytes | None) -> None:
        super().__init__(message, outcome, receipt)
        self.faces = faces
        self.numbered = numbered


class SearchSession:
    """Searches one gallery for one requester, a probe at a time, each with its own decisions and entry.

    Models and gallery are opened on first use and kept. Use as a context manager.
    """

    def __init__(self, home: Path, credential: str, request: Request, helper: HelperProcess | None = None) -> None:
        """helper: one that was started already, without a root and with the default limits.

        Raises InputError for a request of another operation: leave to index is no leave to search.
        """
        if request.operation != "search":
            raise InputError(f"a search session asks for a search, and the request is for {request.operation!r}")
        self._home = home
        self._credential = credential
        self._request = request
        self._extractor = FaceExtractor(None, Limits(), helper)
        self._gate: Gate | None = None
        self._faces: GalleryFaces | None = None
        self._embedder: Embedder | None = None

    def __enter__(self) -> SearchSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._extractor.close()
        self.handed_out()

    def search(self, probe: Path, k: int = USUAL, by: str = "subject", face: int | None = None) -> Lead:
        """Returns the lead for a probe photo, after its ledger entry was written.

        face: which of several faces, from 1, largest first. Raises Refused before the photo is decoded;
        ProbeError where it has no usable face, FaceChoiceNeeded where it has several and face is None;
        InputError for k, by or face outside what is allowed; GalleryError where the gallery does not fit.
        """
        require_list(k, by)
        if self._gate is None:
            self._gate = Gate.open(self._home)
        request = replace(self._request, k=k, probe=_digest_probe(probe))
        permit = self._gate.ask(self._credential, request)
        # A gallery that does not fit is refused before the photo is decoded; the rest is loaded beside its decoding.
        gallery = self._present_faces(permit)
        extraction = self._extract(probe)
        if extraction.digest and extraction.digest != request.probe:
            raise InputError(f"probe {readable(str(probe))} changed after it was decided on; search again")
        assert self._embedder is not None
        chosen = self._choose(permit, gallery, probe, extraction, face)
        embedding = self._embedder.embed_chips(chosen.chip[None])[0]
        candidates = list_candidates(gallery, embedding, k, by)
        receipt = self._record(permit, gallery, extraction, "CANDIDATES", candidates, {"k": k, "by": by})
        return _lead(permit, receipt, gallery, _probe(probe, extraction, chosen), candidates, by)

    def handed_out(self) -> None:
        """Says that the answers so far have been shown: whoever declares a moratorium waits for that."""
        if self._gate is not None:
            self._gate.handed_out()

    def crop(self, candidate: Candidate) -> bytes | None:
        """Returns a JPEG of a candidate's face, or None where its photo is gone or holds another picture now."""
        return self._extractor.crop_face(path_of(candidate.location), candidate.box, candidate.photo_digest)

    def crop_probe(self, path: Path, probe: Probe) -> bytes | None:
        """Returns a JPEG of the probe's searched face."""
        return self._extractor.crop_face(str(path), probe.box, probe.digest)

    def _extract(self, probe: Path) -> Extraction:
        """Returns the probe's extraction, and loads the embedder, as the gallery's faces were embedded, beside it."""
        assert self._faces is not None
        extracted = self._extractor.begin(str(probe), probe=True)
        try:
            if self._embedder is None:
                self._embedder = Embedder(mirrored=self._faces.version.mirrored)
            return extracted()
        except BaseException:
            self._extractor.close()  # an answer left waiting would be taken for the next probe's
            raise

    def _present_faces(self, permit: Permit) -> GalleryFaces:
        """Returns the gallery's newest version, opened. One that does not fit leaves an entry, as any refusal does."""
        assert self._gate is not None
        try:
            gallery = Gallery(self._home, permit.request.gallery).require()
            if self._faces is None or gallery.version_numbers()[-1:] != [self._faces.version.number]:
                self._faces = GalleryFaces(gallery)
                self._embedder = None  # whether it mirrors is the version's to say
        except GalleryError as error:
            self._gate.answer(permit, {"outcome": "GALLERY_REFUSED", "reason": str(error)}, None)
            raise
        return self._faces

    def _choose(
        self, permit: Permit, gallery: GalleryFaces, probe: Path, extraction: Extraction, face: int | None
    ) -> Face:
        found, name = len(extraction.faces), readable(str(probe))
        if extraction.outcome is Outcome.MULTIPLE_FACES and face is None:
            receipt = self._record(permit, gallery, extraction, extraction.outcome.value, [], {})
            boxes = [_box(one) for one in extraction.faces]
            raise FaceChoiceNeeded(
                f"probe {name} shows {found} faces; see the numbered picture and choose with --face 1 to {found}",
                extraction.outcome.value,
                receipt,
                found,
                self._extractor.number_faces(str(probe), boxes, extraction.digest),
            )
        if not found:
            receipt = self._record(permit, gallery, extraction, extraction.outcome.value, [], {})
            raise ProbeError(
                f"probe {name}: {extraction.outcome.value}, {ABOUT[extraction.outcome]} ({extraction.detail}); "
                "nothing was searched",
                extraction.outcome.value,
                receipt,
            )
        if face is not None and not 1 <= face <= found:
            receipt = self._record(permit, gallery, extraction, "FACE_NOT_THERE", [], {})
            raise InputError(
                f"--face is {face} and probe {name} shows {found}; give a number from 1 to {found} "
                f"(ledger entry {receipt.number})"
            )
        return extraction.faces[(face or 1) - 1]

    def _record(
        self,
        permit: Permit,
        gallery: GalleryFaces,
        extraction: Extraction,
        outcome: str,
        candidates: list[Candidate],
        asked: dict[str, Any],
    ) -> Receipt:
        """Decides again and writes the entry. What may have to be erased one day goes into its details."""
        assert self._gate is not None
        about = gallery.version.about
        body = {
            "outcome": outcome,
            "gallery_version": gallery.version.number,
            "gallery_seal": about["seal"],
            "model": gallery.version.model_digest,
            "faces_searched": len(gallery) if outcome == "CANDIDATES" else 0,
            "faces_in_probe": len(extraction.faces),
            "candidates": len(candidates),
            **asked,
        }
        kept = ("rank", "subject", "encounter", "photo_digest", "row")
        details = {
            "candidates": [
                {**{name: getattr(one, name) for name in kept}, "distance": format_distance(one.distance)}
                for one in candidates
            ],
        }
        return self._gate.answer(permit, body, details)


def _digest_probe(probe: Path) -> str | None:
    """Returns the SHA-256 of the probe's bytes, by which the rules know it again; None where it is no photo at all."""
    try:
        about = probe.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > Limits().max_bytes:
            return None
        return digest_file(probe)
    except OSError:
        return None


def _box(face: Face) -> tuple[int, int, int, int]:
    box = face.detection
    return box.left, box.top, box.right, box.bottom


def _probe(path: Path, extraction: Extraction, face: Face) -> Probe:
    return Probe(
        name=readable(path.name),
        digest=extraction.digest,
        width=extraction.width,
        height=extraction.height,
        faces=len(extraction.faces),
        box=_box(face),
        quality=face.quality,
        advice=advise(face.quality),
    )


def _lead(
    permit: Permit, receipt: Receipt, gallery: GalleryFaces, probe: Probe, candidates: list[Candidate], by: str
) -> Lead:
    about = gallery.version.about
    request = permit.request
    return Lead(
        probe=probe,
        candidates=candidates,
        by=by,
        gallery=request.gallery,
        version=gallery.version.number,
        published=about["published"],
        faces_searched=len(gallery),
        model=dict(about["model"]),
        tenant=permit.tenant or "",
        kind=permit.who.kind or "",
        person=permit.who.person or "",
        beneficiary=request.beneficiary or permit.tenant or "",
        basis=request.basis,
        case=request.case or "",
        purpose=request.purpose or "",
        time=receipt.time,
        entry=receipt.number,
        head=receipt.head,
    )
