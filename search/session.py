"""The one way to candidates: decision, photo, face, embedding, exact search, decision again, entry, lead."""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from access.fpir import read_fpir, strictest_fpir
from access.gate import Gate, Permit, Receipt, Refused, Request
from foundation.errors import EXIT_CHOICE, AfterfactError, InputError
from foundation.files import digest_file
from foundation.store_errors import StoreError
from indexer.extraction import Extraction
from indexer.gallery import Gallery, GalleryError
from indexer.helper_process import HelperProcess
from indexer.limits import Limits
from indexer.locations import photo_at, readable
from indexer.models import models_folder
from indexer.outcomes import ABOUT
from search.candidates import USUAL, Candidate, format_distance, list_candidates_each, require_list
from search.faces import GalleryFaces
from search.lead import Lead, Probe, box_of, describe_probe
from search.looking import Looked, Looker

WINDOW = 32  # probes searched in one pass over the gallery; twice as many at most are asked about ahead


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


@dataclass(frozen=True)
class _Asked:
    """A probe that may be searched, and is being looked at. Its answer is decided on once more."""

    probe: Path
    permit: Permit
    looked: Future[Looked]


class SearchSession:
    """Searches one gallery for one requester, each probe with its own decisions and entry.

    Models and gallery are opened on first use and kept. Use as a context manager.
    """

    def __init__(
        self, home: Path, credential: str, request: Request, helper: HelperProcess | None = None, device: str = "cpu"
    ) -> None:
        """helper: one that was started already, without a root and with the default limits. device: what embeds the
        probes, see indexer.embedder.Embedder.

        Raises InputError for a request of another operation: leave to index is no leave to search.
        """
        if request.operation != "search":
            raise InputError(f"a search session asks for a search, and the request is for {request.operation!r}")
        self._home = home
        self._credential = credential
        self._request = request
        self._looker = Looker(helper, models_folder(home), device)
        self.store_error: StoreError | None = None  # why the last crops() has none, where a store is at fault
        self._gate: Gate | None = None
        self._faces: GalleryFaces | None = None

    def __enter__(self) -> SearchSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._looker.close()
        self.handed_out()

    def search(
        self,
        probe: Path,
        k: int = USUAL,
        by: str = "subject",
        face: int | None = None,
        cut_off: str | None = None,
    ) -> Lead:
        """Returns the lead for a probe photo, after its ledger entry was written.

        face: which of several faces, from 1, largest first. cut_off: an FPIR, say "0.01", beyond which candidates are
        marked; a licence's stricter one takes its place, and none is left out.

        Raises Refused before the photo is decoded;
        ProbeError where it has no usable face, FaceChoiceNeeded where it has several and face is None;
        InputError for k, by, face or cut_off outside what is allowed; GalleryError where the gallery does not fit.
        """
        (answer,) = self.search_each([probe], k, by, face, cut_off)
        if isinstance(answer, ProbeError):
            raise answer
        return answer

    def search_each(
        self,
        probes: Sequence[Path],
        k: int = USUAL,
        by: str = "subject",
        face: int | None = None,
        cut_off: str | None = None,
    ) -> Iterator[Lead | ProbeError]:
        """Yields the answer to each probe photo, in the order given: its lead, or why there is none.

        Probes are asked about and looked at up to 2 * WINDOW ahead; each is decided on before it is decoded, and
        again when its answer is recorded, right before that is yielded: show it before taking the next. Raises as
        search() does for a single probe, after the answers before it; the probes after it then are not answered.
        """
        require_list(k, by)
        if cut_off is not None:
            cut_off = read_fpir(cut_off, "--cut-off")
        if self._gate is None:
            self._gate = Gate.open(self._home)
        self._looker.expect(len(probes))
        left, ahead = iter(probes), deque[_Asked]()
        ended: Exception | None = None
        try:
            while True:
                while ended is None and len(ahead) < 2 * WINDOW and (probe := next(left, None)) is not None:
                    try:
                        ahead.append(self._ask(probe, k, face))
                    except Exception as error:
                        ended = error  # its turn comes once those before it are answered
                if not ahead:
                    break
                window = [ahead.popleft() for _ in range(min(WINDOW, len(ahead)))]
                yield from self._answer_window(window, k, by, face, cut_off)
        except Refused as refused:
            raise _both(refused, ended) from None
        finally:
            for one in ahead:
                one.looked.cancel()
        if ended is not None:
            raise ended

    def _ask(self, probe: Path, k: int, face: int | None) -> _Asked:
        assert self._gate is not None
        request = replace(self._request, k=k, probe=_digest_probe(probe))
        permit = self._gate.ask(self._credential, request)
        # A gallery that does not fit is refused before the photo is decoded; the rest is loaded beside its decoding.
        model = self._present_faces(permit).model
        return _Asked(probe, permit, self._looker.begin(probe, face, model))

    def _answer_window(
        self, window: list[_Asked], k: int, by: str, face: int | None, cut_off: str | None
    ) -> Iterator[Lead | ProbeError]:
        """Searches a window's probes in one pass over the gallery, then records and yields one after the other."""
        wait([one.looked for one in window])
        gallery = self._present_faces(window[0].permit)  # one published meanwhile is taken
        seen: list[Looked] = []
        failed: Exception | None = None
        for one in window:
            try:
                seen.append(self._looker.result(one.looked, one.probe, face, gallery.model))
            except Exception as error:
                failed = error
                break
        embeddings = [looked.embedding for looked in seen if looked.embedding is not None]
        listed = iter(list_candidates_each(gallery, np.stack(embeddings), k, by) if embeddings else ())
        for one, looked in zip(window, seen, strict=False):
            extraction = looked.extraction
            if extraction.digest and extraction.digest != one.permit.request.probe:
                raise InputError(f"probe {readable(str(one.probe))} changed after it was decided on; search again")
            if looked.face is None:
                yield self._without_face(one, gallery, extraction, face)
                continue
            candidates = next(listed)
            mark = strictest_fpir(cut_off, one.permit.mark_fpir)
            asked = {"k": k, "by": by, "cut_off": mark, "beyond_cut_off": sum(each.beyond(mark) for each in candidates)}
            probe = describe_probe(one.probe, extraction, looked.face)
            receipt = self._record(one.permit, gallery, extraction, "CANDIDATES", candidates, asked, probe)
            yield _lead(one.permit, receipt, gallery, probe, candidates, by, mark)
        if failed is not None:
            raise failed

    def handed_out(self) -> None:
        """Says that the answers so far have been shown: whoever declares a moratorium waits for that."""
        if self._gate is not None:
            self._gate.handed_out()

    def crop(self, candidate: Candidate) -> bytes | None:
        """Returns what crops() returns for one candidate."""
        return self.crops([candidate])[0]

    def crops(self, candidates: Sequence[Candidate]) -> list[bytes | None]:
        """Returns a JPEG of each candidate's face, or None where its photo is gone or holds another picture now."""
        faces = [(photo_at(one.location, one.place), one.box, one.photo_digest) for one in candidates]
        with self._looker.extractor() as extractor:
            cropped = list(extractor.crop_faces(faces))
            self.store_error = extractor.store_error
            return cropped

    def crop_probe(self, path: Path, probe: Probe) -> bytes | None:
        """Returns a JPEG of the probe's searched face."""
        with self._looker.extractor() as extractor:
            return extractor.crop_face(str(path), probe.box, probe.digest)

    def _present_faces(self, permit: Permit) -> GalleryFaces:
        """Returns the gallery's newest version, opened. One that does not fit leaves an entry, as any refusal does."""
        assert self._gate is not None
        try:
            gallery = Gallery(self._home, permit.request.gallery).require()
            if self._faces is None or gallery.version_numbers()[-1:] != [self._faces.version.number]:
                self._faces = GalleryFaces(gallery)
        except (GalleryError, StoreError) as error:
            self._gate.answer(permit, {"outcome": "GALLERY_REFUSED", "reason": str(error)}, None)
            raise
        return self._faces

    def _without_face(
        self, asked: _Asked, gallery: GalleryFaces, extraction: Extraction, face: int | None
    ) -> ProbeError:
        """Records and returns why a probe has no face to search with. Raises InputError where `face` names none."""
        found, name = len(extraction.faces), readable(str(asked.probe))
        outcome = "FACE_NOT_THERE" if found and face is not None else extraction.outcome.value
        receipt = self._record(asked.permit, gallery, extraction, outcome, [], {})
        if not found:
            about = ABOUT[extraction.outcome]
            return ProbeError(
                f"probe {name}: {outcome}, {about} ({extraction.detail}); nothing was searched", outcome, receipt
            )
        if face is not None:
            raise InputError(
                f"--face is {face} and probe {name} shows {found}; give a number from 1 to {found} "
                f"(ledger entry {receipt.number})"
            )
        boxes = [box_of(one) for one in extraction.faces]
        with self._looker.extractor() as extractor:
            numbered = extractor.number_faces(str(asked.probe), boxes, extraction.digest)
        return FaceChoiceNeeded(
            f"probe {name} shows {found} faces; see the numbered picture and choose with --face 1 to {found}",
            outcome,
            receipt,
            found,
            numbered,
        )

    def _record(
        self,
        permit: Permit,
        gallery: GalleryFaces,
        extraction: Extraction,
        outcome: str,
        candidates: list[Candidate],
        asked: dict[str, Any],
        probe: Probe | None = None,
    ) -> Receipt:
        """Decides again and writes the entry. What may have to be erased one day goes into its details."""
        assert self._gate is not None
        about = gallery.version.about
        body = {
            "outcome": outcome,
            "gallery_version": gallery.version.number,
            "gallery_seal": about["seal"],
            "calibration": gallery.calibration.about["seal"] if gallery.calibration else None,
            "calibration_groups": gallery.by_group.about["seal"] if gallery.by_group else None,
            "model": gallery.version.model_digest,
            "faces_searched": len(gallery) if outcome == "CANDIDATES" else 0,
            "faces_in_probe": len(extraction.faces),
            "face": probe.face if probe else None,  # which of them was searched
            "candidates": len(candidates),
            **asked,
        }
        kept = ("rank", "subject", "encounter", "photo_digest", "row")
        details = {
            "face_box": probe.box if probe else None,
            "candidates": [
                {**{name: getattr(one, name) for name in kept}, "distance": format_distance(one.distance)}
                for one in candidates
            ],
        }
        return self._gate.answer(permit, body, details)


def _both(refused: Refused, ahead: Exception | None) -> Refused:
    """Returns a refusal that tells of the one that a later probe, asked about ahead, had met already."""
    if not isinstance(ahead, Refused) or ahead.receipt is None:
        return refused
    told = f"{refused}; a later probe was refused as well (ledger entry {ahead.receipt.number})"
    return Refused(told, refused.decision, refused.receipt)


def _digest_probe(probe: Path) -> str | None:
    """Returns the SHA-256 of the probe's bytes, by which the rules know it again; None where it is no photo at all."""
    try:
        about = probe.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > Limits().max_bytes:
            return None
        return digest_file(probe)
    except OSError:
        return None


def _lead(
    permit: Permit,
    receipt: Receipt,
    gallery: GalleryFaces,
    probe: Probe,
    candidates: list[Candidate],
    by: str,
    cut_off: str | None,
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
        sampled=gallery.calibration.probes if gallery.calibration else None,
        cut_off=cut_off,
        model=dict(about["model"]),
        distances=gallery.model.distance_told,
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
