"""`afterfact index` of an archive in a store: the gallery of the same photos in a folder, and leads with pictures."""

from __future__ import annotations

import shutil
import zipfile

import pytest
from conftest import done, run_afterfact
from indexing import index_archive, rows_anywhere, rows_of, search_files
from object_stores import BUSY, EXPIRED, Proxy, refusal, upload

from foundation.object_store import open_store
from indexer.gallery import Gallery
from pipelines.running import PipelineError

DENIED = 403, refusal("AccessDenied", "Access Denied")


@pytest.fixture
def folder(clean_photos, tmp_path):
    """Two photos of three people, one of them twice, a file that is broken and one that is no photo."""
    folder = tmp_path / "photos"
    for person in sorted(clean_photos.glob("S*"))[:3]:
        (folder / person.name).mkdir(parents=True)
        for path in sorted(person.glob("*.jpg"))[:2]:
            shutil.copy(path, folder / person.name)
    shutil.copy(folder / "S0001" / "S0001-1.jpg", folder / "S0003" / "twice #2.jpg")
    (folder / "S0003" / "broken.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_bytes(b"no photo")
    return folder


@pytest.fixture
def archive(s3, folder):
    """The same in a bucket."""
    return upload(folder, f"{s3.new_bucket()}/county/photos")


def test_a_bucket_and_a_zip_in_it_make_the_gallery_of_the_folder(folder, archive, tmp_path):
    with zipfile.ZipFile(tmp_path / "county.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for one in sorted(path for path in folder.rglob("*") if path.is_file()):
            target.write(one, str(one.relative_to(folder)))
    bucket = archive.rpartition("/")[0]
    open_store(bucket).write("county.zip", (tmp_path / "county.zip").read_bytes())
    galleries = []
    for number, place in enumerate([folder, archive, f"{bucket}/county.zip"]):
        counts = index_archive(tmp_path / str(number), place, folder_subjects=True).accounting
        assert (counts.enrolled, counts.duplicates, counts.rejected) == (6, 1, {"UNREADABLE_IMAGE": 1})
        assert index_archive(tmp_path / str(number), place, folder_subjects=True).version is None
        assert index_archive(tmp_path / str(number), place, folder_subjects=True, rehash=True).accounting.held == 8
        galleries.append(Gallery(tmp_path / str(number), "county"))
    assert rows_anywhere(galleries[1]) == rows_anywhere(galleries[2]) == rows_anywhere(galleries[0])
    assert search_files(galleries[1])[0] == search_files(galleries[2])[0] == search_files(galleries[0])[0]
    assert rows_of(galleries[1])["S0003/twice #2.jpg"]["location"] == f"{archive}/S0003/twice%20%232.jpg"


def test_a_second_run_asks_for_the_listing_and_no_photo(archive, s3, tmp_path, monkeypatch):
    index_archive(tmp_path / "home", archive)
    proxy = Proxy(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.environment(proxy.port)["AWS_ENDPOINT_URL"])
    assert index_archive(tmp_path / "home", archive).accounting.held == 8
    assert len(proxy.asked) == 1
    store = open_store(archive)
    store.write("S0002/S0002-1.jpg", store.read("S0002/S0002-2.jpg"))
    assert index_archive(tmp_path / "home", archive).accounting.held == 7
    proxy.close()


def test_a_photo_that_vanished_or_is_refused_is_told_and_tried_again(archive, proxy, tmp_path):
    def meanwhile(asked):
        if "S0001-1.jpg" in asked.path:
            return 404, b""
        return DENIED if "S0002-1.jpg" in asked.path else None

    proxy.answer = meanwhile
    told = index_archive(tmp_path / "home", archive).accounting
    assert told.rejected == {"MISSING_FILE": 1, "UNREADABLE_FILE": 1, "UNREADABLE_IMAGE": 1}
    proxy.answer = lambda _asked: None
    assert index_archive(tmp_path / "home", archive).accounting.rejected == {}
    assert index_archive(tmp_path / "home", archive).version is None


@pytest.mark.parametrize(
    ("answer", "says"), [(EXPIRED, "the store refuses .*Expired"), (BUSY, "the store does not answer")]
)
def test_a_store_that_fails_half_way_costs_no_photo(archive, proxy, tmp_path, monkeypatch, answer, says):
    monkeypatch.setattr("foundation.object_store.ATTEMPTS", 2)
    failing = {"on": False}

    def fails(asked):
        failing["on"] |= "S0003-1" in asked.path
        return answer if failing["on"] else None

    proxy.answer = fails
    with pytest.raises(PipelineError, match=says) as raised:
        index_archive(tmp_path / "home", archive, segment_photos=2)
    assert "the same command" in str(raised.value)
    assert "\n" not in str(raised.value)
    proxy.answer = lambda _asked: None
    resumed = index_archive(tmp_path / "home", archive, segment_photos=2)
    assert resumed.resumed
    assert (resumed.accounting.enrolled, resumed.accounting.rejected) == (6, {"UNREADABLE_IMAGE": 1})


def test_from_a_bucket_to_a_lead_sheet_with_pictures(home, folder, archive, drawn, tmp_path):
    asked = ("--gallery", "county", "--archive", archive, "--folder-subjects")
    dry = done(home.run("index", *asked, "--dry-run", "--json", credential=home.operator)).json()
    assert (dry["planned"], dry["to_look_at"], dry["other_files_left_out"]) == (8, 8, {".txt": 1})
    assert dry["bytes"] == sum(one.stat().st_size for one in folder.rglob("*.jpg"))
    out = done(home.run("index", *asked, credential=home.operator)).out
    [printed] = [line for line in out.splitlines() if line.startswith("To look at the rejected once more:")]
    assert f"--root {archive}" in printed
    again = printed.partition(": ")[2].split()
    assert done(run_afterfact(*again[1:], "--json", credential=home.operator)).json()["accounting"]["planned"] == 1
    probe = drawn.list_path.parent / "probes" / "S0001.jpg"
    asked = ("--gallery", "county", "--case", "1", "--purpose", "robbery", "--report")
    found = done(home.run("search", probe, *asked, tmp_path / "lead.html", "--json", credential=home.sheriff)).json()
    [lead] = found if isinstance(found, list) else [found]
    assert lead["candidates"][0]["subject"] == "S0001"
    page = (tmp_path / "lead.html").read_text()
    assert page.count("data:image/jpeg") == 1 + 2 * len(lead["candidates"])  # the probe once more beside each
    assert "photo not available" not in page
    open_store(archive).delete(lead["candidates"][0]["photo"])
    done(home.run("search", probe, *asked, tmp_path / "later.html", credential=home.sheriff))
    assert (tmp_path / "later.html").read_text().count(": photo not available") == 1


def test_what_is_wrong_is_told_in_one_line(home, s3):
    bucket = s3.new_bucket()
    for archive, says in (
        (f"{bucket}/none", "holds no photo (nothing at all)"),
        ("az://photos/2026", "of stores s3:// and gs:// are known and az:// is not"),
    ):
        ended = home.run("index", "--gallery", "county", "--archive", archive, "--quiet", credential=home.operator)
        assert ended.code in (1, 2)
        assert says in ended.err
        assert len(ended.err.strip().splitlines()) == 1
