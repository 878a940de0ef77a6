"""An archive that may only be read, and permissions that are lost half way, as an account that is not root."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from indexing import rows_of
from killing import HANG_SECONDS

from indexer.gallery import Gallery

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.fixture
def folder():
    """A folder of nobody's own, and a test only where this account can become nobody."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to become an account that may not read everything")
    made = Path(tempfile.mkdtemp())
    os.chmod(made, 0o755)
    os.mkdir(made / "own")
    os.chown(made / "own", NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


def start(folder, *arguments):
    credential = folder / "own" / "operator"
    return subprocess.Popen(
        [*AS_NOBODY, sys.executable, "-m", "afterfact", "--home", str(folder / "own" / "home"), *map(str, arguments)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AFTERFACT_")},
            "HOME": str(folder / "own"),
            "XDG_CACHE_HOME": str(folder / "own" / "cache"),
            **({"AFTERFACT_CREDENTIAL": credential.read_text().strip()} if credential.exists() else {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder, *arguments):
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=HANG_SECONDS)
    return process.returncode, out, err


@pytest.fixture
def archive(folder, clean_photos):
    """Eight photos that nobody may read and nobody may write."""
    made = folder / "archive"
    made.mkdir(mode=0o755)
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:8]:
        shutil.copyfile(path, made / path.name)
        os.chmod(made / path.name, 0o444)
    code, _, err = run(folder, "init", "--operator", "Ann", "--save-credential", folder / "own" / "operator")
    if code:
        pytest.skip(f"nobody cannot run the command here: {err}")
    return made


def index(archive):
    return ("index", "--gallery", "county", "--archive", archive, "--segment-photos", "2", "--quiet")


def begin(folder, archive):
    """Starts the command and returns it once the run is planned."""
    process, gallery = start(folder, *index(archive)), Gallery(folder / "own" / "home", "county")
    deadline = time.monotonic() + HANG_SECONDS
    while not any(gallery.runs.glob("*/plan.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return process, gallery


def test_an_archive_that_may_only_be_read_is_indexed(folder, archive):
    before = {path: path.stat().st_mtime_ns for path in (archive, *archive.iterdir())}
    code, _, err = run(folder, *index(archive))
    assert code == 0, err
    gallery = Gallery(folder / "own" / "home", "county")
    assert {row["outcome"] for row in rows_of(gallery).values()} == {"ENROLLED"}
    assert {path: path.stat().st_mtime_ns for path in (archive, *archive.iterdir())} == before


def test_photos_that_may_no_longer_be_read_are_told_and_taken_once_they_may(folder, archive):
    process, gallery = begin(folder, archive)
    for path in archive.iterdir():
        path.chmod(0)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    unread = 8 - len(rows_of(gallery))
    assert unread > 0
    for path in archive.iterdir():
        path.chmod(0o444)
    code, _, err = run(folder, *index(archive))
    assert code == 0, err
    assert [row["outcome"] for row in rows_of(gallery).values()] == ["ENROLLED"] * 8


def test_an_archive_that_is_closed_is_an_error_and_not_an_empty_archive(folder, archive):
    archive.chmod(0)
    code, _, err = run(folder, *index(archive))
    archive.chmod(0o755)
    assert code in (1, 2)
    assert str(archive) in err


def test_a_data_home_that_is_closed_half_way_ends_the_command_and_loses_nothing(folder, archive):
    process, gallery = begin(folder, archive)
    (segments,) = gallery.runs.glob("*/segments")
    segments.chmod(0o555)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 1
    assert "closed to us" in err
    assert gallery.version_numbers() == []
    segments.chmod(0o755)
    code, _, err = run(folder, *index(archive))
    assert code == 0, err
    assert len(rows_of(gallery)) == 8
