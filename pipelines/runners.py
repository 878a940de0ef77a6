"""Which Beam runner does the work, and with which of Beam's own flags."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.runners import create_runner

from foundation.errors import InputError, nearest

DEFAULT_RUNNER = "FnApiRunner"
FLINK = "FlinkRunner"
BY_JOB_SERVER = (FLINK, "PortableRunner", "SparkRunner")
REFUSED = {
    "DaskRunner": "it reports success and loses data (of two branches only the last runs)",
    "DirectRunner": "it changes engine silently with the graph and the network",
    "BundleBasedDirectRunner": "it is not made for work of this size",
    "InteractiveRunner": "it keeps every element in memory for notebooks",
}
_ENVIRONMENTS = "EXTERNAL with --environment_config=HOST:PORT of a worker pool, or DOCKER with the image, or PROCESS"


def parse_beam_flags(flags: Sequence[str]) -> PipelineOptions:
    """Returns Beam's options from its own flags.

    Raises InputError naming the first flag that Beam does not know, or a runner that is refused. Flags for a runner
    behind a job server may be the job server's own: refuse_unknown asks it once it is there.
    """
    try:
        options = PipelineOptions(list(flags))
        options.get_all_options()
    except SystemExit:
        raise InputError(f"Beam's flags {shlex.join(flags)!r} are malformed; give them as --name=value") from None
    runner = options.view_as(StandardOptions).runner
    if runner not in BY_JOB_SERVER:
        refuse_unknown(options, ())
    loose = [flag for i, flag in enumerate(flags) if not flag.startswith("-") and _takes_no_value(flags, i)]
    if loose:
        raise InputError(f"{loose[0]!r} is no flag; Beam's flags are given as --name=value after '--'")
    if runner in REFUSED:
        raise InputError(f"runner {runner} is refused: {REFUSED[runner]}; use {DEFAULT_RUNNER}, FlinkRunner or another")
    if runner is not None:
        try:
            create_runner(runner)
        except (ImportError, ValueError, AttributeError) as error:
            raise InputError(
                f"Beam has no runner {runner!r} here ({error}); leave it out for {DEFAULT_RUNNER}"
            ) from error
    _require_environment(options)
    return options


def refuse_unknown(options: PipelineOptions, of_job_server: Iterable[str]) -> None:
    """Raises InputError naming the first flag that neither Beam nor, by the names given, the job server knows."""
    known = {*options.get_all_options(), *of_job_server}
    for name in options.get_all_options(retain_unknown_options=True):
        if name not in known:
            raise InputError(f"Beam knows no flag --{name}{nearest(name, sorted(known))}; its flags go after '--'")


def _takes_no_value(flags: Sequence[str], position: int) -> bool:
    before = flags[position - 1] if position else ""
    return not before.startswith("--") or "=" in before


def _require_environment(options: PipelineOptions) -> None:
    """Raises InputError where a job server would start its workers without Afterfact, or not at all."""
    if options.view_as(StandardOptions).runner not in BY_JOB_SERVER or is_embedded(options):
        return
    portable = options.view_as(PortableOptions)
    kind, config = portable.environment_type, portable.environment_config or portable.environment_options
    if kind is None:
        raise InputError(
            "environment_type is not given, and Beam would start workers in a Docker image that holds no Afterfact; "
            f"give --environment_type={_ENVIRONMENTS}"
        )
    if kind == "LOOPBACK" and is_cluster_address(flink_master(options)):
        raise InputError(
            f"environment_type is LOOPBACK and flink_master is {flink_master(options)}: its TaskManagers would stop "
            f"each other's worker; give --environment_type={_ENVIRONMENTS}"
        )
    if kind != "LOOPBACK" and not config:
        raise InputError(f"environment_type is {kind} without environment_config; give {_ENVIRONMENTS}")


def flink_master(options: PipelineOptions) -> str:
    """Returns the address of Flink's REST interface as given; [auto] where it is left to the job server."""
    return str(options.view_as(FlinkRunnerOptions).flink_master).strip()


def is_cluster_address(master: str) -> bool:
    """Tells whether a flink_master names a cluster, and not one that lives in the job server."""
    return not master.startswith("[")


def is_embedded(options: PipelineOptions) -> bool:
    """Tells whether the job is for a Flink inside the job server, whose Python work Beam gives to this process."""
    portable = options.view_as(PortableOptions)
    named = portable.environment_type or portable.job_endpoint or is_cluster_address(flink_master(options))
    return options.view_as(StandardOptions).runner == FLINK and not named


def is_local(options: PipelineOptions) -> bool:
    """Tells whether the workers are threads or processes of this machine, which can share out segments by its files."""
    return options.view_as(StandardOptions).runner in (None, DEFAULT_RUNNER)


def make_runner(options: PipelineOptions, workers: int) -> Any:
    """Returns the runner that the options name: FnApiRunner on threads of this process unless they say otherwise.

    Decoding happens in helper processes and ONNX Runtime lets go of Python's lock, so threads fill the cores;
    a worker process more would import Beam again and, if it died, leave the local runner waiting for it.
    """
    if not is_local(options):
        return options.view_as(StandardOptions).runner
    from apache_beam.options.pipeline_options import DirectOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    # Its warning asks for worker processes; see above.
    logging.getLogger("apache_beam.runners.portability.fn_api_runner.fn_runner").setLevel(logging.ERROR)
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers == 1:
        direct.direct_num_workers = workers
    return FnApiRunner()
