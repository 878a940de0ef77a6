"""`make accuracy`: writes docs/accuracy.md from AFTERFACT_DATA: ours, mirrored averaging, and face_recognition's own.

All lines come from one run over the same pairs, and each further table of the page is one more function in TABLES.
Arguments: the data folder; the page to write; how many pairs of each kind a fold to take, for a try.
"""

from __future__ import annotations

import multiprocessing
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_groups import group_tables

from evaluation.cache import Cache, Template
from evaluation.embedding import digest_samples, make_templates
from evaluation.measured import target
from evaluation.pairs import Pairs, read_pairs
from evaluation.rates import FEWEST_ERRORS
from evaluation.verification import ALL, TARGETS, measure_verification
from foundation.progress import Counter
from indexer.embedder_file import given_embedder
from indexer.models import installed_model

WORKERS = 2
SEED = 1


def read_lfw(data: Path, each: int | None) -> Pairs:
    """Returns the pairs of LFW, or the first `each` of either kind of every fold."""
    folder = data / "lfw"
    if not (folder / "pairs.txt").is_file():
        raise SystemExit(f"{folder} holds no pairs.txt; set AFTERFACT_DATA to a folder with lfw/")
    head, *rows = (folder / "pairs.txt").read_text(encoding="utf-8").splitlines()
    folds, whole = (int(number) for number in head.split())
    taken = min(each or whole, whole)
    kept = [row for number, row in enumerate(rows) if number % whole < taken]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "pairs.txt"
        path.write_text("\n".join([f"{folds}\t{taken}", *kept]) + "\n", encoding="utf-8")
        return read_pairs(path, folder)


def ours(mirrored: bool) -> Callable[[Pairs], list[Template]]:
    """Returns what makes the templates of our own pipeline."""

    def make(pairs: Pairs) -> list[Template]:
        digests = digest_samples(pairs.samples, lambda _: None)
        counter = Counter("accuracy", "ours", "photos", len(pairs.samples))
        with tempfile.TemporaryDirectory() as home:
            given = given_embedder(None, mirrored)
            cache = Cache(Path(home), given.model.digest, "accuracy")
            return make_templates(pairs.samples, digests, cache, given.load, False, counter.done)

    return make


def peer(pairs: Pairs) -> list[Template]:
    """Returns the templates of face_recognition as its users run it, two processes at a time."""
    counter = Counter("accuracy", "face_recognition", "photos", len(pairs.samples))
    made = []
    with multiprocessing.Pool(WORKERS) as pool:
        for one in pool.imap(_peer_template, [one.path for one in pairs.samples], chunksize=8):
            made.append(one)
            counter.done(len(made))
    return made


def _peer_template(path: str) -> Template:
    import face_recognition

    image = face_recognition.load_image_file(path)
    boxes = face_recognition.face_locations(image)
    if not boxes:
        return Template("NO_FACE")
    middle = np.array(image.shape[:2])
    box = min(boxes, key=lambda one: float(np.hypot(*(np.array([one[0] + one[2], one[1] + one[3]]) - middle))))
    (embedding,) = face_recognition.face_encodings(image, [box])
    return Template("ENROLLED", len(boxes), None, embedding.astype(np.float32))


LINES: dict[str, Callable[[Pairs], list[Template]]] = {
    "Afterfact, as installed": ours(False),
    "Afterfact, mirrored averaging": ours(True),
    "face_recognition, as its users run it": peer,
}


def verification_table(data: Path, each: int | None) -> str:
    """Returns the table of LFW's pairs."""
    pairs = read_lfw(data, each)
    results = {name: measure_verification(pairs, make(pairs), SEED).result for name, make in LINES.items()}
    columns = ["", "accuracy", "pairs without a face", *(f"FNMR at FMR {target(one)}" for one in TARGETS)]
    rows = [[name, *_row(result)] for name, result in results.items()]
    first = next(iter(results.values()))
    return "\n".join(
        [
            "## Labeled Faces in the Wild, View 2",
            "",
            f"{pairs.fold_count} folds, {len(pairs.same):,} pairs, {len(pairs.samples):,} photos of "
            f"{first['subjects']:,} subjects. Accuracy: over folds, as LFW defines it; a pair without a face is wrong. "
            f"FNMR: at the threshold where that share of {ALL} is accepted. In brackets: 95% intervals over subjects. "
            f"Where fewer than {FEWEST_ERRORS} errors support a figure its digits are left out.",
            "",
            *_markdown(columns, rows),
        ]
    )


def _row(result: dict[str, Any]) -> list[str]:
    lost = result["pairs_without_a_face"]
    listed = [one["fnmr"] for one in result["fnmr_at_fmr"] if one["impostors"] == ALL]
    return [_told(result["accuracy"]), f"{lost['same'] + lost['different']:,}", *(_told(one) for one in listed)]


def _told(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return rate["lacks"]
    low, high = rate["interval"]
    return f"{rate['value']:.2%} ({low:.2%} to {high:.2%})"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def by_group(data: Path, each: int | None) -> str:
    """Returns the tables by group, of our pipeline as installed; all photos are taken, whatever each is."""
    del each
    return "\n\n".join(group_tables(data, ours(False), SEED))


TABLES = (verification_table, by_group)


def main(data: Path, page: Path, each: int | None) -> None:
    """Measures every table and writes the page."""
    about = (
        f"{datetime.now(UTC):%-d %B %Y}, {platform.machine()}, Python {platform.python_version()}, Afterfact "
        f"{version('afterfact')}, face_recognition {version('face_recognition')}. Embedding network "
        f"`{installed_model().digest[:12]}`."
    )
    parts = [
        "# How accurate it is",
        f"Written by `make accuracy`, one run. {about}",
        "[evaluation.md](evaluation.md) says what each figure means and cannot say: these are press photos, not "
        "booking photos. Measure on your own. The mapping of the detector was fitted on the photos of folds 1 to 5 "
        "([decision 12](decisions/0012-blazeface.md)), which both of our lines share.",
        *(table(data, each) for table in TABLES),
    ]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"Written: {page}")


if __name__ == "__main__":
    folder, written, *slice_of = sys.argv[1:]
    main(Path(folder), Path(written), int(slice_of[0]) if slice_of and slice_of[0] else None)
