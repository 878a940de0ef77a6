"""Settling and publishing, and that a crash anywhere in between is made good."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from indexing import content_of, index_archive, no_probes, rows_of, search_files

import indexer.publish
import pipelines.bulk_index
from foundation.errors import InputError
from indexer.accounting import AccountingError
from indexer.calibration import read_calibration
from indexer.containers import ArchiveError
from indexer.gallery import FACES, Gallery, GalleryError, read_sealed
from indexer.outcomes import TRIED_AGAIN
from indexer.publish import finish_interrupted, roll_back, roll_forward, settle_run
from indexer.run import unfinished_runs
from indexer.segment import plan_segments, write_digest
from indexer.verify import verify_gallery


@pytest.fixture
def archive(clean_photos, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:4]:
        shutil.copy(path, folder)
    shutil.copy(folder / "S0004-1.jpg", folder / "T-twin.jpg")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path / "home", "county")


def stop_before_publishing(monkeypatch, archive, gallery):
    """Runs a job up to the moment before it settles, and returns the run that stays behind."""

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.bulk_index.settle_run", die)
        with pytest.raises(KeyboardInterrupt):
            index_archive(gallery.home, archive, segment_photos=2)
    (run,) = unfinished_runs(gallery)
    return run


def test_a_gallery_counts_what_its_run_counted(archive, gallery):
    indexed = index_archive(gallery.home, archive)
    assert indexed.accounting.as_json() == {
        "planned": 6,
        "enrolled": 4,
        "rejected": {"UNREADABLE_IMAGE": 1},
        "rejected_total": 1,
        "duplicates": 1,
        "held": 0,
        "updated": 0,
        "suppressed": 0,
    }
    assert gallery.version().about["outcomes"] == {"DUPLICATE": 1, "ENROLLED": 4, "UNREADABLE_IMAGE": 1}
    (account,) = gallery.accounts.glob("*.json")
    assert read_sealed(account)["accounting"] == indexed.accounting.as_json()
    assert gallery.version().about["account"]["accounting"] == indexed.accounting.as_json()
    assert list(gallery.runs.iterdir()) == []


def test_a_missing_segment_publishes_nothing(archive, gallery, monkeypatch):
    run = stop_before_publishing(monkeypatch, archive, gallery)
    Path(plan_segments(run)[1].target).unlink()
    with pytest.raises(
        AccountingError, match=r"1 of 3 segments are missing or damaged \(the first is 1\); nothing was published"
    ):
        settle_run(gallery, run, no_probes)
    assert not gallery.table.exists()


def test_a_segment_of_too_few_photos_publishes_nothing(archive, gallery, monkeypatch):
    import pyarrow.parquet as pq

    run = stop_before_publishing(monkeypatch, archive, gallery)
    reference = plan_segments(run)[0]
    pq.write_table(pq.read_table(reference.target).slice(1), reference.target)
    write_digest(reference)
    with pytest.raises(AccountingError, match="manifest has 6 photos and the segments 5; nothing published"):
        settle_run(gallery, run, no_probes)


def test_a_refusal_before_publishing_publishes_nothing_and_keeps_what_is_done(archive, gallery, monkeypatch):
    from apache_beam.options.pipeline_options import PipelineOptions

    from indexer.job import IndexJob
    from pipelines.bulk_index import run_job
    from pipelines.progress import Progress

    def refuse(run, accounting):
        raise GalleryError("a moratorium was declared meanwhile")

    job = IndexJob(gallery="county", archive=archive, workers=1)
    with pytest.raises(GalleryError, match="moratorium"):
        run_job(gallery, job, PipelineOptions([]), Progress(quiet=True), refuse, no_probes)
    assert not gallery.table.exists()
    done = content_of(gallery.runs)
    assert any("segments" in name for name in done)
    indexed = index_archive(gallery.home, archive)
    assert indexed.resumed
    assert indexed.looked_at_now == 0
    assert indexed.accounting.enrolled == 4


def test_duplicates_are_settled_in_the_lists_order(archive, gallery):
    listed = archive / "list.csv"
    listed.write_text("photo,subject\nT-twin.jpg,T\nS0004-1.jpg,S4\nS0001-1.jpg,S1\n")
    index_archive(gallery.home, listed)
    rows = rows_of(gallery)
    assert rows["T-twin.jpg"]["outcome"] == "ENROLLED"
    assert rows["S0004-1.jpg"]["outcome"] == "DUPLICATE"
    assert rows["S0004-1.jpg"]["detail"] == "the same bytes as T-twin.jpg, listed there under subject 'T'"
    assert rows["S0004-1.jpg"]["duplicate_of"] == rows["T-twin.jpg"]["location"]
    assert rows["S0004-1.jpg"]["embedding"] is None


def test_bytes_that_the_gallery_holds_already_are_duplicates(archive, gallery, tmp_path):
    index_archive(gallery.home, archive)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(archive / "S0001-1.jpg", other / "again.jpg")
    indexed = index_archive(gallery.home, other)
    assert (indexed.accounting.enrolled, indexed.accounting.duplicates) == (0, 1)
    assert rows_of(gallery)["again.jpg"]["detail"].endswith("in the gallery already")
    assert search_files(gallery, 0)[0] == search_files(gallery, 1)[0]


def test_what_could_not_be_read_leaves_no_row(archive, gallery):
    listed = archive / "list.csv"
    listed.write_text("photo\nS0001-1.jpg\nnone.jpg\nfolder.jpg\n")
    (archive / "folder.jpg").mkdir()
    indexed = index_archive(gallery.home, listed)
    assert indexed.accounting.rejected == {"MISSING_FILE": 1, "UNREADABLE_FILE": 1}
    assert set(indexed.accounting.rejected) == {outcome.value for outcome in TRIED_AGAIN}
    assert list(rows_of(gallery)) == ["S0001-1.jpg"]
    (archive / "folder.jpg").rmdir()
    for name in ("none.jpg", "folder.jpg"):
        shutil.copy(archive / f"S000{2 + (name[0] == 'n')}-1.jpg", archive / name)
    assert index_archive(gallery.home, listed).accounting.enrolled == 2


def test_a_photo_that_is_missing_for_a_night_keeps_its_row(archive, gallery, tmp_path):
    listed = archive / "list.csv"
    listed.write_text("photo,subject\nS0001-1.jpg,A\nS0002-1.jpg,B\n")
    index_archive(gallery.home, listed)
    before = rows_of(gallery)
    (archive / "S0001-1.jpg").rename(tmp_path / "away.jpg")
    indexed = index_archive(gallery.home, listed)
    assert indexed.version is None
    assert indexed.accounting.rejected == {"MISSING_FILE": 1}
    assert rows_of(gallery) == before


def test_an_archive_without_a_face_makes_an_empty_gallery(gallery, tmp_path):
    folder = tmp_path / "faceless"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"no photo")
    assert index_archive(gallery.home, folder).version.about["faces"] == 0
    assert index_archive(gallery.home, folder).version is None


@pytest.mark.parametrize("held", [False, True])
def test_an_archive_without_a_photo_is_an_error(archive, gallery, tmp_path, held):
    """A disk that is not mounted is an empty folder, for a new gallery and for one that has its photos."""
    if held:
        index_archive(gallery.home, archive)
    empty = tmp_path / "empty"
    (empty / "sub").mkdir(parents=True)
    (empty / "notes.txt").write_text("x")
    with pytest.raises(ArchiveError, match=r"archive .*empty holds no photo \(1 \.txt\); see whether its disk"):
        index_archive(gallery.home, empty)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ArchiveError, match=r"archive .*empty\.zip holds no photo \(nothing at all\)"):
        index_archive(gallery.home, tmp_path / "empty.zip")
    (tmp_path / "list.csv").write_text("photo,subject\n")
    if held:  # a night without bookings
        assert index_archive(gallery.home, tmp_path / "list.csv").version is None
    else:
        with pytest.raises(InputError, match=r"list .*list\.csv names no photo, only columns; see whether"):
            index_archive(gallery.home, tmp_path / "list.csv")
    assert gallery.version_numbers() == ([0] if held else [])
    assert list(gallery.runs.iterdir()) == []


def test_rejections_that_are_all_held_as_duplicates_leave_nothing_to_retry(archive, gallery):
    index_archive(gallery.home, archive)
    listed = archive / "list.csv"
    listed.write_text("photo,rejected_as,rejected_because\nT-twin.jpg,DUPLICATE,the same bytes\n")
    assert index_archive(gallery.home, listed, retry_rejected=True).version is None


# Where a publish can be cut short, and what is then there: rows in the table, a version.
POINTS = {
    "commit_rows": (False, False),
    "build_index": (True, False),
    "discard_run": (True, True),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_publish_that_is_cut_short_is_finished_by_the_same_command(archive, gallery, point, tmp_path, monkeypatch):
    undisturbed = index_archive(tmp_path / "undisturbed", archive, segment_photos=2)

    def die(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner = indexer.publish
        patch.setattr(owner, point, die)
        with pytest.raises(KeyboardInterrupt):
            index_archive(gallery.home, archive, segment_photos=2)
    committed, published = POINTS[point]
    assert gallery.table.exists() == committed
    assert bool(gallery.version_numbers()) == published
    made = {path: path.stat().st_mtime_ns for path in gallery.runs.rglob("segments/*.parquet")}
    assert len(made) == 3
    indexed = index_archive(gallery.home, archive, segment_photos=2)
    assert (indexed.resumed, indexed.looked_at_now) == (True, 0)
    assert indexed.accounting == undisturbed.accounting
    assert gallery.version_numbers() == [0]
    assert len(list(gallery.accounts.glob("*.json"))) == 1
    assert list(gallery.runs.iterdir()) == []
    assert search_files(gallery)[0] == search_files(Gallery(tmp_path / "undisturbed", "county"))[0]
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
    assert index_archive(gallery.home, archive).version is None


def test_a_calibration_that_is_cut_short_leaves_no_version_and_is_made_by_the_next_run(archive, gallery, monkeypatch):
    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("indexer.search_files.write_calibration", die)
        with pytest.raises(KeyboardInterrupt):
            index_archive(gallery.home, archive)
    assert (gallery.index / "0" / FACES).is_file()
    assert gallery.version_numbers() == []
    index_archive(gallery.home, archive)
    assert read_calibration(gallery.version()) is not None
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


def test_another_job_finishes_the_index_of_a_publish_that_was_cut_short(archive, gallery, tmp_path, monkeypatch):
    """And the first job's own command then has nothing to repeat."""

    def die(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(indexer.publish, "build_index", die)
        with pytest.raises(KeyboardInterrupt):
            index_archive(gallery.home, archive)
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.jpg").write_bytes(b"no photo")
    index_archive(gallery.home, other)
    assert gallery.version_numbers() == [0, 1]
    assert gallery.version(0).about["faces"] == 4
    indexed = index_archive(gallery.home, archive)
    assert indexed.accounting.enrolled == 4
    assert gallery.version_numbers() == [0, 1]
    assert len(rows_of(gallery)) == 7


def test_rolling_back_makes_a_new_version_of_the_old_rows(archive, gallery):
    index_archive(gallery.home, archive)
    before, files = rows_of(gallery), search_files(gallery)
    shutil.copy(archive / "S0001-1.jpg", archive / "new.jpg")
    with open(archive / "new.jpg", "ab") as stream:
        stream.write(b"other bytes")
    os.utime(archive / "S0002-1.jpg", ns=(1, 1))
    index_archive(gallery.home, archive)
    assert len(rows_of(gallery)) == 7
    version = roll_back(gallery, 0)
    assert (version.number, gallery.version_numbers()) == (2, [0, 1, 2])
    assert rows_of(gallery) == before
    assert search_files(gallery)[0] == files[0]
    assert search_files(gallery)[1].equals(files[1])
    assert len(rows_of(gallery, 1)) == 7  # what was rolled back can still be looked at
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
    assert json.loads(json.dumps(version.about["account"])) == {"rolled_back_to": 0, "rolled_back_from": 1}
    assert index_archive(gallery.home, archive).accounting.enrolled == 2  # what was taken back comes back


@pytest.mark.parametrize(
    "dies", [(pipelines.bulk_index, "settle_run"), (indexer.publish, "write_whole")], ids=["at work", "published"]
)
def test_a_run_that_was_planned_before_a_rollback_begins_anew(archive, gallery, monkeypatch, dies):
    index_archive(gallery.home, archive)
    _add(archive, "new.jpg")
    index_archive(gallery.home, archive)
    _add(archive, "newer.jpg")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*dies, die)
        index_archive(gallery.home, archive)
    finish_interrupted(gallery, print)
    roll_back(gallery, 0)
    indexed = index_archive(gallery.home, archive)
    assert not indexed.resumed
    assert (indexed.accounting.enrolled, indexed.accounting.held) == (2, 6)  # both photos that came since version 0
    assert len(rows_of(gallery)) == 8
    assert unfinished_runs(gallery) == []


