"""A run on disk: its plan and its manifest, made once and never changed, so that any later call can go on."""

from __future__ import annotations

import io
import json
import shutil
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from foundation.errors import AfterfactError
from foundation.files import digest_file, sync_folder, write_whole
from indexer.gallery import Gallery, GalleryError, read_sealed, write_sealed
from indexer.job import IndexJob, segment_size, settings_digest
from indexer.limits import Limits
from indexer.listing import Listing, list_archive
from indexer.models import installed_model
from indexer.plan import Plan, make_plan
from indexer.schema import LISTED
from indexer.table import open_table

SETTINGS = "plan.json"
MANIFEST = "manifest.parquet"
UPDATES = "updates.parquet"


@dataclass(frozen=True)
class Run:
    """One planned run. Photos to look at are in the manifest, one row group a segment.

    planned, held, updated: photos. bytes: of the photos to look at. repeated: see Listing.
    """

    run_id: str
    folder: Path
    job_digest: str
    archive: str
    root: Path
    limits: Limits
    settings_digest: str
    model_digest: str
    manifest_digest: str
    updates_digest: str
    planned: int
    held: int
    updated: int
    looked_at: int
    bytes: int
    segments: int
    repeated: list[tuple[str, str | None, str]] = field(default_factory=list)
    mirrored: bool = False

    @property
    def manifest_path(self) -> Path:
        return self.folder / MANIFEST

    @property
    def segments_folder(self) -> Path:
        return self.folder / "segments"

    def updates(self) -> pa.Table:
        """Returns the held photos whose listed columns changed, as indexer.schema.LISTED."""
        return pq.read_table(self.folder / UPDATES, schema=LISTED, partitioning=None)


def open_run(folder: Path) -> Run:
    """Returns the run in a folder. Raises GalleryError where its plan is not whole."""
    content = read_sealed(folder / SETTINGS)
    values = {name: value for name, value in content.items() if name != "seal"}
    try:
        values["repeated"] = [tuple(one) for one in values["repeated"]]
        return Run(**{**values, "folder": folder, "root": Path(values["root"]), "limits": Limits(**values["limits"])})
    except (KeyError, TypeError) as error:
        raise GalleryError(
            f"{folder / SETTINGS} was written by another version of Afterfact ({error}); finish that run with it, or "
            f"move {folder} away: its photos are then looked at again"
        ) from error


def unfinished_runs(gallery: Gallery) -> list[Run]:
    """Returns the runs whose plan is whole, oldest first. A folder without a plan was killed before it mattered."""
    if not gallery.runs.is_dir():
        return []
    return [open_run(one) for one in sorted(gallery.runs.iterdir()) if (one / SETTINGS).is_file()]


def plan_job(gallery: Gallery, job: IndexJob) -> tuple[Plan, Listing]:
    """Returns what the job would do now, without writing anything.

    Raises InputError and ArchiveError as list_archive does, GalleryError where the gallery is of another model.
    """
    require_same_model(gallery, job.mirrored)
    table = open_table(gallery)
    listing = list_archive(job)
    return make_plan(listing.photos, table, job.rehash, job.retry_rejected, job.limits), listing


def require_same_model(gallery: Gallery, mirrored: bool) -> None:
    """Raises GalleryError where the gallery's newest version is of another model than the one to embed with."""
    if not gallery.version_numbers():
        return
    present, ours = gallery.version(), installed_model(mirrored)
    if present.model_digest == ours.digest:
        return
    own, remedy = "this installation's is", "index into a new gallery"
    if present.mirrored != mirrored:
        own = f"and this job, with mirrored: {str(mirrored).lower()}, is of"
        remedy = f"give the job mirrored: {str(present.mirrored).lower()}, or {remedy}"
    raise GalleryError(
        f"gallery {gallery.name!r} is of model {present.model_digest[:12]}, {own} {ours.digest[:12]}: "
        f"their distances mean nothing to each other; {remedy}"
    )


class WorkerError(AfterfactError):
    """A worker's installation or host is not one that could do the run's segments."""


