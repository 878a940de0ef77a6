"""The one way to an evaluation: decision, photos, templates, rates, decision again in the entry, then the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rfc8785

from access.gate import Gate, Permit, Receipt, Request
from evaluation.by_group import Enrolment
from evaluation.cache import Cache, Template
from evaluation.embedding import digest_samples, make_templates
from evaluation.galleries import galleries_holding, pseudonymous, read_enrolment, read_gallery
from evaluation.identification import measure_search
from evaluation.many_people import require_long_list, require_many, without_marks
from evaluation.measured import Measured
from evaluation.pairs import Pairs
from evaluation.samples import Sample, number_subjects
from evaluation.split import Split, given_split, require_no_twins, split_samples
from evaluation.verification import measure_verification
from foundation.errors import InputError
from foundation.files import digest_bytes
from foundation.progress import Counter
from indexer.embedder import Embedder
from indexer.embedder_file import GivenEmbedder
from indexer.face import default_detector
from indexer.gallery import Gallery, Version
from indexer.grouping import By, Groups
from indexer.models import find_network, models_folder


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that was recorded. receipts: one a decision, the first for the asker's own photos or the gallery.

    model: as a gallery remembers it. galleries: those whose faces are part of it; then names are pseudonyms. digests,
    templates: of the samples whose photos may be shown, in measured's order; empty where none may be.
    """

    measured: Measured
    receipts: list[Receipt]
    model: dict[str, Any]
    galleries: list[str]
    digests: list[str]
    templates: list[Template]