def test_a_run_that_another_host_rolls_the_gallery_back_beside_publishes_nothing(archive, gallery, monkeypatch):
    index_archive(gallery.home, archive)
    _add(archive, "new.jpg")
    index_archive(gallery.home, archive)
    _add(archive, "newer.jpg")
    with monkeypatch.context() as patch, pytest.raises(GalleryError, match=r"was rolled back .* it begins anew"):
        patch.setattr(pipelines.bulk_index, "converted_detector", lambda: roll_back(gallery, 0))
        index_archive(gallery.home, archive)
    assert gallery.version().number == 2
    assert index_archive(gallery.home, archive).accounting.enrolled == 2
    assert len(rows_of(gallery)) == 8


def _add(archive: Path, name: str) -> None:
    """Puts another photo of a face into the archive, with bytes of its own."""
    content = (archive / "S0001-1.jpg").read_bytes() + name.encode()
    (archive / name).write_bytes(content)


def test_rolling_back_to_nowhere_is_refused(archive, gallery):
    index_archive(gallery.home, archive)
    with pytest.raises(GalleryError, match="version 0 is the present version of gallery 'county'; name an earlier one"):
        roll_back(gallery, 0)
    with pytest.raises(GalleryError, match=r"has no version 5; it has \[0\]"):
        roll_back(gallery, 5)
    assert gallery.version_numbers() == [0]


