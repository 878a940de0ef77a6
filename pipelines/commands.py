"""`afterfact index`: one archive into one gallery."""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from access.gate import Gate, Permit, Request
from foundation.errors import EXIT_REJECTIONS, InputError
from foundation.store_path import Place
from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    device_option,
    home_folder,
    print_json,
    print_table,
    read_credential,
)
from pipelines.options import BEAM_FLAGS, WithBeamFlags, parse_limits

if TYPE_CHECKING:
    from indexer.accounting import Accounting
    from indexer.job import IndexJob
    from indexer.run import Run
    from pipelines.bulk_index import Indexed

_FOLDER_OR_LIST = click.Path(path_type=str)  # or a URL, which Path would mangle


@click.command(cls=WithBeamFlags, context_settings=CONTEXT)
@click.argument("job_file", metavar="[JOB.yaml]", required=False, type=click.Path(path_type=Path))
@click.option("--gallery", help="The gallery to index into; made where it is absent.")
@click.option(
    "--archive",
    type=_FOLDER_OR_LIST,
    help="A folder, a .zip or .tar file, a CSV or Parquet list with a column 'photo'; or an s3:// or gs:// URL of one.",
)
@click.option(
    "--root",
    type=_FOLDER_OR_LIST,
    help="Folder or URL that a list's photos start from, and lie in. With a list only. Default: the list's own.",
)
@click.option(
    "--folder-subjects",
    is_flag=True,
    default=None,
    help="In a folder, zip or tar file, 'subject/photo' names the subject.",
)
@click.option("--rehash", is_flag=True, default=None, help="Tell held photos by their bytes, not by size and time.")
@click.option("--retry-rejected", is_flag=True, default=None, help="Look at rejected photos once more.")
@click.option(
    "--embedder",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The YAML file of another embedder than the built-in one (docs/models.md), from a gallery's first photo on.",
)
@click.option(
    "--mirrored",
    is_flag=True,
    default=None,
    help="Embed each face and its mirror image and keep the mean: fewer errors, twice the embedding's time. "
    "Decided with a gallery's first photo; afterfact gallery reembed changes it.",
)
@device_option("auto")
@click.option("--limit-rejected", metavar="SHARE", help="Exit with 4 where more of the photos are rejected, say 5%.")
@click.option("--segment-photos", type=int, help="Photos a segment, the unit of work and of resuming; 0 chooses.")
@click.option("--workers", type=int, help="Workers on this machine; 0 is one a core.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="One of a job file's limits, say min_eye_distance=40. May be given several times.",
)
@click.option(
    "--rejections", type=click.Path(path_type=Path, dir_okay=False), help="Write the list of rejections here."
)
@click.option("--dry-run", is_flag=True, help="Tell photos, bytes, time and disk; index nothing.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@credential_option
@as_json
@click.pass_context
def index(
    context: click.Context,
    job_file: Path | None,
    limits: tuple[str, ...],
    device: str,
    rejections: Path | None,
    dry_run: bool,
    quiet: bool,
    credential_file: Path | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Index an archive of photos into a gallery.

    Photos in a zip file, or in a tar file that is not compressed, are read where they are; nothing is unpacked.

    A run that was stopped, however hard, is finished by the same command. A second run of the same job
    adds nothing. Whatever follows -- goes to Beam: the runner is FnApiRunner unless --runner names another. On a
    cluster, Ctrl-C ends its job too; AFTERFACT_JOB_SERVER names Beam's job server (an address, a jar or a command).

    \b
    Example:
      afterfact index nightly.yaml
      afterfact index --gallery county --archive booking.csv --limit-rejected 5%
      afterfact index --gallery county --archive booking.csv --embedder arcface.yaml
      afterfact index nightly.yaml -- --runner=FlinkRunner --flink_master=flink:8081
        --environment_type=EXTERNAL --environment_config=localhost:50000

    Exit codes: 0 done, 1 error, 2 usage, 3 refused, 4 done, but more was rejected than --limit-rejected.
    """
    if job_file is not None and job_file.is_dir():
        raise InputError(f"job file {job_file} is a folder; for an archive give --gallery NAME --archive {job_file}")
    # On import Beam warns of parts that we do not use, and of unknown flags, which are an error here.
    logging.disable(logging.WARNING)
    from indexer.gallery import Gallery
    from indexer.job import read_job
    from pipelines.runners import parse_beam_flags

    options = parse_beam_flags(context.meta.get(BEAM_FLAGS, []))
    logging.disable(logging.NOTSET)
    job = read_job(job_file, {**fields, "limits": parse_limits(limits)})
    if rejections is not None and not rejections.absolute().parent.is_dir():
        raise InputError(f"--rejections is {rejections} and its folder does not exist; make it, or name another file")
    home = home_folder(context)
    gate = Gate.open(home)
    permit = gate.ask(read_credential(credential_file), Request(operation="index", gallery=job.gallery))
    gallery = Gallery(home, job.gallery)
    if dry_run:
        _dry_run(gallery, job, device, as_json)
        return
    indexed = _run(gate, permit, gallery, job, options, quiet, device)
    saved: Place = gallery.accounts / f"{indexed.run.run_id}.rejections.csv"
    if rejections is not None:
        rejections.write_bytes(saved.read_bytes())
        saved = rejections
    if as_json:
        _print_json(indexed, job, saved)
    else:
        _print_account(indexed, job, _retry_command(context, indexed, job, saved), saved)
    limit = job.limit_rejected
    if limit is not None and indexed.accounting.rejected_share > limit:
        click.echo(
            f"afterfact index: {indexed.accounting.rejected_share:.1%} of the photos looked at were rejected; "
            f"the limit is {limit:.1%}. What could be enrolled is published; see {saved}",
            err=True,
        )
        context.exit(EXIT_REJECTIONS)


def _run(gate: Gate, permit: Permit, gallery: Any, job: IndexJob, options: Any, quiet: bool, device: str) -> Indexed:
    from pipelines.bulk_index import run_job
    from pipelines.progress import Progress

    progress = Progress(quiet)

    def decide_again(run: Run, accounting: Accounting) -> None:
        gate.answer(
            permit, {"run": run.run_id, "manifest": run.manifest_digest, "accounting": accounting.as_json()}, None
        )

    try:
        return run_job(gallery, job, options, progress, decide_again, gate.probes_among, device)
    finally:
        progress.close()
        gate.handed_out()  # it is published, or never will be: no suspension has to wait for this process


def _dry_run(gallery: Any, job: IndexJob, device: str, as_json: bool) -> None:
    from indexer.estimate import estimate_work
    from indexer.run import plan_job
    from pipelines.bulk_index import core_count

    plan, listing = plan_job(gallery, job)
    estimate = estimate_work(
        plan.work, job.archive_root, job.limits, plan.bytes, job.workers or core_count(), job.given, device
    )
    told: dict[str, Any] = {
        "planned": listing.photos.num_rows + len(listing.repeated),
        "repeated": len(listing.repeated),
        "held": plan.held,
        "updated": plan.updates.num_rows,
        "to_look_at": estimate.photos,
        "bytes": estimate.bytes,
        "photos_a_second": estimate.photos_a_second and round(estimate.photos_a_second, 1),
        "seconds": estimate.seconds and round(estimate.seconds, 3),
        "disk_bytes": estimate.disk,
        "other_files_left_out": listing.left_out,
    }
    if as_json:
        print_json(told)
        return
    left_out = ", ".join(f"{count} {suffix}" for suffix, count in sorted(listing.left_out.items()))
    rows: list[tuple[str, Any]] = [
        ("photos planned", told["planned"]),
        ("held already", plan.held),
        ("with changed columns", plan.updates.num_rows),
        ("listed twice", len(listing.repeated)),
        ("to look at", estimate.photos),
        ("their bytes", estimate.bytes),
        (
            "expected time",
            f"{estimate.seconds:.0f} s at {estimate.photos_a_second:.0f} photos/s" if estimate.seconds else "-",
        ),
        ("expected disk, bytes", estimate.disk),
        ("other files, left out", left_out or "none"),
    ]
    print_table(["dry run: nothing is indexed", ""], rows)


def _print_json(indexed: Indexed, job: IndexJob, saved: Place) -> None:
    print_json(
        {
            "gallery": job.gallery,
            "run": indexed.run.run_id,
            "resumed": indexed.resumed,
            "version": indexed.version.number if indexed.version else None,
            "accounting": indexed.accounting.as_json(),
            "rejected_share": round(indexed.accounting.rejected_share, 6),
            "seconds": round(indexed.seconds, 2),
            "done_by": indexed.done_by,
            "metrics": indexed.metrics,
            "rejections": str(saved),
        }
    )


def _retry_command(context: click.Context, indexed: Indexed, job: IndexJob, saved: Place) -> str:
    root = context.find_root()
    named = root.get_parameter_source("home") is ParameterSource.COMMANDLINE
    home = ["--home", root.params["home"]] if named else []
    from indexer.containers import is_container
    from indexer.limits import Limits

    limits = [f"--limit={name}={value}" for name, value in asdict(job.limits).items() if value != getattr(Limits, name)]
    places = ["--archive", str(saved), "--root", str(indexed.run.root)]
    if is_container(job.archive):  # a list names plain files
        places = ["--archive", str(job.archive), *(["--folder-subjects"] if job.folder_subjects else [])]
    model = ["--embedder", str(job.embedder)] if job.embedder else []
    model += ["--mirrored"] if job.mirrored else []
    return shlex.join(
        ["afterfact", *home, "index", "--gallery", job.gallery, *places, *limits, *model, "--retry-rejected"]
    )


def _print_account(indexed: Indexed, job: IndexJob, retry_command: str, saved: Place) -> None:
    from indexer.outcomes import ABOUT, Outcome

    account = indexed.accounting
    rows: list[tuple[str, int, str]] = [("enrolled", account.enrolled, ABOUT[Outcome.ENROLLED])]
    rows += [(f"rejected: {name}", count, ABOUT[Outcome(name)]) for name, count in sorted(account.rejected.items())]
    rows += [
        ("duplicates", account.duplicates, "the same bytes, or the same path, once more"),
        ("held", account.held, "in the gallery already, unchanged"),
        ("updated", account.updated, "in the gallery already, with changed columns"),
        ("suppressed", account.suppressed, "of expunged subjects"),
        ("planned", account.planned, "the sum of the above"),
    ]
    print_table(["photos", "count", "meaning"], rows)
    if indexed.version is None:
        click.echo(f"Nothing to add: gallery {job.gallery!r} stays as it is.")
    else:
        about = indexed.version.about
        click.echo(
            f"Gallery {job.gallery!r} is now version {indexed.version.number}: {about['faces']:,} faces of "
            f"{about['subjects']:,} subjects. {_rate(indexed)}"
        )
    if len({one["host"] for one in indexed.done_by}) > 1:
        click.echo(f"By host: {_by_host(indexed)}.")
    if account.rejections:
        click.echo(f"Rejections and duplicates, one a line: {saved}")
        click.echo(f"To look at the rejected once more: {retry_command}")


def _by_host(indexed: Indexed) -> str:
    photos: Counter[str] = Counter()
    workers: Counter[str] = Counter()
    for one in indexed.done_by:
        photos[one["host"]] += one["photos"]
        workers[one["host"]] += 1
    return ", ".join(f"{host} {photos[host]:,} photos ({workers[host]} processes)" for host in sorted(photos))


def _rate(indexed: Indexed) -> str:
    seconds = max(indexed.seconds, 1e-6)
    return f"{indexed.looked_at_now:,} photos in {seconds:.1f} s, {indexed.looked_at_now / seconds:.1f} a second."
