"""One process of a job killed, starved or limited alone: the command ends in a stated way, the next one finishes."""

import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import copy_home, make_home
from killing import HANG_SECONDS, assert_as_undisturbed, finish, kill_all, session_of, start_index

from indexer.extractor import longest_seconds
from indexer.gallery import Gallery
from indexer.limits import Limits
from pipelines.running import SLACK_SECONDS


@pytest.fixture(scope="module")
def photos(clean_photos, tmp_path_factory):
    """Six photos, a copy and a file that is none: four segments of two."""
    folder = tmp_path_factory.mktemp("faults") / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:6]:
        shutil.copy(path, folder)
    shutil.copy(folder / "S0002-1.jpg", folder / "T.jpg")
    (folder / "U.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def home(fresh, tmp_path):
    """A data home without galleries."""
    return copy_home(fresh, tmp_path / "house")


@pytest.fixture(scope="module")
def by_command(fresh, photos, tmp_path_factory):
    """What the undisturbed command makes of the photos."""
    own = copy_home(fresh, tmp_path_factory.mktemp("by-command") / "house")
    finish(own, photos)
    return Gallery(own.path, "county")


def processes(leader, module):
    """Returns the processes of a command's session that run a module."""
    found = []
    for pid in session_of(leader):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if module in words:
            found.append(pid)
    return found


def wait_for(process, module, count=1):
    deadline = time.monotonic() + HANG_SECONDS
    while len(processes(process.pid, module)) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return processes(process.pid, module)


def test_a_helper_that_is_killed_alone_costs_nothing(home, photos, by_command):
    process = start_index(home, photos)
    helpers = wait_for(process, b"indexer.helper")
    assert helpers
    while not list(Gallery(home.path, "county").runs.glob("*/segments/*.parquet")) and process.poll() is None:
        time.sleep(0.002)
    for helper in helpers:
        os.kill(helper, signal.SIGKILL)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    assert_as_undisturbed(Gallery(home.path, "county"), by_command)


def test_a_worker_process_that_is_killed_alone_ends_the_command_and_the_next_finishes(home, photos, by_command):
    process = start_index(home, photos, "--", "--direct_running_mode=multi_processing")
    helpers = wait_for(process, b"indexer.helper")  # so that a worker has its work by now
    assert helpers
    parents = {int(Path(f"/proc/{helper}/stat").read_text().rpartition(")")[2].split()[1]) for helper in helpers}
    os.kill((parents - {process.pid}).pop(), signal.SIGKILL)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 1
    assert "the runner stopped with" in err
    assert "run the same command again" in err
    assert Gallery(home.path, "county").version_numbers() == []
    finish(home, photos)
    assert_as_undisturbed(Gallery(home.path, "county"), by_command)


def test_a_file_size_limit_ends_the_command_and_the_next_finishes(home, photos, by_command):
    process = start_index(home, photos)
    while not any(Gallery(home.path, "county").runs.glob("*/plan.json")) and process.poll() is None:
        time.sleep(0.002)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1500, 1500))
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 1
    assert "see whether the disk is full or closed to us" in err
    assert "Traceback" not in err
    finish(home, photos)
    assert_as_undisturbed(Gallery(home.path, "county"), by_command)


def test_a_job_that_runs_out_of_memory_ends_and_the_next_command_finishes(home, photos, by_command):
    flags = ("--limit", "decode_seconds=2")
    patience = longest_seconds(Limits(decode_seconds=2)) + SLACK_SECONDS  # the runner may wait for ever
    process = start_index(home, photos, *flags)
    try:
        assert wait_for(process, b"indexer.helper")
        size = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
        resource.prlimit(process.pid, resource.RLIMIT_AS, (size, size))
        process.communicate(timeout=patience + HANG_SECONDS)
    finally:
        if process.poll() is None:
            kill_all(process)
    if process.returncode:  # else what it had was enough
        assert Gallery(home.path, "county").version_numbers() == []
    finish(home, photos, *flags)
    assert_as_undisturbed(Gallery(home.path, "county"), by_command)
