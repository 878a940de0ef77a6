"""`afterfact evaluate`: error rates on photos whose subjects are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluation.calibrate_command import calibrate
from foundation.errors import InputError
from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    device_option,
    home_folder,
    print_json,
    print_table,
    printable,
    read_credential,
)

if TYPE_CHECKING:
    from evaluation.session import Evaluation, EvaluationSession

_PATH = click.Path(path_type=Path)

_SHARED = (
    click.option("--case", required=True, help="The case number that this belongs to: for a test, the test's name."),
    click.option("--purpose", default="testing", show_default=True, help="One of configs/purposes.yaml."),
    click.option("--operator", help="Who asks, where the credential is an agency's and not a person's."),
    click.option("--beneficiary", metavar="NAME", help="The agency that it is for. Default: your own."),
    click.option("--offence", help="The offence, where your licence requires it."),
    click.option("--basis", help="The ground: see configs/bases.yaml, where your licence requires it."),
    click.option("--reference", help="Contract, order or report number, where your licence requires it."),
    click.option(
        "--by", metavar="COLUMNS", help="Tell groups apart by these columns of the list, such as sex,race or age:10."
    ),
    click.option("--at", metavar="CUT-OFF", help="One cut-off for all groups: a rate such as 0.1%, or a distance."),
    click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Decides splits and resamples."),
    click.option("--out", type=_PATH, help="The folder to write into, new or empty. Default: evaluation-ENTRY here."),
    click.option("--quiet", is_flag=True, help="No progress on standard error."),
    credential_option,
    as_json,
)

_EMBEDS = (
    click.option("--embedder", type=_PATH, help="The YAML file of another embedder than the built-in one."),
    click.option(
        "--mirrored",
        is_flag=True,
        help="Embed each face and its mirror image and keep the mean, as index --mirrored does.",
    ),
    device_option("auto"),
)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((*_EMBEDS, *_SHARED)):
        command = option(command)
    return command


@click.group(context_settings=CONTEXT)
def evaluate() -> None:
    """Measure error rates on photos whose subjects are known.

    Each evaluation is decided on and recorded, as a search is; one that touches a gallery is barred with its searches.
    It writes results.json, scores.csv and report.html. docs/evaluation.md says what each figure means.

    \b
    Example:
      afterfact evaluate verification pairs.txt --root lfw --case test-1
      afterfact evaluate search archive.csv --case test-2
      afterfact evaluate search --gallery county --case test-3
      afterfact evaluate calibrate county --case test-4 --purpose testing
    """


evaluate.add_command(calibrate)


@evaluate.command()
@click.argument("pairs_file", metavar="PAIRS", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--root", type=_PATH, help="Folder that the pairs' photos start from. Default: the list's own.")
@click.option("--about", type=_PATH, help="A list with photo or subject, and the columns that --by names.")
@_shared
@click.pass_context
def verification(context: click.Context, pairs_file: Path, root: Path | None, about: Path | None, **given: Any) -> None:
    """Measure how often two photos of a person are taken for two people, and two people for one.

    PAIRS is LFW's pairs.txt, or a CSV list with the columns photo_a, photo_b and same (1 or 0); subject_a, subject_b
    and fold where they are known. Accuracy over folds, FNMR at FMR 1%, 0.1% and 0.01%. With --by, failure to enrol, FMR
    and FNMR of each group, at one cut-off for all.

    \b
    Example:
      afterfact evaluate verification pairs.txt --root lfw --case test-1
      afterfact evaluate verification pairs.csv --case test-1 --mirrored --out first
      afterfact evaluate verification pairs.txt --root lfw --about people.csv --by sex,race --case test-1

    Exit codes: 0 done, 1 error, 2 usage, 3 refused.
    """
    from evaluation.about import describe
    from evaluation.pairs import read_pairs

    pairs = read_pairs(_there(pairs_file, "PAIRS"), _folder(root, "--root"))
    if about is not None:
        pairs = describe(pairs, about)
    _run(context, given, lambda session: session.verification(pairs))


@evaluate.command()
@click.argument("archive", metavar="[ARCHIVE]", required=False, type=_PATH)
@click.option("--root", type=_PATH, help="Folder that the lists' photos start from. Default: each list's own.")
@click.option("--folder-subjects", is_flag=True, help="In a folder, 'subject/photo' names the subject.")
@click.option("--gallery", help="Evaluate a gallery: its own faces, or --probes-list against them.")
@click.option("--gallery-list", type=_PATH, help="A list or folder of the photos to enrol, instead of a split.")
@click.option("--probes-list", type=_PATH, help="A list or folder of the probes.")
@click.option("--non-mated-list", type=_PATH, help="A list or folder of probes of nobody enrolled; no subjects needed.")
@click.option(
    "--non-mated",
    metavar="SHARE",
    default="30%",
    show_default=True,
    help="The share of subjects that a split keeps out of the gallery.",
)
@_shared
@click.pass_context
def search(
    context: click.Context,
    archive: Path | None,
    root: Path | None,
    folder_subjects: bool,
    gallery: str | None,
    gallery_list: Path | None,
    probes_list: Path | None,
    non_mated_list: Path | None,
    non_mated: str,
    **given: Any,
) -> None:
    """Measure how often people who are enrolled are missed, and people who are not get a candidate.

    ARCHIVE is a folder or a CSV or Parquet list, as index takes it, with subjects, and encounters where they are known.
    It splits itself: one encounter of a subject is held out as probe, and a share of subjects is not enrolled at all.
    Or give the lists. Or name a gallery: then nobody is shown or named, and the gate decides as for a search of it.

    \b
    Example:
      afterfact evaluate search archive.csv --case test-2 --non-mated 50%
      afterfact evaluate search photos --folder-subjects --case test-2
      afterfact evaluate search --gallery-list enrol.csv --probes-list probes.csv --case test-2
      afterfact evaluate search --gallery county --by sex,race --case test-3

    Exit codes: 0 done, 1 error, 2 usage, 3 refused.
    """
    from evaluation.samples import read_list
    from evaluation.split import given_split, split_samples
    from indexer.job import parse_share, require_gallery_name

    folder = _folder(root, "--root")
    one_of = {"ARCHIVE": archive, "--gallery": gallery, "--gallery-list": gallery_list}
    if sum(value is not None for value in one_of.values()) != 1:
        raise InputError(f"give one of {', '.join(one_of)}: what is enrolled")
    if archive is not None and (probes_list or non_mated_list):
        raise InputError("ARCHIVE splits itself; give --gallery-list in its place where the probes are given, too")
    if probes_list is None and (gallery_list is not None or non_mated_list is not None):
        raise InputError("--probes-list is missing; name the photos to search with")
    if gallery is not None and (given["mirrored"] or given["embedder"]):
        raise InputError("--mirrored and --embedder go with own photos; a gallery remembers how it was made")
    share = parse_share(non_mated, "--non-mated")

    def listed(path: Path, option: str, subjects: bool = True) -> list[Any]:
        found = read_list(path, None if path.is_dir() else folder, folder_subjects and path.is_dir(), option, subjects)
        if found.without_subject or found.repeated:
            told = (
                f"{found.without_subject:,} photos without a subject and {found.repeated:,} listed twice are left out"
            )
            click.echo(f"afterfact evaluate: {printable(str(path))}: {told}", err=True)
        return found.samples

    probes = listed(probes_list, "--probes-list") if probes_list else []
    strangers = listed(non_mated_list, "--non-mated-list", subjects=False) if non_mated_list else []
    if archive is not None:
        split = split_samples(listed(archive, "ARCHIVE"), share, given["seed"], str(archive))
    elif gallery_list is not None:
        split = given_split(listed(gallery_list, "--gallery-list"), probes, strangers, str(probes_list))
    else:
        name = require_gallery_name(gallery or "")

        def measure(session: EvaluationSession) -> Evaluation:
            if probes:
                return session.gallery_with_probes(name, probes, strangers)
            return session.gallery_alone(name, share)

        _run(context, given, measure)
        return
    _run(context, given, lambda session: session.search(split))


@evaluate.command()
@as_json
@click.pass_context
def forget(context: click.Context, as_json: bool) -> None:
    """Remove every embedding that evaluations keep in the data home.

    It needs no credential, since it shows nothing: whoever can write the data home can remove them by hand, too.

    \b
    Example:
      afterfact evaluate forget
    """
    from evaluation.cache import forget as forget_all

    forgotten = forget_all(home_folder(context))
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        click.echo(f"Forgotten: {forgotten:,} photos' embeddings.")


def _there(path: Path, what: str) -> Path:
    if not path.is_file():
        raise InputError(f"{what} {path} does not exist; name pairs.txt or a CSV list")
    return path


def _folder(path: Path | None, option: str) -> Path | None:
    if path is not None and not path.is_dir():
        raise InputError(f"{option} {path} is not a folder; name the folder that photos start from")
    return path


def _run(context: click.Context, given: dict[str, Any], measure: Callable[[EvaluationSession], Evaluation]) -> None:
    from access.gate import Request
    from evaluation.output import REPORT, as_json, require_folder, write_outputs
    from evaluation.session import EvaluationSession
    from indexer.embedder import require_device
    from indexer.embedder_file import given_embedder
    from indexer.grouping import By

    require_folder(given["out"])
    if given["at"] and not given["by"]:
        raise InputError(f"--at {given['at']} goes with --by: it is the cut-off that groups are compared at")
    by = By.read(given["by"], given["at"]) if given["by"] else None
    stated = ("purpose", "case", "operator", "beneficiary", "offence", "basis", "reference")
    request = Request("evaluate", "", **{name: given[name] for name in stated})
    credential = read_credential(given["credential_file"])
    require_device(given["device"])
    session = EvaluationSession(
        home_folder(context),
        credential,
        request,
        given["seed"],
        given_embedder(given["embedder"], given["mirrored"]),
        given["device"],
        given["quiet"],
        by,
    )
    try:
        evaluation = measure(session)
        folder = given["out"] or Path(f"evaluation-{evaluation.receipts[0].number}")
        write_outputs(folder, evaluation)
        if given["as_json"]:
            print_json(as_json(evaluation) | {"out": str(folder)})
        else:
            _print(evaluation, folder / REPORT)
    finally:
        session.handed_out()


def _print(evaluation: Evaluation, report: Path) -> None:
    for line in evaluation.measured.summary:
        click.echo(printable(line))
    for section in evaluation.measured.sections:
        if section.rows:
            print_table(section.columns, section.rows, section.title)
    for receipt in evaluation.receipts:
        click.echo(f"Ledger entry {receipt.number}, head {receipt.head}")
    click.echo(f"Report: {printable(str(report))}")
