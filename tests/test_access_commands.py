"""init, tenant, moratorium and audit on the command line: a round trip, exit codes, one-line errors, no secrets."""

from __future__ import annotations

import inspect
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from access.gate import Gate, Refused, Request
from afterfact import front_door, main
from foundation.errors import EXIT_REFUSED, EXIT_USAGE

Run = Callable[..., Result]
ACCESS_COMMANDS = ("init", "tenant", "moratorium", "audit")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in the home with the operator's credential; what it prints must not fail."""
    monkeypatch.setenv("AFTERFACT_HOME", str(home))
    monkeypatch.delenv("AFTERFACT_CREDENTIAL", raising=False)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(front_door, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    credential = json.loads(invoke("init", "--operator", "A. Clerk", "--json").output)["credential"]
    monkeypatch.setenv("AFTERFACT_CREDENTIAL", credential)
    return invoke


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Exit code and error of a command that fails; the error is one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return ended.value.code, error


def test_init_makes_a_closed_home_and_says_whom_it_stops(tmp_path: Path) -> None:
    home, saved = tmp_path / "new" / "home", tmp_path / "operator.txt"
    arguments = ["--home", str(home), "init", "--operator", "A. Clerk", "--save-credential", str(saved)]
    output = CliRunner().invoke(front_door, arguments, catch_exceptions=False).output
    assert "not against someone who can write the data home" in output
    assert saved.read_text().strip() not in output
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {
        "galleries": 0o700,
        "ledger.key": 0o600,
        "ledger.mark": 0o600,
        "ledger.sqlite": 0o600,
        "ledger.sqlite-journal": 0o600,
    }


def test_init_refuses_what_is_there(run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "operator.txt"
    code, error = fails(capsys, "init", "--save-credential", str(saved))
    assert code == EXIT_USAGE
    assert f"{home} is a data home already" in error
    assert not saved.exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "not an empty folder" in fails(capsys, "--home", str(tmp_path / "full"), "init")[1]
    saved.touch()
    assert "exists already" in fails(capsys, "--home", str(tmp_path / "h2"), "init", "--save-credential", str(saved))[1]
    assert not (tmp_path / "h2").exists()


def test_a_round_trip_from_registration_to_the_audit(run: Run, home: Path, tmp_path: Path) -> None:
    saved = tmp_path / "sheriff.txt"
    run("tenant", "add", "Sheriff", "--kind", "sheriff", "--gallery", "county", "--save-credential", str(saved))
    added = ["tenant", "add", "Find Them", "--kind", "anti-trafficking-organisation", "--gallery", "county", "--json"]
    find_them = json.loads(run(*added, "--person", "R. Osei").output)["credential"]
    declared = run(
        *("moratorium", "declare", "june-2020", "--kind", "law-enforcement", "--for", "1y"),
        *("--kind", "anti-trafficking-organisation", "--exempt-tenant", "Find Them", "--reason", "law", "--json"),
    )
    assert json.loads(declared.output)["state"] == "in force"
    assert "june-2020" in run("moratorium", "list").output
    assert json.loads(run("moratorium", "show", "june-2020", "--json").output)["named_kinds"] == [
        "anti-trafficking-organisation",
        "law-enforcement",
    ]
    assert "exempt tenants: Find Them" in run("moratorium", "show", "june-2020").output
    states = {one["name"]: one for one in json.loads(run("tenant", "list", "--json").output)}
    assert states["Sheriff"]["barred_by"] == ["june-2020"]
    assert states["Find Them"]["barred_by"] == []

    gate = Gate.open(home)
    request = Request("search", "county", purpose="human-trafficking", case="2026-0117")
    gate.answer(gate.ask(find_them, request), {"k": 20})
    with pytest.raises(Refused):
        gate.ask(saved.read_text().strip(), request)

    refusals = json.loads(run("audit", "show", "--type", "search.refused", "--details", "--json").output)
    assert [one["subject"] for one in refusals] == ["Sheriff"]
    assert refusals[0]["details"] == {"case": "2026-0117"}
    table = run("audit", "show", "--tenant", "Find Them", "--details").output
    assert "exempts tenant" in table
    assert "2026-0117" not in run("audit", "show").output
    assert json.loads(run("audit", "verify", "--json").output)["intact"] is True
    number, head, _ = run("audit", "head").output.split()
    intact, head_line = run("audit", "verify").output.splitlines()
    assert intact.startswith(f"Intact up to entry {number} ")
    assert head_line == f"Head: {head}"
    run("moratorium", "lift", "june-2020", "--reason", "the law is in force")
    assert json.loads(run("moratorium", "list", "--json").output)[0]["state"] == "lifted"


def test_a_tenants_life(run: Run) -> None:
    run("tenant", "add", "Sheriff", "--kind", "sheriff", "--gallery", "county", "--may", "index", "--for", "1y")
    run("tenant", "grant", "Sheriff", "--gallery", "cold-cases", "--reason", "agreement")
    made = json.loads(run("tenant", "credential", "Sheriff", "--person", "D. Ito", "--json").output)
    run("tenant", "credential", "Sheriff", "--revoke", made["credential_id"], "--reason", "left the office")
    for act in ("suspend", "reinstate", "revoke"):
        assert "ledger entry" in run("tenant", act, "Sheriff", "--reason", "because").output
    shown = json.loads(run("tenant", "show", "Sheriff", "--json").output)
    assert (shown["licence"], shown["galleries"], shown["operations"]) == (
        "revoked",
        ["cold-cases", "county"],
        ["index", "search"],
    )
    assert [one["revoked_why"] for one in shown["credentials"]] == [None, "left the office"]
    assert "secret" not in json.dumps(shown)
    assert "D. Ito" in run("tenant", "show", "Sheriff").output


def test_audit_verify_fails_with_the_first_bad_entry(run: Run, home: Path) -> None:
    (home / "ledger.key").write_text("cd" * 32)
    result = CliRunner().invoke(front_door, ["audit", "verify"])
    assert result.exit_code == 1
    assert "NOT intact. entry 1: its MAC does not fit" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("tenant add X --kind sherif --gallery c", "unknown kind 'sherif'; did you mean 'sheriff'?"),
        ("tenant add X --kind sheriff --gallery c --may serch", "unknown operation 'serch'; did you mean 'search'?"),
        ("tenant add X --kind sheriff --gallery c --until 2027-01-01", "--until '2027-01-01' names no time zone"),
        ("tenant add X --kind sheriff --gallery c --for 1m", "--for '1m' is no duration"),
        ("tenant add X --kind sheriff", "Missing option '--gallery'"),
        ("tenant suspend Sherif --reason x", "unknown tenant 'Sherif'; did you mean 'Sheriff'?"),
        ("tenant suspend Sheriff", "Missing option '--reason'"),
        ("tenant credential Sheriff --revoke 00", "--revoke needs --reason"),
        (
            "tenant credential Sheriff --revoke 0000000000000000 --reason x",
            "'Sheriff' has no valid credential 0000000000000000 (valid: ",
        ),
        ("tenant reinstate Sheriff --reason x", "is active; there is nothing to reinstate"),
        ("moratorium lift jun --reason x", "unknown moratorium 'jun'"),
        ("moratorium declare m --kind police --reason x --from yesterday", "'yesterday' is no ISO 8601"),
        ("audit show --limit 0", "0 is not in the range"),
        ("tenant list --credential-file /nonexistent", "cannot be read"),
    ],
)
def test_wrong_values_get_one_line(run: Run, capsys: pytest.CaptureFixture[str], arguments: str, says: str) -> None:
    run("tenant", "add", "Sheriff", "--kind", "sheriff", "--gallery", "county")
    code, error = fails(capsys, *arguments.split())
    assert code == EXIT_USAGE
    assert says in error


