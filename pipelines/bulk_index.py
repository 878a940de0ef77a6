"""The bulk-index job: plan or go on, run the pipeline over what is not done, settle, publish."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from foundation.errors import AfterfactError
from foundation.memory import give_back_memory
from indexer.accounting import Accounting
from indexer.blazeface import converted_detector
from indexer.extractor import longest_seconds
from indexer.gallery import Gallery, Version
from indexer.job import IndexJob
from indexer.models import converted_network
from indexer.publish import KnownProbes, finish_interrupted, publish_run, settle_run
from indexer.run import Run, clear_leftovers, require_same_model, require_whole, start_run, unfinished_runs
from indexer.segment import SegmentReference, begin_taking, is_done, plan_segments
from pipelines.heartbeat import Heartbeat, Watch
from pipelines.progress import Progress
from pipelines.runners import is_local, make_runner
from pipelines.transforms import IndexSegments, TakeSegments

POLL_SECONDS = 0.25
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
    job: IndexJob,
    options: PipelineOptions,
    progress: Progress,
    before_publish: Callable[[Run, Accounting], None],
    known_probes: KnownProbes,
) -> Indexed:
    """Indexes the job's archive into the gallery, or finishes the run that an earlier call left.

    before_publish: asks once more whether this may be published, and raises where it may not.
    known_probes: tells the photos that were probes, which are rejected.
    Raises GalleryError where another run is at work, AccountingError and PipelineError as they say.
    """
    started = time.monotonic()
    workers = job.workers or core_count()
    gallery.make_folders()
    with gallery.only_publisher():
        finish_interrupted(gallery, progress.warns)
        clear_leftovers(gallery)
        run, resumed = _run_to_do(gallery, job, workers, progress)
        require_whole(run)
        give_back_memory()
        _tell_other_limits(gallery, run, progress)
        todo = [reference for reference in plan_segments(run) if not is_done(reference)]
        _forget_damaged(todo, progress)
        progress.planned(run, done_before=run.segments - len(todo), resumed=resumed)
        if todo:
            converted_network()  # once here, not in every worker at the same time
            converted_detector()
            _run_pipeline(run, todo, options, workers, progress)
        progress.says("settling and publishing")
        give_back_memory()
        settled = settle_run(gallery, run, known_probes)
        give_back_memory()
        before_publish(run, settled.accounting)
        seconds = time.monotonic() - started
        version = publish_run(gallery, run, settled, {"seconds": round(seconds, 1), "workers": workers})
    looked_at_now = round(run.looked_at * len(todo) / run.segments) if run.segments else 0
    return Indexed(run, settled.accounting, version, time.monotonic() - started, looked_at_now, resumed)


def _run_to_do(gallery: Gallery, job: IndexJob, workers: int, progress: Progress) -> tuple[Run, bool]:
    for run in unfinished_runs(gallery):
        if run.job_digest == job.digest:
            require_same_model(gallery, run.mirrored)  # another job may have made the gallery's first version since
            return run, True
        progress.says(f"run {run.run_id} of another job ({run.archive}) is unfinished; its own command finishes it")
    progress.says(f"listing {job.archive}")
    return start_run(gallery, job, workers), False


def _tell_other_limits(gallery: Gallery, run: Run, progress: Progress) -> None:
    """Says where the run judges its photos by other limits than those that the gallery's photos were held against."""
    remembered = gallery.version().limits if gallery.version_numbers() else None
    if remembered is None:
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


def _forget_damaged(todo: list[SegmentReference], progress: Progress) -> None:
    damaged = [reference.target for reference in todo if os.path.exists(reference.target)]
    for target in damaged:
        os.unlink(target)  # else its being there would be taken for progress
    if damaged:
        progress.warns(f"{len(damaged)} segment files were damaged since they were written and are made again")


def _run_pipeline(
    run: Run, todo: list[SegmentReference], options: PipelineOptions, workers: int, progress: Progress
) -> None:
    """Runs the pipeline in a thread, and tells its progress from the files that appear."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what it raises is told below, in one line
    local = is_local(options)
    taken = begin_taking(run)
    watch, patience = Watch(taken), longest_seconds(run.limits) + SLACK_SECONDS
    failures: list[BaseException] = []

    def work() -> None:
        try:
            runner = make_runner(options, workers)
            with beam.Pipeline(runner=runner, options=options) as pipeline:
                plan = TakeSegments(todo, workers, taken) if local else beam.Create(todo)
                heartbeat = Heartbeat(taken) if local else None
                _ = pipeline | "PlanSegments" >> plan | "IndexSegments" >> IndexSegments(run, heartbeat)
        except BaseException as error:
            failures.append(error)

    with _dead_workers_noticed(failures):
        thread = threading.Thread(target=work, name="pipeline", daemon=True)
        thread.start()
        remaining = list(todo)
        try:
            while thread.is_alive() and not failures:
                thread.join(POLL_SECONDS)
                remaining = [reference for reference in remaining if not os.path.exists(reference.target)]
                progress.done(run.segments - len(remaining))
                if local and watch.silence() > patience:
                    failures.append(TimeoutError(f"no photo was done for {patience:.0f} s; see whether memory ran out"))
        except KeyboardInterrupt:
            progress.close()
            progress.says(
                f"interrupted with {run.segments - len(remaining)} of {run.segments} segments done, which are kept: "
                "the same command goes on from there"
            )
            raise
    if failures:
        left = sum(not is_done(reference) for reference in plan_segments(run))
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
