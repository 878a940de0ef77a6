"""No secret stands anywhere but in the file that a credential was saved to: not in the home, in no output or error."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Finished, run_afterfact
from officials import Shell, forged
from rulebook import SEARCH

from access.gate import Gate, Refused
from access.ledger.ledger import KEY
from demo.archive import DrawnArchive
from foundation.errors import EXIT_REFUSED, EXIT_USAGE

YEAR = datetime.now(UTC).year


@dataclass
class Traces:
    """Everything that a round trip of commands left: what it printed, the files, and the secrets it was about."""

    folder: Path
    shell: Shell
    finished: list[Finished] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object, credential: str | None = None, code: int = 0) -> Finished:
        """Runs a command and keeps what it printed."""
        finished = self.shell.run(*arguments, credential=credential)
        assert finished.code == code, f"exit {finished.code}\n{finished.out}\n{finished.err}"
        self.finished.append(finished)
        return finished

    def issued(self, name: str, *arguments: object, credential: str | None = None) -> str:
        """Runs a command that saves a credential; returns its text."""
        saved = self.folder / "saved" / name
        self.run(*arguments, "--save-credential", saved, credential=credential)
        text = saved.read_text().strip()
        self.secrets[name] = text.split(".")[2]
        return text

    def printed(self) -> str:
        return "".join(one.out + one.err for one in self.finished)

    def files(self) -> dict[str, bytes]:
        """Returns every file that was written, but for the saved credentials."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and path.parent.name != "saved"]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory, drawn: DrawnArchive) -> Traces:
    """Runs nearly every command there is, with right and with wrong credentials."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "saved").mkdir()
    traces = Traces(folder, Shell(folder / "home", "none"))
    clerk = traces.issued("clerk", "init", "--operator", "A. Clerk")
    traces.shell.clerk = clerk
    second = traces.issued("second", "operator", "add", "B. Bell", "--role", "administrator")
    traces.issued("further", "operator", "credential", "B. Bell", "--reason", "a second desk")
    sheriff = traces.issued("sheriff", "tenant", "add", "Sheriff", "--kind", "sheriff", "--gallery", "county")
    traces.issued("person", "tenant", "credential", "Sheriff", "--person", "D. Ito")
    rotated = traces.issued("rotated", "access", "rotate", credential=sheriff)
    traces.issued("recovered", "operator", "recover", "New Clerk", "--reason", "the only clerk died")
    judge = ("operator", "add", "Judge", "--role", "auditor", "--authority", "court", "--json")
    number = traces.run(*judge).json()["proposal"]
    traces.issued("judge", "operator", "add", "Judge", "--approve", number, credential=second)
    wrong = forged(rotated)
    traces.secrets["wrong"] = wrong.split(".")[2]
    _search(traces, drawn, wrong)
    gate = Gate.open(traces.shell.home)
    for credential in (rotated, sheriff, wrong):
        try:
            gate.answer(gate.ask(credential, SEARCH), {"k": 20}, {"candidates": []})
        except Refused as refused:
            traces.finished.append(Finished(EXIT_REFUSED, repr(refused), repr(refused.decision)))
        gate.handed_out()
    traces.run("tenant", "credential", "Sheriff", "--revoke", rotated, "--reason", "lost", code=EXIT_USAGE)
    traces.run("operator", "credential", "B. Bell", "--revoke", second, "--reason", "lost", code=EXIT_USAGE)
    traces.run("tenant", "suspend", "Sheriff", "--reason", "x", credential=wrong, code=EXIT_REFUSED)
    for shown in (
        *(("tenant", "list"), ("tenant", "show", "Sheriff"), ("operator", "list"), ("moratorium", "list")),
        *(("audit", "show", "--details"), ("audit", "verify"), ("audit", "head"), ("audit", "clock")),
        ("audit", "report", "--year", YEAR),
    ):
        traces.run(*shown)
        traces.run(*shown, "--json")
    traces.run("audit", "export", "--details", "--to", folder / "entries.jsonl")
    return traces


def _search(traces: Traces, drawn: DrawnArchive, wrong: str) -> None:
    probe, file = traces.folder / "probe.jpg", traces.folder / "saved" / "wrong"
    shutil.copy(next((drawn.list_path.parent / "probes").glob("*.jpg")), probe)
    file.write_text(wrong)
    asked = ("--gallery", "county", "--case", "2026-0117", "--purpose", "robbery", "--operator", "D. Ito")
    finished = run_afterfact("--home", traces.shell.home, "search", probe, *asked, "--credential-file", file)
    assert finished.code == EXIT_REFUSED
    traces.finished.append(finished)


def test_no_secret_is_printed(traces: Traces) -> None:
    printed = traces.printed()
    assert len(traces.secrets) == 9
    assert "entries" in printed
    assert [name for name, secret in traces.secrets.items() if secret in printed] == []


def test_no_secret_stands_in_a_file_of_the_home_or_an_export(traces: Traces) -> None:
    files = traces.files()
    assert {"entries.jsonl", "home/ledger.sqlite", "home/strangers"} <= set(files)
    found = [
        (name, path)
        for path, content in files.items()
        for name, secret in traces.secrets.items()
        if secret.encode() in content
    ]
    assert found == []


def test_the_ledgers_key_stands_in_its_own_file_alone(traces: Traces) -> None:
    key = (traces.shell.home / KEY).read_bytes().strip()
    assert [path for path, content in traces.files().items() if key in content] == [f"home/{KEY}"]
    assert key.decode() not in traces.printed()


def test_a_credential_that_is_not_saved_is_printed_once_and_never_again(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", "none")
    out = shell.done("init", "--operator", "A. Clerk").out
    (line,) = [one for one in out.splitlines() if "shown only now" in one]
    shell.clerk = line.rpartition(" ")[2]
    assert shell.clerk not in shell.done("operator", "list", "--json").out
    assert shell.clerk not in shell.done("audit", "show", "--json").out


def test_a_traceback_for_a_bug_report_holds_no_secret(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", "none")
    shell.clerk = shell.json("init", "--operator", "A. Clerk")["credential"]
    finished = run_afterfact(
        *("--home", shell.home, "--traceback", "tenant", "list"), AFTERFACT_CREDENTIAL=forged(shell.clerk)
    )
    assert "Traceback" in finished.err
    assert forged(shell.clerk).split(".")[2] not in finished.err + finished.out


def test_a_file_that_is_no_credential_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", "none")
    shell.clerk = shell.json("init", "--operator", "A. Clerk")["credential"]
    other = tmp_path / "other.txt"
    other.write_text("my other secret, hunter2")
    code, error = shell.fails("tenant", "list", "--credential-file", other)
    assert (code, "hunter2" in error) == (EXIT_REFUSED, False)
