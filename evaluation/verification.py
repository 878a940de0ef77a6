"""One-to-one: how often two photos of a person are taken for two people, and two people for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.by_group import pairs_by_group
from evaluation.cache import Template, stacked
from evaluation.impostors import distances_between, nearest_impostors
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
    told_accuracy,
    told_interval,
    told_whole,
)
from evaluation.pairs import Pairs
from evaluation.rates import FoldAccuracy, Rate, curve, fold_accuracy, rates_at
from evaluation.scores import Resampling, Trials
from foundation.chart import Panel
from indexer.grouping import Groups

TARGETS = (0.01, 0.001, 0.0001)
WORST = 10
LISTED, ALL = "the list's pairs of two people", "all photos of different people"
CANNOT = (
    "It says nothing of searches: the larger a gallery, the more often a stranger is near. See evaluate search.",
    "It holds for photos like these. Other cameras, ages, light and people have other rates.",
    "Intervals are for other subjects of the same kind. They do not cover a list chosen to be easy, or mislabelled.",
    "For each photo the face nearest the middle is taken, whatever its quality; enrolment would reject some.",
)


def measure_verification(
    pairs: Pairs, templates: Sequence[Template], seed: int, groups: Groups | None = None
) -> Measured:
    """Returns the error rates of pairs. templates: one a sample of theirs. groups: of the samples, to tell apart.

    Raises InputError for NaN scores, and for a cut-off that groups cannot be compared at.
    """
    embeddings = stacked(templates)
    resampling = Resampling(int(pairs.subjects.max()) + 1, seed)
    distances = distances_between(embeddings, pairs.first, pairs.second)
    trials = Trials(distances, pairs.subjects[pairs.first], pairs.subjects[pairs.second])
    accuracy = fold_accuracy(trials, pairs.same, pairs.folds, resampling) if pairs.fold_count > 1 else None
    right = _chosen(trials, pairs.same)
    wrong = {LISTED: _chosen(trials, ~pairs.same & np.isfinite(distances))}
    found = nearest_impostors(embeddings, pairs.subjects, seed) if pairs.named else None
    if found is not None:
        wrong[ALL] = found.trials(pairs.subjects)
    rates = {whose: rates_at(right, them, TARGETS, resampling) for whose, them in wrong.items()}
    by_group = pairs_by_group(groups, pairs, templates, distances, found, TARGETS, seed)
    missing = ~np.isfinite(distances)
    result = {
        "kind": "verification",
        "pairs": {"same": int(pairs.same.sum()), "different": int((~pairs.same).sum())},
        "pairs_without_a_face": {
            "same": int((missing & pairs.same).sum()),
            "different": int((missing & ~pairs.same).sum()),
        },
        "photos": told_photos(templates),
        "subjects": resampling.subjects,
        "folds": pairs.fold_count,
        "accuracy": accuracy.as_json() if accuracy else None,
        "fnmr_at_fmr": [
            {"fmr": aim, "impostors": whose, "fnmr": rate.as_json()}
            for whose, listed in rates.items()
            for aim, rate in zip(TARGETS, listed, strict=True)
        ],
        **by_group.result,
        "resamples": resampling.repeats,
        "seed": seed,
    }
    return Measured(
        title="Verification: one photo against one",
        summary=[*_summary(result, accuracy, rates), *by_group.summary],
        samples=pairs.samples,
        result=result,
        sections=[
            _accuracy_section(accuracy, pairs),
            _rates_section(rates, int((missing & pairs.same).sum())),
            *by_group.sections,
        ],
        panels=_panels(right, wrong),
        columns=[
            *("photo_a", "photo_b", "subject_a", "subject_b", "same", "fold", "distance", "outcome_a", "outcome_b"),
            *(f"{name}_{side}" for name in columns_of(pairs.samples) for side in "ab"),
        ],
        scores=_scores(pairs, templates, distances),
        worst=_worst(pairs, distances),
        cannot=[*CANNOT, *by_group.cannot],
    )


def told_photos(templates: Sequence[Template]) -> dict[str, Any]:
    """Returns how many photos there are, how many have no face or several, and what enrolment would say of them."""
    return {
        "count": len(templates),
        "without_a_face": sum(one.embedding is None for one in templates),
        "with_several_faces": sum(one.faces > 1 for one in templates),
        "outcomes": dict(sorted(Counter(one.outcome for one in templates).items())),
    }


def _chosen(trials: Trials, which: np.ndarray) -> Trials:
    return Trials(trials.distances[which], trials.first[which], trials.second[which])


def _summary(result: dict[str, Any], accuracy: FoldAccuracy | None, rates: dict[str, list[Rate]]) -> list[str]:
    pairs, lost = result["pairs"], result["pairs_without_a_face"]
    lines = [
        f"{pairs['same']:,} pairs of one person, {pairs['different']:,} of two; {result['photos']['count']:,} photos "
        f"of {result['subjects']:,} subjects.",
        f"No face was found in {result['photos']['without_a_face']:,} photos; {lost['same']:,} pairs of one person and "
        f"{lost['different']:,} of two have no score for it, and count as errors.",
    ]
    if accuracy:
        value, ends = told_accuracy(accuracy)
        within = "" if ends == "-" else f" ({ends})"
        lines.append(f"Accuracy over {len(accuracy.folds)} folds: {value}{within}.")
    whose = ALL if ALL in rates else LISTED
    for aim, rate in zip(TARGETS, rates[whose], strict=True):
        lines.append(f"FNMR at FMR {target(aim)} among {whose}: {told_whole(rate)}.")
    return lines


def _accuracy_section(accuracy: FoldAccuracy | None, pairs: Pairs) -> Section:
    says = (
        "The share of pairs told rightly, each fold at the threshold that is best on the other folds, as LFW defines "
        "it: the mean over folds, each counting alike. A pair without a score is an error. The standard error is that "
        "mean's; the interval is over subjects, at the thresholds chosen."
    )
    if accuracy is None:
        why = "All pairs hang together: a threshold could only be chosen on subjects that it is then tried on."
        return Section("Accuracy", f"{why} Give a column 'fold', each subject in one fold.", [], [])
    value, ends = told_accuracy(accuracy)
    wrong = accuracy.wrong
    deviation = "-" if wrong.lacks else percent(accuracy.deviation)
    thresholds = f"{min(accuracy.thresholds):.4f} to {max(accuracy.thresholds):.4f}"
    row = [f"{pairs.fold_count}", value, ends, deviation, f"{wrong.errors:,} of {wrong.trials:,}", thresholds]
    columns = ["folds", "accuracy", "95% interval", "standard error", "pairs told wrongly", "thresholds (distance)"]
    return Section("Accuracy", says, columns, [row])


def _rates_section(rates: dict[str, list[Rate]], lost: int) -> Section:
    rows = [
        [
            target(aim),
            whose,
            "-" if rate.lacks or rate.threshold is None else f"{rate.threshold:.4f}",
            told(rate),
            told_interval(rate),
            f"{rate.errors:,} of {rate.trials:,}",
            f"{lost:,}",
        ]
        for whose, listed in rates.items()
        for aim, rate in zip(TARGETS, listed, strict=True)
    ]
    return Section(
        "False non-matches at a false match rate",
        "FMR: the share of comparisons of two people that are accepted. FNMR: the share of pairs of one person that "
        "are not, at the threshold where FMR is as stated. Those without a face are missed; none is falsely accepted.",
        ["FMR", "among", "threshold (distance)", "FNMR", "95% interval", "pairs missed", "of them without a face"],
        rows,
    )


def _panels(right: Trials, wrong: dict[str, Trials]) -> list[Panel]:
    names = {LISTED: "impostors: the list's", ALL: "impostors: all there are"}
    curves = {names[whose]: _loggable(curve(right, them)) for whose, them in wrong.items()}
    there = np.concatenate([right.distances[np.isfinite(right.distances)], wrong[LISTED].distances])
    bins = np.linspace(0, max(float(there.max(initial=0)), 1e-6) * 1.02, 61).tolist()
    scores = {
        "one person": histogram(right.distances, bins),
        "two people (the list's)": histogram(wrong[LISTED].distances, bins),
    }
    return [
        Panel("DET: FNMR against FMR", "FMR", "FNMR", curves, {}, log="xy", share="xy"),
        Panel("Distances of pairs", "distance", "share", scores, {}, share="y"),
    ]


def _loggable(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if x > 0 and y > 0]


def _scores(pairs: Pairs, templates: Sequence[Template], distances: np.ndarray) -> list[list[Any]]:
    names = columns_of(pairs.samples)
    rows = []
    for a, b, same, fold, distance in zip(
        pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), pairs.folds.tolist(), distances, strict=True
    ):
        sides = pairs.samples[a], pairs.samples[b]
        rows.append(
            [
                *(one.name for one in sides),
                *(one.subject for one in sides),
                int(same),
                fold + 1,
                f"{distance:.6f}" if np.isfinite(distance) else None,
                templates[a].outcome,
                templates[b].outcome,
                *(one.columns.get(name) for name in names for one in sides),
            ]
        )
    return rows


def _worst(pairs: Pairs, distances: np.ndarray) -> list[Worst]:
    def chosen(which: np.ndarray, order: np.ndarray) -> list[Error]:
        places = np.flatnonzero(which & np.isfinite(distances))
        first = places[np.argsort(order[places], kind="stable")][:WORST]
        return [
            Error(f"distance {distances[one]:.4f}", (int(pairs.first[one]), int(pairs.second[one]))) for one in first
        ]

    lost = np.flatnonzero(~np.isfinite(distances))[:WORST]
    return [
        Worst("One person, farthest apart", chosen(pairs.same, -distances)),
        Worst("Two people, nearest to each other", chosen(~pairs.same, distances)),
        Worst(
            "Without a score: no face in one of them",
            [Error("no score", (int(pairs.first[one]), int(pairs.second[one]))) for one in lost],
        ),
    ]
