"""`afterfact search`: an investigator's question, and its lead."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foundation.errors import EXIT_CHOICE, EXIT_DONE, EXIT_ERROR, AfterfactError, InputError
from foundation.files import write_whole
from foundation.progress import Counter
from foundation.terminal import (
    CONTEXT,
    as_json,
    case_options,
    credential_option,
    device_option,
    home_folder,
    print_json,
    print_table,
    printable,
    read_credential,
)
from indexer.helper_process import HelperProcess
from indexer.limits import Limits
from indexer.locations import readable
from indexer.suffixes import PHOTO_SUFFIXES

if TYPE_CHECKING:
    from search.candidates import Candidate
    from search.lead import Lead
    from search.session import FaceChoiceNeeded, ProbeError, SearchSession

FEW = 20  # probes up to which nobody needs to be told how far a search is


@click.command(context_settings=CONTEXT)
@click.argument("probes", metavar="PROBE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--gallery", required=True, help="The gallery to search.")
@case_options
@click.option("-k", "k", type=int, default=20, show_default=True, help="Lines of the candidate list, 2 to 50.")
@click.option(
    "--by",
    type=click.Choice(["subject", "encounter"]),
    default="subject",
    show_default=True,
    help="One line a subject, its nearest encounter; or one line an encounter.",
)
@click.option(
    "--cut-off",
    metavar="FPIR",
    help="Mark candidates that more than this share of people not here get, say 1% or 0.01.",
)
@click.option("--face", type=int, help="Which face of a probe that shows several, as numbered in its picture.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Write the lead sheet here; a folder where there are several probes.",
)
@click.option(
    "--numbered",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the numbered picture of a probe with several faces. Default: PROBE-faces-ENTRY.jpg here.",
)
@device_option("cpu")
@credential_option
@as_json
@click.pass_context
def search(
    context: click.Context,
    probes: tuple[Path, ...],
    gallery: str,
    k: int,
    by: str,
    cut_off: str | None,
    face: int | None,
    report: Path | None,
    numbered: Path | None,
    device: str,
    credential_file: Path | None,
    as_json: bool,
    **about: Any,
) -> None:
    """Search a gallery for the face in a probe photo: candidates are leads, never identifications.

    PROBE is a photo or a folder of photos; each is decided on and recorded on its own.

    \b
    Example:
      afterfact search probe.jpg --gallery county --case 2026-0117 --purpose robbery
      afterfact search probe.jpg --gallery county --case 2026-0117 --purpose robbery --report lead.html

    Exit codes: 0 done, 1 error (a probe without a face, say), 2 usage, 3 refused, 5 a choice is needed
    (several faces: give --face).
    """
    photos = _photos(probes)
    if len(photos) > 1 and (face is not None or numbered is not None):
        raise InputError("--face and --numbered go with one probe; several were given")
    _require_no_probe(photos, {"--report": report, "--numbered": numbered})
    if report is not None:
        _require_place(report, several=len(photos) > 1)
    credential = read_credential(credential_file)
    helper = HelperProcess(None, Limits())
    helper.start()  # its imports go on beside ours; it sees no photo before the decision
    from access.gate import Request
    from indexer.embedder import require_device
    from search.session import SearchSession

    if device == "cuda":
        require_device(device)
    request = Request("search", gallery, **about)
    told: list[dict[str, Any]] = []
    worst = EXIT_DONE
    try:
        with (
            SearchSession(home_folder(context), credential, request, helper, device) as session,
            _counted(photos) as count,
            _interrupted_between(photos) as interrupt,
        ):
            try:
                for photo, answer in zip(photos, session.search_each(photos, k, by, face, cut_off), strict=True):
                    worst = _worse(worst, _tell(answer, photo, numbered, told, quiet=as_json))
                    if report is not None and not isinstance(answer, Exception):
                        told[-1]["report"] = _write_report(session, answer, photo, report, several=len(photos) > 1)
                    if not as_json:
                        session.handed_out()
                    count(len(told))
                    interrupt()
            finally:
                # What was recorded as answered is shown, even where a later probe is refused; and before the session
                # ends, which says that everything has been handed out.
                if as_json and told:
                    print_json(told)
    except KeyboardInterrupt:
        click.echo(
            f"afterfact search: interrupted; {len(told):,} of {len(photos):,} probes were answered, each with its "
            "ledger entry, and the others were not",
            err=True,
        )
        raise
    context.exit(worst)


def _photos(probes: tuple[Path, ...]) -> list[Path]:
    photos: list[Path] = []
    for probe in probes:
        try:
            if probe.is_dir():
                inside = sorted(one for one in probe.iterdir() if one.suffix.lower() in PHOTO_SUFFIXES)
                if not inside:
                    raise InputError(f"folder {probe} holds no photo; name photos or a folder of them")
                photos += inside
            elif probe.exists():
                photos.append(probe)
            else:
                raise InputError(f"probe {probe} does not exist; name a photo or a folder of photos")
        except OSError as error:
            raise InputError(f"probe {probe} cannot be looked at ({error.strerror}); name another") from error
    return photos


def _require_no_probe(photos: list[Path], written: dict[str, Path | None]) -> None:
    """Raises InputError where a file to be written is one of the probes: it would be lost."""
    for option, path in written.items():
        if path is not None and any(_same(path, photo) for photo in photos):
            raise InputError(f"{option} {path} is a probe, and would be overwritten; name another file")


def _require_place(report: Path, several: bool) -> None:
    """Raises InputError where lead sheets cannot be written, before anything is asked and recorded: a sheet is not
    written over another, which may be a case file's."""
    folder = report if several or report.is_dir() else report.parent
    if several and report.exists() and not report.is_dir():
        raise InputError(f"--report {report} is a file, and there are several probes; name a folder")
    if report.exists() and not report.is_dir():
        raise InputError(f"--report {report} exists already; name another file, or move it away")
    if not several and not folder.is_dir():
        raise InputError(f"--report {report}: there is no folder {folder}; make it, or name another")
    while not folder.exists():  # the folder of several sheets is made with the first of them
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--report {report}: nothing can be written in {folder}; name another, or get leave to write")


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


