"""The pipeline at work: in a thread, its progress told by the files that appear, ended where it stands still."""

from __future__ import annotations

import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from foundation.errors import AfterfactError
from foundation.store_path import StorePath, place_at
from indexer.extractor import longest_seconds
from indexer.run import Run
from indexer.segment import SegmentReference, begin_taking, segments_there, undone_segments
from pipelines.clusters import Cluster
from pipelines.heartbeat import BEAT_SECONDS, CLUSTER_BEAT_SECONDS, Heartbeat, Watch, begin_beating
from pipelines.progress import Progress
from pipelines.runners import make_runner
from pipelines.transforms import NAMESPACE, IndexSegments, TakeSegments

POLL_SECONDS = 0.25
CLUSTER_POLL_SECONDS = 1.0
STORE_POLL_SECONDS = 5.0  # a listing each; they are paid for
SLACK_SECONDS = 120.0  # embedding and writing a segment, and starting the runner, on a slow machine
# What a failure's text shows, and what is to be done before the command is run again.
_REMEDIES = {
    "OSError": "see whether the disk is full or closed to us, then ",
    "PermissionError": "see whether the disk is closed to us, then ",
    "MemoryError": "free memory, or give fewer --workers, then ",
}
# What a worker says on purpose, in whatever a cluster's runner wraps around it; else what was wrapped last.
_OWN_ERRORS = re.compile(
    r"(?:(?:Worker|Model|Helper|Weights|Store)Error|StoreRefused|StoreUnavailable|BucketMissing): "
    r".*?(?=\\n| \[while running| at \w+[.]|$)"
)
_JAVA_CAUSES = re.compile(r"Caused by: (.{1,300}?)(?= at \w+[.]|$)")


class PipelineError(AfterfactError):
    """The runner ended without all segments done. What is done is kept."""


def segments_of(run: Run, references: list[SegmentReference]) -> list[SegmentReference]:
    """Returns those of the segments whose files are there, damaged or not."""
    there = segments_there(run)
    return [one for one in references if place_at(one.target).name in there]


def run_pipeline(
    run: Run,
    todo: list[SegmentReference],
    stages: Callable[[Heartbeat], IndexSegments],
    options: PipelineOptions,
    cluster: Cluster | None,
    workers: int,
    progress: Progress,
    cache: Path,
) -> dict[str, int]:
    """Runs the pipeline over segments and returns the runner's counters of our own.

    cluster: None for this machine's runner. cache: a folder of this machine's, for what its workers share where the run
    is in a store. Raises PipelineError.
    """
    beats = begin_beating(run.folder if cluster or isinstance(run.folder, Path) else cache)
    every = CLUSTER_BEAT_SECONDS if cluster else BEAT_SECONDS
    patience = longest_seconds(run.limits) + SLACK_SECONDS
    looks_every = STORE_POLL_SECONDS if isinstance(run.folder, StorePath) else 0.0
    failures: list[BaseException] = []
    submitted: list[Any] = []
    metrics: dict[str, int] = {}

    def work() -> None:
        try:
            pipeline = beam.Pipeline(runner=make_runner(options, workers), options=options)
            plan = beam.Create(todo) if cluster else TakeSegments(todo, workers, begin_taking(run, cache))
            _ = pipeline | "PlanSegments" >> plan | "IndexSegments" >> stages(Heartbeat(beats, every))
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
        done_before = run.segments - len(todo)
        looked = 0.0
        try:
            while thread.is_alive() and not failures:
                thread.join(CLUSTER_POLL_SECONDS if cluster else POLL_SECONDS)
                if not thread.is_alive() or time.monotonic() - looked >= looks_every:
                    looked = time.monotonic()
                    progress.done(done_before + len(segments_of(run, todo)))
                if watch.silence() > patience:
                    failures.append(TimeoutError(f"no photo was done for {patience:.0f} s; {_look(cluster)}"))
        except KeyboardInterrupt:
            progress.close()
            if cluster:
                cluster.end(submitted, thread, progress.says)
            progress.says(
                f"interrupted with {done_before + len(segments_of(run, todo))} of {run.segments} segments done, which "
                "are kept: the same command goes on from there"
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
    left = len(undone_segments(run))
    whole = " ".join(f"{type(failure).__name__}: {failure}".split())
    told = [] if isinstance(failure, AfterfactError) else _OWN_ERRORS.findall(whole) or _JAVA_CAUSES.findall(whole)
    # An error of our own is one line already, with its own remedy.
    short = isinstance(failure, AfterfactError) or len(whole) <= 300
    said = told[-1] if told else whole if short else f"{type(failure).__name__}: ... {whole[-280:]}"
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
