"""A run that is killed, however hard and whenever, is finished by the same command."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from indexing import index_archive, rows_of, search_files

from indexer.gallery import Gallery
from indexer.run import SETTINGS
from indexer.verify import verify_gallery

# Runs the job as the command does, and kills the whole process group, helpers included, at one point of it.
PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import indexer.publish, indexer.search_files, indexer.segment, pipelines.bulk_index, pipelines.transforms
from indexing import index_archive

point, home, archive = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])

def die(*arguments, **options):
    os.killpg(0, signal.SIGKILL)

def before(module, name):
    setattr(module, name, die)

def after(module, name):
    usual = getattr(module, name)
    def then_die(*arguments, **options):
        usual(*arguments, **options)
        die()
    setattr(module, name, then_die)

{
    "listed": lambda: before(pipelines.bulk_index, "undone_segments"),
    "settled": lambda: before(pipelines.bulk_index, "publish_run"),
    "committed": lambda: after(indexer.publish, "commit_rows"),
    "vectors written": lambda: before(indexer.search_files, "write_sealed"),
    "published": lambda: after(indexer.publish, "build_index"),
    "accounted": lambda: before(indexer.publish, "discard_run"),
    "half removed": lambda: before(indexer.run, "remove_tree"),
    "during the work": lambda: None,
}[point]()
index_archive(home, archive, segment_photos=3)
"""

POINTS = ["listed", "settled", "committed", "vectors written", "published", "accounted", "half removed"]


@pytest.fixture(scope="module")
def archive(clean_photos, tmp_path_factory):
    """Two photos each of six people, a copy, and two files that are no photos: five segments of three."""
    folder = tmp_path_factory.mktemp("killed") / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*.jpg")):
        if path.parent.name <= "S0006" and path.stem[-1] in "12":
            shutil.copy(path, folder)
    shutil.copy(folder / "S0003-1.jpg", folder / "S0005-copy.jpg")
    (folder / "S0002-broken.jpg").write_bytes(b"no photo")
    (folder / "S0006-empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    index_archive(home, archive, segment_photos=3)
    return Gallery(home, "county")


def start(point, home, archive):
    tests = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tests), point, str(home), str(archive)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def segments(gallery):
    """Returns the segment files of runs that are there: one whose plan is gone was published."""
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in gallery.runs.glob("*/segments/[!.]*.parquet")
        if (path.parent.parent / SETTINGS).is_file()
    }


def settled(gallery):
    """Returns what a gallery holds, whichever run brought it there."""
    rows = rows_of(gallery).values()
    return {
        row["location"]: (row["photo_digest"], row["outcome"], row["detail"], row["duplicate_of"], row["embedding"])
        for row in rows
    }


def assert_finished_as_undisturbed(gallery, archive, undisturbed):
    before = segments(gallery)
    planned = {path.parent.parent.name for path in before}
    seen = {}

    def look(run, accounting):
        seen.update(segments(gallery))

    from apache_beam.options.pipeline_options import PipelineOptions

    from indexer.job import IndexJob
    from pipelines.bulk_index import run_job
    from pipelines.progress import Progress

    job = IndexJob(gallery="county", archive=archive, workers=1, segment_photos=3)
    indexed = run_job(gallery, job, PipelineOptions([]), Progress(quiet=True), look, lambda _digests: set())
    if planned:
        assert {indexed.run.run_id} == planned
        assert indexed.resumed
    assert {path: seen[path] for path in before} == before  # what was done was not done again
    assert settled(gallery) == settled(undisturbed)
    assert search_files(gallery)[0] == search_files(undisturbed)[0]
    assert search_files(gallery)[1].drop_columns(["row"]).equals(search_files(undisturbed)[1].drop_columns(["row"]))
    assert gallery.version().about["outcomes"] == undisturbed.version().about["outcomes"]
    assert gallery.version_numbers() == [0]
    assert list(gallery.runs.iterdir()) == []
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


@pytest.mark.parametrize("point", POINTS)
def test_killed_between_two_steps(point, archive, undisturbed, tmp_path):
    process = start(point, tmp_path, archive)
    assert process.wait(timeout=200) == -signal.SIGKILL
    assert_finished_as_undisturbed(Gallery(tmp_path, "county"), archive, undisturbed)


@pytest.mark.parametrize("count", [1, 3])
def test_killed_during_the_work(count, archive, undisturbed, tmp_path):
    gallery = Gallery(tmp_path, "county")
    process = start("during the work", tmp_path, archive)
    while len(segments(gallery)) < count and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert len(segments(gallery)) >= count
    assert_finished_as_undisturbed(gallery, archive, undisturbed)
