"""An archive in a store is listed as the same folder would be, from one listing, or it is said why not."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from object_stores import EXPIRED, busy

from foundation.errors import AfterfactError, InputError
from foundation.object_store import open_store
from foundation.store_errors import BucketMissing, StoreRefused, StoreUnavailable
from indexer.containers import ArchiveError
from indexer.job import IndexJob, read_job
from indexer.listing import list_archive
from indexer.locations import photo_at


@pytest.fixture
def bucket(s3):
    return s3.new_bucket()


def put(location, names, content=b"x"):
    store = open_store(location)
    for name in names:
        store.write(name, content)
    return location


def listed(archive, **fields):
    return list_archive(IndexJob(gallery="g", archive=archive, **fields))


def column(listing, name):
    return listing.photos[name].to_pylist()


NAMES = ("S2/b.jpg", "S1/z.PNG", "S1/a/deep.heic", "top.webp", "notes.txt", "S1/.DS_Store", "S1/a b#c%41é.jpg")


def test_a_prefix_is_listed_as_the_same_folder_is(bucket, tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    put(bucket, ["elsewhere.jpg", "photosets/no.jpg"])
    archive = put(f"{bucket}/photos", NAMES, b"12345")
    here, there = listed(tmp_path, folder_subjects=True), listed(f"{archive}/", folder_subjects=True)
    for name in ("photo", "subject", "bytes"):
        assert column(there, name) == column(here, name)
    assert there.left_out == here.left_out == {".txt": 1, "(none)": 1}
    assert [photo_at(one) for one in column(there, "location")] == [
        f"{archive}/{one}" for one in column(there, "photo")
    ]
    assert f"{archive}/S1/a%20b%23c%2541%C3%A9.jpg" in column(there, "location")
    assert min(column(there, "modified")) > 1_600_000_000_000_000_000


def test_listing_is_one_request_and_none_a_photo(s3, proxy, tmp_path):
    archive = put(f"{s3.new_bucket()}/photos", [f"{number}.jpg" for number in range(9)])
    (tmp_path / "list.csv").write_text("photo\n" + "".join(f"{number}.jpg\n" for number in range(9)))
    for asked in ({"archive": archive}, {"archive": tmp_path / "list.csv", "root": archive}):
        proxy.asked.clear()
        assert column(listed(**asked), "bytes") == [1] * 9
        assert ["max-keys=1000" in one.path for one in proxy.asked] == [True]


def test_a_list_here_or_in_the_store_names_photos_from_the_root_on(bucket, tmp_path):
    root = put(f"{bucket}/photos", ["a.jpg", "sub/b.jpg"], b"123")
    put(bucket, ["elsewhere.jpg"])
    text = "photo,subject,agency\na.jpg,A,X\nsub/../a.jpg,B,\n" + f"{root}/sub/b.jpg,B,\nnone.jpg,C,\n"
    text += f"{bucket}/elsewhere.jpg,D,\n../elsewhere.jpg,E,\n"
    (tmp_path / "list.csv").write_text(text)
    open_store(root).write("list.csv", text.encode())
    rows = pa.Table.from_pylist([{"photo": line.split(",")[0], "subject": "P"} for line in text.splitlines()[1:]])
    pq.write_table(rows, tmp_path / "list.parquet")
    open_store(root).write("list.parquet", (tmp_path / "list.parquet").read_bytes())
    for listing in (
        listed(tmp_path / "list.csv", root=root),
        listed(f"{root}/list.csv"),
        listed(tmp_path / "list.parquet", root=f"{root}/"),
        listed(f"{root}/list.parquet"),
    ):
        assert column(listing, "photo") == ["a.jpg", "sub/b.jpg", "none.jpg", f"{bucket}/elsewhere.jpg"]
        assert column(listing, "bytes") == [3, 3, -1, -1]
        assert column(listing, "location")[3] == f"{bucket}/elsewhere.jpg"
        assert [photo for photo, _, _ in listing.repeated] == ["sub/../a.jpg", "../elsewhere.jpg"]
    assert json.loads(column(listed(f"{root}/list.csv"), "further")[0]) == {"agency": "X"}


def test_photos_in_a_store_need_a_root_in_it(bucket, tmp_path):
    (tmp_path / "list.csv").write_text(f"photo\n{bucket}/a.jpg\n")
    with pytest.raises(InputError, match=r"a\.jpg is in a store and the root .* is a folder; give root as s3://"):
        listed(tmp_path / "list.csv")


def test_keys_that_another_object_would_be_read_for_keep_their_own_location(bucket):
    """The client tidies a key like a path, and would read dots.jpg and dbl.jpg in their place."""
    put(bucket, ["p/a.jpg", "p/dots.jpg"])
    import boto3

    for key in ("p/x/../dots.jpg", "p//dbl.jpg"):
        boto3.client("s3").put_object(Bucket=bucket[5:], Key=key, Body=b"another")
    assert sorted(column(listed(f"{bucket}/p"), "location")) == [
        f"{bucket}/p//dbl.jpg",
        f"{bucket}/p/a.jpg",
        f"{bucket}/p/dots.jpg",
        f"{bucket}/p/x/../dots.jpg",
    ]


def test_an_archive_that_is_not_there_is_told_in_one_line(bucket):
    put(bucket, ["papers/notes.txt"])
    for archive, error, says in (
        (f"{bucket}/none", ArchiveError, "none holds no photo (nothing at all); name the prefix"),
        (f"{bucket}/papers", ArchiveError, "papers holds no photo (1 .txt); name the prefix"),
        (f"{bucket}/none.csv", InputError, "none.csv does not exist; name a prefix"),
        (f"{bucket}/none.zip", InputError, "none.zip does not exist; name a prefix"),
        (f"{bucket}/a.tar.gz", InputError, "compressed as a whole"),
        ("s3://no-such-bucket/photos", BucketMissing, "there is no bucket 'no-such-bucket'"),
        ("s3://no-such-bucket/list.csv", BucketMissing, "there is no bucket 'no-such-bucket'"),
        ("s3://no-such-bucket/a.tar", BucketMissing, "there is no bucket 'no-such-bucket'"),
    ):
        with pytest.raises(error) as raised:
            listed(archive)
        assert says in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("archive", ["az://container/photos", "https://host/photos", "file:///photos"])
def test_other_stores_are_refused_by_name(archive):
    with pytest.raises(InputError, match=rf"^archive {archive}: of stores s3:// and gs:// are known and .*:// is not"):
        read_job(None, {"gallery": "g", "archive": archive})


def test_a_job_file_may_name_a_store(tmp_path):
    (tmp_path / "job.yaml").write_text("gallery: county\narchive: photos.csv\nroot: s3://county-photos/2026/\n")
    (tmp_path / "photos.csv").write_text("photo\na.jpg\n")
    job = read_job(tmp_path / "job.yaml", {})
    assert (job.archive, job.archive_root) == (tmp_path / "photos.csv", "s3://county-photos/2026")
    assert read_job(tmp_path / "job.yaml", {"archive": "s3://a/b.csv", "root": "s3://c"}).archive_root == "s3://c"
    with pytest.raises(InputError, match="root s3://county-photos/2026/ goes with a list of photos"):
        read_job(tmp_path / "job.yaml", {"archive": "s3://county-photos/2026"})
    with pytest.raises(AfterfactError, match="write s3://BUCKET/PREFIX"):
        read_job(tmp_path / "job.yaml", {"archive": "s3://"})


def test_a_store_that_does_not_let_us_ends_the_listing(s3, proxy, monkeypatch):
    monkeypatch.setattr("foundation.object_store.ATTEMPTS", 2)
    archive = put(f"{s3.new_bucket()}/photos", ["a.jpg"])
    proxy.answer = lambda _asked: EXPIRED
    with pytest.raises(StoreRefused, match="credentials are read from"):
        listed(archive)
    proxy.answer = busy()
    with pytest.raises(StoreUnavailable, match="the store does not answer"):
        listed(archive)
