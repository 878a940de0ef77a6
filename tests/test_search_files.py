"""The files that search reads are the table's, in an order of their own, and the same every time."""

import shutil

import faiss
import numpy as np
import pyarrow as pa
import pytest
from indexing import rows_of, search_files

from indexer.gallery import CALIBRATION, FACES, LABELS, Gallery
from indexer.schema import PHOTOS
from indexer.search_files import build_index, write_faces
from indexer.table import commit_rows, open_table, read_rows


@pytest.fixture
def gallery(indexed_home):
    return Gallery(indexed_home.path, "county")


def test_every_enrolled_face_is_in_the_index_under_its_own_label(gallery):
    rows = {row["row"]: row for row in rows_of(gallery).values() if row["outcome"] == "ENROLLED"}
    index = faiss.read_index(str(gallery.version().folder / FACES))
    _, labels = search_files(gallery)
    vectors = index.reconstruct_n(0, index.ntotal)
    assert index.ntotal == labels.num_rows == len(rows) == gallery.version().about["faces"]
    for vector, label in zip(vectors, labels.to_pylist(), strict=True):
        row = rows[label["row"]]
        assert np.array_equal(vector, np.array(row["embedding"], dtype=np.float32))
        assert {name: row[name] for name in label} == label


@pytest.mark.parametrize(("faces", "dimension"), [(0, 128), (1, 128), (1000, 128), (1000, 3), (300, 512)])
def test_vectors_that_come_in_pieces_of_any_order_make_the_file_that_faiss_writes(tmp_path, faces, dimension):
    draw = np.random.default_rng(5)
    vectors = draw.normal(0, 0.12, (faces, dimension)).astype(np.float32)
    index = faiss.IndexFlatL2(dimension)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "theirs"))
    pieces = np.array_split(draw.permutation(faces), 7)
    write_faces(tmp_path / "ours", faces, dimension, ((rows, vectors[rows]) for rows in pieces))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_the_order_is_that_of_the_locations(gallery):
    _, labels = search_files(gallery)
    locations = labels["location"].to_pylist()
    assert locations == sorted(locations)


def test_an_index_that_is_built_again_is_the_same_bytes(gallery):
    number = gallery.version().number
    folder = gallery.index / str(number)
    before = {name: (folder / name).read_bytes() for name in (FACES, LABELS)}
    about = gallery.version().about
    (folder / "index.json").unlink()
    (folder / FACES).write_bytes(b"half")
    build_index(gallery, open_table(gallery))
    assert {name: (folder / name).read_bytes() for name in (FACES, LABELS)} == before
    again = gallery.version().about
    assert {k: v for k, v in again.items() if k not in ("published", "seal")} == {
        k: v for k, v in about.items() if k not in ("published", "seal")
    }


def test_index_json_states_what_is_there(gallery):
    about = gallery.version().about
    rows = rows_of(gallery).values()
    assert sum(about["outcomes"].values()) == len(rows)
    enrolled = [row for row in rows if row["outcome"] == "ENROLLED"]
    assert about["outcomes"]["ENROLLED"] == len(enrolled)
    assert about["subjects"] == len({row["subject"] for row in enrolled})
    assert set(about["files"]) == {FACES, LABELS, CALIBRATION}
    assert {name for name in about["table_files"] if name.endswith(".parquet")}
    assert about["files"][FACES]["bytes"] == (gallery.version().folder / FACES).stat().st_size


def test_a_table_without_faces_has_an_index_without_faces(tmp_path):
    gallery = Gallery(tmp_path, "county")
    gallery.make_folders()
    about = {"afterfact.model": '{"digest": "d", "dimension": 128}'}
    commit_rows(gallery, None, PHOTOS.empty_table(), False, "R", about)
    build_index(gallery, open_table(gallery))
    assert gallery.version().about["faces"] == 0
    assert search_files(gallery)[1].num_rows == 0


def test_rows_of_any_order_make_the_same_index(gallery, tmp_path):
    rows = read_rows(open_table(gallery), PHOTOS.names)
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(rows.num_rows)))
    other = Gallery(tmp_path / "other", "county")
    other.make_folders()
    half = shuffled.num_rows // 2
    about = {"afterfact.model": '{"digest": "d", "dimension": 128}'}
    commit_rows(other, None, shuffled.slice(0, half), False, "A", about)
    commit_rows(other, open_table(other), shuffled.slice(half), False, "B", about)
    build_index(other, open_table(other))
    ours, theirs = search_files(gallery), search_files(other)
    assert ours[0] == theirs[0]
    assert ours[1].equals(theirs[1])
    shutil.rmtree(other.home)
