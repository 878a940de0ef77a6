"""What many tests share: a small drawn archive, a data home with people in it, and the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from databases import Place, Server, ServerPlace, running_server
from object_stores import Proxy, S3Server, running_s3_server

from demo.archive import DrawnArchive, draw_archive

SUBJECTS = 12
ENCOUNTERS = 3


@dataclass(frozen=True)
class Home:
    """A data home with a first operator, a sheriff's office and an anti-trafficking organisation.

    Credentials are files. run() runs the real command in a process of its own.
    """

    path: Path
    operator: Path
    sheriff: Path
    rescue: Path

    def run(self, *arguments: object, credential: Path | None = None, **environment: str) -> Finished:
        return run_afterfact("--home", self.path, *arguments, credential=credential, **environment)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run_afterfact(*arguments: object, credential: Path | None = None, **environment: str) -> Finished:
    """Runs `afterfact ARGUMENTS` in a process of its own, with the credential in a file (never an argument)."""
    given = [str(argument) for argument in arguments]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AFTERFACT_")}
    if credential is not None:
        variables["AFTERFACT_CREDENTIAL"] = credential.read_text().strip()
    ended = subprocess.run(
        [sys.executable, "-m", "afterfact", *given],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**variables, **environment},
        timeout=300,
        check=False,
    )
    return Finished(ended.returncode, ended.stdout, ended.stderr)


def done(finished: Finished) -> Finished:
    """Returns a command that ended with 0; shows what it said where it did not."""
    assert finished.code == 0, f"exit {finished.code}\n{finished.out}\n{finished.err}"
    return finished


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnArchive:
    """A drawn archive of 12 subjects x 3 encounters, with the spoiled files. Read it, never change it."""
    return draw_archive(
        tmp_path_factory.mktemp("drawn") / "archive",
        subjects=SUBJECTS,
        encounters=ENCOUNTERS,
        seed=7,
        with_spoiled=True,
    )


@pytest.fixture(scope="session")
def clean_photos(drawn: DrawnArchive) -> Path:
    """The folder of the drawn archive that holds only good photos, as subject/photo."""
    return drawn.list_path.parent / "photos"


def make_home(folder: Path) -> Home:
    """Makes a data home `folder`/home with its people, through the real command."""
    path, operator = folder / "home", folder / "operator.credential"
    done(run_afterfact("--home", path, "init", "--operator", "Ann Ames", "--save-credential", operator))
    home = Home(path, operator, folder / "sheriff.credential", folder / "rescue.credential")
    for name, kind, credential in (
        ("Vandan Sheriff", "sheriff", home.sheriff),
        ("Find Them", "anti-trafficking-organisation", home.rescue),
    ):
        done(
            home.run(
                *("tenant", "add", name, "--kind", kind, "--gallery", "county", "--person", "D. Ito"),
                *("--save-credential", credential),
                credential=operator,
            )
        )
    return home


def copy_home(home: Home, folder: Path) -> Home:
    """Copies a data home and its credentials into a new folder: making one takes three commands."""
    shutil.copytree(home.path.parent, folder)
    return Home(*(folder / one.name for one in (home.path, home.operator, home.sheriff, home.rescue)))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh data home without galleries."""
    return make_home(tmp_path)


@pytest.fixture(scope="session")
def _indexed(tmp_path_factory: pytest.TempPathFactory, drawn: DrawnArchive) -> Home:
    home = make_home(tmp_path_factory.mktemp("indexed"))
    done(home.run("index", "--gallery", "county", "--archive", drawn.list_path, credential=home.operator))
    return home


@pytest.fixture
def indexed_home(_indexed: Home, tmp_path: Path) -> Home:
    """A data home of its own, whose gallery `county` holds the drawn archive."""
    return copy_home(_indexed, tmp_path / "house")


@pytest.fixture(scope="session")
def real_photos() -> Callable[[str], Path]:
    """Returns a function that gives a folder of real photos, or skips the test where it is absent."""
    data = Path(os.environ.get("AFTERFACT_DATA", "../shared/data")).resolve()

    def folder(name: str) -> Path:
        if not (data / name).is_dir():
            pytest.skip(f"no real photos: {data / name} is absent (set AFTERFACT_DATA)")
        return data / name

    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A real PostgreSQL server; make a database of your own on it."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real server that speaks S3; make a bucket of your own on it."""
    with running_s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with this process's environment leading to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def proxy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server, to which this process's environment leads."""
    before = Proxy(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.environment(before.port)["AWS_ENDPOINT_URL"])
    yield before
    before.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where a ledger may lie: the test runs once on SQLite and once on PostgreSQL."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    if request.param == "sqlite":
        return Place(home)
    on_server = ServerPlace(home, request.getfixturevalue("postgresql"))
    monkeypatch.setenv("AFTERFACT_LEDGER_OWNER", on_server.owner_url)
    return on_server
