"""Which Beam runner does the work, and with which of Beam's own flags."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners import create_runner

from foundation.errors import InputError, nearest

DEFAULT_RUNNER = "FnApiRunner"
REFUSED = {
    "DaskRunner": "it reports success and loses data (of two branches only the last runs)",
    "DirectRunner": "it changes engine silently with the graph and the network",
    "BundleBasedDirectRunner": "it is not made for work of this size",
    "InteractiveRunner": "it keeps every element in memory for notebooks",
}


def parse_beam_flags(flags: Sequence[str]) -> PipelineOptions:
    """Returns Beam's options from its own flags.

    Raises InputError naming the first flag that Beam does not know, or a runner that is refused.
    """
    try:
        options = PipelineOptions(list(flags))
        known = options.get_all_options()
        given = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        raise InputError(f"Beam's flags {shlex.join(flags)!r} are malformed; give them as --name=value") from None
    for name in given:
        if name not in known:
            raise InputError(f"Beam knows no flag --{name}{nearest(name, list(known))}; its flags go after '--'")
    loose = [flag for i, flag in enumerate(flags) if not flag.startswith("-") and _takes_no_value(flags, i)]
    if loose:
        raise InputError(f"{loose[0]!r} is no flag; Beam's flags are given as --name=value after '--'")
    runner = options.view_as(StandardOptions).runner
    if runner in REFUSED:
        raise InputError(f"runner {runner} is refused: {REFUSED[runner]}; use {DEFAULT_RUNNER}, FlinkRunner or another")
    if runner is not None:
        try:
            create_runner(runner)
        except (ImportError, ValueError, AttributeError) as error:
            raise InputError(
                f"Beam has no runner {runner!r} here ({error}); leave it out for {DEFAULT_RUNNER}"
            ) from error
    return options


def _takes_no_value(flags: Sequence[str], position: int) -> bool:
    before = flags[position - 1] if position else ""
    return not before.startswith("--") or "=" in before


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
