"""Faults of disks, files, clocks and processes: each ends in a stated way; the same command then finishes the job."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from indexing import index_archive, rows_of, search_files

import indexer.publish
import indexer.run
from foundation.errors import AfterfactError
from indexer.gallery import Gallery, GalleryError
from indexer.run import unfinished_runs
from indexer.segment import digest_path, is_done, plan_segments
from indexer.verify import verify_gallery
from pipelines.progress import Progress


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


@pytest.fixture
def archive(photos, tmp_path):
    """A copy to change, with the times of the original."""
    return shutil.copytree(photos, tmp_path / "archive")


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    index_archive(home, photos, segment_photos=2)
    return Gallery(home, "county")


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path / "home", "county")


def index(gallery, archive):
    return index_archive(gallery.home, archive, segment_photos=2)


def meanwhile(monkeypatch, change):
    """Does something between the plan and the reading of the photos."""
    usual = Progress.planned

    def planned(self, run, done_before, resumed):
        usual(self, run, done_before, resumed)
        change()

    monkeypatch.setattr(Progress, "planned", planned)


def stop_before_settling(monkeypatch, gallery, archive):
    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.bulk_index.settle_run", die)
        with pytest.raises(KeyboardInterrupt):
            index(gallery, archive)
    (run,) = unfinished_runs(gallery)
    return run


def flip(path, share):
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 0x10
    path.write_bytes(content)


def cut(path, share):
    os.truncate(path, int(path.stat().st_size * share))


@pytest.mark.parametrize(("damage", "share"), [(cut, 0.0), (cut, 0.4), (flip, 0.4), (flip, 0.99)])
def test_a_damaged_segment_is_noticed_and_made_again(gallery, photos, undisturbed, monkeypatch, capsys, damage, share):
    run = stop_before_settling(monkeypatch, gallery, photos)
    references = plan_segments(run)
    whole = {reference.target: os.stat(reference.target).st_mtime_ns for reference in references}
    damage(digest_path(references[1]).with_suffix(".parquet"), share)
    assert [is_done(reference) for reference in references] == [True, False, True, True]
    seen = {}
    monkeypatch.setattr(
        "pipelines.bulk_index.publish_run",
        lambda *arguments: (
            seen.update({one: os.stat(one).st_mtime_ns for one in whole}) or indexer.publish.publish_run(*arguments)
        ),
    )
    assert index(gallery, photos).looked_at_now == 2
    assert "1 segment files were damaged since they were written" in capsys.readouterr().err
    assert [seen[one] == whole[one] for one in whole] == [True, False, True, True]
    assert rows_alike(gallery, undisturbed)


def rows_alike(gallery, other):
    ours, theirs = ({name: without_ids(row) for name, row in rows_of(one).items()} for one in (gallery, other))
    return ours == theirs and search_files(gallery)[0] == search_files(other)[0]


def without_ids(row):
    return {name: value for name, value in row.items() if name not in ("row", "run", "location", "duplicate_of")}


@pytest.mark.parametrize("name", ["manifest.parquet", "updates.parquet"])
def test_a_damaged_manifest_is_an_error_that_says_what_to_do(gallery, photos, monkeypatch, name):
    run = stop_before_settling(monkeypatch, gallery, photos)
    flip(run.folder / name, 0.5)
    with pytest.raises(GalleryError, match=rf"{name} is not as it was written .*; move .* away, then run the same"):
        index(gallery, photos)
    shutil.move(run.folder, gallery.home / "away")
    assert index(gallery, photos).accounting.enrolled == 6


def test_a_photo_that_vanishes_after_it_was_listed_is_missing_and_taken_when_it_is_back(
    gallery, archive, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda: os.rename(archive / "S0003-1.jpg", tmp_path / "away.jpg"))
        assert index(gallery, archive).accounting.rejected == {"MISSING_FILE": 1, "UNREADABLE_IMAGE": 1}
    os.rename(tmp_path / "away.jpg", archive / "S0003-1.jpg")
    again = index(gallery, archive).accounting
    assert (again.enrolled, again.held) == (1, 7)


def test_a_photo_that_changes_after_it_was_listed_is_looked_at_again(gallery, archive, monkeypatch):
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda: shutil.copyfile(archive / "S0001-1.jpg", archive / "S0003-1.jpg"))
        index(gallery, archive)
    row = rows_of(gallery)["S0003-1.jpg"]
    # The digest is that of the bytes that were looked at; size and time are the list's, so the row is stale.
    assert row["photo_digest"] == rows_of(gallery)["S0001-1.jpg"]["photo_digest"]
    again = index(gallery, archive).accounting
    assert (again.held, again.duplicates) == (7, 1)
    row = rows_of(gallery)["S0003-1.jpg"]
    assert row["modified"] == (archive / "S0003-1.jpg").stat().st_mtime_ns
    assert index(gallery, archive).accounting.held == 8


class SteppedClock(datetime):
    """The system's clock, or what somebody set it to."""

    stands_at: datetime | None = None

    @classmethod
    def now(cls, tz=None):
        return cls.stands_at or datetime.now(tz)


def test_a_clock_that_was_set_back_makes_no_run_another(gallery, archive, monkeypatch):
    monkeypatch.setattr(indexer.run, "datetime", SteppedClock)
    noon = datetime(2026, 6, 10, 12, tzinfo=UTC)
    SteppedClock.stands_at = noon
    first = index(gallery, archive).run.run_id
    os.utime(archive / "S0001-1.jpg", ns=(1, 1))
    second = index(gallery, archive).run.run_id  # in the very same millisecond
    SteppedClock.stands_at = noon - timedelta(hours=1)
    os.utime(archive / "S0001-1.jpg", ns=(2, 2))
    third = index(gallery, archive)
    assert len({first, second, third.run.run_id}) == 3
    assert len(list(gallery.accounts.glob("*.json"))) == 3
    assert third.version.number == 2
    assert rows_of(gallery)["S0001-1.jpg"]["modified"] == 2
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


def test_an_unfinished_run_from_the_future_is_gone_on_with(gallery, photos, undisturbed, monkeypatch):
    monkeypatch.setattr(indexer.run, "datetime", SteppedClock)
    SteppedClock.stands_at = datetime(2030, 1, 1, tzinfo=UTC)
    stop_before_settling(monkeypatch, gallery, photos)
    SteppedClock.stands_at = datetime(2026, 1, 1, tzinfo=UTC)
    assert index(gallery, photos).resumed
    assert rows_alike(gallery, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here (not root, or inside a container)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_lost(small_disk, photos, undisturbed):
    gallery, ballast = Gallery(small_disk, "county"), small_disk / "ballast"
    published = 0
    # From no room for the plan to room for all: at some size it is the commit that fails, at some the index.
    for left in (4, 24, 32, 40, 48, 56, 72, 88, 104, 136, 400):
        state = os.statvfs(small_disk)
        free = state.f_bavail * state.f_frsize
        ballast.write_bytes(bytes(max(0, free - left * 1024)))
        try:
            index(gallery, photos)
            published += 1
        except (AfterfactError, OSError) as error:
            assert "No space left" in str(error) or "disk is full" in str(error), repr(error)
        ballast.unlink()
        if published:
            break
    assert 0 < left < 400, "the disk was never full"
    index(gallery, photos)
    assert rows_alike(gallery, undisturbed)
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
