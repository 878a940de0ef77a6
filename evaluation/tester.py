"""The independent testers' interface, in the shape of NIST's FRTE: create templates, compare two, finalise a gallery,
search it. Over the tester's own photos only, and nothing is returned without a decision and a ledger entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785

from access.gate import Gate, Permit, Request
from evaluation.cache import Template
from evaluation.embedding import look_each
from evaluation.galleries import galleries_holding
from evaluation.sealed import OwnGallery, gallery_bytes, read_own_gallery, read_template, template_bytes
from foundation.errors import InputError
from foundation.files import digest_bytes, write_whole
from indexer.embedder import Embedder
from indexer.embedder_file import given_embedder
from indexer.limits import Limits
from indexer.nearest import nearest_rows
from indexer.outcomes import ABOUT, Outcome

MOST_PHOTOS, MOST_COMPARISONS, MOST_SEARCHES = 10_000, 1_000_000, 10_000
"""In one batch: a licence's batches a day times these is what a tester can do in a day."""

SPARE = 16  # more than asked of FAISS: its float32 distances may swap two faces at the end of a list
ROLES = ("enrol", "search")
GALLERY_FILE = "gallery.afterfact"


@dataclass(frozen=True)
class Created:
    """What became of one photo. template: None where there is none, and then outcome, as in indexer.outcomes, and
    reason, its sentence, say why. faces: how many were found."""

    photo: Path
    template: bytes | None
    outcome: str
    reason: str
    faces: int


@dataclass(frozen=True)
class Finalised:
    """A gallery that can be searched. failed: ids that had no template; who has them is never a candidate.

    digest: SHA-256 of its file, which the ledger has, too.
    """

    folder: Path
    faces: int
    failed: list[str]
    digest: str


@dataclass(frozen=True)
class Ranked:
    """One line of a candidate list. distance: Euclidean; smaller is more alike."""

    rank: int
    id: str
    distance: float


