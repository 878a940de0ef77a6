"""A real Flink of this machine: one JobManager, TaskManagers of one slot, a pool of Python workers beside each.

Where network namespaces can be made, each TaskManager and its pool have one of their own, as two hosts would: both
TaskManagers call their worker 1-1 and ask localhost for it. Elsewhere they share one pool, and `namespaces` is False.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parent.parent
START_SECONDS = 120.0
POOL_PORT = 50000
_CLUSTERS = itertools.count()  # of this process: each has names and addresses of its own
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def why_not() -> str:
    """Returns why no Flink can be started here, or an empty string."""
    if shutil.which("java") is None:
        return "Java is absent: Flink and Beam's job server need a JVM (17 will do) on PATH"
    if not (flink_home() / "bin" / "taskmanager.sh").is_file():
        return f"no Flink in {flink_home()}: set FLINK_HOME, or run `make flink`"
    if not os.environ.get("AFTERFACT_JOB_SERVER"):
        return (
            "AFTERFACT_JOB_SERVER is not set: the job server's jar, or a command that takes Flink's address and a port"
        )
    return ""


def flink_home() -> Path:
    """Returns the Flink to start: FLINK_HOME's, else the one that `make flink` fetched."""
    given = os.environ.get("FLINK_HOME")
    return Path(given) if given else next(HOUSE.glob(".flink/lib/python3*/site-packages/pyflink"), HOUSE / ".flink")


def free_port() -> int:
    """Returns a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Returns what condition gives once it gives something. Raises TimeoutError naming what was waited for."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > ends:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.1)
    return found


@dataclass
class Host:
    """What stands for a machine of the cluster: its name, its address, and how a command is run there."""

    name: str
    address: str
    enter: list[str] = field(default_factory=list)
    pool_port: int = POOL_PORT
    core: int | None = None


@dataclass
class FlinkCluster:
    """A running cluster. rest: its address. flags: the Beam flags that hand a job to it."""

    folder: Path
    rest: str
    hosts: list[Host]
    namespaces: bool
    restarts: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def flags(self) -> list[str]:
        pool = f"localhost:{self.hosts[0].pool_port}"
        return [
            *("--runner=FlinkRunner", f"--flink_master={self.rest}", f"--parallelism={len(self.hosts)}"),
            *("--environment_type=EXTERNAL", f"--environment_config={pool}"),
        ]

    def ask(self, path: str) -> Any:
        """Returns what Flink's REST interface answers."""
        with urllib.request.urlopen(f"http://{self.rest}{path}", timeout=10) as answer:
            return json.load(answer)

    def jobs(self) -> list[dict[str, Any]]:
        """Returns the jobs that the cluster knows: jid, name, state."""
        return list(self.ask("/jobs/overview")["jobs"])

    def workers(self) -> dict[int, str]:
        """Returns the Python workers' process ids, and the pool that each belongs to."""
        pools = {process.pid: name for name, process in self.processes.items() if name.startswith("pool")}
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in pools and b"SdkHarness" in (entry / "cmdline").read_bytes():
                    found[int(entry.name)] = pools[parent]
        return found

    def start(self, name: str, command: list[str], host: Host | None = None, **variables: str) -> None:
        """Starts a process of the cluster; what it says goes to a file of its name."""
        pinned = ["taskset", "-c", str(host.core)] if host and host.core is not None else []
        with open(self.folder / f"{name}.out", "ab") as out:
            self.processes[name] = subprocess.Popen(
                [*DIES_WITH_US, *(host.enter if host else []), *pinned, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **variables},
            )

    def stop(self, name: str) -> None:
        """Ends a process of the cluster and whatever it started."""
        process = self.processes.pop(name)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)


@contextlib.contextmanager
def running_flink(
    folder: Path, task_managers: int, restarts: int = 2, one_core_each: bool = False
) -> Iterator[FlinkCluster]:
    """Starts a cluster with its logs and settings in folder, and stops all of it at the end, however that comes.

    restarts: how often a job may start anew before it fails. one_core_each: ties TaskManager i and its pool to core i.
    """
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        hosts, manager = stack.enter_context(_hosts(folder, task_managers))
        if one_core_each:
            for host, core in zip(hosts, sorted(os.sched_getaffinity(0)), strict=False):
                host.core = core
        apart = hosts[0].address != "127.0.0.1"
        cluster = FlinkCluster(folder, f"{manager}:{free_port()}", hosts, apart, restarts)
        stack.callback(lambda: [cluster.stop(name) for name in reversed(list(cluster.processes))])
        rpc = free_port()
        _start_java(cluster, "jobmanager", manager, rpc)
        # Who asks it for the first time too early asks again ten seconds later.
        wait_for(lambda: _joined(cluster) is not None, START_SECONDS, f"the JobManager, see {folder}")
        for number, host in enumerate(hosts):
            _start_java(cluster, f"taskmanager-{number}", manager, rpc, host)
            if apart or number == 0:
                start_pool(cluster, number)
        wait_for(
            lambda: _joined(cluster) == task_managers, START_SECONDS, f"{task_managers} TaskManagers, see {folder}"
        )
        yield cluster


