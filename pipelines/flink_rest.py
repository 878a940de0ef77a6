"""Flink's REST interface: whether a cluster is there, which jobs it has, and how one of them is ended."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

from foundation.errors import AfterfactError

ANSWER_SECONDS = 10.0
END_SECONDS = 200.0  # after 180 Flink itself ends a TaskManager whose worker does not let go of its task
_ENDED = {"FINISHED", "CANCELED", "FAILED", "SUSPENDED"}


class ClusterError(AfterfactError):
    """A cluster or its job server is not there, or does not do as it is asked."""


class FlinkCluster:
    """A Flink cluster by the address of its REST interface, HOST:PORT or a whole URL."""

    def __init__(self, master: str) -> None:
        self.address = master if "://" in master else f"http://{master}"

    def slots(self) -> int:
        """Returns how many tasks the cluster can run at once. Raises ClusterError where it does not answer."""
        return int(self._ask("/overview")["slots-total"])

    def job_states(self, name: str) -> dict[str, str]:
        """Returns the state of each job of that name, by the cluster's id. Raises ClusterError."""
        return {job["jid"]: job["state"] for job in self._ask("/jobs/overview")["jobs"] if job["name"] == name}

    def end_jobs(self, name: str, seconds: float = END_SECONDS) -> list[str]:
        """Cancels every job of that name that has not ended, and returns the ids of those it saw end.

        Raises ClusterError where one has not ended after so many seconds.
        """
        living = self._living(name)
        for job in living:
            try:
                self._ask(f"/jobs/{job}?mode=cancel", "PATCH")
            except ClusterError:
                if job in self._living(name):
                    raise
        ends = time.monotonic() + seconds
        while left := [job for job in self._living(name) if job in living]:
            if time.monotonic() > ends:
                raise ClusterError(
                    f"job {left[0]} was told to end and has not after {seconds:.0f} s; look at {self.address}"
                )
            time.sleep(0.5)
        return living

    def _living(self, name: str) -> list[str]:
        return [job for job, state in self.job_states(name).items() if state not in _ENDED]

    def _ask(self, path: str, method: str = "GET") -> Any:
        try:
            request = urllib.request.Request(self.address + path, method=method)
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ClusterError(
                f"Flink's REST interface does not answer at {self.address} ({reason}); see whether the JobManager "
                "runs, and give its REST port as --flink_master=HOST:8081"
            ) from error
