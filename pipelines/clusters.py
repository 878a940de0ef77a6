"""A runner whose workers are not this machine's: what it needs before a job, and how its job is named and ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from indexer.run import Run
from pipelines.flink_rest import ClusterError, FlinkCluster
from pipelines.job_servers import command_of, job_server
from pipelines.runners import BY_JOB_SERVER, flink_master, is_cluster_address, is_local

SUBMIT_SECONDS = 60.0  # for a submission under way to come to where it can be cancelled


def cluster_of(options: PipelineOptions) -> Cluster | None:
    """Returns the cluster that the options name, None for this machine's runner.

    Raises InputError where no job server is named, ClusterError where Flink's REST interface does not answer.
    """
    return None if is_local(options) else Cluster(options)


class Cluster:
    """The cluster that Beam's options name. flink: its REST interface, None where its address is not among them."""

    def __init__(self, options: PipelineOptions) -> None:
        self._options = options
        self._by_job_server = options.view_as(StandardOptions).runner in BY_JOB_SERVER
        self._command = command_of(options) if self._by_job_server else None
        master = flink_master(options)
        self.flink = FlinkCluster(master) if self._by_job_server and is_cluster_address(master) else None
        self._job = ""
        given = options.view_as(FlinkRunnerOptions)
        slots = self.flink.slots() if self.flink else 0
        if given.parallelism < 1 and slots:
            given.parallelism = slots  # Beam would leave it to Flink's own default, which is one
        self.workers = max(given.parallelism, 0)
        self._lacking = self.workers - slots if slots else 0

    @contextlib.contextmanager
    def ready(self, run: Run, says: Callable[[str], None]) -> Iterator[None]:
        """Names the run's job, ends one that an earlier call left on the cluster, and sees to the job server."""
        cloud = self._options.view_as(GoogleCloudOptions)
        cloud.job_name = self._job = f"{cloud.job_name or 'afterfact'}-{run.run_id}".lower()
        if self.flink and (left := self.flink.end_jobs(self._job)):
            says(f"job {', '.join(left)}, which an earlier call of this command left on the cluster, is ended")
        if self._lacking > 0:
            says(
                f"parallelism is {self.workers}, and the cluster has {self._lacking} task slots fewer now: "
                "Flink waits for them, some minutes at most"
            )
        with contextlib.ExitStack() as stack:
            if self._by_job_server:
                stack.enter_context(job_server(self._options, self._command, says))
            yield

    def end(self, submitted: list[Any], submitting: threading.Thread, says: Callable[[str], None]) -> None:
        """Ends this run's job on the cluster, and says whether it saw it end. Never raises."""
        ends = time.monotonic() + SUBMIT_SECONDS
        while submitting.is_alive() and not submitted and time.monotonic() < ends:
            submitting.join(0.2)
        try:
            for result in submitted:
                result.cancel()
        except Exception as error:  # whatever the runner raises, Flink itself can still be asked
            says(f"the job server did not cancel the job ({type(error).__name__})")
        try:
            if self.flink is None:
                says("the runner was asked to cancel the job; without --flink_master nobody can see whether it did")
                return
            self.flink.end_jobs(self._job)
            states = [f"{job} is {state}" for job, state in self.flink.job_states(self._job).items()]
            says(f"on the cluster, job {', '.join(states)}" if states else "the job never reached the cluster")
        except ClusterError as error:
            says(str(error))
