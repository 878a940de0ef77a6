"""The faces of one gallery version: exact distances, a fixed order, and files that do not fit are not searched."""

import json

import numpy as np
import pytest
from handmade import files_of, label, reseal, write_version

from indexer.gallery import FACES, LABELS, Gallery, GalleryError
from indexer.table import is_enrolled, open_table, read_rows
from search.faces import GalleryFaces


@pytest.fixture
def vectors():
    return np.random.default_rng(11).normal(0, 0.12, (400, 128)).astype(np.float32)


def brute_force(vectors, embedding):
    return np.sqrt(((vectors.astype(np.float64) - embedding.astype(np.float64)) ** 2).sum(axis=1))


@pytest.mark.parametrize("count", [1, 2, 20, 50, 200, 399, 400])
def test_the_nearest_are_those_of_a_search_by_hand(tmp_path, vectors, count):
    faces = GalleryFaces(write_version(tmp_path, vectors))
    embedding = np.random.default_rng(12).normal(0, 0.12, 128).astype(np.float32)
    expected = brute_force(vectors, embedding)

    found = faces.nearest(embedding, count)

    assert [one.label["photo"] for one in found] == [f"{row:05d}.jpg" for row in np.argsort(expected)[:count]]
    np.testing.assert_allclose([one.distance for one in found], np.sort(expected)[:count], rtol=0, atol=1e-12)


def test_an_indexed_gallery_is_compared_with_the_vectors_of_its_table(indexed_home):
    gallery = Gallery(indexed_home.path, "county")
    rows = read_rows(open_table(gallery), ["location", "embedding"], is_enrolled()).to_pylist()
    table = np.array([row["embedding"] for row in rows], dtype=np.float32)
    faces = GalleryFaces(gallery)
    embedding = table[3] + np.float32(0.01)

    found = {one.label["location"]: one.distance for one in faces.nearest(embedding, len(faces))}

    assert len(found) == len(faces) == len(rows)
    expected = brute_force(table, embedding)
    for row, distance in zip(rows, expected, strict=True):
        assert found[row["location"]] == pytest.approx(distance, abs=1e-12)


def test_equal_distances_are_ordered_by_location_wherever_the_list_ends(tmp_path):
    vectors = np.zeros((120, 128), dtype=np.float32)
    vectors[::3] = 0.01
    faces = GalleryFaces(write_version(tmp_path, vectors))
    whole = [one.label["location"] for one in faces.nearest(np.zeros(128, np.float32), 120)]

    assert whole[:80] == sorted(whole[:80])
    assert whole[80:] == sorted(whole[80:])
    for count in (1, 2, 7, 20, 79, 80, 81, 119):
        assert [one.label["location"] for one in faces.nearest(np.zeros(128, np.float32), count)] == whole[:count]


@pytest.mark.parametrize("seed", range(5))
def test_faces_that_float32_cannot_tell_apart_are_ordered_by_their_true_distances(tmp_path, seed):
    """FAISS sums in float32; of two almost equal faces at the end of a list, that must not choose the wrong one."""
    draw = np.random.default_rng(seed)
    person = draw.normal(0, 0.12, (1, 128)).astype(np.float32)
    vectors = person + draw.normal(0, 1e-7, (12, 128)).astype(np.float32)
    probe = np.zeros(128, np.float32)
    expected = np.argsort(brute_force(vectors, probe))[:4]

    found = GalleryFaces(write_version(tmp_path, vectors)).nearest(probe, 4)

    assert [one.label["photo"] for one in found] == [f"{row:05d}.jpg" for row in expected]


def test_more_than_there_are_gives_all(tmp_path, vectors):
    assert len(GalleryFaces(write_version(tmp_path, vectors[:7])).nearest(vectors[0], 50)) == 7


def test_a_gallery_without_faces_has_no_neighbours(tmp_path):
    faces = GalleryFaces(write_version(tmp_path, np.empty((0, 128), np.float32), []))

    assert len(faces) == 0
    assert faces.nearest(np.zeros(128, np.float32), 20) == []


def test_the_newest_version_is_opened(tmp_path, vectors):
    write_version(tmp_path, vectors[:5])
    gallery = write_version(tmp_path, vectors[:9], number=3)

    faces = GalleryFaces(gallery)

    assert (faces.version.number, len(faces)) == (3, 9)


def test_a_version_without_its_index_json_does_not_exist_yet(tmp_path, vectors):
    write_version(tmp_path, vectors[:5])
    gallery = write_version(tmp_path, vectors[:9], number=3)
    (gallery.index / "3" / "index.json").unlink()

    assert GalleryFaces(gallery).version.number == 0