class IndependentTest:
    """Tests for one requester. Each call is a batch: decided on, and again in the entry that records it.

    Use as a context manager. Not for several threads at once. Every method raises Refused, with its own entry, before
    anything is read, and where a rule has changed by the time that there is an answer; InputError for what it is given.
    """

    def __init__(
        self,
        home: Path,
        credential: str,
        request: Request,
        *,
        mirrored: bool = False,
        embedder: Path | None = None,
        limits: Limits | None = None,
        device: str = "cpu",
    ) -> None:
        """request: of operation "test", outside every gallery. embedder: a YAML file, of another than the built-in one.
        mirrored, device: see indexer.embedder.Embedder. limits: of quality, for photos to enrol; a job's by default.

        Raises InputError for another request, ModelError for an embedder that does not fit its file, LedgerError.
        """
        if request.operation != "test" or not request.outside_galleries:
            raise InputError(
                f"a test asks for operation 'test' of gallery '', and the request is for {request.operation!r} of "
                f"{request.gallery!r}"
            )
        self._credential, self._request = credential, request
        self._given, self._device = given_embedder(embedder, mirrored), device
        self._model = self._given.model
        self._limits = limits or Limits()
        self._home = home
        self._gate = Gate.open(home)

    def __enter__(self) -> IndependentTest:
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.handed_out()

    def create_templates(
        self, photos: Sequence[Path | str], role: str = "enrol", middle_face: bool = False
    ) -> list[Created]:
        """Returns what became of each photo, in order; none is dropped.

        role: "enrol" looks as `afterfact index` does and holds the face against the limits of quality, "search" looks
        as `afterfact search` does at a probe. middle_face: make a template of the face nearest the photo's middle, of
        several too and whatever its quality, as `afterfact evaluate` does. Refused whole, with an entry, where one of
        the photos is enrolled in a gallery; a photo that the ledger knows as a probe ends as PROBE_PHOTO.
        """
        permit = self._ask()
        _require_batch(len(photos), MOST_PHOTOS, "photos")
        if role not in ROLES:
            raise InputError(f"role is {role!r}; give one of {', '.join(ROLES)}")
        looked = look_each([str(one) for one in photos], self._load, role == "search", self._limits)
        digests = [digest for digest, _ in looked]
        for name in galleries_holding(self._home, digests):
            self._gate.ask(self._credential, replace(self._request, gallery=name))  # which is refused to every tester
        probes = self._gate.probes_among({one for one in digests if one})
        created = [
            self._created(Path(photo), template, digest in probes, middle_face)
            for photo, (digest, template) in zip(photos, looked, strict=True)
        ]
        failures = Counter(one.outcome for one in created if one.template is None)
        body = {
            "batch": "templates",
            "role": role,
            "middle_face": middle_face,
            "photos": len(created),
            "templates": len(created) - failures.total(),
            "without_template": dict(sorted(failures.items())),
            "limits": digest_bytes(rfc8785.dumps(dict(self._limits.of_quality))),
        }
        self._answer(permit, body, {"photos": _digest_all(digests)})
        return created

    def compare(self, a: bytes | None, b: bytes | None) -> float | None:
        """Returns the Euclidean distance of two templates, None where one of them is None."""
        return self.compare_each([(a, b)])[0]

    def compare_each(self, pairs: Sequence[tuple[bytes | None, bytes | None]]) -> list[float | None]:
        """Returns the distance of each pair of templates, in order, as compare() does."""
        permit = self._ask()
        _require_batch(len(pairs), MOST_COMPARISONS, "comparisons")
        sides = [self._stacked([pair[side] for pair in pairs], "ab"[side]) for side in (0, 1)]
        with np.errstate(invalid="ignore"):
            distances = np.sqrt(((sides[0].astype(np.float64) - sides[1]) ** 2).sum(axis=1)).tolist()
        found = [one if np.isfinite(one) else None for one in distances]
        body = {"batch": "comparisons", "comparisons": len(pairs), "without_template": found.count(None)}
        self._answer(permit, body, {"templates": _digest_templates([one for pair in pairs for one in pair])})
        return found

    def finalise_gallery(self, enrolled: Sequence[tuple[str, bytes | None]], folder: Path) -> Finalised:
        """Writes a gallery of templates under ids of the tester's own into a folder, new or empty, and outside the
        data home.

        Raises InputError also for an id that is there twice, no template at all, or a folder that cannot be written.
        """
        permit = self._ask()
        ids = [name for name, _ in enrolled]
        _require_ids(ids)
        faces = self._stacked([template for _, template in enrolled], "enrolled")
        there = np.isfinite(faces).all(axis=1)
        if not there.any():
            raise InputError(f"none of the {len(ids):,} photos to enrol has a template; a gallery needs one at least")
        _require_own_folder(folder, self._home)
        named = [name for name, is_there in zip(ids, there, strict=True) if is_there]
        content = gallery_bytes(named, faces[there], self._model)
        digest, failed = digest_bytes(content), [one for one, is_there in zip(ids, there, strict=True) if not is_there]
        body = {"batch": "gallery", "gallery": digest, "faces": len(named), "without_template": len(failed)}
        self._answer(permit, body, {"templates": _digest_templates([template for _, template in enrolled])})
        try:
            write_whole(folder / GALLERY_FILE, content, mode=0o600)
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder") from error
        return Finalised(folder, len(named), failed, digest)

    def search(self, gallery: Path, template: bytes | None, k: int = 20) -> list[Ranked]:
        """Returns the k nearest faces of a finalised gallery, nearest first, ties in the order of enrolment; an empty
        list where the template is None. k: 2 to 50, and no more than the licence allows."""
        return self.search_each(gallery, [template], k)[0]

    def search_each(self, gallery: Path, templates: Sequence[bytes | None], k: int = 20) -> list[list[Ranked]]:
        """Returns what search() returns for each template, in order. Reads the gallery once."""
        permit = self._ask(k)
        _require_batch(len(templates), MOST_SEARCHES, "searches")
        held = self._read_gallery(gallery)
        probes = self._stacked(templates, "probe")
        there = np.isfinite(probes).all(axis=1)
        distances, rows = nearest_rows(held.faces, probes[there], k + SPARE)
        found = iter(zip(distances[:, :k].tolist(), rows[:, :k].tolist(), strict=True))
        lists = [_ranked(held.ids, *next(found)) if is_there else [] for is_there in there]
        body = {
            "batch": "searches",
            "searches": len(templates),
            "without_template": int((~there).sum()),
            "gallery": held.digest,
            "faces_searched": len(held.ids),
            "k": k,
        }
        self._answer(permit, body, {"templates": _digest_templates(templates)})
        return lists

    def _ask(self, k: int | None = None) -> Permit:
        return self._gate.ask(self._credential, replace(self._request, k=k))

    def _answer(self, permit: Permit, body: dict[str, Any], details: dict[str, Any]) -> None:
        """Decides again and writes the batch's entry; only then is its result anybody's.

        details: what tells which photos they were, so that it can be erased.
        """
        self._gate.answer(permit, {**body, "model": self._model.digest}, details)
        self._gate.handed_out()  # the caller has it in the next moment; nothing is held back for a later one

    def _load(self) -> Embedder:
        return self._given.load(self._device)

    def _created(self, photo: Path, template: Template, is_probe: bool, middle_face: bool) -> Created:
        outcome = Outcome.PROBE_PHOTO if is_probe else Outcome(template.outcome)
        made = None
        if template.embedding is not None and not is_probe and (middle_face or outcome is Outcome.ENROLLED):
            made = template_bytes(template.embedding, self._model)
        return Created(photo, made, outcome.value, ABOUT[outcome], template.faces)

    def _stacked(self, templates: Sequence[bytes | None], what: str) -> np.ndarray:
        """Returns float32 (n, dimension), NaN where there is no template."""
        stacked = np.full((len(templates), self._model.dimension), np.nan, dtype=np.float32)
        for place, one in enumerate(templates):
            if one is not None:
                stacked[place] = read_template(one, self._model, f"template {what}[{place}]")
        return stacked

    def _read_gallery(self, folder: Path) -> OwnGallery:
        path = folder / GALLERY_FILE
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); name a folder that finalise_gallery wrote"
            ) from None
        return read_own_gallery(content, self._model, str(path))


