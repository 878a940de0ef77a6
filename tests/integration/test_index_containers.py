"""`afterfact index` of zip and tar files: the gallery of the same photos in a folder, and leads with pictures."""

import shlex
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import done, run_afterfact
from indexing import index_archive, rows_of, search_files

from indexer.estimate import estimate_work
from indexer.extractor import FaceExtractor
from indexer.gallery import Gallery
from indexer.job import IndexJob
from indexer.limits import Limits
from indexer.locations import location_of, photo_at
from indexer.run import plan_job
from indexer.verify import verify_gallery

CRASHING = str(Path(__file__).parent.parent / "crashing")


@pytest.fixture
def folder(clean_photos, tmp_path):
    """Two photos of three people, one of them twice, a file that is broken and one that is no photo."""
    folder = tmp_path / "photos"
    for person in sorted(clean_photos.glob("S*"))[:3]:
        (folder / person.name).mkdir(parents=True)
        for path in sorted(person.glob("*.jpg"))[:2]:
            shutil.copy(path, folder / person.name)
    shutil.copy(folder / "S0001" / "S0001-1.jpg", folder / "S0003" / "twice.jpg")
    (folder / "S0003" / "broken.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_bytes(b"no photo")
    return folder


def pack(folder, path, method=zipfile.ZIP_DEFLATED, turned=False):
    """Packs a folder's files, in its walk's order or turned around, into a zip or tar file."""
    files = sorted((one for one in folder.rglob("*") if one.is_file()), reverse=turned)
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as target:
            for one in files:
                target.add(one, str(one.relative_to(folder)))
    else:
        with zipfile.ZipFile(path, "w", method) as target:
            for one in files:
                target.write(one, str(one.relative_to(folder)))
    return path


def told_of(gallery):
    """Returns a gallery's rows by photo, without what differs from run to run and from archive to archive."""
    own = ("location", "place", "modified", "row", "run", "duplicate_of")
    return {name: {key: row[key] for key in row if key not in own} for name, row in rows_of(gallery).items()}


def test_folder_zip_and_tar_make_the_same_gallery(folder, tmp_path):
    archives = [
        folder,
        pack(folder, tmp_path / "stored.zip", zipfile.ZIP_STORED),
        pack(folder, tmp_path / "deflated.zip"),
        pack(folder, tmp_path / "photos.tar"),
    ]
    galleries = []
    for number, archive in enumerate(archives):
        indexed = index_archive(tmp_path / str(number), archive, folder_subjects=True)
        counts = indexed.accounting
        assert (counts.enrolled, counts.duplicates, counts.rejected) == (6, 1, {"UNREADABLE_IMAGE": 1})
        assert index_archive(tmp_path / str(number), archive, folder_subjects=True).version is None
        galleries.append(Gallery(tmp_path / str(number), "county"))
        assert [finding for finding in verify_gallery(galleries[-1]) if finding.problem] == []
    first = told_of(galleries[0])
    assert {row["subject"] for row in first.values()} == {"S0001", "S0002", "S0003"}
    for gallery in galleries[1:]:
        assert told_of(gallery) == first
        assert search_files(gallery)[0] == search_files(galleries[0])[0]


def test_an_archive_packed_anew_keeps_its_rows_and_is_looked_at_again(folder, tmp_path):
    archive, gallery = pack(folder, tmp_path / "a.zip"), Gallery(tmp_path / "home", "county")
    index_archive(gallery.home, archive)
    before = rows_of(gallery)
    pack(folder, archive, turned=True)
    again = index_archive(gallery.home, archive)
    assert (again.accounting.held, again.accounting.planned) == (0, 8)
    after = rows_of(gallery)
    assert {name: row["location"] for name, row in after.items()} == {
        name: row["location"] for name, row in before.items()
    }
    assert {row["place"] for row in after.values()}.isdisjoint(row["place"] for row in before.values())
    with FaceExtractor(None, Limits()) as extractor:
        for row in search_files(gallery)[1].to_pylist():
            box = tuple(row[f"box_{side}"] for side in ("left", "top", "right", "bottom"))
            photo = photo_at(row["location"], row["place"])
            assert extractor.crop_face(photo, box, row["photo_digest"]).startswith(b"\xff\xd8")


def test_rehash_reads_the_members(folder, tmp_path):
    archive, gallery = pack(folder, tmp_path / "a.tar"), Gallery(tmp_path / "home", "county")
    index_archive(gallery.home, archive)
    assert index_archive(gallery.home, archive, rehash=True).accounting.held == 8
    photo = (folder / "S0002" / "S0002-1.jpg").read_bytes()
    archive.write_bytes(archive.read_bytes().replace(photo, (b"no photo" + photo)[: len(photo)]))
    assert index_archive(gallery.home, archive).accounting.held == 8
    told = index_archive(gallery.home, archive, rehash=True).accounting
    assert (told.held, told.rejected) == (7, {"UNREADABLE_IMAGE": 1})


def test_a_dry_run_is_measured_on_the_members(folder, tmp_path):
    job = IndexJob(gallery="county", archive=pack(folder, tmp_path / "a.zip"))
    plan, listing = plan_job(Gallery(tmp_path / "home", "county"), job)
    assert listing.left_out == {".txt": 1}
    assert plan.bytes == sum(one.stat().st_size for one in folder.rglob("*.jpg"))
    estimate = estimate_work(plan.work, job.archive_root, job.limits, plan.bytes, workers=1)
    assert estimate.photos == 8
    assert estimate.photos_a_second > 0


def test_a_torn_member_is_told_keeps_its_row_and_is_tried_again(folder, tmp_path):
    archive, gallery = pack(folder, tmp_path / "a.zip", zipfile.ZIP_STORED), Gallery(tmp_path / "home", "county")
    whole, photo = archive.read_bytes(), (folder / "S0002" / "S0002-1.jpg").read_bytes()
    archive.write_bytes(whole.replace(photo, bytes(len(photo))))
    told = index_archive(gallery.home, archive).accounting
    assert (told.enrolled, told.rejected) == (5, {"UNREADABLE_FILE": 1, "UNREADABLE_IMAGE": 1})
    archive.write_bytes(whole)
    assert index_archive(gallery.home, archive).accounting.enrolled == 1
    assert index_archive(gallery.home, archive).version is None


def test_a_member_that_crashes_its_decoder_costs_one_photo(folder, tmp_path, monkeypatch):
    with open(folder / "S0002" / "S0002-1.jpg", "ab") as stream:
        stream.write(b"CRASH")
    archive, gallery = pack(folder, tmp_path / "a.zip"), Gallery(tmp_path / "home", "county")
    monkeypatch.syspath_prepend(CRASHING)
    assert index_archive(gallery.home, archive).accounting.rejected == {"DECODER_CRASH": 1, "UNREADABLE_IMAGE": 1}
    assert rows_of(gallery)["S0002/S0002-1.jpg"]["photo_digest"] is not None


def test_from_a_zip_to_a_lead_sheet_with_pictures(home, folder, drawn, tmp_path):
    archive = pack(folder, tmp_path / "county.zip")
    asked = ("--gallery", "county", "--archive", archive, "--folder-subjects")
    out = done(home.run("index", *asked, credential=home.operator)).out
    [printed] = [line for line in out.splitlines() if line.startswith("To look at the rejected once more:")]
    again = shlex.split(printed.partition(": ")[2])
    told = done(run_afterfact(*again[1:], "--json", credential=home.operator)).json()
    assert told["accounting"]["rejected"] == {"UNREADABLE_IMAGE": 1}
    assert told["accounting"]["held"] == 7
    probe = drawn.list_path.parent / "probes" / "S0001.jpg"
    asked = ("--gallery", "county", "--case", "1", "--purpose", "robbery", "--report", tmp_path / "lead.html")
    found = done(home.run("search", probe, *asked, "--json", credential=home.sheriff)).json()
    [lead] = found if isinstance(found, list) else [found]
    assert lead["candidates"][0]["subject"] == "S0001"
    assert {one["location"] for one in lead["candidates"]} == {
        location_of(str(archive.resolve()), one["photo"]) for one in lead["candidates"]
    }
    page = (tmp_path / "lead.html").read_text()
    assert page.count("data:image/jpeg") == 1 + 2 * len(lead["candidates"])  # the probe once more beside each
    assert "photo not available" not in page
