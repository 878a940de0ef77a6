"""The guided tour: one story in numbered steps, each a real command with its real output."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from foundation.errors import EXIT_DONE, EXIT_REFUSED, AfterfactError, InputError

MARKER = "TOUR.txt"
ENCOUNTERS = 3
WANTED = "S0042"  # whose held-back encounter the investigator brings
SHERIFF = "Vandan County Sheriff"
RESCUE = "Find Them"


class TourError(AfterfactError):
    """A step of the tour did not end as it must."""


@dataclass(frozen=True)
class Step:
    """One step. must_say: a pattern that its output has to hold."""

    title: str
    command: str
    ends_with: int = EXIT_DONE
    must_say: str = ""


def take_tour(folder: Path, subjects: int) -> None:
    """Runs every step below folder. Raises TourError at the first that does not end as it must, InputError for a
    folder that holds something else.
    """
    _make_room(folder)
    home = folder / "home"
    there = shlex.quote(str(folder))  # as a shell has to be told
    steps = _steps(there, subjects)
    started = time.monotonic()
    click.echo("Afterfact, from an archive to a lead, and to a refusal. Every face is drawn, nobody in it exists.")
    click.echo(f"Everything lies below {folder}/. To repeat a command yourself: export AFTERFACT_HOME={there}/home")
    for number, step in enumerate(steps, start=1):
        _take(number, len(steps), step, home)
    click.echo(
        f"\nThe tour is over: {len(steps)} steps in {time.monotonic() - started:.0f} s. Three commands to try next:\n"
    )
    if shutil.which("afterfact") is None:
        click.echo(f'  export PATH="{Path(sys.executable).parent}:$PATH"')
    click.echo(f"  export AFTERFACT_HOME={there}/home")
    operator = f"--credential-file {there}/operator.credential"
    for command in (
        f"afterfact audit show {operator}",
        f"afterfact moratorium lift june-2020 --reason 'there is a law now' {operator}",
        f"afterfact index --gallery mine --archive YOUR_PHOTOS --dry-run {operator}",
    ):
        click.echo(f"  {command}")


def _make_room(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise InputError(f"{folder} holds something that no tour made; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("Made by `afterfact demo tour`, which may remove what lies here.\n", encoding="utf-8")
    for old in folder.iterdir():
        if old.name == "home":
            shutil.rmtree(old)
        elif old.suffix in (".credential", ".html"):
            old.unlink()


def _steps(folder: str, subjects: int) -> list[Step]:
    operator = f"--credential-file {folder}/operator.credential"
    asked = f"{folder}/archive/probes/{WANTED}.jpg --gallery county --case 2026-0117"
    sheriff = f"--operator 'D. Ito' --credential-file {folder}/sheriff.credential"
    first = rf"(?m)^\s*1\s+0\.\d+\s.*\s{WANTED}\s"
    return [
        Step(
            f"Draw an archive of {subjects} invented people, {ENCOUNTERS} photos each, and some files that are broken",
            f"demo archive {folder}/archive --subjects {subjects} --encounters {ENCOUNTERS} --seed 1 --keep",
        ),
        Step(
            "Make a data home: the ledger, its key, and the first operator's credential",
            f"init --operator 'Ann Ames' --save-credential {folder}/operator.credential",
        ),
        Step(
            "Index the whole archive into a gallery; every photo is accounted for",
            f"index --gallery county --archive {folder}/archive/archive.csv {operator}",
            must_say=r"enrolled",
        ),
        Step("Look at the gallery that this made", f"gallery show county {operator}", must_say=r"faces"),
        Step(
            "Add a second operator: what loosens a rule takes two",
            f"operator add 'Bo Bell' --role licensing-officer --save-credential {folder}/second.credential {operator}",
        ),
        Step(
            "Register a sheriff's office, for a year",
            f"tenant add '{SHERIFF}' --kind sheriff --gallery county --for 1y "
            f"--save-credential {folder}/sheriff.credential {operator}",
        ),
        Step(
            "Register an organisation that looks for victims of trafficking",
            f"tenant add '{RESCUE}' --kind anti-trafficking-organisation --gallery county --person 'M. Sol' "
            f"--save-credential {folder}/rescue.credential {operator}",
        ),
        Step(
            f"An investigator searches with a photo of {WANTED} that the gallery does not hold",
            f"search {asked} --purpose robbery -k 5 {sheriff}",
            must_say=first,
        ),
        Step(
            "The same question, with a lead sheet for the case file",
            f"search {asked} --purpose robbery {sheriff} -k 5 --report {folder}/lead.html",
            must_say=r"Lead sheet written",
        ),
        Step(
            "Declare a moratorium with the terms of 10 June 2020: no police for a year, named organisations go on",
            f"moratorium declare june-2020 --preset amazon-statement-2020 --from now --exempt-tenant '{RESCUE}' "
            f"{operator}",
            must_say=r"in force",
        ),
        Step("See how every tenant stands now, and by which rule", f"tenant list {operator}", must_say=r"blocked"),
        Step(
            "The sheriff's same question is refused now, with the reason and the end (exit code 3)",
            f"search {asked} --purpose robbery -k 5 {sheriff}",
            ends_with=EXIT_REFUSED,
            must_say=r"june-2020.* until \d{4}-\d\d-\d\d",
        ),
        Step(
            "The exempt organisation asks about the same case: held, since that was refused to somebody else",
            f"search {asked} --purpose human-trafficking -k 5 --credential-file {folder}/rescue.credential",
            ends_with=EXIT_REFUSED,
            must_say=r"held for an approver",
        ),
        Step(
            "An operator looks into it, and approves that case for that purpose",
            f"access approve --tenant '{RESCUE}' --case 2026-0117 --purpose human-trafficking "
            f"--reason 'a victim is looked for; their own report of 4 March' {operator}",
        ),
        Step(
            "Now the exempt organisation's question is answered",
            f"search {asked} --purpose human-trafficking -k 5 --credential-file {folder}/rescue.credential",
            must_say=first,
        ),
        Step(
            "But not on behalf of the sheriff: the strictest rule of all parties wins",
            f"search {asked} --purpose human-trafficking -k 5 --beneficiary '{SHERIFF}' "
            f"--credential-file {folder}/rescue.credential",
            ends_with=EXIT_REFUSED,
            must_say=r"beneficiary 'Vandan County Sheriff'",
        ),
        Step("Verify the gallery: every digest, and the index against the table", f"gallery verify county {operator}"),
        Step("Verify the ledger: every entry, answer and refusal in its place", "audit verify", must_say=r"Intact"),
        Step("Count the year", f"audit report --year {datetime.now(UTC).year} {operator}", must_say=r"june-2020"),
    ]


def _take(number: int, steps: int, step: Step, home: Path) -> None:
    click.echo("\n" + click.style(f"{number}/{steps}  {step.title}", bold=True))
    click.echo(click.style(f"$ afterfact {step.command}", fg="cyan"))
    process = subprocess.Popen(
        [sys.executable, "-m", "afterfact", *shlex.split(step.command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "AFTERFACT_HOME": str(home), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        click.echo(f"  {line}", nl=False)
    code = process.wait()
    if code != step.ends_with:
        raise TourError(f"step {number} ended with exit code {code} and must end with {step.ends_with}; see above")
    if code != EXIT_DONE:
        click.echo(f"  (exit code {code}, as it must be)")
    if step.must_say and not re.search(step.must_say, "".join(said)):
        raise TourError(f"step {number} did not say what it must ({step.must_say}); see above")
