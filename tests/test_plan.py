"""What needs looking at is told from sizes and times, and from what became of a photo's original."""

import os
import shutil

import pytest
from indexing import index_archive, rows_of

from indexer.gallery import Gallery
from indexer.job import IndexJob
from indexer.listing import list_archive
from indexer.plan import make_plan
from indexer.table import open_table


@pytest.fixture
def archive(clean_photos, tmp_path):
    """A folder of three photos of three people, the third one also under another name."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for name, source in zip("abc", sorted(clean_photos.glob("S*"))[:3], strict=True):
        shutil.copy(sorted(source.glob("*.jpg"))[0], folder / f"{name}.jpg")
    shutil.copy(folder / "c.jpg", folder / "d.jpg")
    return folder


@pytest.fixture
def indexed(archive, tmp_path):
    index_archive(tmp_path / "home", archive)
    return Gallery(tmp_path / "home", "county")


def plan(indexed, archive, **how):
    listing = list_archive(IndexJob(gallery="county", archive=archive))
    made = make_plan(listing.photos, open_table(indexed), **how)
    return made.work["photo"].to_pylist(), made.updates["photo"].to_pylist(), made.held


def replace_file(path, content):
    """Gives a file other content and, as any camera would, another time."""
    path.write_bytes(content)
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


def test_a_new_gallery_holds_nothing(archive):
    listing = list_archive(IndexJob(gallery="county", archive=archive))
    made = make_plan(listing.photos, None)
    assert (made.work.num_rows, made.updates.num_rows, made.held) == (4, 0, 0)
    assert made.bytes == sum(path.stat().st_size for path in archive.iterdir())


def test_unchanged_photos_are_held_without_being_read(indexed, archive):
    for path in archive.iterdir():  # same size, same time, other bytes: only reading would tell
        about = path.stat()
        path.write_bytes(b"x" * about.st_size)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert plan(indexed, archive) == ([], [], 4)
    assert plan(indexed, archive, rehash=True)[0] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_rehash_tells_unchanged_bytes_too(indexed, archive):
    assert plan(indexed, archive, rehash=True) == ([], [], 4)


def test_a_touched_a_new_and_a_missing_photo_are_looked_at(indexed, archive):
    os.utime(archive / "a.jpg", ns=(1, 1))
    shutil.copy(archive / "b.jpg", archive / "e.jpg")
    assert plan(indexed, archive) == (["a.jpg", "e.jpg"], [], 3)


def test_where_an_original_changes_its_duplicate_is_looked_at_again(indexed, archive, tmp_path):
    assert rows_of(indexed)["d.jpg"]["duplicate_of"] == rows_of(indexed)["c.jpg"]["location"]
    replace_file(archive / "c.jpg", (archive / "a.jpg").read_bytes() + b"other")
    assert plan(indexed, archive)[0] == ["c.jpg", "d.jpg"]
    index_archive(tmp_path / "home", archive)
    rows = rows_of(indexed)
    assert {name: rows[name]["outcome"] for name in rows} == {f"{name}.jpg": "ENROLLED" for name in "abcd"}
    assert plan(indexed, archive) == ([], [], 4)


def test_an_original_that_another_job_replaced_leaves_no_face_unfindable(archive, tmp_path):
    """The duplicate's own job must notice, though the original is in no list of its own."""
    other = tmp_path / "other"
    other.mkdir()
    (archive / "d.jpg").rename(other / "d.jpg")
    index_archive(tmp_path / "home", archive)
    index_archive(tmp_path / "home", other)
    gallery = Gallery(tmp_path / "home", "county")
    assert rows_of(gallery)["d.jpg"]["outcome"] == "DUPLICATE"
    replace_file(archive / "c.jpg", b"no photo any more")
    index_archive(tmp_path / "home", archive)
    index_archive(tmp_path / "home", other)
    assert rows_of(gallery)["c.jpg"]["outcome"] == "UNREADABLE_IMAGE"
    assert rows_of(gallery)["d.jpg"]["outcome"] == "ENROLLED"


def test_an_original_that_is_missing_for_a_while_stays_the_original(indexed, archive, tmp_path):
    """Nobody may come twice into a list of candidates because a disk was away for a night."""
    away = tmp_path / "c.jpg"
    (archive / "c.jpg").rename(away)
    listed = tmp_path / "list.csv"
    listed.write_text("photo\n" + "".join(f"{archive}/{name}.jpg\n" for name in "abcd"))
    os.utime(archive / "d.jpg", ns=(1, 1))  # so that the duplicate is looked at again just now
    indexed_again = index_archive(tmp_path / "home", listed, root=archive)
    assert indexed_again.accounting.rejected == {"MISSING_FILE": 1}
    rows = {row["location"].rsplit("/", 1)[1]: row for row in rows_of(indexed).values()}
    assert rows["c.jpg"]["outcome"] == "ENROLLED"
    assert rows["d.jpg"]["outcome"] == "DUPLICATE"
    again = index_archive(tmp_path / "home", listed, root=archive)
    assert again.version is None  # a missing original makes no work every night


def test_rejected_photos_are_looked_at_again_only_when_asked(archive, tmp_path):
    (archive / "b.jpg").write_bytes(b"no photo")
    index_archive(tmp_path / "home", archive)
    gallery = Gallery(tmp_path / "home", "county")
    assert plan(gallery, archive)[0] == []
    assert plan(gallery, archive, retry_rejected=True)[0] == ["b.jpg"]  # and no duplicate


def test_changed_columns_are_updates(indexed, archive):
    listing = list_archive(IndexJob(gallery="county", archive=archive, folder_subjects=True))
    photos = listing.photos.to_pylist()
    photos[1]["subject"] = "S0009"
    made = make_plan(listing.photos.from_pylist(photos, schema=listing.photos.schema), open_table(indexed))
    assert (made.work.num_rows, made.updates["photo"].to_pylist(), made.held) == (0, ["b.jpg"], 3)


def test_what_an_earlier_root_shut_out_is_looked_at_once_it_lies_in_the_root(archive, tmp_path):
    """Else a wrong root, once mended, leaves a gallery without a face and a job that calls it done."""
    (archive / "d.jpg").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (archive / "link.jpg").symlink_to(shutil.copy(archive / "a.jpg", elsewhere / "out.jpg"))
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists" / "list.csv"
    names = ["a.jpg", "b.jpg", "c.jpg", "link.jpg"]
    listed.write_text("photo\n" + "".join(f"{archive}/{name}\n" for name in names))
    assert index_archive(tmp_path / "home", listed).accounting.rejected == {"OUTSIDE_ARCHIVE": 4}
    assert index_archive(tmp_path / "home", listed).version is None  # the same job again finds nothing new
    mended = index_archive(tmp_path / "home", listed, root=archive)
    assert (mended.accounting.enrolled, mended.accounting.updated) == (3, 1)
    rows = rows_of(Gallery(tmp_path / "home", "county"))
    assert {name: rows[name]["outcome"] for name in rows} == {
        **dict.fromkeys(names[:3], "ENROLLED"),
        "link.jpg": "OUTSIDE_ARCHIVE",  # it leads out of this root too
    }
    assert index_archive(tmp_path / "home", listed, root=archive).version is None
    assert index_archive(tmp_path / "home", listed, root=tmp_path).accounting.duplicates == 1
