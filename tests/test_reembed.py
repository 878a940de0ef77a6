"""Another model for a gallery: every face is embedded anew from its photo, and what was judged stays."""

import shutil

import faiss
import numpy as np
import pytest
from indexing import index_archive, no_probes, reembed_gallery, rows_of, search_files
from networks import by_hand, dlib_embedder, other_embedder

from foundation.errors import InputError
from indexer.extraction import extract_faces
from indexer.gallery import FACES, Gallery, GalleryError
from indexer.limits import Limits
from indexer.locations import photo_at
from indexer.models import Alignment, models_folder
from indexer.publish import roll_back
from indexer.reembed import LostPhotosError, ReembedJob
from indexer.requalify import new_limits, requalify
from indexer.verify import verify_gallery

STRICT = Limits(min_sharpness=1000.0)


@pytest.fixture(scope="module")
def original(drawn, clean_photos, tmp_path_factory):
    """A home with a gallery of five photos, a copy of one, one rejected for quality and one that is no photo."""
    folder = tmp_path_factory.mktemp("original")
    archive = folder / "archive"
    archive.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:5]:
        shutil.copy(path, archive)
    shutil.copy(archive / "S0002-1.jpg", archive / "A-copy.jpg")
    (archive / "broken.jpg").write_bytes(b"no photo")
    index_archive(folder / "home", archive)
    blurred = folder / "blurred"
    blurred.mkdir()
    shutil.copy(sorted(clean_photos.glob("S*/*-2.jpg"))[7], blurred)
    index_archive(folder / "home", blurred, limits=STRICT)
    return folder


@pytest.fixture
def gallery(original, tmp_path):
    """The gallery in a home of its own; its photos lie where they lay."""
    shutil.copytree(original / "home", tmp_path / "home")
    return Gallery(tmp_path / "home", "county")


@pytest.fixture
def own_gallery(clean_photos, tmp_path):
    """A gallery whose photos a test may change: four in two segments."""
    archive = tmp_path / "archive"
    archive.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:4]:
        shutil.copy(path, archive)
    index_archive(tmp_path / "home", archive)
    return Gallery(tmp_path / "home", "county")


def wrong(gallery):
    return [finding for finding in verify_gallery(gallery) if finding.problem]


def vectors_of(gallery):
    index = faiss.read_index(str(gallery.version().folder / FACES))
    return index.reconstruct_n(0, index.ntotal)


def test_the_built_in_network_as_a_file_gives_the_same_gallery_to_the_bit(gallery, tmp_path):
    before, rows = gallery.version(), rows_of(gallery)
    made = reembed_gallery(gallery.home, embedder=dlib_embedder(tmp_path / "dlib")).version
    assert search_files(gallery, made.number)[0] == search_files(gallery, before.number)[0]
    assert search_files(gallery, made.number)[1].equals(search_files(gallery, before.number)[1])
    assert (made.about["outcomes"], made.limits) == (before.about["outcomes"], before.limits)
    changed = {"run", "model"}
    for name, row in rows_of(gallery).items():
        assert {k: v for k, v in row.items() if k not in changed} == {
            k: v for k, v in rows[name].items() if k not in changed
        }
    assert made.model_digest != before.model_digest
    assert wrong(gallery) == []


def test_another_model_embeds_every_photo_that_had_an_embedding(gallery, tmp_path):
    rows, before = rows_of(gallery), gallery.version()
    file = other_embedder(tmp_path / "other")
    indexed = reembed_gallery(gallery.home, embedder=file, segment_photos=2)
    after = rows_of(gallery)
    assert {name: row["outcome"] for name, row in after.items()} == {name: row["outcome"] for name, row in rows.items()}
    embedded = {name for name, row in rows.items() if row["embedding"] is not None}
    assert {name for name, row in after.items() if row["embedding"] is not None} == embedded
    assert {rows[name]["outcome"] for name in embedded} == {"ENROLLED", "LOW_SHARPNESS"}
    for name in embedded:
        (face,) = extract_faces(
            photo_at(rows[name]["location"]), None, Limits(), alignment=Alignment("arcface", 112)
        ).faces
        assert np.allclose(after[name]["embedding"], by_hand(file, face.chip[None])[0], atol=1e-5)
    assert {row["row"] for row in after.values()} == {row["row"] for row in rows.values()}
    version = gallery.version()
    assert version.model.dimension == vectors_of(gallery).shape[1] == 48
    assert (indexed.accounting.enrolled, indexed.accounting.held) == (5, 2)
    assert version.about["account"]["reembedded"] == before.number
    assert wrong(gallery) == []