@contextlib.contextmanager
def _counted(photos: list[Path]) -> Iterator[Callable[[int], None]]:
    """Gives what tells how many probes are answered, where they are many."""
    if len(photos) <= FEW:
        yield lambda count: None
        return
    # Where the answers come out on the same terminal, they would run through a bar.
    counter = Counter("afterfact search", "searching", "probes", len(photos), bar=not sys.stdout.isatty())
    try:
        yield counter.done
    finally:
        counter.close()


@contextlib.contextmanager
def _interrupted_between(photos: list[Path]) -> Iterator[Callable[[], None]]:
    """Gives what raises KeyboardInterrupt where Ctrl-C was pressed: what is recorded as answered is shown before.

    Pressed once more, or where there is one probe, it interrupts at once.
    """
    pressed = False

    def hold_back(*_: object) -> None:
        nonlocal pressed
        if pressed or len(photos) == 1:
            raise KeyboardInterrupt
        pressed = True

    def interrupt() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hold_back)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(
    answer: Lead | ProbeError, photo: Path, numbered: Path | None, told: list[dict[str, Any]], quiet: bool
) -> int:
    """Shows the answer to a probe, adds to told what machines are told of it, and returns its exit code."""
    from search.session import FaceChoiceNeeded, ProbeError

    if isinstance(answer, ProbeError):
        receipt = answer.receipt
        about = {"outcome": answer.outcome, "message": str(answer), "entry": receipt.number, "head": receipt.head}
        told.append({"file": readable(str(photo)), **about})
        click.echo(f"afterfact search: {printable(str(answer))} (ledger entry {receipt.number})", err=True)
        if isinstance(answer, FaceChoiceNeeded):
            told[-1] |= {"faces": answer.faces, "numbered": _write_numbered(answer, photo, numbered)}
        return answer.exit_code
    told.append({"file": readable(str(photo)), **answer.as_json(), "report": None})
    if not quiet:
        _print_lead(answer, photo)
    return EXIT_DONE


