"""New limits of quality for a gallery, from the measures in its rows: no photo is looked at again.

One Delta commit, then the search files, as after a run; whatever is cut short, `roll_forward` finishes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from foundation.errors import InputError
from indexer.gallery import Gallery, Version
from indexer.limits import OF_QUALITY, Limits
from indexer.outcomes import BY_QUALITY, EMBEDDED, Outcome, Rejection
from indexer.publish import KNOWN_PROBE, KnownProbes, about_commit, finish_interrupted, roll_forward
from indexer.quality import Quality, require_quality
from indexer.schema import PHOTOS
from indexer.settled import duplicate_detail
from indexer.table import commit_rows, count_outcomes, open_table, read_rows

_MEASURES = tuple(field.name for field in fields(Quality))
_TOLD = ("outcome", "detail", "duplicate_of")
_READ = ("location", "photo", "subject", "photo_digest", *_TOLD, *_MEASURES)
_JUDGED = BY_QUALITY | {Outcome.ENROLLED, Outcome.DUPLICATE}

Verdict = tuple[str, str | None, str | None]
"""A row's outcome, detail and duplicate_of."""


@dataclass(frozen=True)
class Requalification:
    """What other limits make of a gallery. of: the version judged.

    old: its limits, None where it does not remember them. before, after: photos by outcome. unknown: photos that keep
    the new limits and stay rejected, because an older Afterfact kept no embedding of them.
    """

    of: Version
    old: dict[str, float] | None
    new: dict[str, float]
    before: dict[str, int]
    after: dict[str, int]
    unknown: int
    changes: dict[str, Verdict]

    @property
    def changes_nothing(self) -> bool:
        return not self.changes and self.old == self.new

    def as_json(self) -> dict[str, Any]:
        return {
            "requalified": self.of.number,
            "changed": len(self.changes),
            "without_embedding": self.unknown,
            "old_limits": self.old,
            "limits": self.new,
            "before": self.before,
            "after": self.after,
        }


def new_limits(remembered: dict[str, float] | None, job: Limits | None, given: dict[str, float]) -> Limits:
    """Returns the given limits laid over a job's, where there is one, else over those that the gallery remembers.

    Raises InputError for a limit that is not of quality, and where neither job nor gallery says the others.
    """
    for name in given:
        if name not in OF_QUALITY:
            raise InputError(
                f"limit {name!r} cannot change without a look at the photos (those of quality can: "
                f"{', '.join(OF_QUALITY)}); give it to afterfact index"
            )
    base = job.of_quality if job is not None else remembered
    if base is None and set(given) != set(OF_QUALITY):
        raise InputError(
            "the gallery was made before galleries remembered their limits; give a job file's with --limits, "
            f"or every one of {', '.join(OF_QUALITY)}"
        )
    return Limits.from_settings({**(base or {}), **given})


def judge_again(gallery: Gallery, limits: Limits, known_probes: KnownProbes) -> Requalification:
    """Returns what the limits would make of the newest version's photos, without writing anything.

    Photos that were not judged by quality (several faces, none, unreadable, probes) stay as they are. Raises
    GalleryError where there is no version.
    """
    version = gallery.version()
    table = open_table(gallery, version.number)
    rows = read_rows(table, _READ, _is_judged()).sort_by("location").to_pylist()
    verdicts = [_hold_against(row, limits) for row in rows]
    probes = _probes(rows, verdicts, known_probes)
    alike = defaultdict(list)
    for row, verdict in zip(rows, verdicts, strict=True):
        alike[row["photo_digest"]].append((row, verdict))
    changes: dict[str, Verdict] = {}
    unknown = 0
    known = set(read_rows(table, ["photo_digest"], _has_embedding())["photo_digest"].to_pylist())
    for digest, judged in alike.items():
        settled = judged
        if digest not in known:
            unknown += sum(row["outcome"] in BY_QUALITY and kept[0] == Outcome.ENROLLED for row, kept in judged)
            settled = [(row, verdict) for row, verdict in judged if verdict[0] != Outcome.ENROLLED]
        for row, verdict in _settle_alike(settled, digest in probes):
            if verdict != tuple(row[name] for name in _TOLD):
                changes[row["location"]] = verdict
    before = count_outcomes(table)
    after = Counter(before)
    after.subtract(row["outcome"] for row in rows if row["location"] in changes)
    after.update(verdict[0] for verdict in changes.values())
    counted = {outcome: photos for outcome, photos in sorted(after.items()) if photos}
    return Requalification(version, version.limits, limits.of_quality, before, counted, unknown, changes)