def test_the_old_version_stays_and_can_come_back(gallery, tmp_path):
    before = gallery.version()
    reembed_gallery(gallery.home, embedder=other_embedder(tmp_path / "other"))
    assert gallery.version(before.number).model == before.model
    again = roll_back(gallery, before.number)
    assert again.model == before.model
    assert search_files(gallery)[0] == search_files(gallery, before.number)[0]


def test_other_limits_and_new_photos_go_on_with_the_new_model(gallery, original, clean_photos, tmp_path):
    file = other_embedder(tmp_path / "other")
    reembed_gallery(gallery.home, embedder=file)
    _, version = requalify(gallery, lambda present: new_limits(present.limits, None, {}), lambda found: None, no_probes)
    assert version.about["outcomes"].get("LOW_SHARPNESS", 0) == 0
    assert version.about["faces"] == 6
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(sorted(clean_photos.glob("S*/*-3.jpg"))[0], more)
    with pytest.raises(
        GalleryError, match=r"\(made-up\), this job's is .*: their distances mean nothing .*embedder that"
    ):
        index_archive(gallery.home, more)
    assert index_archive(gallery.home, more, embedder=file).version.about["faces"] == 7
    assert wrong(gallery) == []


def test_photos_that_are_gone_or_changed_leave_the_gallery_where_that_is_allowed(own_gallery, tmp_path):
    gallery, file = own_gallery, other_embedder(tmp_path / "other")
    photos = sorted((tmp_path / "archive").iterdir())
    photos[2].unlink()
    with pytest.raises(
        LostPhotosError, match=r"1 of 4 searched photos .*1 MISSING_FILE\), more than 1\.0%; nothing was"
    ):
        reembed_gallery(gallery.home, embedder=file, segment_photos=2)
    assert gallery.version_numbers() == [0]
    shutil.copy(photos[1], photos[2])
    photos[3].unlink()
    indexed = reembed_gallery(gallery.home, embedder=file, segment_photos=2, limit_lost=0.5)
    assert indexed.resumed
    assert set(rows_of(gallery)) == {photos[0].name, photos[1].name}
    assert indexed.accounting.rejected == {"CHANGED_PHOTO": 1, "MISSING_FILE": 1}
    listing = (gallery.accounts / f"{indexed.run.run_id}.rejections.csv").read_text()
    assert [line.split(",")[0] for line in listing.splitlines()[1:]] == [photos[2].name, photos[3].name]
    assert wrong(gallery) == []
    archive = tmp_path / "archive"
    assert index_archive(gallery.home, archive, embedder=file).accounting.as_json()["duplicates"] == 1


def test_a_run_that_another_version_overtook_begins_anew(own_gallery, clean_photos, tmp_path, monkeypatch):
    gallery, file = own_gallery, other_embedder(tmp_path / "other")
    with monkeypatch.context() as stopping:
        stopping.setattr("pipelines.bulk_index.publish_run", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            reembed_gallery(gallery.home, embedder=file)
    shutil.copy(sorted(clean_photos.glob("S*/*-2.jpg"))[0], tmp_path / "archive")
    index_archive(gallery.home, tmp_path / "archive")
    indexed = reembed_gallery(gallery.home, embedder=file)
    assert not indexed.resumed
    assert indexed.version.about["faces"] == 5
    assert list(gallery.runs.iterdir()) == []


def test_a_gallery_of_that_model_has_nothing_to_embed_anew(gallery):
    with pytest.raises(GalleryError, match=r"is of model .* already"):
        reembed_gallery(gallery.home)
    mirrored = reembed_gallery(gallery.home, mirrored=True).version
    assert mirrored.model.mirrored
    assert wrong(gallery) == []


def test_limits_of_quality_are_not_a_matter_of_the_model():
    with pytest.raises(InputError, match="limit min_sharpness is of quality and stays as it is"):
        ReembedJob("county", limits=STRICT)


def test_a_network_that_is_gone_stops_verify_and_says_where_it_was_expected(gallery, tmp_path):
    reembed_gallery(gallery.home, embedder=other_embedder(tmp_path / "other"))
    shutil.rmtree(models_folder(gallery.home))
    (finding,) = wrong(gallery)
    assert "was expected at" in finding.problem
