"""What becomes of one photo: every spoiled file, every way up."""

import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from demo.portraits import draw_portrait
from demo.spoiled import write_spoiled
from indexer.embedder import Embedder
from indexer.extraction import extract_each, extract_faces, stack_chips
from indexer.limits import Limits
from indexer.outcomes import ABOUT, Outcome

# Eight files hold one picture turned eight ways. JPEG's blocks fall differently on it, so chips are not the same bytes.
TURNED = 0.12


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoiled").resolve()
    written = write_spoiled(folder, draw_portrait(3, 1_000_001, 1), draw_portrait(3, 1_000_002, 1))
    return folder, written, {one.name: extract_faces(folder / one.name, folder, Limits()) for one in written}


def test_every_spoiled_file_ends_as_it_should(spoiled):
    _, written, extractions = spoiled
    # That a photo's bytes were seen before shows only beside all the others.
    expected = {one.name: one.expected - {"DUPLICATE"} or {"ENROLLED"} for one in written}
    ended = {name: extraction.outcome.value for name, extraction in extractions.items()}
    assert {name: ended[name] for name in ended if ended[name] not in expected[name]} == {}


def test_every_rejection_has_its_reason(spoiled):
    _, _, extractions = spoiled
    for name, extraction in extractions.items():
        assert bool(extraction.detail) == (extraction.outcome is not Outcome.ENROLLED), name
        assert extraction.detail.encode() is not None
        assert bool(extraction.digest) == (name not in ("never-written.jpg", "leads-outside.jpg")), name


def test_every_way_up_gives_the_upright_embedding(spoiled):
    _, _, extractions = spoiled
    turned = [extractions[f"exif-{orientation}.jpg"] for orientation in range(1, 9)]
    embeddings = Embedder().embed_chips(stack_chips(turned))
    assert len(embeddings) == 8
    assert np.linalg.norm(embeddings - embeddings[0], axis=1).max() < TURNED
    assert {(one.width, one.height) for one in turned} == {(turned[0].width, turned[0].height)}


@pytest.mark.parametrize("held", [32_000_000, 0])
def test_photos_that_take_the_steps_together_end_as_each_alone(spoiled, held, monkeypatch):
    folder, written, alone = spoiled
    monkeypatch.setattr("indexer.extraction.TOGETHER", 5)  # so that some are left over
    monkeypatch.setattr("indexer.extraction.HELD_BYTES", held)
    together = extract_each((folder / one.name for one in written), folder, Limits())
    for one, extraction in zip(written, together, strict=True):
        expected = alone[one.name]
        assert replace(extraction, faces=[]) == replace(expected, faces=[]), one.name
        for face, same in zip(extraction.faces, expected.faces, strict=True):
            assert (face.detection, face.quality) == (same.detection, same.quality)
            np.testing.assert_array_equal(face.chip, same.chip)


def test_a_rejected_face_keeps_its_measures(spoiled):
    _, _, extractions = spoiled
    two = extractions["two-people.jpg"]
    assert two.outcome is Outcome.MULTIPLE_FACES
    assert two.detail == "2 faces"
    assert len(two.faces) == 2


def test_a_probe_is_told_its_measures_and_keeps_no_quality_limit(spoiled):
    folder, _, _ = spoiled
    strict = Limits(min_eye_distance=10_000)
    path = folder / "grey.jpg"
    archived = extract_faces(path, folder, strict)
    assert archived.outcome is Outcome.SMALL_FACE
    assert "min_eye_distance is 10000" in archived.detail
    probe = extract_faces(path, folder, strict, probe=True)
    assert probe.outcome is Outcome.ENROLLED
    assert probe.faces[0].quality.eye_distance == pytest.approx(archived.faces[0].quality.eye_distance, rel=0.2)


def test_a_name_that_is_no_text_is_no_hindrance(spoiled, tmp_path):
    folder, _, extractions = spoiled
    path = os.fsencode(tmp_path) + b"/caf\xe9 \xff.jpg"
    with open(path, "wb") as stream:
        stream.write((folder / "grey.jpg").read_bytes())
    extraction = extract_faces(os.fsdecode(path), tmp_path, Limits())
    assert extraction.outcome is Outcome.ENROLLED
    assert extraction.digest == extractions["grey.jpg"].digest


def test_memory_that_runs_out_is_a_rejection(spoiled, monkeypatch):
    folder, _, extractions = spoiled

    def greedy(*_):
        raise MemoryError

    monkeypatch.setattr("indexer.extraction.cut_face", greedy)
    extraction = extract_faces(folder / "grey.jpg", folder, Limits())
    assert extraction.outcome is Outcome.IMAGE_TOO_LARGE
    assert extraction.digest == extractions["grey.jpg"].digest


def test_every_outcome_has_its_sentence():
    assert set(ABOUT) == set(Outcome)


def test_no_extractions_are_no_chips():
    assert stack_chips([]).shape == (0, 150, 150, 3)


def embedded(extraction):
    assert extraction.outcome is Outcome.ENROLLED, extraction.detail
    return Embedder().embed_chips(extraction.faces[0].chip[None])[0]


@pytest.mark.parametrize("megapixels", [3, 12, 48])
def test_a_large_photo_gives_the_face_of_the_small_one_in_its_own_pixels(tmp_path, megapixels):
    portrait = draw_portrait(3, 1_000_003, 1)
    portrait.save(tmp_path / "small.jpg", quality=92)
    scale = (megapixels * 1e6 / (portrait.width * portrait.height)) ** 0.5
    size = round(portrait.width * scale), round(portrait.height * scale)
    portrait.resize(size).save(tmp_path / "large.jpg", quality=92)
    small, large = (extract_faces(tmp_path / name, tmp_path, Limits()) for name in ("small.jpg", "large.jpg"))
    assert np.linalg.norm(embedded(small) - embedded(large)) < TURNED
    assert (large.width, large.height) == size
    ratio = large.faces[0].quality.eye_distance / small.faces[0].quality.eye_distance
    assert ratio == pytest.approx(scale, rel=0.05)
    assert large.faces[0].detection.width / small.faces[0].detection.width == pytest.approx(scale, rel=0.08)


def test_a_small_face_in_a_large_photo_keeps_its_detail(tmp_path):
    """It is found in a small copy, and cut out of the whole photo."""
    portrait = draw_portrait(3, 1_000_004, 1)
    wall = Image.new("RGB", (4000, 3000), portrait.getpixel((2, 2)))
    wall.paste(portrait.resize((480, 600)), (1700, 1200))
    wall.save(tmp_path / "wall.jpg", quality=92)
    portrait.resize((480, 600)).save(tmp_path / "alone.jpg", quality=92)
    far, near = (extract_faces(tmp_path / name, tmp_path, Limits()) for name in ("wall.jpg", "alone.jpg"))
    assert np.linalg.norm(embedded(far) - embedded(near)) < TURNED
    assert far.faces[0].quality.sharpness > 0.7 * near.faces[0].quality.sharpness
    assert 1700 < far.faces[0].detection.left < far.faces[0].detection.right < 2200
