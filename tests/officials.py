"""People who run a registry, time that passes there, and the whole command line inside the test's own process."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from conftest import Finished
from rulebook import House, moved

from access.acts.operators import Operators
from access.acts.queries import Queries
from access.homes import make_home
from access.ledger.ledger import Ledger
from afterfact import main


def appoint(house: House, name: str, role: str = "administrator") -> str:
    """Adds an operator of the first operator's authority; returns the credential's text."""
    return Operators(house.gate, house.clerk).add(name, role, "so that there are more").text


def appoint_for(house: House, name: str, authority: str, role: str = "administrator") -> str:
    """Adds an operator of another authority, which takes the two operators of the house; returns the credential."""
    second = appoint(house, f"{name}'s sponsor")
    number = Operators(house.gate, house.clerk).propose_other(name, role, authority, "by treaty").number
    return Operators(house.gate, second).approve_other(name, number).text


def pass_time(house: House, **by: float) -> None:
    """Moves the clock on; the first operator confirms it, as after any long silence."""
    house.clock.now = moved(house.clock.now, **by)
    Queries(house.gate, house.clerk).confirm_clock("the office was closed")


def newest(house: House) -> dict[str, Any]:
    """Returns the newest entry: its type, subject, body, and as `told` its details."""
    (one,) = house.gate.ledger.recent(1, details=True)
    return {"type": one.entry.type, "subject": one.entry.subject, **one.body, "told": one.details}


def types_after(ledger: Ledger, number: int) -> list[str]:
    """Returns the types of the entries above a number, in order."""
    return [one.entry.type for one in reversed(ledger.recent(10_000, after=number))]


def forged(credential: str) -> str:
    """Returns the credential with another secret."""
    head, public_id, secret = credential.split(".")
    return ".".join([head, public_id, secret[:-2] + ("AA" if secret[-2:] != "AA" else "BB")])


@dataclass
class Shell:
    """A data home and its first operator, whose credential every command gets that is given none."""

    home: Path
    clerk: str

    def run(self, *arguments: object, credential: str | None = None) -> Finished:
        """Runs a command; an exception that the command line does not expect fails the test."""
        out, err = io.StringIO(), io.StringIO()
        variables = {"AFTERFACT_HOME": str(self.home), "AFTERFACT_CREDENTIAL": credential or self.clerk}
        with (
            mock.patch.dict(os.environ, variables),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main([str(one) for one in arguments])
        return Finished(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def done(self, *arguments: object, credential: str | None = None) -> Finished:
        """Runs a command that has to end with 0."""
        finished = self.run(*arguments, credential=credential)
        assert finished.code == 0, f"exit {finished.code}\n{finished.out}\n{finished.err}"
        return finished

    def json(self, *arguments: object, credential: str | None = None) -> Any:
        """Returns what a command prints with --json."""
        return self.done(*arguments, "--json", credential=credential).json()

    def fails(self, *arguments: object, credential: str | None = None) -> tuple[int, str]:
        """Returns exit code and error of a command that fails; the error is one line, and nothing else is printed."""
        finished = self.run(*arguments, credential=credential)
        assert finished.code != 0, finished.out
        assert finished.out == ""
        assert finished.err.count("\n") == 1
        return finished.code, finished.err

    def operator(self, name: str, role: str = "administrator") -> str:
        """Adds an operator; returns the credential's text."""
        return str(self.json("operator", "add", name, "--role", role)["credential"])

    def tenant(self, name: str, kind: str, *more: object) -> str:
        """Registers a tenant with gallery county; returns the credential's text."""
        return str(self.json("tenant", "add", name, "--kind", kind, "--gallery", "county", *more)["credential"])

    @property
    def head(self) -> int:
        """The newest entry's number."""
        return Ledger(self.home).head().number


def open_shell(folder: Path) -> Shell:
    """Makes a data home below a folder."""
    home = folder / "home"
    return Shell(home, make_home(home, "A. Clerk").text)