def test_without_an_operators_credential_nothing_is_told(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheriff = json.loads(run("tenant", "add", "S", "--kind", "sheriff", "--gallery", "c", "--json").output)
    monkeypatch.setenv("AFTERFACT_CREDENTIAL", sheriff["credential"])
    for arguments in (["tenant", "list"], ["tenant", "show", "S"], ["audit", "show"]):
        code, error = fails(capsys, *arguments)
        assert code == EXIT_REFUSED
        assert "is for operators of this archive" in error
    monkeypatch.delenv("AFTERFACT_CREDENTIAL")
    assert "no credential" in fails(capsys, "audit", "show")[1]
    run("moratorium", "list")
    run("audit", "verify")


def test_an_absent_home_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = fails(capsys, "--home", str(tmp_path / "none"), "audit", "verify")
    assert code == 1
    assert "run 'afterfact init'" in error


def test_secrets_are_nowhere_in_the_home_and_in_no_output(run: Run, home: Path, tmp_path: Path) -> None:
    saved = tmp_path / "sheriff.txt"
    outputs = [
        run(*("tenant", "add", "Sheriff", "--kind", "sheriff", "--gallery", "c", "--save-credential", str(saved))),
        run("tenant", "show", "Sheriff", "--json"),
        run("tenant", "list", "--json"),
        run("audit", "show", "--details", "--json"),
    ]
    sheriff = saved.read_text().strip()
    forged = sheriff[:-1] + ("A" if sheriff[-1] != "A" else "B")
    for text in (sheriff, forged):
        with pytest.raises(Refused) as caught:
            Gate.open(home).ask(text, Request("search", "other"))
        assert text.split(".")[2] not in str(caught.value)
    secrets = [text.split(".")[2] for text in (sheriff, forged, os.environ["AFTERFACT_CREDENTIAL"])]
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert all(secret.encode() not in written for secret in secrets)
    assert all(secret not in result.output for secret in secrets for result in outputs)


def _commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found += _commands(inner, (*path, name))
    return found


@pytest.mark.parametrize("name", ACCESS_COMMANDS)
def test_every_help_opens_with_a_sentence_and_an_example(name: str) -> None:
    command = front_door.get_command(click.Context(front_door), name)  # type: ignore[attr-defined]
    for path, one in _commands(command, (name,)):
        first, _, rest = inspect.cleandoc(one.help or "").partition("\n")
        assert first.endswith("."), path
        assert "\b\nExample:\n  afterfact " + " ".join(path[:1]) in rest, path
        assert all(option.help for option in one.params if isinstance(option, click.Option)), path
