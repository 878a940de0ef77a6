"""What tests of the bulk index share: a job run in this process, without ledger, and what it left behind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from pyarrow import ipc

from indexer.gallery import FACES, LABELS, Gallery
from indexer.job import IndexJob
from indexer.reembed import ReembedJob
from indexer.schema import PHOTOS
from indexer.table import open_table, read_rows
from pipelines.bulk_index import Indexed, run_job
from pipelines.progress import Progress


def index_archive(home: Path, archive: Path, gallery: str = "county", quiet: bool = True, **fields: Any) -> Indexed:
    """Runs a job on Beam, as `afterfact index` does, and lets it publish."""
    job = IndexJob(gallery=gallery, archive=archive, workers=fields.pop("workers", 1), **fields)
    return run_job(
        Gallery(home, gallery),
        job,
        PipelineOptions([]),
        Progress(quiet),
        lambda run, accounting: None,
        no_probes,
    )


def reembed_gallery(home: Path, gallery: str = "county", **fields: Any) -> Indexed:
    """Embeds a gallery's faces anew on Beam, as `afterfact gallery reembed` does, and lets it publish."""
    job = ReembedJob(gallery, workers=fields.pop("workers", 1), **fields)
    return run_job(
        Gallery(home, gallery), job, PipelineOptions([]), Progress(True), lambda run, accounting: None, no_probes
    )


def no_probes(_digests: set[str]) -> set[str]:
    """Knows no photo as a probe."""
    return set()


def rows_of(gallery: Gallery, version: int | None = None) -> dict[str, dict[str, Any]]:
    """Returns the rows of a gallery's table by the photo's name; no two may have one location."""
    rows = read_rows(open_table(gallery, version), PHOTOS.names).to_pylist()
    assert len({row["location"] for row in rows}) == len(rows)
    return {row["photo"]: row for row in rows}


def search_files(gallery: Gallery, number: int | None = None) -> tuple[bytes, Any]:
    """Returns the bytes of a version's vectors and its labels as a table."""
    folder = gallery.version(number).folder
    with open(folder / LABELS, "rb") as source:
        return (folder / FACES).read_bytes(), ipc.open_file(source).read_all()


def content_of(folder: Path) -> dict[str, str]:
    """Returns the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows_anywhere(gallery: Gallery) -> dict[str, dict[str, Any]]:
    """Returns a gallery's rows by photo, without what differs from run to run and from archive to archive."""
    own = ("location", "place", "modified", "row", "run", "duplicate_of")
    return {name: {key: row[key] for key in row if key not in own} for name, row in rows_of(gallery).items()}