def test_rolling_forward_where_there_is_nothing_is_nothing(gallery):
    assert roll_forward(gallery) is None


def test_a_gallery_of_another_model_is_refused(archive, gallery, monkeypatch):
    import indexer.models

    index_archive(gallery.home, archive)
    ours = indexer.models.installed_model()
    other = type(ours)(**{**vars(ours), "chip_padding": 0.5})
    monkeypatch.setattr("indexer.embedder_file.installed_model", lambda mirrored=False: other)
    with pytest.raises(GalleryError, match=r"is of model .*their distances mean nothing .*index into a new gallery"):
        index_archive(gallery.home, archive)
    assert gallery.version_numbers() == [0]


def test_galleries_with_and_without_mirrored_chips_never_mix(archive, gallery, tmp_path):
    index_archive(gallery.home, archive, mirrored=True)
    plain = Gallery(tmp_path / "plain", "county")
    index_archive(plain.home, archive)
    assert search_files(gallery)[0] != search_files(plain)[0]
    assert rows_of(gallery)["S0001-1.jpg"]["model"] == gallery.version().model_digest != plain.version().model_digest
    for one, mirrored in ((gallery, False), (plain, True)):
        with pytest.raises(GalleryError) as refused:
            index_archive(one.home, archive, mirrored=mirrored)
        word, other = str(mirrored).lower(), str(not mirrored).lower()
        assert f"this job, with mirrored: {word}, is of" in str(refused.value)
        assert f"give the job mirrored: {other}, or index into a new gallery" in str(refused.value)
        assert index_archive(one.home, archive, mirrored=not mirrored).version is None
        assert [finding for finding in verify_gallery(one) if finding.problem] == []


def test_a_run_left_unfinished_cannot_mix_into_a_gallery_that_another_job_made_since(archive, gallery, monkeypatch):
    stop_before_publishing(monkeypatch, archive, gallery)
    index_archive(gallery.home, archive, mirrored=True)
    with pytest.raises(GalleryError, match=r"this job, with mirrored: false, .* mean nothing to each other"):
        index_archive(gallery.home, archive, segment_photos=2)
    assert gallery.version_numbers() == [0]