def _ranked(ids: Sequence[str], distances: list[float], rows: list[int]) -> list[Ranked]:
    return [Ranked(rank, ids[row], one) for rank, (one, row) in enumerate(zip(distances, rows, strict=True), start=1)]


def _require_batch(count: int, most: int, what: str) -> None:
    if not 1 <= count <= most:
        raise InputError(f"a batch of {count:,} {what} is given; give 1 to {most:,}, and the rest in further batches")


def _require_ids(ids: Sequence[str]) -> None:
    wrong = next((one for one in ids if not isinstance(one, str) or not one), None)
    if wrong is not None:
        raise InputError(f"id {wrong!r} is no text; give each photo to enrol an id of your own")
    twice = [one for one, count in Counter(ids).items() if count > 1]
    if twice:
        raise InputError(f"id {twice[0]!r} is given twice; give each photo an id of its own, and keep whose it is")


def _require_own_folder(folder: Path, home: Path) -> None:
    if folder.resolve().is_relative_to(home.resolve()):
        raise InputError(f"{folder} lies in the data home; name a folder of the tester's own")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be used ({error.strerror}); name another folder") from None
    if full:
        raise InputError(f"{folder} holds files; a gallery is never changed once it is finalised: name a new folder")


def _digest_templates(templates: Sequence[bytes | None]) -> str:
    return _digest_all(["" if one is None else digest_bytes(one) for one in templates])


def _digest_all(digests: Sequence[str]) -> str:
    """Returns one digest over many, in their order."""
    return digest_bytes("\n".join(digests).encode())
