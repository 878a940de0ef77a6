"""The gallery's table opens with other people's tools, whatever was done to it before."""

import shutil

import pyarrow as pa
import pytest
from indexing import index_archive, rows_of

from indexer.gallery import Gallery
from indexer.schema import PHOTOS
from indexer.table import TableError, commit_rows, committed, open_table, read_batches, read_rows, table_files


@pytest.fixture(scope="module")
def changed(clean_photos, tmp_path_factory):
    """A gallery whose second version replaced one row and added another."""
    folder = tmp_path_factory.mktemp("changed")
    lines = []
    for person in sorted(clean_photos.glob("S*"))[:3]:
        shutil.copy(sorted(person.glob("*.jpg"))[0], folder / f"{person.name}.jpg")
        lines.append(f"{person.name}.jpg,{person.name}\n")
    (folder / "list.csv").write_text("photo,subject\n" + "".join(lines[:2]))
    index_archive(folder / "home", folder / "list.csv")
    (folder / "list.csv").write_text("photo,subject\n" + lines[0].replace(",S", ",T") + "".join(lines[1:]))
    index_archive(folder / "home", folder / "list.csv")
    return Gallery(folder / "home", "county")


def test_columns_are_plain_types_in_every_file_of_every_version(changed):
    """Arrow's string_view, which deltalake's merge() writes, cannot be filtered by; neither can what reads it."""
    import pyarrow.parquet as pq

    for version in (0, 1):
        table = open_table(changed, version)
        for path in table_files(table, changed.table):
            if path.suffix == ".parquet":
                types = {field.name: str(field.type) for field in pq.read_schema(path)}
                assert types["outcome"] == "string"
                assert "view" not in "".join(types.values())


@pytest.mark.parametrize("version", [0, 1])
def test_duckdb_opens_it_and_filters(changed, version):
    import duckdb
    from deltalake import DeltaTable

    photos = DeltaTable(str(changed.table), version=version).to_pyarrow_dataset()
    answer = duckdb.sql("select subject, len(embedding) from photos where outcome = 'ENROLLED' and subject like 'S%'")
    assert photos.schema.names == PHOTOS.names
    assert sorted(answer.fetchall()) == [("S0001", 128), ("S0002", 128)] if version == 0 else [("S0002", 128)]


def test_pandas_opens_it(changed):
    from deltalake import DeltaTable

    frame = DeltaTable(str(changed.table)).to_pandas()
    assert sorted(frame["subject"]) == ["S0002", "S0003", "T0001"]
    assert set(frame["outcome"]) == {"ENROLLED"}
    assert frame["embedding"].map(len).tolist() == [128] * 3


def test_a_replaced_row_is_there_once_and_the_others_are_untouched(changed):
    before, after = rows_of(changed, 0), rows_of(changed, 1)
    assert len(before) == 2
    assert len(after) == 3
    assert after["S0002.jpg"] == before["S0002.jpg"]
    assert after["S0001.jpg"] == {**before["S0001.jpg"], "subject": "T0001"}


@pytest.mark.parametrize(
    "name", ["a b", "é 日本", "100%", "%zz", "(x) & {y}~`'\"", "a:b;c=d,e@f+g$h!i*j<k>l", "trailing "]
)
def test_a_table_lies_and_is_read_in_a_home_of_an_odd_name(changed, tmp_path, name):
    gallery = Gallery(tmp_path / name, "county")
    gallery.make_folders()
    rows = read_rows(open_table(changed), PHOTOS.names)
    commit_rows(gallery, None, rows.slice(0, 1), False, "first", {})
    commit_rows(gallery, open_table(gallery), rows.slice(1), False, "second", {})
    table = open_table(gallery)
    assert len(table.history()) == 2
    assert sorted(read_rows(table, ["photo"])["photo"].to_pylist()) == sorted(rows["photo"].to_pylist())
    assert pa.Table.from_batches(read_batches(table, ["photo"])).num_rows == rows.num_rows
    assert all(path.is_file() for path in table_files(table, gallery.table))


def test_a_commit_is_known_by_its_run_and_by_no_other(changed):
    runs = {row["run"] for row in rows_of(changed).values()}
    assert all(committed(open_table(changed), run) for run in runs)
    assert not committed(open_table(changed), "another")
    assert not committed(None, "any")


def test_of_two_publishers_of_one_version_the_second_fails_and_nothing_is_lost(changed, tmp_path):
    gallery = Gallery(tmp_path, "county")
    shutil.copytree(changed.folder, gallery.folder)
    rows = read_rows(open_table(gallery), PHOTOS.names)
    opened = open_table(gallery)
    commit_rows(gallery, open_table(gallery), rows.slice(0, 1), True, "first", {})
    with pytest.raises(TableError, match=r"published by another run at the same moment.* run the same command again"):
        commit_rows(gallery, opened, rows.slice(1, 1), True, "second", {})
    assert not committed(open_table(gallery), "second")
    assert len(rows_of(gallery)) == 3


def test_a_table_that_is_not_there_is_none_and_leaves_no_trace(tmp_path):
    assert open_table(Gallery(tmp_path, "county")) is None
    assert list(tmp_path.iterdir()) == []


def test_a_broken_table_is_told_with_its_version(changed, tmp_path):
    gallery = Gallery(tmp_path, "county")
    shutil.copytree(changed.folder, gallery.folder)
    with pytest.raises(TableError, match=r"\(version 7\) cannot be opened"):
        open_table(gallery, 7)
    (gallery.table / "_delta_log" / f"{0:020}.json").write_text("nonsense")
    with pytest.raises(TableError, match=r"\(version 0\) cannot be opened"):
        open_table(gallery, 0)
    with pytest.raises(TableError, match=r"\(newest version\) cannot be opened"):
        open_table(gallery)
