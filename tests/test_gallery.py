"""A gallery's folders, versions and sealed files."""

import json
import multiprocessing

import filelock
import pytest

from access.homes import make_home
from foundation.errors import InputError
from indexer.gallery import INDEX_FORMAT, Gallery, GalleryError, gallery_names, read_sealed, write_sealed


def test_sealed_files_are_read_back_whatever_they_hold(tmp_path):
    content = {"é": "😀 \u2028", "b": [1, None, True, 0.1], "a": {"z": "", "y": -0.0}}
    sealed = write_sealed(tmp_path / "x.json", content)
    assert read_sealed(tmp_path / "x.json") == sealed
    assert len(sealed["seal"]) == 64


def test_every_byte_of_a_sealed_file_counts(tmp_path):
    path = tmp_path / "x.json"
    write_sealed(path, {"run": "R-1", "version": 7, "seconds": 1.5, "rejected": {"NO_FACE": 2}})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with pytest.raises(GalleryError, match=r"x\.json .*restore it from a backup"):
            read_sealed(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"7", b"null", b'{"seal": "x"}', b"\xff", b'{"seal"'])
def test_what_is_no_sealed_file_is_told(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(GalleryError, match="restore it from a backup"):
        read_sealed(tmp_path / "x.json")
    with pytest.raises(GalleryError, match=r"cannot be read \(FileNotFoundError\)"):
        read_sealed(tmp_path / "none.json")


def test_a_gallery_that_is_not_there_is_told_with_the_nearest(tmp_path):
    with pytest.raises(GalleryError, match=r"no gallery 'county' .*none yet; afterfact index makes one"):
        Gallery(tmp_path, "county").require()
    Gallery(tmp_path, "county").make_folders()
    with pytest.raises(GalleryError, match=r"no gallery 'conty' .*; did you mean 'county'\? \(galleries: county\)"):
        Gallery(tmp_path, "conty").require()
    assert gallery_names(tmp_path) == ["county"]
    assert gallery_names(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", ".a", "-a", "a" * 64, "é", "a\n"])
def test_names_that_are_no_folders_everywhere_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"gallery name .* is not allowed"):
        Gallery(tmp_path, name)


@pytest.mark.parametrize(
    "name",
    ["a#b", "a?b", "a[b", "a]b", "a^b", "a|b", "a\\b", "a\tb", "p%20q", b"\xff".decode("utf-8", "surrogateescape")],
)
def test_a_data_home_where_no_table_can_lie_is_refused_before_anything_is_made(tmp_path, name):
    for home in (tmp_path / name, tmp_path / name / "below"):
        with pytest.raises(InputError, match=r"in its path; a Delta table lies in no path with .* give another --home"):
            make_home(home, "A. Clerk")
        with pytest.raises(InputError, match="give another --home"):
            Gallery(home, "county")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / name)
    with pytest.raises(InputError, match="give another --home"):
        Gallery(tmp_path / "link", "county")


def test_a_version_exists_once_its_index_json_does(tmp_path):
    gallery = Gallery(tmp_path, "county")
    gallery.make_folders()
    with pytest.raises(GalleryError, match="has no published version yet; run afterfact index"):
        gallery.version()
    for name in ("2", "10", "11", "x", ".5"):
        (gallery.index / name).mkdir()
    about = {"format": INDEX_FORMAT, "gallery": "county", "model": {"digest": "d"}}
    for number in (2, 10):
        write_sealed(gallery.index / str(number) / "index.json", {**about, "version": number})
    assert gallery.version_numbers() == [2, 10]
    assert gallery.version().number == 10
    assert gallery.version(2).model_digest == "d"
    with pytest.raises(GalleryError, match=r"has no version 3; it has \[2, 10\]"):
        gallery.version(3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": INDEX_FORMAT - 1}, "index the archive into a new gallery"),
        ({"version": 3}, "expected 2, 'county': restore it"),
        ({"gallery": "other"}, "expected 2, 'county': restore it"),
    ],
)
def test_an_index_of_another_place_or_format_is_refused(tmp_path, change, says):
    gallery = Gallery(tmp_path, "county")
    (gallery.index / "2").mkdir(parents=True)
    about = {"format": INDEX_FORMAT, "gallery": "county", "version": 2, "model": {"digest": "d"}}
    write_sealed(gallery.index / "2" / "index.json", {**about, **change})
    with pytest.raises(GalleryError, match=says):
        gallery.version()


def _hold(home, ready, done):
    with Gallery(home, "county").publisher_lock():
        ready.set()
        done.wait(60)


def test_one_publisher_at_a_time_and_none_waits_for_ever(tmp_path):
    gallery = Gallery(tmp_path, "county")
    gallery.make_folders()
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(filelock.Timeout), gallery.publisher_lock():
        pass
    holder.kill()  # the system, not the holder, gives the lock back
    holder.join()
    with gallery.publisher_lock():
        pass


def test_sealed_files_are_plain_json(tmp_path):
    write_sealed(tmp_path / "x.json", {"faces": 3})
    assert json.loads((tmp_path / "x.json").read_text())["faces"] == 3