class EvaluationSession:
    """Evaluates for one requester. Nothing is returned without a decision and a ledger entry."""

    def __init__(
        self,
        home: Path,
        credential: str,
        request: Request,
        seed: int,
        given: GivenEmbedder,
        device: str,
        quiet: bool,
        by: By | None = None,
    ) -> None:
        """request: of operation "evaluate", outside every gallery. given: what embeds, unless a gallery's own model has
        to. device: see indexer.embedder.Embedder. quiet: whether to tell no progress. by: the columns whose groups are
        told apart."""
        if not request.outside_galleries:
            raise InputError(
                f"an evaluation session begins outside galleries, and the request is for {request.gallery!r}"
            )
        self._home, self._credential, self._request = home, credential, request
        self._seed, self._given, self._device, self._quiet = seed, given, device, quiet
        self._by = by
        self._gate = Gate.open(home)

    def verification(self, pairs: Pairs) -> Evaluation:
        """Returns the rates of pairs. Raises Refused before a photo is read, and where one is a gallery's."""
        groups = self._groups(pairs.samples, "the list")
        permits = [self._ask("")]
        digests = self._digests(pairs.samples)
        galleries = self._touched(digests, permits)
        templates = self._templates(pairs.samples, digests, probe=False)
        shown = replace(pairs, samples=pseudonymous(pairs.samples)) if galleries else pairs
        measured = measure_verification(shown, templates, self._seed, groups)
        return self._answered(permits, measured, galleries, digests, templates)

    def search(self, split: Split) -> Evaluation:
        """Returns the rates of searches among own photos. Raises as verification() does, InputError for twins."""
        groups = self._groups(split.samples, "the list")
        permits = [self._ask("")]
        digests = self._digests(split.samples)
        galleries = self._touched(digests, permits)
        require_no_twins(split, digests)
        templates = dict(
            zip(split.enrolled.tolist(), self._part(split.samples, digests, split.enrolled, False), strict=True)
        )
        templates |= zip(split.probes.tolist(), self._part(split.samples, digests, split.probes, True), strict=True)
        shown = replace(split, samples=pseudonymous(split.samples)) if galleries else split
        measured = measure_search(
            shown,
            [templates[place] for place in split.enrolled.tolist()],
            [templates[place] for place in split.probes.tolist()],
            self._seed,
            groups=groups,
        )
        every = [templates.get(place, Template("")) for place in range(len(split.samples))]
        return self._answered(permits, measured, galleries, digests, every)

    def gallery_alone(self, name: str, non_mated: float) -> Evaluation:
        """Returns the rates of searches among a gallery's own faces, split by the seed. No photo is opened."""
        permits = [self._ask(name)]
        gallery = Gallery(self._home, name)
        version = gallery.version()
        samples, templates = read_gallery(gallery, version)
        groups, enrolment = self._gallery_groups(gallery, version, samples)
        split = split_samples(pseudonymous(samples), non_mated, self._seed, f"gallery {name!r}")
        measured = measure_search(
            split,
            [templates[place] for place in split.enrolled.tolist()],
            [templates[place] for place in split.probes.tolist()],
            self._seed,
            version.about["outcomes"],
            groups,
            enrolment,
        )
        return self._answered(permits, measured, [name], [], [], version.about["model"])

    def gallery_with_probes(self, name: str, probes: Sequence[Sample], strangers: Sequence[Sample]) -> Evaluation:
        """Returns the rates of own probes in a gallery as it is. Raises InputError for too few people."""
        require_long_list(name, len(probes) + len(strangers))
        permits = [self._ask(name)]
        gallery = Gallery(self._home, name)
        version = gallery.version()
        model = version.model
        self._given = GivenEmbedder(model, network=find_network(model, models_folder(self._home)))
        samples, templates = read_gallery(gallery, version)
        split = given_split(samples, probes, strangers, "the lists", outside=False)
        groups, enrolment = self._gallery_groups(gallery, version, split.samples)
        probed = split.samples[len(samples) :]
        digests = self._digests(probed)
        if name in galleries_holding(self._home, digests):
            raise InputError(
                f"a probe is a photo that gallery {name!r} holds: it cannot be on both sides of the split; take it out"
            )
        require_many(name, split, digests, [bool(one) for one in digests], groups)  # before an hour of embedding
        others = self._touched(digests, permits)
        made = self._templates(probed, digests, probe=True)
        require_many(name, split, digests, [one.embedding is not None for one in made], groups)
        shown = replace(split, samples=pseudonymous(split.samples))
        indexed = version.about["outcomes"]
        measured = without_marks(measure_search(shown, templates, made, self._seed, indexed, groups, enrolment))
        # The photos stand in the ledger: who pads a list to ask about one person leaves that photo there.
        details = {"probes": [[digest, one.subject] for digest, one in zip(digests, probed, strict=True)]}
        model = version.about["model"]
        return self._answered(permits, measured, [name, *others], [], [], model, details)

    def handed_out(self) -> None:
        """Says that the evaluation has been shown: whoever declares a moratorium waits for that."""
        self._gate.handed_out()

    def _ask(self, gallery: str) -> Permit:
        return self._gate.ask(self._credential, replace(self._request, gallery=gallery))

    def _groups(self, samples: Sequence[Sample], named: str) -> Groups | None:
        return None if self._by is None else self._by.groups([one.columns for one in samples], named)

    def _gallery_groups(
        self, gallery: Gallery, version: Version, samples: Sequence[Sample]
    ) -> tuple[Groups | None, Enrolment | None]:
        """Returns the groups of samples, and what was to be enrolled, which is more than what a gallery searches."""
        if self._by is None:
            return None, None
        listed, failed = read_enrolment(gallery, version)
        both = self._by.groups([one.columns for one in [*samples, *listed]], f"gallery {gallery.name!r}")
        numbers = number_subjects([one.subject for one in listed])
        enrolment = Enrolment(failed, numbers, both.part(slice(len(samples), None)))
        return both.part(slice(len(samples))), enrolment

    def _touched(self, digests: Sequence[str], permits: list[Permit]) -> list[str]:
        """Asks for leave for every gallery that holds some of these photos, and returns their names.

        Who compares an archive's photos outside its gallery touches that gallery all the same.
        """
        galleries = galleries_holding(self._home, digests)
        permits += [self._ask(name) for name in galleries]
        return galleries

    def _digests(self, samples: Sequence[Sample]) -> list[str]:
        with self._counted("reading", len(samples)) as done:
            return digest_samples(samples, done)

    def _part(self, samples: Sequence[Sample], digests: Sequence[str], places: Any, probe: bool) -> list[Template]:
        chosen = places.tolist()
        return self._templates([samples[one] for one in chosen], [digests[one] for one in chosen], probe)

    def _templates(self, samples: Sequence[Sample], digests: Sequence[str], probe: bool) -> list[Template]:
        way = f"{digest_bytes(default_detector().name.encode())[:16]}-{'probe' if probe else 'archive'}"
        cache = Cache(self._home, self._given.model.digest, way)
        with self._counted("embedding", len(samples)) as done:
            return make_templates(samples, digests, cache, self._load, probe, done)

    def _load(self) -> Embedder:
        return self._given.load(self._device)

    @contextmanager
    def _counted(self, doing: str, total: int) -> Iterator[Callable[[int], None]]:
        """Gives what tells how far work is."""
        if self._quiet or not total:
            yield lambda _: None
            return
        counter = Counter(f"afterfact evaluate: {doing}", doing, "photos", total)
        try:
            yield counter.done
        finally:
            counter.close()

    def _answered(
        self,
        permits: Sequence[Permit],
        measured: Measured,
        galleries: list[str],
        digests: list[str],
        templates: list[Template],
        model: dict[str, Any] | None = None,
        details: dict[str, Any] | None = None,
    ) -> Evaluation:
        """Decides again and writes an entry a decision; only then is the evaluation anybody's.

        model: of the gallery that was searched, None for own photos. details: what an order may have erased from the
        entry.
        """
        model = model or self._given.model.as_json()
        body = {
            "evaluation": measured.result["kind"],
            "galleries": galleries,
            "photos": len(measured.samples),
            "scores": len(measured.scores),
            "model": model["digest"],
            "seed": self._seed,
            "result": digest_bytes(rfc8785.dumps(dict(measured.result))),
        }
        receipts = [self._gate.answer(permit, body, details) for permit in permits]
        if galleries:  # nobody's photo is shown, and none can be found by its digest
            digests, templates = [], []
        return Evaluation(measured, receipts, model, galleries, digests, templates)
