"""The bulk-index job: plan or go on, run the pipeline over what is not done, settle, publish."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
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
from pipelines.clusters import Cluster, cluster_of
from pipelines.heartbeat import BEAT_SECONDS, CLUSTER_BEAT_SECONDS, Heartbeat, Watch, begin_beating
from pipelines.progress import Progress
from pipelines.runners import make_runner
from pipelines.transforms import NAMESPACE, IndexSegments, TakeSegments

POLL_SECONDS = 0.25
CLUSTER_POLL_SECONDS = 1.0
SLACK_SECONDS = 120.0  # embedding and writing a segment, and starting the runner, on a slow machine
# What a failure's text shows, and what is to be done before the command is run again.
_REMEDIES = {
    "OSError": "see whether the disk is full or closed to us, then ",
    "PermissionError": "see whether the disk is closed to us, then ",
    "MemoryError": "free memory, or give fewer --workers, then ",
}


# What a worker says on purpose, in whatever a cluster's runner wraps around it; else what was wrapped last.
_OWN_ERRORS = re.compile(r"(?:Worker|Model|Helper|Weights)Error: .*?(?=\\n| \[while running| at \w+[.]|$)")
_JAVA_CAUSES = re.compile(r"Caused by: (.{1,300}?)(?= at \w+[.]|$)")


class PipelineError(AfterfactError):
    """The runner ended without all segments done. What is done is kept."""


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
    job: IndexJob,
    options: PipelineOptions,
    progress: Progress,
    before_publish: Callable[[Run, Accounting], None],
    known_probes: KnownProbes,
) -> Indexed:
    """Indexes the job's archive into the gallery, or finishes the run that an earlier call left.

    before_publish: asks once more whether this may be published, and raises where it may not.
    known_probes: tells the photos that were probes, which are rejected.
    Raises GalleryError where another run is at work, AccountingError and PipelineError as they say, and what
    cluster_of raises where the cluster that the options name is not there.
    """
    started = time.monotonic()
    cluster = cluster_of(options)
    workers = (cluster.workers if cluster else job.workers) or core_count()
    metrics: dict[str, int] = {}
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
            metrics = _run_pipeline(run, todo, options, cluster, workers, progress)
        progress.says("settling and publishing")
        give_back_memory()
        settled = settle_run(gallery, run, known_probes)
        give_back_memory()
        before_publish(run, settled.accounting)
        seconds = time.monotonic() - started
        summary = {"seconds": round(seconds, 1), "workers": workers, "metrics": metrics}
        version = publish_run(gallery, run, settled, summary)
    looked_at_now = round(run.looked_at * len(todo) / run.segments) if run.segments else 0
    seconds = time.monotonic() - started
    return Indexed(run, settled.accounting, version, seconds, looked_at_now, resumed, settled.done_by, metrics)


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
    run: Run,
    todo: list[SegmentReference],
    options: PipelineOptions,
    cluster: Cluster | None,
    workers: int,
    progress: Progress,
) -> dict[str, int]:
    """Runs the pipeline in a thread, tells its progress from the files that appear, and returns its counters."""
    beats = begin_beating(run)
    every = CLUSTER_BEAT_SECONDS if cluster else BEAT_SECONDS
    patience = longest_seconds(run.limits) + SLACK_SECONDS
    failures: list[BaseException] = []
    submitted: list[Any] = []
    metrics: dict[str, int] = {}

    def work() -> None:
        try:
            pipeline = beam.Pipeline(runner=make_runner(options, workers), options=options)
            plan = beam.Create(todo) if cluster else TakeSegments(todo, workers, begin_taking(run))
            _ = pipeline | "PlanSegments" >> plan | "IndexSegments" >> IndexSegments(run, Heartbeat(beats, every))
            submitted.append(pipeline.run())
            submitted[0].wait_until_finish()
            metrics.update(_counters(submitted[0]))
        except BaseException as error:
            failures.append(error)

    with ExitStack() as stack:
        stack.enter_context(_told_once())
        stack.enter_context(_dead_workers_noticed(failures))
        thread = threading.Thread(target=work, name="pipeline", daemon=True)
        if cluster:
            stack.enter_context(_told_to_end_as_by_ctrl_c())
            stack.enter_context(cluster.ready(run, progress.says))
        watch = Watch(beats, every)
        thread.start()
        remaining = list(todo)
        try:
            while thread.is_alive() and not failures:
                thread.join(CLUSTER_POLL_SECONDS if cluster else POLL_SECONDS)
                remaining = [reference for reference in remaining if not os.path.exists(reference.target)]
                progress.done(run.segments - len(remaining))
                if watch.silence() > patience:
                    failures.append(TimeoutError(f"no photo was done for {patience:.0f} s; {_look(cluster)}"))
        except KeyboardInterrupt:
            progress.close()
            if cluster:
                cluster.end(submitted, thread, progress.says)
            remaining = [reference for reference in remaining if not os.path.exists(reference.target)]
            progress.says(
                f"interrupted with {run.segments - len(remaining)} of {run.segments} segments done, which are kept: "
                "the same command goes on from there"
            )
            raise
        if failures and cluster:
            cluster.end(submitted, thread, progress.says)
    if failures:
        raise _failed(run, failures[0]) from failures[0]
    return metrics


def _look(cluster: Cluster | None) -> str:
    if cluster:
        return "see what the workers' pools and the TaskManagers' logs say"
    return "see whether memory ran out"


def _failed(run: Run, failure: BaseException) -> PipelineError:
    left = sum(not is_done(reference) for reference in plan_segments(run))
    whole = " ".join(f"{type(failure).__name__}: {failure}".split())
    told = _OWN_ERRORS.findall(whole) or _JAVA_CAUSES.findall(whole)
    said = told[-1] if told else whole if len(whole) <= 300 else f"{type(failure).__name__}: ... {whole[-280:]}"
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in whole), "")
    return PipelineError(
        f"the runner stopped with {left} of {run.segments} segments to do ({said}); what is done is kept: "
        f"{remedy}run the same command again"
    )


def _counters(result: Any) -> dict[str, int]:
    """Returns what the runner counted of our own counters: segments, and photos by outcome."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {one.key.metric.name: one.committed or one.attempted or 0 for one in found}


@contextmanager
def _told_once() -> Iterator[None]:
    """Keeps Beam from logging on standard error what _failed tells in one line."""
    root = logging.getLogger()
    usual = root.level
    root.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        root.setLevel(usual)


@contextmanager
def _told_to_end_as_by_ctrl_c() -> Iterator[None]:
    """Makes SIGTERM raise KeyboardInterrupt, so that a scheduler's stop ends the cluster's job, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


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
