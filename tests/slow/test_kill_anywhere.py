"""The real command, killed at fifty drawn points, publish included, leaves what an undisturbed one leaves."""

import os
import random
import shutil
import time
from itertools import takewhile

import pytest
from conftest import copy_home
from killing import PHASES, assert_as_undisturbed, finish, kill_once, start_index, watch

from indexer.gallery import Gallery
from indexer.verify import verify_gallery

SEED = int(os.environ.get("AFTERFACT_KILL_SEED", time.time_ns() % 1_000_000))
KILLS = 50


@pytest.fixture
def archive(drawn, tmp_path):
    """The spoiled files of the drawn archive and two photos each of its first people, as a list."""
    lines = drawn.list_path.read_text().splitlines()
    kept = [line for line in lines[1:] if "spoiled/" in line or line[: line.index(",")].endswith(("-1.jpg", "-2.jpg"))]
    listed = drawn.list_path.with_name("killed.csv")
    listed.write_text("\n".join([lines[0], *kept[:40]]) + "\n")
    yield listed, len(kept[:40])
    listed.unlink()


def test_killed_at_fifty_points(home, archive, tmp_path_factory):
    print(f"AFTERFACT_KILL_SEED={SEED}")
    listed, photos = archive
    draw = random.Random(SEED)
    folder = tmp_path_factory.mktemp("killed")
    undisturbed = watch(copy_home(home, folder / "undisturbed"), listed, photos)
    print({phase: round(seconds, 3) for phase, seconds in undisturbed.seconds.items()})
    points: list[str] = []
    rounds = 0
    while len(points) < KILLS or {point.partition("+")[0] for point in points} != set(PHASES):
        # One gallery is killed further and further on its way, each time the command that was to finish it.
        rounds += 1
        own = copy_home(home, folder / f"after-{len(points)}")
        phases = [draw.choice(PHASES[:2]), "working", draw.choice(PHASES[2:4]), draw.choice(PHASES[4:])]
        killed = list(takewhile(bool, (kill_once(own, listed, phase, undisturbed, draw) for phase in phases)))
        points += killed
        print(f"{len(points)} kills: {', '.join(killed)}")
        finish(own, listed)
        assert_as_undisturbed(Gallery(own.path, "county"), undisturbed.gallery)
        shutil.rmtree(own.path.parent)
        assert rounds < KILLS, "the command comes to its end before it is killed"


def test_many_runs_at_once_leave_one_whole_gallery(home, drawn):
    for _ in range(3):
        archives = (drawn.list_path, drawn.list_path.parent / "photos" / "S0001", drawn.list_path)
        for run in [start_index(home, archive) for archive in archives]:
            _, err = run.communicate(timeout=300)
            assert run.returncode == 0 or "another run is at work on gallery 'county'" in err, err
        gallery = Gallery(home.path, "county")
        assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
