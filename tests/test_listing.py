"""An archive is listed whole, each photo once, or not at all."""

import datetime
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foundation.errors import InputError
from indexer.job import IndexJob
from indexer.listing import ArchiveError, list_archive
from indexer.locations import Member, lies_in, location_of, photo_at, readable


def listed(archive, **fields):
    return list_archive(IndexJob(gallery="g", archive=archive, **fields))


def write_list(folder, text, name="list.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def column(listing, name):
    return listing.photos[name].to_pylist()


def test_a_csv_keeps_its_order_its_columns_and_their_text(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"12345")
    text = "photo,subject,encounter,taken,disposition,agency,height\n"
    text += "b.jpg,007,1e3,2020-06-10,charged,A,\na.jpg,,,,,,180\n"
    rows = listed(write_list(tmp_path, text)).photos.to_pylist()
    assert [row["photo"] for row in rows] == ["b.jpg", "a.jpg"]
    assert (rows[0]["subject"], rows[0]["encounter"], rows[0]["taken"]) == ("007", "1e3", "2020-06-10")
    assert json.loads(rows[0]["further"]) == {"agency": "A"}
    assert json.loads(rows[1]["further"]) == {"height": "180"}
    assert rows[1]["subject"] is None
    assert (rows[0]["bytes"], rows[0]["modified"]) == (5, (tmp_path / "b.jpg").stat().st_mtime_ns)
    assert rows[1]["bytes"] == -1


def test_a_csv_from_a_spreadsheet_is_read(tmp_path):
    text = '\ufeffphoto,subject\r\n"two\nlines.jpg",A\r\n"it\'s ""quoted"", 😀.jpg",B\r\n\r\nc.jpg,C\r\n'
    listing = listed(write_list(tmp_path, text))
    assert column(listing, "photo") == ["two\nlines.jpg", 'it\'s "quoted", 😀.jpg', "c.jpg"]
    assert column(listing, "subject") == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("phto,subject\na.jpg,A\n", r"no column 'photo'; did you mean 'phto'\? \(columns: phto, subject\)"),
        ("Photo\na.jpg\n", "no column 'photo'; did you mean 'Photo'"),
        ("", r"no column 'photo' \(columns: none\)"),
        ("photo,a,a\nx.jpg,1,2\n", "names a column twice"),
        ("photo,subject\na.jpg,A\nb.jpg\n", r"line 3 has not the 2 columns of its header; mend the line"),
        ("photo,subject\na.jpg,A,B\n", r"line 2 has not the 2 columns"),
        ("photo,subject\n,A\n", r"line 2: column 'photo' is empty"),
        ('photo,subject\n"a.jpg,A\n', "is not valid CSV"),
        ('photo,subject\n"a"b.jpg,A\n', "line 2 is not valid CSV"),
        ("photo\n" + "x" * 200_000 + "\n", "is not valid CSV"),
        (b"photo\na\0b.jpg\n", "zero byte"),
        (b"photo\ncaf\xe9.jpg\n", "is not UTF-8 .*save the list as UTF-8"),
        ("photo\na.jpg\n".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_malformed_list_is_refused_with_the_place(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        listed(write_list(tmp_path, text))


def test_a_photo_listed_twice_counts_once_and_a_conflict_is_told(tmp_path):
    text = "photo,subject\na.jpg,A\nsub/../a.jpg,A\n./a.jpg,B\n" + f"{tmp_path}/a.jpg,A\nb.jpg,B\n"
    listing = listed(write_list(tmp_path, text))
    assert column(listing, "photo") == ["a.jpg", "b.jpg"]
    assert column(listing, "subject") == ["A", "B"]
    assert [photo for photo, _, _ in listing.repeated] == ["sub/../a.jpg", "./a.jpg", f"{tmp_path}/a.jpg"]
    details = [detail for _, _, detail in listing.repeated]
    assert details[0] == "listed at list.csv line 2 already"
    assert details[1] == "listed at list.csv line 2 already, there under subject 'A'"


def test_a_list_starts_from_its_own_folder_unless_a_root_is_given(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "lists").mkdir()
    path = write_list(tmp_path / "lists", "photo\na.jpg\n")
    assert column(listed(path), "location") == [location_of(str(tmp_path.resolve() / "lists" / "a.jpg"))]
    assert column(listed(path, root=tmp_path / "photos"), "location") == [
        location_of(str(tmp_path.resolve() / "photos" / "a.jpg"))
    ]


def test_a_list_of_rejections_is_itself_a_list_without_what_is_held_already(tmp_path):
    text = "photo,subject,rejected_as,rejected_because\na.jpg,A,NO_FACE,no face\n"
    text += "b.jpg,B,DUPLICATE,listed at line 2 already\n"
    listing = listed(write_list(tmp_path, text))
    assert column(listing, "photo") == ["a.jpg"]
    assert column(listing, "further") == [None]
    assert listing.left_out == {"lines rejected as DUPLICATE": 1}


def test_parquet_is_read_whatever_its_types(tmp_path):
    table = pa.table(
        {
            "photo": pa.array(["a.jpg", "b.jpg"]).dictionary_encode(),
            "subject": pa.array([7, None]),
            "taken": pa.array([datetime.datetime(2020, 6, 10, 12, 0)] * 2, pa.timestamp("us", "UTC")),
            "disposition": pa.array(["", "charged"]),
            "agency": pa.array([b"A", b"B"]),
        }
    )
    pq.write_table(table, tmp_path / "list.parquet")
    rows = listed(tmp_path / "list.parquet").photos.to_pylist()
    assert [row["photo"] for row in rows] == ["a.jpg", "b.jpg"]
    assert [row["subject"] for row in rows] == ["7", None]
    assert rows[0]["taken"] == "2020-06-10T12:00:00+00:00"
    assert [row["disposition"] for row in rows] == [None, "charged"]  # as in CSV: nothing is nothing
    assert json.loads(rows[0]["further"]) == {"agency": "A"}


def test_parquet_whose_text_is_not_marked_as_text_names_the_same_files(tmp_path):
    pq.write_table(pa.table({"photo": pa.array(["é.jpg".encode()])}), tmp_path / "list.parquet")
    assert column(listed(tmp_path / "list.parquet"), "photo") == ["é.jpg"]


def test_parquet_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a readable Parquet file"):
        listed(write_list(tmp_path, "photo\na.jpg\n", "list.parquet"))
    pq.write_table(pa.table({"picture": ["a.jpg"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"has no column 'photo'.*columns: picture"):
        listed(tmp_path / "other.parquet")
    table = pa.table({"photo": ["a.jpg"], "taken": pa.array([1], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "nano.parquet")
    try:  # nanoseconds cannot always become text; an error it is then, and no traceback
        listed(tmp_path / "nano.parquet")
    except InputError as error:
        assert "is not a readable Parquet file" in str(error)


def test_a_folder_is_walked_in_order_and_other_files_are_counted(tmp_path):
    for name in ("S2/b.jpg", "S1/z.PNG", "S1/a/deep.heic", "top.webp", "notes.txt", "S1/.DS_Store"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    listing = listed(tmp_path)
    assert column(listing, "photo") == ["top.webp", "S1/z.PNG", "S1/a/deep.heic", "S2/b.jpg"]
    assert set(column(listing, "subject")) == {None}
    assert listing.left_out == {".txt": 1, "(none)": 1}
    by_subject = listed(tmp_path, folder_subjects=True)
    assert column(by_subject, "subject") == [None, "S1", "S1", "S2"]


def test_linked_folders_are_not_followed_and_not_passed_over_in_silence(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.jpg").write_bytes(b"x")
    (tmp_path / "archive" / "round").symlink_to(tmp_path / "archive")
    listing = listed(tmp_path / "archive")
    assert column(listing, "photo") == ["a.jpg"]
    assert listing.left_out == {"linked folders": 1}


def test_names_that_are_no_text_are_found_again(tmp_path):
    raw = os.fsencode(tmp_path.resolve()) + b"/caf\xe9 %41 \n.jpg"
    with open(raw, "wb") as stream:
        stream.write(b"123")
    (row,) = listed(tmp_path).photos.to_pylist()
    assert os.fsencode(photo_at(row["location"])) == raw
    assert row["photo"] == "caf\\xe9 %41 \n.jpg"
    assert row["bytes"] == 3


def test_a_folder_that_cannot_be_read_ends_the_listing(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ArchiveError, match=r"locked cannot be read \(Permission denied\); mend its permissions"):
        listed(tmp_path)


def test_another_kind_of_archive_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither a folder, a \.zip or \.tar file nor a \.csv or \.parquet list"):
        listed(write_list(tmp_path, "a.jpg\n", "list.txt"))


def test_locations_carry_any_name_and_no_other_scheme():
    for name in ("/a b/%20.jpg", "/new\nline", "/é😀", os.fsdecode(b"/\xff\xfe")):
        assert photo_at(location_of(name)) == name
    assert readable(os.fsdecode(b"/\xff")) == r"/\xff"
    for url in ("s3://bucket/a b/%20#?.jpg", "gs://bucket/new\nline"):
        assert photo_at(location_of(url)) == url
        assert photo_at(location_of(url, "a#b.jpg"), "place") == (url, "a#b.jpg", "place")
    assert location_of("s3://bucket/a b#c.jpg") == "s3://bucket/a%20b%23c.jpg"
    with pytest.raises(InputError, match="is no URI of file://, s3://, gs://"):
        photo_at("az://bucket/a.jpg")


@pytest.mark.parametrize(
    ("photo", "root", "inside"),
    [
        ("/archive/a.jpg", Path("/archive"), True),
        ("/archives/a.jpg", Path("/archive"), False),
        ("/archive/a.jpg", "s3://bucket/archive", False),
        ("s3://bucket/archive/a.jpg", "s3://bucket/archive", True),
        ("s3://bucket/archive/../a.jpg", "s3://bucket/archive", False),
        ("s3://bucket/archive/a.jpg", Path("/archive"), False),
        (Member("/archive/b.zip", "S1/a.jpg", ""), Path("/archive"), True),
        (Member("/archive/b.zip", "../a.jpg", ""), Path("/archive"), False),
        (Member("s3://bucket/b.zip", "a.jpg", ""), "s3://bucket/archive", False),
    ],
)
def test_a_photo_lies_in_a_root_of_its_own_kind(photo, root, inside):
    assert lies_in(photo, root) is inside