def require_same_installation(run: Run) -> None:
    """Raises WorkerError on a worker that would make other segments than the run's, or would find no photo."""
    host = socket.gethostname()
    for what, planned, ours in (
        ("model", run.model_digest, installed_model(run.mirrored).digest),
        ("detector or limits", run.settings_digest, settings_digest(run.limits)),
    ):
        if planned != ours:
            raise WorkerError(
                f"worker {host} has another {what} ({ours[:12]}) than the run ({planned[:12]}) and did nothing; "
                "install the same Afterfact there, from the same pins"
            )
    for path in (run.folder, run.root):
        if not path.is_dir():
            raise WorkerError(f"worker {host} cannot open {path} and did nothing; mount it there under the same path")


def start_run(gallery: Gallery, job: IndexJob, workers: int) -> Run:
    """Plans the job and writes the run's folder, the plan last. Raises as plan_job does."""
    plan, listing = plan_job(gallery, job)
    run_id = _unused_id(gallery, job)
    folder = gallery.runs / run_id
    (folder / "segments").mkdir(parents=True)
    sync_folder(gallery.runs)
    size = segment_size(plan.work.num_rows, workers, job.segment_photos)
    _write_table(folder / MANIFEST, plan.work, size)
    _write_table(folder / UPDATES, plan.updates, 100_000)
    run = Run(
        run_id=run_id,
        folder=folder,
        job_digest=job.digest,
        archive=str(job.archive.resolve()),
        root=job.archive_root,
        limits=job.limits,
        settings_digest=job.settings_digest,
        model_digest=installed_model(job.mirrored).digest,
        manifest_digest=digest_file(folder / MANIFEST),
        updates_digest=digest_file(folder / UPDATES),
        planned=listing.photos.num_rows + len(listing.repeated),
        held=plan.held,
        updated=plan.updates.num_rows,
        looked_at=plan.work.num_rows,
        bytes=plan.bytes,
        segments=-(-plan.work.num_rows // size) if plan.work.num_rows else 0,
        repeated=listing.repeated,
        mirrored=job.mirrored,
    )
    write_sealed(folder / SETTINGS, _as_json(run))
    return run


def _unused_id(gallery: Gallery, job: IndexJob) -> str:
    """Returns the time now and the job's digest; later where a clock that was set back makes it another run's id."""
    now = datetime.now(UTC)
    while True:
        run_id = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{job.digest[:8]}"
        taken = gallery.runs / run_id, gallery.accounts / f"{run_id}.json"
        if not any(path.exists() for path in taken):
            return run_id
        now += timedelta(milliseconds=1)


def require_whole(run: Run) -> None:
    """Raises GalleryError where the run's manifest is not as it was planned."""
    for path, digest in ((run.manifest_path, run.manifest_digest), (run.folder / UPDATES, run.updates_digest)):
        if not path.is_file() or digest_file(path) != digest:
            raise GalleryError(
                f"{path} is not as it was written (its digest does not fit); move {run.folder} away, then run the same "
                "command again: its photos are then looked at again"
            )


def _as_json(run: Run) -> dict[str, Any]:
    values = {name: value for name, value in asdict(run).items() if name != "folder"}
    return json.loads(json.dumps({**values, "root": str(run.root)}))


def _write_table(path: Path, rows: pa.Table, group: int) -> None:
    stream = io.BytesIO()
    pq.write_table(rows, stream, row_group_size=group, compression="zstd")
    write_whole(path, stream.getvalue())


def discard_run(run: Run) -> None:
    """Removes a run's folder, its plan first, so that half a removal is no run any more."""
    (run.folder / SETTINGS).unlink(missing_ok=True)
    shutil.rmtree(run.folder)


def clear_leftovers(gallery: Gallery) -> None:
    """Removes run folders whose plan was never finished. Only for the holder of the publisher's lock."""
    for folder in gallery.runs.iterdir():
        if not (folder / SETTINGS).is_file():
            shutil.rmtree(folder)
