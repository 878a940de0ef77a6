"""The Beam job server that a cluster's job is handed to: one that runs already, or one started for this job alone.

Beam would fetch the job server's jar from the internet. Afterfact never does: it takes what it is given.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from foundation.errors import InputError
from pipelines.flink_rest import ClusterError
from pipelines.runners import FLINK, flink_master, refuse_unknown

JOB_SERVER = "AFTERFACT_JOB_SERVER"
ANSWER_SECONDS = 15.0
START_SECONDS = 600.0  # a command may have to gather its jars first
STOP_SECONDS = 10.0
_ADDRESS = re.compile(r"[^\s/]+:\d{1,5}")
# What Beam's Java needs of a JVM that keeps its own parts to itself (17 and later).
_OPENED = "lang lang.reflect net io nio text time util util.concurrent util.concurrent.atomic util.concurrent.locks"
ADD_OPENS = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED.split()]


Command = Callable[[int, str], list[str]]
"""Given a port and a folder of its own, the command that starts a job server."""


def command_of(options: PipelineOptions) -> Command | None:
    """Returns what starts the job server; None where one is to run already, whose address is then the options'
    job_endpoint.

    Raises InputError where none is named, or what is named is not there.
    """
    portable = options.view_as(PortableOptions)
    given = os.environ.get(JOB_SERVER, "").strip()
    jar = options.view_as(FlinkRunnerOptions).flink_job_server_jar
    if portable.job_endpoint is None and jar is None and _ADDRESS.fullmatch(given):
        portable.job_endpoint = given
    if portable.job_endpoint is not None:
        return None
    if options.view_as(StandardOptions).runner != FLINK:
        raise InputError(f"no job server: give --job_endpoint=HOST:PORT, or set {JOB_SERVER} to it")
    if jar is None and not given:
        raise InputError(
            "no job server: give --job_endpoint=HOST:PORT of one that runs, or --flink_job_server_jar, or set "
            f"{JOB_SERVER} to an address, a jar or a command; nothing is fetched from the internet"
        )
    if jar is not None or given.endswith(".jar"):
        return _java_command(options, Path(jar or given))
    command = shlex.split(given)
    if shutil.which(command[0]) is None:
        raise InputError(f"{JOB_SERVER} is {given!r}, which is no address, jar or command of this machine; mend it")
    return lambda port, folder: [*command, _master(options), str(port)]


def _master(options: PipelineOptions) -> str:
    master = flink_master(options)
    return "[local]" if master == "[auto]" else master


def _java_command(options: PipelineOptions, jar: Path) -> Command:
    server = options.view_as(JobServerOptions)
    if not jar.is_file():
        raise InputError(f"the job server's jar {jar} does not exist; fetch the one of your Beam and Flink versions")
    if shutil.which(server.job_server_java_launcher) is None:
        raise InputError(
            f"{server.job_server_java_launcher!r} is not on PATH, and the job server is Java; install a JVM (17 will "
            "do), or give --job_endpoint=HOST:PORT of a job server that runs elsewhere"
        )
    java = [server.job_server_java_launcher, *ADD_OPENS, *server.job_server_jvm_properties, "-jar", str(jar)]
    java += [f"--flink-master={_master(options)}", "--job-host=localhost", "--artifact-port=0", "--expansion-port=0"]
    return lambda port, folder: [*java, f"--job-port={port}", f"--artifacts-dir={folder}"]


@contextlib.contextmanager
def job_server(options: PipelineOptions, command: Command | None, says: Callable[[str], None]) -> Iterator[None]:
    """Sees that the options' job server answers and knows their flags; with a command, starts one and stops it again.

    Raises ClusterError where none answers, InputError for a flag that it does not know.
    """
    portable = options.view_as(PortableOptions)
    if command is None:
        refuse_unknown(options, _flags_of(portable.job_endpoint, ANSWER_SECONDS, lambda: None))
        yield
        return
    says("starting the job server")
    with tempfile.TemporaryDirectory(prefix="afterfact-job-server-") as folder:
        port, said = _free_port(), Path(folder) / "output"
        with open(said, "wb") as out:
            # In a session of its own: Ctrl-C is for us, who need it to cancel the job.
            process = subprocess.Popen(
                command(port, folder),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            portable.job_endpoint = f"localhost:{port}"
            refuse_unknown(
                options, _flags_of(portable.job_endpoint, START_SECONDS, lambda: _require_alive(process, said))
            )
            yield
        finally:
            portable.job_endpoint = None
            _stop(process)


def _flags_of(endpoint: str, seconds: float, look: Callable[[], None]) -> set[str]:
    """Returns the names of the flags that a job server knows; calls look while it waits for its answer."""
    with grpc.insecure_channel(endpoint) as channel:
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        asked = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions.future(
            request, timeout=seconds, wait_for_ready=True
        )
        while True:
            look()
            try:
                return {option.name for option in asked.result(timeout=1.0).options}
            except grpc.FutureTimeoutError:
                continue
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise ClusterError(
                        f"no job server answers at {endpoint} after {seconds:.0f} s; start one there, or name another "
                        f"with --job_endpoint or {JOB_SERVER}"
                    ) from None
                raise ClusterError(f"what answers at {endpoint} is no Beam job server ({error.details()})") from error


def _require_alive(process: subprocess.Popen[bytes], said: Path) -> None:
    if process.poll() is not None:
        lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
        last = " / ".join(lines[-3:]) or "it said nothing"
        raise ClusterError(
            f"the job server ended with exit code {process.returncode} ({last}); "
            f"mend {JOB_SERVER} or --flink_job_server_jar"
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)


def _free_port() -> int:
    """Returns a port that is free together with the two below it, which a command may take for artifacts and more."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = stack.enter_context(socket.socket())
            first.bind(("localhost", 0))
            port = int(first.getsockname()[1])
            for other in (port - 1, port - 2):
                stack.enter_context(socket.socket()).bind(("localhost", other))
            return port