def _is_judged() -> Any:
    return pc.field("outcome").isin(sorted(_JUDGED))


def _has_embedding() -> Any:
    return _is_judged() & pc.field("embedding").is_valid()


def _hold_against(row: dict[str, Any], limits: Limits) -> Verdict:
    try:
        require_quality(Quality(**{name: row[name] for name in _MEASURES}), limits)
    except Rejection as rejection:
        return rejection.outcome.value, rejection.detail, None
    return Outcome.ENROLLED.value, None, None


def _probes(rows: list[dict[str, Any]], verdicts: list[Verdict], known_probes: KnownProbes) -> set[str]:
    """Returns the digests of probes among the photos that would be enrolled anew."""
    anew = {
        row["photo_digest"]
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict[0] == Outcome.ENROLLED and row["outcome"] != Outcome.ENROLLED
    }
    return known_probes(anew) if anew else set()


def _settle_alike(judged: list[tuple[dict[str, Any], Verdict]], probe: bool) -> list[tuple[dict[str, Any], Verdict]]:
    """Returns the verdicts on photos of the same bytes, in the order of their locations, as a run would settle them:

    who is enrolled stays so, else the first one is; the others that keep the limits are its duplicates. Photos that
    were not enrolled, and whose bytes have been a probe since, are rejected.
    """
    kept = [row for row, verdict in judged if verdict[0] == Outcome.ENROLLED]
    original = next((row for row in kept if row["outcome"] == Outcome.ENROLLED), None)
    if original is None and not probe:
        original = next(iter(kept), None)
    settled = []
    for row, verdict in judged:
        if verdict[0] != Outcome.ENROLLED or row is original:
            settled.append((row, verdict))
        elif original is not None and row["duplicate_of"] == original["location"]:
            settled.append((row, tuple(row[name] for name in _TOLD)))
        elif probe:
            settled.append((row, (*KNOWN_PROBE, None)))
        else:
            assert original is not None
            detail = duplicate_detail(original["location"], (original["photo"], original["subject"]), row["subject"])
            settled.append((row, (Outcome.DUPLICATE.value, detail, original["location"])))
    return settled


def requalify(
    gallery: Gallery,
    limits: Callable[[Version], Limits],
    before_publish: Callable[[Requalification], None],
    known_probes: KnownProbes,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[Requalification, Version | None]:
    """Holds the newest version's photos against other limits and publishes what that changes.

    limits: given the version. before_publish: asks once more whether this may be published, and raises where it may
    not. warn: is told of a torn commit that was set aside. Returns what was found, and the new version, None where
    nothing changed. Safe to repeat after any crash.
    Raises GalleryError where another run is at work.
    """
    with gallery.only_publisher():
        finish_interrupted(gallery, warn)
        version = gallery.version()
        found = judge_again(gallery, limits(version), known_probes)
        if found.changes_nothing:
            return found, None
        before_publish(found)
        now = datetime.now(UTC)
        about = about_commit(found.as_json(), version.about["model"], found.new)
        table = open_table(gallery, found.of.number)
        rows = _changed_rows(table, found)
        commit_rows(gallery, table, rows, rows.num_rows > 0, f"{now:%Y%m%dT%H%M%S%f}Z-requalify", about)
        return found, roll_forward(gallery)


def _changed_rows(table: Any, found: Requalification) -> pa.Table:
    """Returns the changed rows as indexer.schema.PHOTOS, each with the embedding that its new outcome keeps.

    A duplicate that is one no more takes that of the same bytes.
    """
    rows = read_rows(table, PHOTOS.names, pc.field("location").isin(pa.array(list(found.changes), pa.string())))
    digests = rows["photo_digest"].combine_chunks()
    kept = read_rows(
        table, ["location", "photo_digest", "embedding"], _has_embedding() & pc.field("photo_digest").isin(digests)
    )
    own = {location: place for place, location in enumerate(kept["location"].to_pylist())}
    alike = {digest: place for place, digest in enumerate(kept["photo_digest"].to_pylist())}
    locations = rows["location"].to_pylist()
    verdicts = [found.changes[location] for location in locations]
    places = [
        own.get(location, alike.get(digest)) if verdict[0] in EMBEDDED else None
        for location, digest, verdict in zip(locations, digests.to_pylist(), verdicts, strict=True)
    ]
    columns = {name: pa.array([verdict[at] for verdict in verdicts], pa.string()) for at, name in enumerate(_TOLD)}
    columns["embedding"] = kept["embedding"].combine_chunks().take(pa.array(places, pa.int64()))
    return pa.table([columns.get(name, rows[name]) for name in PHOTOS.names], schema=PHOTOS)
