"""Searches, publishes and rollbacks at the same time, each a process of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import copy_home, done, make_home
from killing import HANG_SECONDS, start_index

from indexer.gallery import Gallery
from indexer.verify import verify_gallery

# Searches a gallery without end, each time opened anew as a command does, and says what every answer rested on.
SEARCHER = """
import sys
from pathlib import Path
import numpy as np
from indexer.gallery import Gallery
from search.faces import GalleryFaces

gallery = Gallery(Path(sys.argv[1]), "county")
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    faces = GalleryFaces(gallery)
    found = faces.nearest(np.zeros(128, dtype=np.float32), 1000)
    print(faces.version.number, len(faces), *sorted(one.label["photo"] for one in found), flush=True)
"""


@pytest.fixture(scope="module")
def photos(clean_photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("meanwhile") / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:3]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def first(photos, tmp_path_factory):
    """A data home whose gallery holds three photos."""
    home = make_home(tmp_path_factory.mktemp("first"))
    done(home.run("index", "--gallery", "county", "--archive", photos, credential=home.operator))
    return home


@pytest.fixture
def home(first, tmp_path):
    return copy_home(first, tmp_path / "house")


@pytest.fixture
def searcher(home, tmp_path):
    """Starts a process that searches, and returns a function that waits until a version was searched, ends it, and
    gives its answers by version."""
    stop, told = tmp_path / "stop", tmp_path / "told"
    with open(told, "w", encoding="utf-8") as stream:
        process = subprocess.Popen([sys.executable, "-c", SEARCHER, str(home.path), str(stop)], stdout=stream)
    deadline = time.monotonic() + HANG_SECONDS
    while not told.stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    def end(seen):
        deadline = time.monotonic() + HANG_SECONDS
        while f"\n{seen} " not in told.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        stop.touch()
        assert process.wait(timeout=HANG_SECONDS) == 0
        answers = {}
        for line in told.read_text(encoding="utf-8").splitlines()[1:]:
            number, count, *names = line.split()
            assert int(count) == len(names)
            answers.setdefault(int(number), set()).add(frozenset(names))
        return answers

    yield end
    process.kill()
    process.wait()


def names(folder):
    return frozenset(one.name for one in folder.iterdir())


def test_a_search_during_a_publish_and_a_rollback_is_of_one_version(home, photos, clean_photos, searcher, tmp_path):
    more = shutil.copytree(photos, tmp_path / "archive")
    # The same archive's folder, grown: locations differ, so that the gallery holds the old photos' twins as duplicates.
    for path in sorted(clean_photos.glob("S*/*-2.jpg"))[:4]:
        shutil.copy(path, more)
    process = start_index(home, more)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    done(home.run("gallery", "rollback", "county", "0", "--reason", "a test", credential=home.operator))
    answers = searcher(2)
    old, new = names(photos), names(more)
    assert answers == {0: {old}, 1: {new}, 2: {old}}
    assert [finding for finding in verify_gallery(Gallery(home.path, "county")) if finding.problem] == []


def test_a_second_job_and_a_rollback_on_one_gallery_are_refused_in_one_line(home, clean_photos):
    process = start_index(home, clean_photos / "S0009")
    deadline = time.monotonic() + HANG_SECONDS
    while not any(Gallery(home.path, "county").runs.glob("*/plan.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGSTOP)  # so that it is still at work when the others come
    given = ("--reason", "a test"), ("--archive", clean_photos)
    refused = [
        home.run("index", "--gallery", "county", *given[1], "--quiet", credential=home.operator),
        home.run("gallery", "rollback", "county", "0", *given[0], credential=home.operator),
    ]
    os.killpg(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, err
    assert [one.code for one in refused] == [1, 1]
    for one in refused:
        assert one.err.startswith("afterfact: another run is at work on gallery 'county'; wait for it to end, then run")
    assert [len(one.err.splitlines()) for one in refused] == [1, 1]
    assert [finding for finding in verify_gallery(Gallery(home.path, "county")) if finding.problem] == []
