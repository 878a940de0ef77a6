"""The real command, killed at random moments until it ends by itself, leaves what an undisturbed run leaves."""

import os
import random
import signal
import subprocess
import sys

import pytest
from conftest import done
from indexing import index_archive, rows_of, search_files

from indexer.gallery import Gallery
from indexer.verify import verify_gallery


def command(home, archive):
    arguments = ("--home", home.path, "index", "--gallery", "county", "--archive", archive, "--segment-photos", 4)
    return [sys.executable, "-m", "afterfact", *map(str, arguments)]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(seed, home, drawn, tmp_path):
    environment = {**os.environ, "AFTERFACT_CREDENTIAL": home.operator.read_text().strip()}
    moments = random.Random(seed)
    for _ in range(12):
        process = subprocess.Popen(
            command(home, drawn.list_path),
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.wait(timeout=moments.uniform(1.2, 3.5)) == 0
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done(home.run("index", "--gallery", "county", "--archive", drawn.list_path, credential=home.operator))
    gallery, undisturbed = Gallery(home.path, "county"), Gallery(tmp_path / "undisturbed", "county")
    index_archive(undisturbed.home, drawn.list_path)
    ended = [
        {row["location"]: (row["photo_digest"], row["outcome"], row["embedding"]) for row in rows_of(one).values()}
        for one in (gallery, undisturbed)
    ]
    assert ended[0] == ended[1]
    assert search_files(gallery)[0] == search_files(undisturbed)[0]
    assert list(gallery.runs.iterdir()) == []
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


def test_many_runs_at_once_leave_one_whole_gallery(home, drawn):
    environment = {**os.environ, "AFTERFACT_CREDENTIAL": home.operator.read_text().strip()}
    for _ in range(3):
        runs = [
            subprocess.Popen(command(home, archive), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for archive in (drawn.list_path, drawn.list_path.parent / "photos" / "S0001", drawn.list_path)
        ]
        for run in runs:
            _, err = run.communicate(timeout=300)
            assert run.returncode == 0 or b"another run is at work on gallery 'county'" in err, err
        gallery = Gallery(home.path, "county")
        assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
        rows_of(gallery)