def cut_vectors(folder):
    (folder / FACES).write_bytes((folder / FACES).read_bytes()[:-100])


def cut_vectors_and_reseal(folder):
    cut_vectors(folder)
    reseal(folder, files=files_of(folder))


def replace_vectors_by_noise(folder):
    (folder / FACES).write_bytes(b"noise" * 40)
    reseal(folder, files=files_of(folder))


def remove_labels(folder):
    (folder / LABELS).unlink()


def cut_labels_and_reseal(folder):
    (folder / LABELS).write_bytes((folder / LABELS).read_bytes()[:-30])
    reseal(folder, files=files_of(folder))


def break_seal(folder):
    about = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**about, "published": "2020-01-01T00:00:00+00:00"}))


def empty_index_json(folder):
    (folder / "index.json").write_text("")


def list_for_index_json(folder):
    (folder / "index.json").write_text("[]")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut_vectors, "bytes and was written with"),
        (cut_vectors_and_reseal, "cannot be opened"),
        (replace_vectors_by_noise, "cannot be opened"),
        (remove_labels, "labels.arrow is gone"),
        (cut_labels_and_reseal, "cannot be opened"),
        (break_seal, "its seal does not fit"),
        (empty_index_json, "index.json cannot be read"),
        (list_for_index_json, "index.json cannot be read"),
        (lambda folder: reseal(folder, format=99), "is of format 99"),
        (lambda folder: reseal(folder, version=7), "version 7"),
        (lambda folder: reseal(folder, gallery="other"), "gallery 'other'"),
        (lambda folder: reseal(folder, faces=6), "states 6"),
        (lambda folder: reseal(folder, model={"digest": "0" * 64}), "distances mean nothing to each other"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, vectors, damage, says):
    gallery = write_version(tmp_path, vectors[:5])
    damage(gallery.index / "0")

    with pytest.raises(GalleryError, match=says):
        GalleryFaces(gallery)


def test_vectors_of_another_dimension_are_refused(tmp_path):
    gallery = write_version(tmp_path, np.zeros((5, 64), np.float32))

    with pytest.raises(GalleryError, match="dimension 64"):
        GalleryFaces(gallery)


def test_labels_of_another_length_are_refused(tmp_path, vectors):
    gallery = write_version(tmp_path, vectors[:5], [label(row) for row in range(4)])

    with pytest.raises(GalleryError, match="4 labels"):
        GalleryFaces(gallery)


def test_a_gallery_without_a_version_says_what_makes_one(tmp_path):
    Gallery(tmp_path, "county").make_folders()

    with pytest.raises(GalleryError, match="run afterfact index"):
        GalleryFaces(Gallery(tmp_path, "county"))


def listed(found):
    return [(one.distance, one.label["location"]) for one in found]


@pytest.mark.parametrize("probes", [1, 2, 16, 40])
@pytest.mark.parametrize("count", [1, 20, 80, 399, 400])
def test_many_probes_at_once_get_what_each_gets_alone(tmp_path, vectors, probes, count):
    faces = GalleryFaces(write_version(tmp_path, vectors))
    near = vectors[:probes] + np.random.default_rng(13).normal(0, 0.02, (probes, 128)).astype(np.float32)

    together = faces.nearest_each(near, count)

    assert [listed(found) for found in together] == [listed(faces.nearest(one, count)) for one in near]


@pytest.mark.parametrize("spread", [0, 1e-8, 1e-7, 1e-5])
def test_what_rounding_could_confuse_is_the_same_together_and_alone(tmp_path, spread):
    """More faces than are spare lie about equally far: matrix products, as FAISS makes of many probes, round otherwise
    than the sums that it makes of one, and would put other faces on the list."""
    draw = np.random.default_rng(17)
    vectors = (draw.normal(0, 0.12, (1, 128)) + draw.normal(0, 1, (500, 128)) * spread).astype(np.float32)
    vectors[::5] = draw.normal(0, 0.12, (100, 128))
    faces = GalleryFaces(write_version(tmp_path, vectors))
    probes = np.concatenate([vectors[:25], draw.normal(0, 0.12, (25, 128)).astype(np.float32)])

    for count in (1, 20, 80, 200):
        together = faces.nearest_each(probes, count)
        assert [listed(found) for found in together] == [listed(faces.nearest(one, count)) for one in probes]


def test_no_probes_at_all_are_no_lists(tmp_path, vectors):
    assert GalleryFaces(write_version(tmp_path, vectors)).nearest_each(np.empty((0, 128), np.float32), 20) == []
