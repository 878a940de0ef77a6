"""A run on disk: its plan and its manifest, made once and never changed, so that any later call can go on."""

from __future__ import annotations

import io
import json
import socket
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from foundation.errors import AfterfactError
from foundation.files import digest_file, parquet_source, remove_tree, sync_folder, write_whole
from foundation.store_path import Place, StorePath, place_at
from indexer.gallery import Gallery, GalleryError, read_sealed, write_sealed
from indexer.job import IndexJob, segment_size, settings_digest
from indexer.limits import Limits
from indexer.listing import Listing, list_photos
from indexer.locations import Source, parse_source, whole
from indexer.models import Model, ModelError, find_network, installed_model
from indexer.plan import Plan, make_plan
from indexer.schema import LISTED
from indexer.table import open_table

SETTINGS = "plan.json"
MANIFEST = "manifest.parquet"
UPDATES = "updates.parquet"


@dataclass(frozen=True)
class Run:
    """One planned run. Photos to look at are in the manifest, one row group a segment.

    planned, held, updated: photos. bytes: of the photos to look at. repeated: see Listing. planned_on: the table's
    version that it was planned against, None where there was none. reembeds: the version whose faces it embeds anew
    (indexer.reembed), None where it looks at an archive.
    """

    run_id: str
    folder: Place
    job_digest: str
    archive: str
    root: Source
    limits: Limits
    settings_digest: str
    model: Model
    manifest_digest: str
    updates_digest: str
    planned: int
    held: int
    updated: int
    looked_at: int
    bytes: int
    segments: int
    repeated: list[tuple[str, str | None, str]] = field(default_factory=list)
    planned_on: int | None = None
    reembeds: int | None = None

    @property
    def model_digest(self) -> str:
        return self.model.digest

    @property
    def manifest_path(self) -> Place:
        return self.folder / MANIFEST

    @property
    def segments_folder(self) -> Place:
        return self.folder / "segments"

    def updates(self) -> pa.Table:
        """Returns the held photos whose listed columns changed, as indexer.schema.LISTED."""
        return pq.read_table(parquet_source(self.folder / UPDATES), schema=LISTED, partitioning=None)


def open_run(folder: Place) -> Run:
    """Returns the run in a folder. Raises GalleryError where its plan is not whole."""
    content = read_sealed(folder / SETTINGS)
    values = {name: value for name, value in content.items() if name != "seal"}
    try:
        values["repeated"] = [tuple(one) for one in values["repeated"]]
        root, limits = parse_source(values["root"]), Limits(**values["limits"])
        values |= {"folder": folder, "root": root, "limits": limits}
        return Run(**{**values, "model": Model.from_json(values["model"])})
    except (KeyError, TypeError) as error:
        raise GalleryError(
            f"{folder / SETTINGS} was written by another version of Afterfact ({error}); finish that run with it, or "
            f"move {folder} away: its photos are then looked at again"
        ) from error


def unfinished_runs(gallery: Gallery) -> list[Run]:
    """Returns the runs whose plan is whole, oldest first. A folder without a plan was killed before it mattered."""
    if not gallery.runs.is_dir():
        return []
    folders: list[Place] = [*gallery.runs.iterdir()]
    return [open_run(one) for one in sorted(folders, key=str) if (one / SETTINGS).is_file()]


def plan_job(gallery: Gallery, job: IndexJob) -> tuple[Plan, Listing]:
    """Returns what the job would do now, without writing anything.

    Raises InputError and ArchiveError as list_photos does, GalleryError where the gallery is of another model.
    """
    require_same_model(gallery, job.given.model)
    table = open_table(gallery)
    listing = list_photos(job, is_first=table is None)
    return make_plan(listing.photos, table, job.rehash, job.retry_rejected, job.limits, job.archive_root), listing


def require_same_model(gallery: Gallery, model: Model) -> None:
    """Raises GalleryError where the gallery's newest version is of another model than the one to embed with."""
    if not gallery.version_numbers():
        return
    present = gallery.version()
    if present.model_digest == model.digest:
        return
    own, remedy = "this job's is", "give the job the embedder that the gallery was made with, index into a new gallery"
    held = present.model
    if replace(held, mirrored=model.mirrored) == model:
        own = f"and this job, with mirrored: {str(model.mirrored).lower()}, is of"
        remedy = f"give the job mirrored: {str(held.mirrored).lower()}, or index into a new gallery"
    elif model.network == installed_model().network == held.network:
        own, remedy = "this installation's is", "index into a new gallery"
    raise GalleryError(
        f"gallery {gallery.name!r} is of model {present.model_digest[:12]} ({held.name}), {own} {model.digest[:12]} "
        f"({model.name}): their distances mean nothing to each other; {remedy}, or see afterfact gallery reembed"
    )


