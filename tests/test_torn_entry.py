"""A last log entry that a power cut left torn is set aside, and the same command commits it again."""

import os
import re
import shutil
from pathlib import Path

import pytest
from indexing import index_archive, rows_of, search_files

import indexer.publish
from indexer.gallery import Gallery, GalleryError
from indexer.publish import roll_back
from indexer.torn_entry import set_aside_torn_entry
from indexer.verify import verify_gallery


@pytest.fixture(scope="module")
def archive(clean_photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torn") / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:3]:
        shutil.copy(path, folder)
    return folder


def cut_before_the_index(gallery, archive, *, patch):
    """Runs a job until its commit is made and nothing of the index is."""

    def die(*arguments):
        raise KeyboardInterrupt

    with patch.context() as now:
        now.setattr(indexer.publish, "build_index", die)
        with pytest.raises(KeyboardInterrupt):
            index_archive(gallery.home, archive)


@pytest.fixture(scope="module")
def unpublished(archive, tmp_path_factory):
    """A gallery whose first commit is made and not published."""
    gallery = Gallery(tmp_path_factory.mktemp("unpublished"), "county")
    with pytest.MonkeyPatch.context() as patch:
        cut_before_the_index(gallery, archive, patch=patch)
    return gallery


@pytest.fixture
def gallery(unpublished, tmp_path):
    shutil.copytree(unpublished.home, tmp_path / "home")
    # The run's folder is found by its place, so that a copy is as good.
    return Gallery(tmp_path / "home", "county")


def log_of(gallery):
    return gallery.table / "_delta_log"


def last_entry(gallery):
    return max(log_of(gallery).glob("*.json"))


def cut(path, share):
    os.truncate(path, int(path.stat().st_size * share))


def at_a_line(path):
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-1]))


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def assert_whole(gallery, faces):
    assert gallery.version().about["faces"] == faces
    assert len(rows_of(gallery)) == faces
    assert list(gallery.runs.iterdir()) == []
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


@pytest.mark.parametrize(
    ("tear", "says"),
    [
        (lambda path: cut(path, 0.5), "half an entry"),
        (lambda path: cut(path, 0), "an empty file"),
        (zeros, "half an entry"),
        (at_a_line, "an entry cut at the end of a line"),
    ],
)
def test_a_torn_last_entry_is_set_aside_and_committed_again(gallery, archive, capsys, tear, says):
    tear(last_entry(gallery))
    torn = last_entry(gallery).read_bytes()
    indexed = index_archive(gallery.home, archive)
    assert indexed.resumed
    assert indexed.looked_at_now == 0
    assert says in capsys.readouterr().err  # quiet or not
    (aside,) = log_of(gallery).glob("*.torn")
    assert aside.read_bytes() == torn
    assert_whole(gallery, 3)


