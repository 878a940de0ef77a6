"""The bulk-index job: plan or go on, run the pipeline over what is not done, settle, publish."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from foundation.errors import AfterfactError
from foundation.memory import give_back_memory
from foundation.store_path import StorePath, place_at
from indexer.accounting import Accounting
from indexer.blazeface import converted_detector
from indexer.embedder import require_device
from indexer.extractor import longest_seconds
from indexer.gallery import Gallery, Version
from indexer.gallery_cache import clear_work_folders
from indexer.job import IndexJob
from indexer.models import find_network, models_folder
from indexer.publish import KnownProbes, finish_interrupted, publish_run, settle_run
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
from indexer.segment import SegmentReference, begin_taking, forget_segment, segments_there, undone_segments
from pipelines.heartbeat import Heartbeat, Watch
from pipelines.progress import Progress
from pipelines.runners import is_local, make_runner
from pipelines.transforms import IndexSegments, TakeSegments

POLL_SECONDS = 0.25
STORE_POLL_SECONDS = 5.0  # a listing each; they are paid for
SLACK_SECONDS = 120.0  # embedding and writing a segment, and starting the runner, on a slow machine
# What a failure's text shows, and what is to be done before the command is run again.
_REMEDIES = {
    "OSError": "see whether the disk is full or closed to us, then ",
    "PermissionError": "see whether the disk is closed to us, then ",
    "MemoryError": "free memory, or give fewer --workers, then ",
}


class PipelineError(AfterfactError):
    """The runner ended without all segments done. What is done is kept."""


@dataclass(frozen=True)
class Indexed:
    """What one call did. version: the new version, None where nothing changed. resumed: went on with an older run."""

    run: Run
    accounting: Accounting
    version: Version | None
    seconds: float
    looked_at_now: int
    resumed: bool


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
    Raises GalleryError where another run is at work, AccountingError and PipelineError as they say.
    """
    started = time.monotonic()
    workers = job.workers or core_count()
    if is_local(options):
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
            stages = partial(IndexSegments, run, str(models_folder(gallery.home)), device)
            _run_pipeline(run, todo, stages, options, workers, progress, gallery.cache)
        progress.says("settling and publishing")
        give_back_memory()
        if isinstance(job, ReembedJob):
            settled = settle_reembedded(gallery, run, job.limit_lost)
        else:
            settled = settle_run(gallery, run, known_probes)
        give_back_memory()
        before_publish(run, settled.accounting)
        seconds = time.monotonic() - started
        version = publish_run(gallery, run, settled, {"seconds": round(seconds, 1), "workers": workers})
        clear_work_folders(gallery)
    looked_at_now = round(run.looked_at * len(todo) / run.segments) if run.segments else 0
    return Indexed(run, settled.accounting, version, time.monotonic() - started, looked_at_now, resumed)


def _run_to_do(gallery: Gallery, job: IndexJob | ReembedJob, workers: int, progress: Progress) -> tuple[Run, bool]:
    for run in unfinished_runs(gallery):
        if run.job_digest == job.digest:
            if run.reembeds is None:
                require_same_model(gallery, run.model)  # another job may have made the gallery's first version since
            elif is_overtaken(gallery, run):
                progress.says(f"run {run.run_id} is of version {run.reembeds}, and another came since; it begins anew")
                discard_run(run)
                continue
            return run, True
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
    damaged = _there(run, todo)
    for reference in damaged:
        forget_segment(reference)  # else its being there would be taken for progress
    if damaged:
        progress.warns(f"{len(damaged)} segment files were damaged since they were written and are made again")


def _there(run: Run, references: list[SegmentReference]) -> list[SegmentReference]:
    """Returns those of the segments whose files are there, damaged or not."""
    there = segments_there(run)
    return [one for one in references if place_at(one.target).name in there]


def _run_pipeline(
    run: Run,
    todo: list[SegmentReference],
    stages: Callable[[Heartbeat | None], IndexSegments],
    options: PipelineOptions,
    workers: int,
    progress: Progress,
    cache: Path,
) -> None:
    """Runs the pipeline in a thread, and tells its progress from the files that appear."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what it raises is told below, in one line
    local = is_local(options)
    taken = begin_taking(run, cache)
    watch, patience = Watch(taken), longest_seconds(run.limits) + SLACK_SECONDS
    looks_every = STORE_POLL_SECONDS if isinstance(run.folder, StorePath) else 0.0
    failures: list[BaseException] = []

    def work() -> None:
        try:
            runner = make_runner(options, workers)
            with beam.Pipeline(runner=runner, options=options) as pipeline:
                plan = TakeSegments(todo, workers, taken) if local else beam.Create(todo)
                heartbeat = Heartbeat(taken) if local else None
                _ = pipeline | "PlanSegments" >> plan | "IndexSegments" >> stages(heartbeat)
        except BaseException as error:
            failures.append(error)

    with _dead_workers_noticed(failures):
        thread = threading.Thread(target=work, name="pipeline", daemon=True)
        thread.start()
        done = done_before = run.segments - len(todo)
        looked = 0.0
        try:
            while thread.is_alive() and not failures:
                thread.join(POLL_SECONDS)
                if not thread.is_alive() or time.monotonic() - looked >= looks_every:
                    done = done_before + len(_there(run, todo))
                    looked = time.monotonic()
                    progress.done(done)
                if local and watch.silence() > patience:
                    failures.append(TimeoutError(f"no photo was done for {patience:.0f} s; see whether memory ran out"))
        except KeyboardInterrupt:
            progress.close()
            progress.says(
                f"interrupted with {done} of {run.segments} segments done, which are kept: "
                "the same command goes on from there"
            )
            raise
    if failures:
        left = len(undone_segments(run))
        whole = " ".join(f"{type(failures[0]).__name__}: {failures[0]}".split())
        ours = isinstance(failures[0], AfterfactError)  # one line already, with its own remedy
        said = whole if ours or len(whole) <= 300 else f"{type(failures[0]).__name__}: ... {whole[-280:]}"
        remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in whole), "")
        raise PipelineError(
            f"the runner stopped with {left} of {run.segments} segments to do ({said}); what is done is kept: "
            f"{remedy}run the same command again"
        ) from failures[0]


@contextmanager
def _dead_workers_noticed(failures: list[BaseException]) -> Iterator[None]:
    """FnApiRunner raises a worker process's death in a thread of its own, and waits for that worker for ever."""
    usual = threading.excepthook

    def notice(raised: Any) -> None:
        failures.append(raised.exc_value or RuntimeError(str(raised.exc_type)))

    threading.excepthook = notice
    try:
        yield
    finally:
        threading.excepthook = usual