class WorkerError(AfterfactError):
    """A worker's installation or host is not one that could do the run's segments."""


def find_on_worker(model: Model, networks: Path) -> Path:
    """Returns what find_network does. Raises WorkerError, which names the host."""
    try:
        return find_network(model, networks)
    except ModelError as error:
        raise WorkerError(
            f"worker {socket.gethostname()} has not the run's model and did nothing; install the same Afterfact there, "
            f"from the same pins: {error}"
        ) from error


def require_same_installation(run: Run, networks: Path) -> None:
    """Raises WorkerError on a worker that would make other segments than the run's, or would find no photo.

    networks: see indexer.models.find_network.
    """
    host = socket.gethostname()
    find_on_worker(run.model, networks)
    ours = settings_digest(run.limits)
    if run.settings_digest != ours:
        raise WorkerError(
            f"worker {host} has another detector or limits ({ours[:12]}) than the run ({run.settings_digest[:12]}) and "
            "did nothing; install the same Afterfact there, from the same pins"
        )
    for place in (run.folder, place_at(str(run.root))):
        if not place.is_dir():
            raise WorkerError(f"worker {host} cannot open {place} and did nothing; mount it there under the same path")


def start_run(gallery: Gallery, job: IndexJob, workers: int) -> Run:
    """Plans the job and writes the run's folder, the plan last. Raises as plan_job does."""
    plan, listing = plan_job(gallery, job)
    return write_run(
        gallery,
        plan.work,
        plan.updates,
        segment_size(plan.work.num_rows, workers, job.segment_photos),
        job_digest=job.digest,
        archive=str(whole(job.archive)),
        root=job.archive_root,
        limits=job.limits,
        settings_digest=job.settings_digest,
        model=job.given.model,
        planned=listing.photos.num_rows + len(listing.repeated),
        held=plan.held,
        bytes=plan.bytes,
        repeated=listing.repeated,
        planned_on=plan.version,
    )


def write_run(gallery: Gallery, work: pa.Table, updates: pa.Table, size: int, **planned: Any) -> Run:
    """Writes a run's folder, the plan last, and returns the run.

    work: the manifest, photos to look at, of which size make a segment. updates: see Plan. planned: the run's other
    fields.
    """
    run_id = _unused_id(gallery, planned["job_digest"])
    folder = gallery.runs / run_id
    (folder / "segments").mkdir(parents=True)
    sync_folder(gallery.runs)
    _write_table(folder / MANIFEST, work, size)
    _write_table(folder / UPDATES, updates, 100_000)
    run = Run(
        run_id=run_id,
        folder=folder,
        manifest_digest=digest_file(folder / MANIFEST),
        updates_digest=digest_file(folder / UPDATES),
        updated=updates.num_rows,
        looked_at=work.num_rows,
        segments=-(-work.num_rows // size) if work.num_rows else 0,
        **planned,
    )
    write_sealed(folder / SETTINGS, _as_json(run))
    return run


def _unused_id(gallery: Gallery, job_digest: str) -> str:
    """Returns the time now and the job's digest; later where a clock that was set back makes it another run's id."""
    now = datetime.now(UTC)
    while True:
        run_id = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{job_digest[:8]}"
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
    return json.loads(json.dumps({**values, "root": str(run.root), "model": run.model.as_json()}))


def _write_table(path: Place, rows: pa.Table, group: int) -> None:
    stream = io.BytesIO()
    pq.write_table(rows, stream, row_group_size=group, compression="zstd")
    write_whole(path, stream.getvalue())


def discard_run(run: Run) -> None:
    """Removes a run's folder, its plan first, so that half a removal is no run any more."""
    (run.folder / SETTINGS).unlink(missing_ok=True)
    remove_tree(run.folder)


def clear_leftovers(gallery: Gallery) -> None:
    """Removes run folders whose plan was never finished. Only for the holder of the publisher's lock.

    In a store another host, which has a lock of its own, may be planning now: there they are kept for a day.
    """
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y%m%dT%H%M%S}"
    for folder in gallery.runs.iterdir():
        old = folder.name < yesterday or not isinstance(folder, StorePath)
        if old and not (folder / SETTINGS).is_file():
            remove_tree(folder)