@pytest.mark.parametrize(
    ("tear", "says"),
    [
        (lambda path: cut(path, 0.7), r"has [\d,]+ bytes in the place of"),
        (zeros, "cannot be read"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_torn_data_file_counts_as_a_torn_entry(gallery, archive, tear, says):
    (data,) = gallery.table.glob("*.parquet")
    tear(data)
    with pytest.MonkeyPatch.context() as patch:
        told = []
        patch.setattr("pipelines.progress.Progress.warns", lambda self, sentence: told.append(sentence))
        index_archive(gallery.home, archive)
    assert len(told) == 1
    assert f"its data file {data.name}" in told[0]
    assert re.search(says, told[0])
    assert_whole(gallery, 3)


def test_a_whole_unpublished_entry_is_left_alone_and_published(gallery, archive):
    before = last_entry(gallery).read_bytes()
    assert set_aside_torn_entry(gallery) == ""
    index_archive(gallery.home, archive)
    assert last_entry(gallery).read_bytes() == before
    assert_whole(gallery, 3)


def test_a_second_tear_does_not_overwrite_what_the_first_left(gallery, archive, monkeypatch):
    cut(last_entry(gallery), 0.5)
    cut_before_the_index(gallery, archive, patch=monkeypatch)
    cut(last_entry(gallery), 0.4)
    index_archive(gallery.home, archive)
    assert len(list(log_of(gallery).glob("*.torn*"))) == 2
    assert_whole(gallery, 3)


def test_a_later_entry_that_is_torn_leaves_the_version_before_it_as_it_was(gallery, archive, tmp_path, monkeypatch):
    index_archive(gallery.home, archive)
    before = search_files(gallery, 0)[0]
    more = tmp_path / "more"
    more.mkdir()
    (more / "x.jpg").write_bytes(b"no photo")
    cut_before_the_index(gallery, more, patch=monkeypatch)
    cut(last_entry(gallery), 0.5)
    assert gallery.version().number == 0  # what searches see meanwhile
    index_archive(gallery.home, more)
    assert gallery.version_numbers() == [0, 1]
    assert search_files(gallery, 0)[0] == before == search_files(gallery, 1)[0]
    assert len(rows_of(gallery)) == 4


def test_a_torn_rollback_is_as_if_it_had_not_been(gallery, archive, tmp_path, monkeypatch):
    index_archive(gallery.home, archive)
    more = tmp_path / "more"
    more.mkdir()
    (more / "x.jpg").write_bytes(b"no photo")
    index_archive(gallery.home, more)

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(indexer.publish, "build_index", die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(gallery, 0)
    at_a_line(last_entry(gallery))
    assert "cut at the end of a line" in set_aside_torn_entry(gallery)
    assert len(rows_of(gallery)) == 4
    assert roll_back(gallery, 0).number == 2
    assert len(rows_of(gallery)) == 3


def test_a_torn_entry_of_a_published_version_is_an_error_and_stays(gallery, archive):
    index_archive(gallery.home, archive)
    cut(last_entry(gallery), 0.5)
    torn = last_entry(gallery).read_bytes()
    with pytest.raises(GalleryError, match=r"of published version 0 is torn \(half an entry\); restore .* a backup"):
        index_archive(gallery.home, archive)
    assert last_entry(gallery).read_bytes() == torn


def test_a_torn_entry_before_the_last_is_an_error_and_stays(gallery, archive, tmp_path, monkeypatch):
    index_archive(gallery.home, archive)
    more = tmp_path / "more"
    more.mkdir()
    (more / "x.jpg").write_bytes(b"no photo")
    cut_before_the_index(gallery, more, patch=monkeypatch)
    first = log_of(gallery) / f"{0:020}.json"
    cut(first, 0.5)
    with pytest.raises(GalleryError, match="restore the gallery from a backup"):
        index_archive(gallery.home, more)
    assert first.exists()
    assert not list(log_of(gallery).glob("*.torn"))


def test_a_torn_checkpoint_of_the_last_entry_is_set_aside(gallery, archive):
    from deltalake import DeltaTable

    DeltaTable(str(gallery.table)).create_checkpoint()
    (checkpoint,) = log_of(gallery).glob("*.checkpoint*.parquet")
    cut(checkpoint, 0.5)
    assert "its checkpoint cannot be read" in set_aside_torn_entry(gallery)
    index_archive(gallery.home, archive)
    assert_whole(gallery, 3)


def test_a_table_that_ends_before_what_is_published_is_an_error(gallery, archive, tmp_path):
    """Half a backup put back: the next commit would get the number of a version that is there already."""
    index_archive(gallery.home, archive)
    shutil.copytree(gallery.table, tmp_path / "older")
    more = tmp_path / "more"
    more.mkdir()
    (more / "x.jpg").write_bytes(b"no photo")
    index_archive(gallery.home, more)
    shutil.rmtree(gallery.table)
    shutil.copytree(tmp_path / "older", gallery.table)
    with pytest.raises(GalleryError, match=r"version 1 .* is published, but its table ends at version 0; restore"):
        index_archive(gallery.home, more)


def test_all_is_on_the_disk_before_the_file_that_makes_the_version_exist(archive, tmp_path, monkeypatch):
    """The real calls, written down: a file counts as safe once it, as it is in the end, was fsynced."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle):
        fsync(handle)
        calls.append(("fsync", os.readlink(f"/proc/self/fd/{handle}"), os.fstat(handle).st_mtime_ns))

    def noted_replace(source, target):
        replace(source, target)
        calls.append(("replace", str(target), 0))

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    gallery = Gallery(tmp_path.resolve() / "home", "county")
    index_archive(gallery.home, archive)
    version = gallery.version().folder
    replaced = [path for kind, path, _ in calls if kind == "replace"]
    (published,) = (place for place, call in enumerate(calls) if call[:2] == ("replace", str(version / "index.json")))
    safe = {path: modified for kind, path, modified in calls[:published] if kind == "fsync"}
    files = [*gallery.table.rglob("*"), *(one for one in version.iterdir() if one.name != "index.json")]
    assert {one.name for one in files} >= {"_delta_log", f"{0:020}.json", "faces.faiss", "labels.arrow"}
    for path in files:
        assert safe.get(str(path)) == path.stat().st_mtime_ns, f"{path} was not on the disk"
    for folder in (gallery.table, version, gallery.folder, gallery.home / "galleries", gallery.home):
        assert str(folder) in safe, f"{folder}'s names were not on the disk"
    after = [path for kind, path, _ in calls[published:] if kind == "fsync"]
    assert after.index(str(version)) < after.index(str(gallery.index))
    accounted = [place for place, path in enumerate(replaced) if Path(path).parent == gallery.accounts]
    assert len(accounted) == 2
    assert min(accounted) > replaced.index(str(version / "index.json"))
