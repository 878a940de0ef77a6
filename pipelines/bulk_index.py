"""The bulk-index job: plan or go on, run the pipeline over what is not done, settle, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from foundation.memory import give_back_memory
from indexer.accounting import Accounting
from indexer.blazeface import converted_detector
from indexer.embedder import require_device
from indexer.gallery import Gallery, Version
from indexer.gallery_cache import clear_work_folders
from indexer.job import IndexJob
from indexer.models import converted_landmarks, find_network, models_folder
from indexer.publish import KnownProbes, finish_interrupted, is_outdated, publish_run, settle_run
from indexer.reembed import ReembedJob, is_overtaken, settle_reembedded, start_reembedding
from indexer.run import (
    Run,
    clear_leftovers,
    discard_run,
    require_same_model,
    require_whole,
    start_run,
    unfinished_runs,
)
from indexer.segment import SegmentReference, forget_segment, undone_segments
from indexer.table import open_table
from pipelines.clusters import cluster_of
from pipelines.progress import Progress
from pipelines.running import run_pipeline, segments_of
from pipelines.transforms import IndexSegments


@dataclass(frozen=True)
class Indexed:
    """What one call did. version: the new version, None where nothing changed. resumed: went on with an older run.

    done_by: of each worker, host, process, segments and photos; metrics: the runner's counters of this call.
    """

    run: Run
    accounting: Accounting
    version: Version | None
    seconds: float
    looked_at_now: int
    resumed: bool
    done_by: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, int] = field(default_factory=dict)


def core_count() -> int:
    """Returns the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_job(
    gallery: Gallery,
    job: IndexJob | ReembedJob,
    options: PipelineOptions,
    progress: Progress,
    before_publish: Callable[[Run, Accounting], None],
    known_probes: KnownProbes,
    device: str = "cpu",
) -> Indexed:
    """Indexes an archive into the gallery, or embeds its faces anew, or finishes the run that an earlier call left.

    before_publish: asks once more whether this may be published, and raises where it may not.
    known_probes: tells the photos that were probes, which are rejected. device: see indexer.embedder.Embedder.
    Raises GalleryError where another run is at work, AccountingError and PipelineError as they say, and what
    cluster_of raises where the cluster that the options name is not there.
    """
    started = time.monotonic()
    cluster = cluster_of(options)
    workers = (cluster.workers if cluster else job.workers) or core_count()
    metrics: dict[str, int] = {}
    if cluster is None:
        require_device(device)
    gallery.make_folders()
    with gallery.only_publisher():
        finish_interrupted(gallery, progress.warns)
        clear_leftovers(gallery)
        job.given.keep(gallery.home)
        clear_work_folders(gallery)
        run, resumed = _run_to_do(gallery, job, workers, progress)
        require_whole(run)
        give_back_memory()
        _tell_other_limits(gallery, run, progress)
        todo = undone_segments(run)
        _forget_damaged(run, todo, progress)
        progress.planned(run, done_before=run.segments - len(todo), resumed=resumed)
        if todo:
            find_network(run.model, models_folder(gallery.home))  # once here, not in every worker at the same time
            converted_detector()
            converted_landmarks()
            stages = partial(IndexSegments, run, str(models_folder(gallery.home)), device)
            metrics = run_pipeline(run, todo, stages, options, cluster, workers, progress, gallery.cache)
        progress.says("settling and publishing")
        give_back_memory()
        if isinstance(job, ReembedJob):
            settled = settle_reembedded(gallery, run, job.limit_lost)
        else:
            settled = settle_run(gallery, run, known_probes)
        give_back_memory()
        before_publish(run, settled.accounting)
        seconds = time.monotonic() - started
        summary = {"seconds": round(seconds, 1), "workers": workers, "metrics": metrics}
        version = publish_run(gallery, run, settled, summary)
        clear_work_folders(gallery)
    looked_at_now = round(run.looked_at * len(todo) / run.segments) if run.segments else 0
    seconds = time.monotonic() - started
    return Indexed(run, settled.accounting, version, seconds, looked_at_now, resumed, settled.done_by, metrics)


def _run_to_do(gallery: Gallery, job: IndexJob | ReembedJob, workers: int, progress: Progress) -> tuple[Run, bool]:
    for run in unfinished_runs(gallery):
        if run.job_digest == job.digest:
            if is_outdated(run, open_table(gallery)):
                why = "was planned before the gallery was rolled back or embedded anew"
            elif run.reembeds is not None and is_overtaken(gallery, run):
                why = f"is of version {run.reembeds}, and another came since"
            else:
                if run.reembeds is None:
                    require_same_model(gallery, run.model)  # another job may have made the first version since
                return run, True
            progress.says(f"run {run.run_id} {why}; it begins anew")
            discard_run(run)
            continue
        progress.says(f"run {run.run_id} of another job ({run.archive}) is unfinished; its own command finishes it")
    if isinstance(job, ReembedJob):
        return start_reembedding(gallery, job, workers), False
    progress.says(f"listing {job.archive}")
    return start_run(gallery, job, workers), False


def _tell_other_limits(gallery: Gallery, run: Run, progress: Progress) -> None:
    """Says where the run judges its photos by other limits than those that the gallery's photos were held against."""
    remembered = gallery.version().limits if gallery.version_numbers() else None
    if remembered is None or run.reembeds is not None:
        return
    differing = [
        f"{name} {limit:g} (the gallery's is {remembered[name]:g})"
        for name, limit in run.limits.of_quality.items()
        if limit != remembered[name]
    ]
    if differing:
        progress.says(
            f"photos looked at now are held to {', '.join(differing)}; held photos stay as they are: "
            "afterfact gallery requalify makes them one"
        )


def _forget_damaged(run: Run, todo: list[SegmentReference], progress: Progress) -> None:
    damaged = segments_of(run, todo)
    for reference in damaged:
        forget_segment(reference)  # else its being there would be taken for progress
    if damaged:
        progress.warns(f"{len(damaged)} segment files were damaged since they were written and are made again")
