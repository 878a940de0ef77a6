"""An archive that may only be read, and permissions that are lost half way, for an account that permissions bind."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from indexing import rows_of
from killing import HANG_SECONDS

from indexer.gallery import Gallery

POWERS = "-dac_override,-dac_read_search"
BOUND = ("setpriv", f"--bounding-set={POWERS}", f"--inh-caps={POWERS}") if os.geteuid() == 0 else ()


@pytest.fixture
def folder(tmp_path):
    """A folder, and a test only where permissions can be made to bind this account."""
    closed = tmp_path / "closed"
    closed.touch(mode=0)
    if subprocess.run([*BOUND, "cat", str(closed)], capture_output=True, check=False).returncode == 0:
        pytest.skip("permissions do not bind this account, and setpriv cannot make them")
    (tmp_path / "own").mkdir()
    return tmp_path


def start(folder, *arguments):
    credential = folder / "own" / "operator"
    return subprocess.Popen(
        [*BOUND, sys.executable, "-m", "afterfact", "--home", str(folder / "own" / "home"), *map(str, arguments)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AFTERFACT_")},
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
    """Eight photos that may be read and not written, in a folder that may not be written either."""
    made = folder / "archive"
    made.mkdir(mode=0o755)
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:8]:
        shutil.copyfile(path, made / path.name)
        os.chmod(made / path.name, 0o444)
    code, _, err = run(folder, "init", "--operator", "Ann", "--save-credential", folder / "own" / "operator")
    assert code == 0, err
    made.chmod(0o555)
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
    archive.chmod(0o555)
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
