"""Everything about a gallery that can be recomputed, recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foundation.errors import AfterfactError
from foundation.files import digest_file
from foundation.store_errors import StoreRefused, StoreUnavailable
from foundation.store_path import Place
from indexer.calibration import read_calibration
from indexer.calibration_groups import read_groups
from indexer.gallery import (
    CALIBRATION,
    CALIBRATION_GROUPS,
    FACES,
    LABELS,
    Gallery,
    GalleryError,
    Version,
    read_sealed,
    sealed_text,
)
from indexer.gallery_cache import files_to_check
from indexer.models import find_network, models_folder
from indexer.search_files import enrolled_labels, enrolled_vectors
from indexer.table import count_outcomes, open_table

# A flipped bit in a Delta, Parquet or FAISS file can surface as almost any error of their readers.
_READER_ERRORS = (AfterfactError, OSError, ValueError, RuntimeError, KeyError, pa.ArrowException)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. problem: what is wrong, empty where it is right."""

    checked: str
    problem: str = ""


def verify_gallery(gallery: Gallery, on_check: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Returns a finding for every version, file and account of a gallery; all problems, not just the first.

    Raises GalleryError where there is no gallery or no version.
    """
    gallery.require()
    numbers = gallery.version_numbers()
    if not numbers:
        raise GalleryError(f"gallery {gallery.name!r} has no published version yet; run afterfact index")
    findings = []
    for finding in _checks(gallery, numbers):
        on_check(finding.checked)
        findings.append(finding)
    return findings


def _checks(gallery: Gallery, numbers: list[int]) -> Iterator[Finding]:
    yield from _unfinished(gallery)
    for number in numbers:
        try:
            version = gallery.version(number)
        except GalleryError as error:
            yield Finding(f"index/{number}/index.json", str(error))
            continue
        yield Finding(f"index/{number}/index.json", _spacing(version.folder / "index.json", version.about))
        # Rolling back needs every version's table files; the newest version's are searched from today.
        stated = [
            *_stated_files(version.folder, version.about["files"], f"index/{number}/"),
            *_stated_files(gallery.table, version.about["table_files"], "table/", f" (version {number})"),
        ]
        yield from stated
        yield _attempt(f"version {number}: model", partial(_model, gallery, version))
        yield _attempt(f"version {number}: calibration", partial(_calibration, version))
        if any(finding.problem for finding in stated):
            continue  # a file that is not as it was written can crash its reader
        yield _attempt(f"version {number}: index against table", partial(_index_against_table, gallery, version))
    yield from _accounts(gallery)


def _unfinished(gallery: Gallery) -> Iterator[Finding]:
    table_version = _attempt("table opens", lambda: "" if open_table(gallery) is not None else "there is no table")
    yield table_version
    if table_version.problem:
        return
    newest = open_table(gallery).version()  # type: ignore[union-attr]
    if newest in gallery.version_numbers():
        yield Finding(f"table version {newest} has its index", "")
    elif _is_at_work(gallery):
        yield Finding(f"table version {newest} is being published", "")
    else:
        published = newest in gallery.version_numbers()  # between the two looks its publisher may have ended
        yield Finding(
            f"table version {newest} has its index",
            "" if published else "a publish was interrupted; the next afterfact index finishes it",
        )


def _is_at_work(gallery: Gallery) -> bool:
    """Tells whether a publisher of this data home holds the gallery."""
    try:
        with gallery.only_publisher():
            return False
    except GalleryError:
        return True
    except OSError:  # whoever may only read cannot take the lock either
        return False


def _attempt(checked: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(checked, check())
    except (StoreUnavailable, StoreRefused):
        raise  # nothing is wrong with the gallery
    except _READER_ERRORS as error:
        return Finding(checked, f"{type(error).__name__}: {error}")


def _stated_files(folder: Place, files: dict[str, Any], prefix: str, suffix: str = "") -> Iterator[Finding]:
    for name, stated in files.items():
        checked = f"{prefix}{name}{suffix}"
        try:
            whole = digest_file(folder / name) == stated["digest"]
        except OSError as error:
            yield Finding(checked, f"cannot be read: {error.strerror or error}")
            continue
        yield Finding(checked, "" if whole else "is not as it was written (its digest does not fit)")


def _model(gallery: Gallery, version: Version) -> str:
    find_network(version.model, models_folder(gallery.home))
    return ""


def _calibration(version: Version) -> str:
    """Says what is wrong with a calibration, the publisher's or one that was made later; a version may have none."""
    made = {CALIBRATION: read_calibration(version), CALIBRATION_GROUPS: read_groups(version)}
    problems = [_spacing(version.folder / name, one.about) for name, one in made.items() if one]
    return "; ".join(problem for problem in problems if problem)


def _index_against_table(gallery: Gallery, version: Version) -> str:
    table = open_table(gallery, version.number)
    if table is None:
        return "the table is gone"
    labels = enrolled_labels(table)
    with files_to_check(gallery, version) as folder:
        return _files_against_table(gallery, version, table, labels, folder)


def _files_against_table(gallery: Gallery, version: Version, table: Any, labels: pa.Table, folder: Path) -> str:
    import faiss

    with pa.OSFile(str(folder / LABELS), "rb") as source:
        written_labels = pa.ipc.open_file(source).read_all()
    index = faiss.read_index(str(folder / FACES), faiss.IO_FLAG_MMAP_IFC)
    if not index.ntotal == labels.num_rows == version.about["faces"]:
        return f"{index.ntotal} faces in the index, {labels.num_rows} in the table, {version.about['faces']} stated"
    for rows, embeddings in enrolled_vectors(table, labels, version.model.dimension):
        if not np.array_equal(index.reconstruct_batch(rows), embeddings):
            return "the index holds other vectors than the table"
    if not written_labels.equals(labels):
        return "the labels are not the table's"
    if count_outcomes(table) != version.about["outcomes"]:
        return f"the table counts {count_outcomes(table)}, index.json states {version.about['outcomes']}"
    return ""


def _accounts(gallery: Gallery) -> Iterator[Finding]:
    paths: list[Place] = [*gallery.accounts.glob("*.json")]
    for path in sorted(paths, key=str):
        checked = f"accounts/{path.name}"
        try:
            account = read_sealed(path)
            listing = path.with_name(f"{path.stem}.rejections.csv")
            whole = digest_file(listing) == account["rejections_digest"]
        except (GalleryError, OSError) as error:
            yield Finding(checked, str(error))
            continue
        yield Finding(checked, _spacing(path, account) if whole else f"{listing.name} is not as it was written")


def _spacing(path: Place, sealed: dict[str, Any]) -> str:
    """Returns what a seal does not see: a space where a line should end changes no value, but something changed it."""
    return "" if path.read_text(encoding="utf-8") == sealed_text(sealed) else "its white space is not as it was written"
