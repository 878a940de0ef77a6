"""A job is validated before anything starts, and known again by its digest."""

import os
from pathlib import Path

import pytest

import configs
from foundation.errors import InputError
from foundation.settings import read_yaml
from indexer.job import IndexJob, parse_share, read_job, segment_size
from indexer.limits import Limits


@pytest.fixture
def write_job(tmp_path):
    (tmp_path / "photos").mkdir()

    def write(text="", name="job.yaml"):
        path = tmp_path / name
        path.write_text(f"gallery: county\narchive: photos\n{text}")
        return path

    return write


def test_a_job_file_is_read_and_its_paths_start_from_it(write_job, tmp_path):
    text = "folder_subjects: true\nlimit_rejected: 5%\nsegment_photos: 100\nlimits:\n  max_yaw: 0.4\n"
    job = read_job(write_job(text), {})
    assert job.archive == tmp_path / "photos"
    assert (job.gallery, job.folder_subjects, job.limit_rejected, job.segment_photos) == ("county", True, 0.05, 100)
    assert job.limits == Limits(max_yaw=0.4)


def test_flags_lie_over_the_file_limit_by_limit(write_job, tmp_path):
    path = write_job("workers: 3\nrehash: false\nlimits: {max_yaw: 0.4, min_eye_distance: 30}\n")
    job = read_job(path, {"gallery": "other", "rehash": True, "workers": None, "limits": {"min_eye_distance": 50}})
    assert (job.gallery, job.rehash, job.workers) == ("other", True, 3)
    assert job.limits == Limits(max_yaw=0.4, min_eye_distance=50)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("galery: x\n", "unknown key 'galery'; did you mean 'gallery'"),
        ("workers: 2\nworkers: 3\n", "key 'workers' stands twice"),
        ("limits: {max_yow: 1}\n", "limits: unknown key 'max_yow'; did you mean 'max_yaw'"),
        ("limits: 5\n", "limits is 5; give 'name: number' lines"),
        ("limits: {max_yaw: wide}\n", "limit max_yaw is 'wide'; give a number"),
        ("limits: {max_bytes: 1.5}\n", "limit max_bytes is 1.5; give a whole number"),
        ("workers: two\n", "workers is 'two'; give a whole number from 0"),
        ("workers: -1\n", "workers is -1"),
        ("workers: true\n", "workers is True"),
        ("workers: 1025\n", "workers is 1025; give a whole number from 0 .* to 1,024"),
        ("segment_photos: 0.5\n", "segment_photos is 0.5"),
        ("rehash: maybe\n", "rehash is 'maybe'; give true or false"),
        ("folder_subjects: 1\n", "folder_subjects is 1; give true or false"),
        ("limit_rejected: 101%\n", "limit_rejected is '101%'; give a share such as 5% or 0.05"),
        ("limit_rejected: few\n", "limit_rejected is 'few'"),
        ("root: nowhere\n", "root .*nowhere is not a folder"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(write_job, text, says):
    with pytest.raises(InputError, match=says):
        read_job(write_job(text), {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("archive: photos\n", "no gallery: give --gallery, or a job file"),
        ("gallery: county\n", "no archive: give --archive"),
        ("gallery: county\narchive: none\n", "archive .*none does not exist"),
        ("gallery: 2024\narchive: photos\n", "gallery name 2024 is not allowed"),
        ("gallery: County\narchive: photos\n", "gallery name 'County' is not allowed; use 1 to 63 of a-z"),
        ("gallery: ../x\narchive: photos\n", "gallery name '../x' is not allowed"),
    ],
)
def test_gallery_and_archive_are_needed_and_sound(write_job, text, says):
    path = write_job()
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_job(path, {})


def test_subjects_from_folders_need_a_folder(tmp_path):
    (tmp_path / "list.csv").write_text("photo\n")
    with pytest.raises(InputError, match="folder_subjects goes with a folder"):
        IndexJob(gallery="g", archive=tmp_path / "list.csv", folder_subjects=True)


@pytest.mark.parametrize("name", ["photos", "photos.zip", "photos.tar"])
def test_a_root_needs_a_list(write_job, tmp_path, name):
    """A folder's photos would be sought below the root, and every one of them be missing."""
    path = write_job("root: .\n")
    if name != "photos":
        path.write_text(path.read_text().replace("archive: photos", f"archive: {name}"))
        (tmp_path / name).write_bytes(b"")
    says = rf"^root .* goes with a list of photos; .*{name} is none and holds its photos itself: leave root out$"
    with pytest.raises(InputError, match=says):
        read_job(path, {})
    with pytest.raises(InputError, match=says):
        read_job(None, {"gallery": "g", "archive": tmp_path / name, "root": tmp_path})


def test_an_archive_whose_path_is_no_text_is_refused_by_name(tmp_path):
    """Plans, accounts and the ledger are text; a traceback from one of them would say less."""
    path = os.fsencode(tmp_path) + b"/arch\xff"
    os.mkdir(path)
    with pytest.raises(InputError, match=r"archive .*arch\\xff is not UTF-8; rename it"):
        IndexJob(gallery="g", archive=Path(os.fsdecode(path)))
    (tmp_path / "list.csv").write_text("photo\n")
    with pytest.raises(InputError, match=r"root .*arch\\xff is not UTF-8"):
        IndexJob(gallery="g", archive=tmp_path / "list.csv", root=Path(os.fsdecode(path)))


def test_the_same_job_is_known_again_and_another_is_not(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    job = IndexJob(gallery="g", archive=tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    same = IndexJob(gallery="g", archive=Path("b/../a"), workers=7, segment_photos=9, limit_rejected=0.5)
    assert job.digest == same.digest  # how fast and how strictly it is told are no part of what is done
    others = [
        IndexJob(gallery="h", archive=tmp_path / "a"),
        IndexJob(gallery="g", archive=tmp_path / "b"),
        IndexJob(gallery="g", archive=tmp_path / "a", folder_subjects=True),
        IndexJob(gallery="g", archive=tmp_path / "a", limits=Limits(max_yaw=0.5)),
        IndexJob(gallery="g", archive=tmp_path / "a", rehash=True),
        IndexJob(gallery="g", archive=tmp_path / "a", retry_rejected=True),
    ]
    assert len({one.digest for one in [job, *others]}) == len(others) + 1


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), (0, 0.0), ("100%", 1.0), (" 2.5 % ", 0.025)])
def test_shares_are_per_cent_or_fractions(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "-1%", "nan", "nan%", "inf", "", "%", "5%%", True, None])
def test_other_shares_are_refused(text):
    with pytest.raises(InputError, match=r"give a share such as 5% or 0\.05"):
        parse_share(text)


def test_segments_suit_the_archive():
    assert segment_size(300_000, 2, 0) == 512
    assert segment_size(1000, 2, 0) == 63  # several a worker, so that none is idle at the end
    assert segment_size(10, 2, 0) == 16
    assert segment_size(0, 2, 0) == 16
    assert segment_size(300_000, 2, 7) == 7


@pytest.mark.parametrize("name", sorted(path.name for path in Path(configs.__file__).parent.glob("jobs/*.yaml")))
def test_the_jobs_that_come_with_it_are_jobs(name, tmp_path):
    source = Path(configs.__file__).parent / "jobs" / name
    archive = tmp_path / Path(str(read_yaml(source)["archive"])).name
    if archive.suffix:
        archive.write_text("photo\n")
    else:
        archive.mkdir()
    flags = {"archive": archive}
    if "root" in read_yaml(source):
        flags["root"] = tmp_path
    job = read_job(source, flags)
    assert job.gallery == read_yaml(source)["gallery"]