def _worse(one: int, other: int) -> int:
    order = (EXIT_DONE, EXIT_ERROR, EXIT_CHOICE)
    return max(one, other, key=order.index)


def _write_numbered(error: FaceChoiceNeeded, photo: Path, numbered: Path | None) -> str | None:
    if error.numbered is None:
        return None
    path = numbered or Path(f"{_short(photo)}-faces-{error.receipt.number}.jpg")
    _write(path, error.numbered)
    click.echo(f"afterfact search: numbered picture written to {printable(str(path))}", err=True)
    return readable(str(path))


def _short(photo: Path) -> str:
    """Returns the photo's name without its suffix, short enough to be part of another file's name."""
    return photo.stem[:40]


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content, mode=0o600)
    except OSError as error:
        raise AfterfactError(f"{path} cannot be written ({error.strerror}); name another file") from error


def _write_report(session: SearchSession, lead: Lead, photo: Path, report: Path, several: bool) -> str:
    from search.report import write_lead_sheet

    path = report
    try:
        if several or report.is_dir():
            report.mkdir(parents=True, exist_ok=True)
            path = _unused(report / f"lead-{lead.entry}-{_short(photo)}.html")
        write_lead_sheet(path, lead, photo, session)
    except OSError as error:
        raise AfterfactError(f"lead sheet {path} cannot be written ({error.strerror}); name another file") from error
    click.echo(f"Lead sheet written to {printable(str(path))}", err=True)
    if session.store_error is not None:
        click.echo(f"afterfact search: it lacks pictures of candidates: {session.store_error}", err=True)
    return readable(str(path))


def _unused(path: Path) -> Path:
    """Returns path, or one numbered after it where a file lies there: entries of two data homes have equal numbers."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.is_file())


def _print_lead(lead: Lead, photo: Path) -> None:
    from search.candidates import format_distance

    which = f", face {lead.probe.face} of {lead.probe.faces}" if lead.probe.faces > 1 else ""
    behalf = f", on behalf of {lead.beneficiary}" if lead.beneficiary != lead.tenant else ""
    click.echo(
        f"Probe {printable(str(photo))}{which}, case {lead.case}, purpose {lead.purpose}, "
        f"for {lead.person} of {lead.tenant}{behalf}"
    )
    for sentence in lead.probe.advice:
        click.echo(f"  Note: {sentence}")
    columns = ["rank", "distance", "by chance", "subject", "encounter", "taken", "disposition", "photo"]
    rows = [
        [
            *(one.rank, format_distance(one.distance), _by_chance(one, lead.cut_off), one.subject, one.encounter),
            *(one.taken, one.disposition, one.photo),
        ]
        for one in lead.candidates
    ]
    if rows:
        print_table(columns, rows)
        for sentence in [*lead.remarks, *lead.warnings]:
            click.echo(sentence)
    else:
        click.echo("The gallery holds no face, so there are no candidates.")
    click.echo(
        f"Compared with all {lead.faces_searched:,} faces of gallery {lead.gallery!r}, version {lead.version}, "
        f"model {lead.model['digest'][:12]}; distances are {lead.distances}."
    )
    click.echo(f"Ledger entry {lead.entry}, head {lead.head}")
    click.echo(lead.notice)


def _by_chance(one: Candidate, cut_off: str | None) -> str:
    """Returns a candidate's rate, short enough for a column, and whether it lies beyond the cut-off."""
    share = one.rate.share.replace("fewer than", "<") if one.rate else "not known"
    return f"{share}, beyond" if one.beyond(cut_off) else share
