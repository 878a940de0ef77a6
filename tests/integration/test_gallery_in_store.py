"""A gallery in an object store: index, search, rollback and the rest by the real commands, and what goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest
from conftest import done, make_home, run_afterfact
from indexing import index_archive, rows_of
from killing import HANG_SECONDS, start_index
from object_stores import BUSY, EXPIRED, Proxy

from evaluation.calibrate_groups import groups_by, set_groups
from foundation.gallery_place import ADDRESS, galleries_of
from foundation.object_store import open_store
from indexer.accounting import AccountingError
from indexer.calibration_groups import read_groups
from indexer.gallery import FACES, Gallery, GalleryError
from indexer.gallery_cache import present_files
from indexer.publish import publish_run, settle_run
from indexer.run import unfinished_runs
from indexer.verify import verify_gallery
from pipelines import bulk_index
from search.faces import GalleryFaces


def stored_home(folder: Path, location: str) -> Path:
    """Makes a data home without people, whose galleries lie in a store."""
    folder.mkdir(mode=0o700)
    (folder / ADDRESS).write_text(f"{location}\n")
    return folder


def cached(gallery: Gallery) -> set[str]:
    return {one.name for one in gallery.cache.iterdir() if len(one.name) == 64}


@pytest.fixture
def bucket(s3):
    return s3.new_bucket()


@pytest.fixture(scope="module")
def indexed(s3_server, drawn, tmp_path_factory):
    """A data home with people, its gallery `county` in a store: the drawn archive, by the real command."""
    environment = s3_server.environment()
    location = f"{s3_server.new_bucket()}/afterfact/galleries"
    home = make_home(tmp_path_factory.mktemp("stored"), "--galleries", location, **environment)
    index = ("index", "--gallery", "county", "--archive", drawn.list_path, "--segment-photos", 8)
    done(home.run(*index, credential=home.operator, **environment))
    return home, location, environment


def test_index_search_rollback_verify_by_the_real_commands(s3, indexed, drawn, clean_photos):
    home, location, environment = indexed
    gallery, store = Gallery(home.path, "county"), open_store(location)
    probe = sorted(clean_photos.rglob("*.jpg"))[0]

    def ask(*arguments, credential=home.operator):
        return done(home.run(*arguments, "--json", credential=credential, **environment)).json()

    assert not (home.path / "galleries").exists()
    kept = [one.name for one in store.list("county")]
    assert {name.split("/")[1] for name in kept} == {"table", "index", "accounts"}  # no run is left
    (first,) = ask("gallery", "list")
    assert first["faces"] > 20
    search = ("search", probe, "--gallery", "county", "--case", "1", "--purpose", "robbery")
    (lead,) = ask(*search, credential=home.sheriff)
    assert float(lead["candidates"][0]["distance"]) < 0.3
    assert (home.path / "cache").stat().st_mode & 0o777 == 0o700
    there = cached(gallery)
    assert there == {one["digest"] for one in gallery_files(gallery)}
    version = gallery.version()
    set_groups(version, groups_by(gallery, version, present_files(gallery, version), "disposition"))
    second = ask("gallery", "requalify", "county", "--limit", "min_sharpness=90")
    assert second["version"] > first["version"]
    (carried,) = read_groups(gallery.version()).groupings
    assert len(carried["codes"]) == gallery.version().about["faces"] < first["faces"]
    ask(*search, credential=home.sheriff)
    assert not there & cached(gallery), "what was fetched of a version that is no more the present one is dropped"
    third = ask("gallery", "rollback", "county", first["version"], "--reason", "too sharp")
    assert third["faces"] == first["faces"]
    assert len(read_groups(gallery.version()).groupings[0]["codes"]) == first["faces"]
    assert ask(*search, credential=home.sheriff)[0]["candidates"][0] == lead["candidates"][0]
    assert len(ask("gallery", "versions", "county")) == 3
    checked = ask("gallery", "verify", "county")
    assert checked["problems"] == [] and checked["checked"] > 10
    again = ask("index", "--gallery", "county", "--archive", drawn.list_path, "--segment-photos", 8)
    assert again["version"] is None and again["accounting"]["held"] > 30


def gallery_files(gallery):
    return gallery.version().about["files"].values()


def test_the_gallery_in_a_store_is_the_one_on_disk(s3, indexed, drawn, tmp_path):
    home, _, _ = indexed
    local = index_archive(tmp_path / "home", drawn.list_path)
    theirs, ours = rows_of(Gallery(tmp_path / "home", "county")), rows_of(Gallery(home.path, "county"), 0)
    for photo, row in theirs.items():
        assert {**ours[photo], "run": "", "row": ""} == {**row, "run": "", "row": ""}
    assert len(ours) == len(theirs)
    assert local.version.about["faces"] == Gallery(home.path, "county").version(0).about["faces"]


def test_a_home_over_a_bucket_that_is_absent_or_closed_is_not_made(s3, proxy, tmp_path):
    def init(location):
        return run_afterfact("--home", tmp_path / "home", "init", "--operator", "A", "--galleries", location)

    absent = init("s3://no-such-bucket/galleries")
    assert absent.code == 1 and "there is no bucket 'no-such-bucket'" in absent.err
    proxy.answer = lambda _asked: EXPIRED
    closed = init(s3.new_bucket())
    assert closed.code == 1 and "AWS_SESSION_TOKEN" in closed.err and closed.err.count("\n") == 1
    assert init("ftp://bucket").code == 2 and init("s3://bucket/a b").code == 2
    assert not (tmp_path / "home").exists()


def test_of_two_homes_over_one_store_the_commit_decides(bucket, drawn, clean_photos, tmp_path):
    first, second = (stored_home(tmp_path / name, bucket) for name in ("one", "two"))
    index_archive(first, clean_photos)
    begun = unpublished(second, drawn.list_path)
    gallery = Gallery(second, "county")
    settled = settle_run(gallery, begun, lambda _digests: set())
    other = index_archive(first, clean_photos, folder_subjects=True)  # another job publishes in between
    assert other.version is not None
    with pytest.raises(GalleryError, match=r"published by another run at the same moment .*run the same command again"):
        publish_run(gallery, begun, settled, {})
    assert gallery.version().number == other.version.number
    finished = index_archive(second, drawn.list_path)
    assert finished.resumed and finished.looked_at_now == 0
    assert finished.version.number > other.version.number
    rows_of(gallery)  # no location twice
    assert not [one for one in verify_gallery(gallery) if one.problem]


def unpublished(home, archive):
    """Returns a run whose segments are all done, killed before it was settled."""

    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_index, "settle_run", stop)
        with pytest.raises(Stopped):
            index_archive(home, archive)
    (run,) = unfinished_runs(Gallery(home, "county"))
    return run


def test_of_two_publishing_processes_the_second_to_commit_ends_cleanly(s3, bucket, clean_photos, drawn, tmp_path):
    late, first = make_home(tmp_path, "--galleries", bucket), stored_home(tmp_path / "two", bucket)
    begun = unpublished(first, clean_photos)
    settled = settle_run(Gallery(first, "county"), begun, lambda _digests: set())
    committing, go_on = threading.Event(), threading.Event()

    def hold_the_commit(asked):
        if asked.method == "PUT" and "/county/table/_delta_log/" in asked.path:
            committing.set()
            assert go_on.wait(HANG_SECONDS)

    before = Proxy(s3.port)
    before.answer = hold_the_commit
    process = start_index(late, drawn.list_path, **s3.environment(before.port))
    try:
        assert committing.wait(HANG_SECONDS), process.communicate()
        published = publish_run(Gallery(first, "county"), begun, settled, {})
    finally:
        go_on.set()
    said = process.communicate(timeout=HANG_SECONDS)[1]
    before.close()
    assert published.number == 0
    assert process.returncode == 1 and "was published by another run at the same moment" in said.splitlines()[-1]
    again = ("index", "--gallery", "county", "--archive", drawn.list_path, "--segment-photos", 4, "--json")
    finished = done(late.run(*again, credential=late.operator)).json()
    assert finished["resumed"] and finished["version"] == 1
    assert rows_of(Gallery(first, "county"))


def test_the_first_commit_of_two_homes_is_decided_too(bucket, drawn, clean_photos, tmp_path):
    first, second = (stored_home(tmp_path / name, bucket) for name in ("one", "two"))
    begun = unpublished(second, drawn.list_path)
    gallery = Gallery(second, "county")
    settled = settle_run(gallery, begun, lambda _digests: set())
    index_archive(first, clean_photos)
    with pytest.raises(GalleryError, match="published by another run at the same moment"):
        publish_run(gallery, begun, settled, {})
    assert index_archive(second, drawn.list_path).version.number == 1
    rows_of(gallery)


def test_a_damaged_segment_is_made_again_by_the_same_command(bucket, clean_photos, tmp_path):
    home = stored_home(tmp_path / "home", bucket)
    run = unpublished(home, clean_photos)
    (target, *_) = [one for one in run.segments_folder.iterdir() if one.name.endswith(".parquet")]
    target.write_bytes(target.read_bytes()[:-100])
    with pytest.raises(AccountingError, match=r"was damaged since it was written.*run the same command again"):
        index_archive(home, clean_photos)
    assert index_archive(home, clean_photos).version.number == 0


def test_search_files_cut_short_or_changed_are_not_opened(bucket, clean_photos, tmp_path):
    home = stored_home(tmp_path / "home", bucket)
    version = index_archive(home, clean_photos).version
    gallery = Gallery(home, "county")
    faces = version.folder / FACES
    whole = faces.read_bytes()
    for broken in (whole[:-512], whole[:-1] + b"\x01"):
        faces.write_bytes(broken)
        with pytest.raises(GalleryError, match=r"faces.faiss is not as it was written .* afterfact gallery verify"):
            GalleryFaces(gallery)
        assert version.about["files"][FACES]["digest"] not in cached(gallery)
        assert any(FACES in one.checked for one in verify_gallery(gallery) if one.problem)
    faces.write_bytes(whole)
    assert len(GalleryFaces(gallery)) == version.about["faces"]
    (version.folder / "index.json").unlink()  # the version is gone
    with pytest.raises(GalleryError, match="no published version"):
        GalleryFaces(gallery)
    assert cached(gallery) == set()


def test_a_search_whose_files_are_there_fetches_nothing(s3, indexed, proxy):
    gallery = Gallery(indexed[0].path, "county")
    GalleryFaces(gallery)
    proxy.asked.clear()
    GalleryFaces(gallery)
    assert not [one for one in proxy.asked if FACES in one.path or "labels" in one.path]
    assert len(proxy.asked) < 10
    files = present_files(gallery, gallery.version())
    assert all(path.stat().st_mode & 0o077 == 0 for path in files.values())


def test_a_storm_is_waited_out(s3, indexed, proxy, clean_photos):
    home, _, _ = indexed
    refused = set()

    def busy_at_first(asked):
        """Every fourth thing is refused when it is asked for the first time."""
        if asked in refused or zlib.crc32(repr(asked).encode()) % 4:
            return None
        refused.add(asked)
        return BUSY

    proxy.answer = busy_at_first
    index = ("index", "--gallery", "stormy", "--archive", clean_photos, "--json")
    assert done(home.run(*index, credential=home.operator)).json()["version"] == 0
    assert {one.method for one in refused} >= {"GET", "PUT"}


def test_killed_hard_while_it_works_the_same_command_finishes(s3, drawn, tmp_path):
    home = make_home(tmp_path, "--galleries", f"{s3.new_bucket()}/g")
    command = ("index", "--gallery", "county", "--archive", drawn.list_path, "--segment-photos", 2, "--workers", 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "afterfact", "--home", str(home.path), *map(str, command)],
        env={**os.environ, "AFTERFACT_CREDENTIAL": home.operator.read_text().strip()},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    gallery = Gallery(home.path, "county")
    deadline = time.monotonic() + 120
    while not any(gallery.runs.glob("*/segments/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert gallery.version_numbers() == []
    finished = done(home.run(*command, "--json", credential=home.operator)).json()
    assert finished["resumed"] and finished["version"] == 0


def test_where_galleries_lie_is_read_from_the_home(tmp_path):
    assert galleries_of(tmp_path) == tmp_path / "galleries"
    home = stored_home(tmp_path / "home", "s3://bucket/prefix")
    assert str(Gallery(home, "county").table) == "s3://bucket/prefix/county/table"
