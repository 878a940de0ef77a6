"""Our embeddings are dlib's, and so those that users of face_recognition know."""

import shutil
from functools import cache

import dlib
import numpy as np
import pytest
from PIL import Image, ImageFile

from indexer.embedder import BATCH, Embedder
from indexer.extraction import extract_faces, stack_chips
from indexer.limits import Limits
from indexer.models import ModelError, converted_network, installed_model, network_file
from indexer.outcomes import Outcome

SAME_CHIP = 1e-5  # largest difference of one value, what rounding allows
# Largest Euclidean distance between our embedding and face_recognition's of one photo. Their box comes from the full
# size, ours from a copy of 240 pixels, so chips differ by a pixel or two. People are told apart at 0.6.
SAME_PHOTO_MEAN = 0.08
SAME_PHOTO_LARGEST = 0.25


@pytest.fixture(scope="module")
def embedder():
    return Embedder()


@cache
def dlib_network():
    return dlib.face_recognition_model_v1(str(network_file()))


def chips_of(paths):
    return stack_chips([extract_faces(path, None, Limits()) for path in paths])


def assert_as_dlib(embedder, chips):
    ours = embedder.embed_chips(chips)
    dlibs = np.array([dlib_network().compute_face_descriptor(chip) for chip in chips])
    assert ours.dtype == np.float32
    assert np.abs(ours - dlibs).max() < SAME_CHIP


def test_a_drawn_faces_chip_has_dlibs_own_embedding(embedder, clean_photos):
    chips = chips_of(sorted(clean_photos.glob("S*/*.jpg"))[::5])
    assert len(chips) >= 6
    assert_as_dlib(embedder, chips)


@pytest.mark.parametrize(("name", "pattern", "step"), [("meds", "img/*.jpg", 15), ("lfw", "*/*.jpg", 700)])
def test_a_real_faces_chip_has_dlibs_own_embedding(embedder, real_photos, name, pattern, step):
    chips = chips_of(sorted(real_photos(name).glob(pattern))[::step][:6])
    assert len(chips) >= 3
    assert_as_dlib(embedder, chips)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_chip_has_dlibs_own_embedding(embedder, level):
    assert_as_dlib(embedder, np.full((1, 150, 150, 3), level, dtype=np.uint8))


def frontal_mugshots(folder):
    lines = (folder / "meds.csv").read_text().splitlines()
    names = [line.split(",")[0] for line in lines[1:] if ",Frontal," in line]
    return [folder / "img" / name for name in names]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["meds", "lfw"])
def test_a_photos_embedding_agrees_with_face_recognition(embedder, real_photos, name, capsys, monkeypatch):
    # Its import tells Pillow, for the whole process, to take pictures that are cut off for whole; put back afterwards.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    import face_recognition

    folder = real_photos(name)
    paths = frontal_mugshots(folder) if name == "meds" else sorted(folder.glob("*/*.jpg"))
    distances = []
    for path in paths[:: len(paths) // 10][:10]:
        extraction = extract_faces(path, None, Limits())
        theirs = face_recognition.face_encodings(np.asarray(Image.open(path).convert("RGB")))
        if extraction.outcome is Outcome.ENROLLED and len(theirs) == 1:
            ours = embedder.embed_chips(extraction.faces[0].chip[None])[0]
            distances.append(float(np.linalg.norm(ours - theirs[0])))
    with capsys.disabled():
        print(
            f"\n{name}: distance to face_recognition's embedding of the same photo, {len(distances)} photos: "
            f"mean {np.mean(distances):.3f}, largest {np.max(distances):.3f}"
        )
    assert len(distances) >= 7
    assert np.mean(distances) < SAME_PHOTO_MEAN
    assert np.max(distances) < SAME_PHOTO_LARGEST


def test_batches_do_not_change_an_embedding(embedder):
    chips = np.random.default_rng(0).integers(0, 256, (BATCH + 3, 150, 150, 3), dtype=np.uint8)
    together = embedder.embed_chips(chips)
    alone = np.concatenate([embedder.embed_chips(chip[None]) for chip in chips])
    assert together.shape == (BATCH + 3, 128)
    assert np.abs(together - alone).max() < SAME_CHIP


def test_no_chips_are_no_embeddings(embedder):
    assert embedder.embed_chips(np.empty((0, 150, 150, 3), dtype=np.uint8)).shape == (0, 128)


@pytest.mark.parametrize("chips", [np.zeros((1, 150, 150, 3)), np.zeros((1, 128, 128, 3), np.uint8)])
def test_chips_of_another_kind_are_refused(embedder, chips):
    with pytest.raises(ValueError, match="expected uint8"):
        embedder.embed_chips(chips)


def test_a_spoiled_graph_is_refused_with_its_path(tmp_path):
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(converted_network().read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"graph\.onnx cannot be loaded; delete it"):
        Embedder(graph)


def test_the_graph_is_converted_once_and_is_the_same_every_time(tmp_path, monkeypatch):
    first = converted_network()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = converted_network()
    assert second.is_relative_to(tmp_path)
    assert second.read_bytes() == first.read_bytes()
    made = second.stat().st_mtime_ns
    assert converted_network().stat().st_mtime_ns == made
    assert {path.name for path in (tmp_path / "afterfact").iterdir()} == {first.name, f"{first.name}.sha256"}


def test_a_flipped_byte_in_the_cached_graph_is_never_used(tmp_path, monkeypatch):
    whole = converted_network().read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = converted_network()
    spoiled = bytearray(whole)
    spoiled[11_000_000] ^= 1
    cached.write_bytes(spoiled)
    assert converted_network().read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "afterfact").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"cannot be written .* set XDG_CACHE_HOME"):
        converted_network()


def test_a_model_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"dlib_face_recognition_resnet_model_v1\.dat is not installed; run: pip"):
        network_file()


def test_a_mirrored_embedding_is_the_mean_of_the_chips_and_its_mirror_images(embedder, clean_photos):
    chips = chips_of(sorted(clean_photos.glob("S*/*.jpg"))[:20])
    assert len(chips) > 16  # more than one batch
    mirror_images = np.ascontiguousarray(chips[:, :, ::-1])
    both = Embedder(mirrored=True)
    plain, turned = embedder.embed_chips(chips), embedder.embed_chips(mirror_images)
    assert np.allclose(both.embed_chips(chips), (plain + turned) / 2, atol=1e-6)
    assert both.embed_chips(chips).dtype == np.float32
    assert np.allclose(both.embed_chips(mirror_images), both.embed_chips(chips), atol=1e-6)
    assert np.linalg.norm(plain - turned, axis=1).min() > 0.01
    assert both.embed_chips(chips[:0]).shape == (0, 128)


def test_a_mirrored_model_is_another_and_the_plain_ones_digest_stays_what_it_always_was():
    plain, mirrored = installed_model(), installed_model(mirrored=True)
    # Galleries in use remember this digest: where it changes, every one of them is refused.
    assert plain.digest == "6257891cdefaaa0389936b652503f1fdfbdaaf011a9ade463fdcaf4ea349ae41"
    assert mirrored.digest != plain.digest
    assert "mirrored" not in plain.as_json()
    assert mirrored.as_json()["mirrored"] is True


def test_a_models_digest_tells_models_apart(tmp_path):
    model = installed_model()
    assert len(model.digest) == 64
    assert model.as_json()["digest"] == model.digest
    assert type(model)(**{**vars(model), "chip_padding": 0.3}).digest != model.digest
    shutil.copy(network_file(), tmp_path)  # the digest is of the content, not of the place
    assert installed_model().digest == model.digest