def start_pool(cluster: FlinkCluster, number: int) -> None:
    """Starts the pool of Python workers of a host, as the same host keeps it: with its own python first on PATH."""
    host = cluster.hosts[number]
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={host.pool_port}"]
    cache = cluster.folder / f"cache-{number}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cluster.start(f"pool-{number}", pool, host, PATH=path, XDG_CACHE_HOME=str(cache), PYTHONPATH=str(HOUSE))


def _joined(cluster: FlinkCluster) -> int | None:
    dead = {name: process.returncode for name, process in cluster.processes.items() if process.poll() is not None}
    if dead:
        raise RuntimeError(f"processes of the cluster ended with {dead}; see {cluster.folder}")
    try:
        return int(cluster.ask("/overview")["taskmanagers"])
    except OSError:
        return None


def _start_java(cluster: FlinkCluster, name: str, manager: str, rpc: int, host: Host | None = None) -> None:
    conf = cluster.folder / f"conf-{name}"
    shutil.copytree(flink_home() / "conf", conf)
    settings = conf / "config.yaml"
    kept, own = _java_options(settings.read_text()), host.address if host else manager
    lines = [
        f"env.java.opts.all: {kept}",
        f"jobmanager.rpc.address: {manager}",
        f"jobmanager.rpc.port: {rpc}",
        "jobmanager.bind-host: 0.0.0.0",  # its own BlobServer is asked for at localhost
        "jobmanager.memory.process.size: 1024m",
        f"rest.address: {manager}",
        f"rest.bind-address: {manager}",
        f"rest.port: {cluster.rest.rpartition(':')[2]}",
        f"taskmanager.host: {own}",
        f"taskmanager.bind-host: {own}",
        "taskmanager.numberOfTaskSlots: 1",
        "taskmanager.memory.process.size: 1024m",
        "taskmanager.memory.managed.size: 128m",
        f"io.tmp.dirs: {cluster.folder}",
        "restart-strategy.type: fixed-delay",
        f"restart-strategy.fixed-delay.attempts: {cluster.restarts}",
        "restart-strategy.fixed-delay.delay: 1 s",
    ]
    settings.write_text("\n".join([*lines, ""]))
    script = "jobmanager.sh" if host is None else "taskmanager.sh"
    cluster.start(
        name,
        ["bash", str(flink_home() / "bin" / script), "start-foreground"],
        host,
        FLINK_CONF_DIR=str(conf),
        FLINK_LOG_DIR=str(cluster.folder),
        FLINK_PID_DIR=str(cluster.folder),
    )


def _java_options(shipped: str) -> str:
    """Returns what Flink's own settings ask of the JVM, so that a newer Java works."""
    line = next((one for one in shipped.splitlines() if one.strip().startswith("all: --")), "")
    return line.partition(": ")[2]


@contextlib.contextmanager
def _hosts(folder: Path, count: int) -> Iterator[tuple[list[Host], str]]:
    """Yields the hosts and the address that they reach the JobManager at; of namespaces where those can be made."""
    with contextlib.ExitStack() as stack:
        try:
            yield _namespaces(stack, folder, count)
        except _NoNamespaces:
            stack.close()
            port = free_port()
            yield [Host(f"host-{number}", "127.0.0.1", [], port) for number in range(count)], "127.0.0.1"


class _NoNamespaces(Exception):
    """This machine or this account cannot make network namespaces."""


def _namespaces(stack: contextlib.ExitStack, folder: Path, count: int) -> tuple[list[Host], str]:
    """Makes a bridge, and for each host a namespace with an address on it, a host name and a hosts file."""
    number = os.getpid() + 7 * next(_CLUSTERS)
    tag = f"{number % 100_000:05d}"
    bridge, net = f"aff{tag}", f"10.{number // 250 % 250}.{number % 250}"
    _ip(f"link add {bridge} type bridge")
    stack.callback(_ip, f"link del {bridge}", quiet=True)
    _ip(f"addr add {net}.1/24 dev {bridge}")
    _ip(f"link set {bridge} up")
    hosts = []
    for number in range(count):
        name, veth, address = f"aff{tag}-{number}", f"aff{tag}v{number}", f"{net}.{number + 2}"
        _ip(f"netns add {name}")
        stack.callback(_end_namespace, name)
        _ip(f"link add {veth} type veth peer name eth0 netns {name}")
        _ip(f"link set {veth} master {bridge} up")
        _ip(f"-n {name} addr add {address}/24 dev eth0")
        for device in ("lo", "eth0"):
            _ip(f"-n {name} link set {device} up")
        known = folder / f"{name}.hosts"
        known.write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        script = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"'
        enter = ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", script, name, str(known)]
        if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode:
            raise _NoNamespaces
        hosts.append(Host(name, address, enter))
    return hosts, f"{net}.1"


def _ip(arguments: str, quiet: bool = False) -> None:
    try:
        done = subprocess.run(["ip", *arguments.split()], capture_output=True, check=False)
    except OSError:
        raise _NoNamespaces from None
    if done.returncode and not quiet:
        raise _NoNamespaces


def _end_namespace(name: str) -> None:
    """Ends what still runs in a namespace, then the namespace."""
    inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    for pid in inside.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip(f"netns del {name}", quiet=True)
