"""One-to-many, open set: how often the enrolled are missed, and strangers get a candidate, in NIST FRTE's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.by_group import Enrolment, searches_by_group
from evaluation.cache import Template, stacked
from evaluation.embedding import enrolled
from evaluation.measured import (
    Error,
    Measured,
    Section,
    Worst,
    columns_of,
    histogram,
    percent,
    target,
    told,
    told_interval,
    told_whole,
)
from evaluation.ranking import LONGEST, Searches, search_all
from evaluation.rates import OUT_OF_REACH, Rate, curve, not_within, rates_at
from evaluation.samples import number_subjects
from evaluation.scores import Resampling, Trials
from evaluation.split import Split
from evaluation.verification import told_photos
from foundation.chart import Panel
from indexer.grouping import Groups

TARGETS = (0.1, 0.01, 0.003)
RANKS = (1, LONGEST)
SHOWN_RANKS = (1, 2, 5, 10, 20, LONGEST)
WORST = 10
CANNOT = (
    "It holds for a gallery of this size. In a larger one strangers are nearer: FPIR at one distance grows with it.",
    "It holds for probes like these. Probes from other cameras, years or light have other rates.",
    "Intervals are for other subjects searched for in this gallery. They cover no other gallery, and no wrong labels.",
    "A subject enrolled under two names makes false positives of right answers.",
)


def measure_search(
    split: Split,
    templates: Sequence[Template],
    probe_templates: Sequence[Template],
    seed: int,
    at_indexing: Any = None,
    groups: Groups | None = None,
    enrolment: Enrolment | None = None,
) -> Measured:
    """Returns the rates of an open-set search.

    templates: one a photo of split.enrolled. probe_templates: one a probe of split. at_indexing: what became of the
    gallery's photos, by outcome, where it was indexed before. groups: of split.samples, to tell apart. enrolment: what
    was to be enrolled, where that is more than split.enrolled. Raises InputError for NaN scores, and for a cut-off that
    groups cannot be compared at.
    """
    numbers = number_subjects([one.subject for one in split.samples])
    held = np.array([enrolled(one) for one in templates], dtype=bool)
    rows = split.enrolled[held]
    made = stacked([*templates, *probe_templates])
    embeddings = np.full((len(split.samples), made.shape[1]), np.nan, dtype=np.float32)
    embeddings[rows], embeddings[split.probes] = made[: len(held)][held], made[len(held) :]
    searches = search_all(embeddings[rows], numbers[rows], embeddings[split.probes], numbers[split.probes])
    resampling = Resampling(int(numbers.max()) + 1, seed)
    whose = numbers[split.probes]
    mated = split.mated
    ranks = not_within(searches.ranks[mated], whose[mated], range(1, LONGEST + 1), resampling)
    wrong = Trials.of(searches.others[~mated], whose[~mated])
    right = {
        within: Trials.of(np.where(searches.ranks <= within, searches.mates, np.inf)[mated], whose[mated])
        for within in RANKS
    }
    at = {within: rates_at(one, wrong, TARGETS, resampling) for within, one in right.items()}
    if groups is not None and enrolment is None:
        enrolment = Enrolment(~held, numbers[split.enrolled], groups.part(split.enrolled))
    by_group = searches_by_group(groups, split, numbers, embeddings, searches, enrolment, TARGETS, seed)
    result = {
        "kind": "search",
        "split": split.says,
        "searches": {"mated": int(mated.sum()), "non_mated": int((~mated).sum())},
        "gallery": {
            "photos": told_photos(templates) if at_indexing is None else {"outcomes": at_indexing},
            "faces": len(rows),
            "subjects": len(np.unique(numbers[rows])),
            "subjects_without_a_face": len(np.unique(numbers[split.enrolled])) - len(np.unique(numbers[rows])),
        },
        "probes": told_photos(probe_templates),
        "searches_without_a_template": {
            "mated": int((~np.isfinite(searches.mates[mated])).sum()),
            "non_mated": sum(
                one.embedding is None for one, is_mated in zip(probe_templates, mated, strict=True) if not is_mated
            ),
        },
        "fnir_by_rank": [{"rank": rank, "fnir": rate.as_json()} for rank, rate in enumerate(ranks, start=1)],
        "fnir_at_fpir": [
            {"fpir": aim, "rank": within, "fnir": rate.as_json()}
            for within, listed in at.items()
            for aim, rate in zip(TARGETS, listed, strict=True)
        ],
        **by_group.result,
        "resamples": resampling.repeats,
        "seed": seed,
    }
    return Measured(
        title="Search: one photo against a gallery",
        summary=[*_summary(result, ranks, at), *by_group.summary],
        samples=split.samples,
        result=result,
        sections=[_rank_section(ranks), _threshold_section(at, result), *by_group.sections],
        panels=_panels(ranks, right[LONGEST], wrong, searches, mated),
        columns=[
            *("probe", "subject", "encounter", "mated", "outcome", "rank", "mate_distance", "other_distance"),
            *columns_of(split.samples),
        ],
        scores=_scores(split, probe_templates, searches),
        worst=_worst(split, searches, rows),
        cannot=[*CANNOT, *by_group.cannot],
    )


def _summary(result: dict[str, Any], ranks: list[Rate], at: dict[int, list[Rate]]) -> list[str]:
    gallery, lost, searches = result["gallery"], result["searches_without_a_template"], result["searches"]
    lines = [
        f"{gallery['faces']:,} faces of {gallery['subjects']:,} subjects enrolled; {searches['mated']:,} mated and "
        f"{searches['non_mated']:,} non-mated searches. {result['split']}",
        f"{lost['mated']:,} mated searches have a probe without a face, or a mate of whom no photo could be enrolled, "
        f"and count as missed; {lost['non_mated']:,} non-mated ones have no face, and get no candidate. "
        f"{gallery['subjects_without_a_face']:,} subjects have no photo that could be enrolled.",
        f"FNIR at rank 1: {told_whole(ranks[0])}; at rank {LONGEST}: {told_whole(ranks[-1])}.",
    ]
    for aim, rate in zip(TARGETS, at[LONGEST], strict=True):
        lines.append(f"FNIR at FPIR {target(aim)}, within {LONGEST} ranks: {told_whole(rate)}.")
    return lines


def _rank_section(ranks: list[Rate]) -> Section:
    rows = []
    for rank in SHOWN_RANKS:
        rate = ranks[rank - 1]
        found = "-" if rate.lacks else percent(1 - rate.value)
        rows.append([f"{rank}", found, told(rate), told_interval(rate), f"{rate.errors:,} of {rate.trials:,}"])
    return Section(
        "Investigation: mates found by rank",
        "FNIR(N, R, 0): the share of mated searches whose mate is not among the first R subjects, at any distance. "
        "CMC is the rest. A mate as near as others ranks behind them. All ranks from 1 to 50 are in results.json.",
        ["rank R", "found (CMC)", "FNIR", "95% interval", "mates missed"],
        rows,
    )


def _threshold_section(at: dict[int, list[Rate]], result: dict[str, Any]) -> Section:
    lost = result["searches_without_a_template"]["mated"]
    rows = [
        [
            target(aim),
            f"{within}",
            "-" if rate.lacks or rate.threshold is None else f"{rate.threshold:.4f}",
            told(rate),
            told_interval(rate),
            f"{rate.errors:,} of {rate.trials:,}",
            f"{lost:,}",
        ]
        for within, listed in at.items()
        for aim, rate in zip(TARGETS, listed, strict=True)
    ]
    return Section(
        "Identification: mates missed at a threshold",
        "FPIR: the share of non-mated searches in which anybody is nearer than the threshold. FNIR(N, R, T): the share "
        "of mated searches whose mate is not among the first R subjects and nearer than T, where T gives that FPIR.",
        [
            "FPIR",
            "rank R",
            "threshold T (distance)",
            "FNIR",
            "95% interval",
            "mates missed",
            "of them without a template",
        ],
        rows,
    )


def _panels(ranks: list[Rate], right: Trials, wrong: Trials, searches: Searches, mated: np.ndarray) -> list[Panel]:
    points = [(x, y) for x, y in curve(right, wrong) if x > 0 and y > 0]
    found = [(float(rank), 1 - rate.value) for rank, rate in enumerate(ranks, start=1)]
    low = np.floor(10 * min(y for _, y in found)) / 10
    mates, others = searches.mates[mated], searches.others[~mated]
    there = [*mates[np.isfinite(mates)], *others[np.isfinite(others)]]
    bins = np.linspace(0, max(there, default=1.0) * 1.02, 61).tolist()
    near = {"mate": histogram(mates, bins), "nearest, not enrolled": histogram(others, bins)}
    return [
        Panel("DET: FNIR against FPIR", "FPIR", f"FNIR (R = {LONGEST})", {"": points}, {}, log="xy", share="xy"),
        Panel("CMC: mates found by rank", "rank", "found", {"": found}, {}, share="y", low=float(min(low, 0.9))),
        Panel("Distances: of mates, and of the nearest to a stranger", "distance", "share", near, {}, share="y"),
    ]


def _scores(split: Split, templates: Sequence[Template], searches: Searches) -> list[list[Any]]:
    names = columns_of(split.samples)
    rows = []
    for number, (place, mated, template) in enumerate(
        zip(split.probes.tolist(), split.mated.tolist(), templates, strict=True)
    ):
        sample, rank = split.samples[place], int(searches.ranks[number])
        distances = (float(one[number]) for one in (searches.mates, searches.others))
        rows.append(
            [
                *(sample.name, sample.subject, sample.encounter, int(mated), template.outcome),
                None if rank == OUT_OF_REACH else rank,
                *(f"{one:.6f}" if np.isfinite(one) else None for one in distances),
                *(sample.columns.get(name) for name in names),
            ]
        )
    return rows


def _worst(split: Split, searches: Searches, rows: np.ndarray) -> list[Worst]:
    def chosen(
        which: np.ndarray, order: np.ndarray, other: np.ndarray, distances: np.ndarray, what: str
    ) -> list[Error]:
        places = np.flatnonzero(which & (other >= 0))
        first = places[np.argsort(order[places], kind="stable")][:WORST]
        return [
            Error(
                f"{what} at distance {distances[one]:.4f}{_ranked(searches, one)}",
                (int(split.probes[one]), int(rows[other[one]])),
            )
            for one in first
        ]

    missed = split.mated & (searches.ranks > 1)
    return [
        Worst(
            "Enrolled, and not found first: probe and mate",
            chosen(missed, -searches.mates, searches.mate_rows, searches.mates, "mate"),
        ),
        Worst(
            "Not enrolled, and nearest to somebody: probe and candidate",
            chosen(~split.mated, searches.others, searches.other_rows, searches.others, "candidate"),
        ),
    ]


def _ranked(searches: Searches, place: int) -> str:
    rank = int(searches.ranks[place])
    if not np.isfinite(searches.mates[place]):
        return ""
    return f", beyond rank {LONGEST}" if rank == OUT_OF_REACH else f", rank {rank}"
