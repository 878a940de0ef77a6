"""An embedder given as a file: what it says is held against its network before any work, and it embeds as it says."""

import os
import shutil

import numpy as np
import onnx
import pytest
import yaml
from networks import OTHER, by_hand, dlib_embedder, made_up_network, other_embedder, write_embedder
from onnx import TensorProto
from PIL import Image

from foundation.errors import AfterfactError, InputError
from foundation.files import digest_file
from foundation.settings import packaged
from indexer.alignment import ARCFACE
from indexer.embedder import Embedder, require_device
from indexer.embedder_file import KEYS, given_embedder, read_embedder
from indexer.extraction import extract_faces, stack_chips
from indexer.face import cut_face, default_detector, landmarks_each
from indexer.limits import Limits
from indexer.models import (
    MODELS,
    Alignment,
    Model,
    ModelError,
    find_network,
    installed_model,
    models_folder,
)


@pytest.fixture
def photos(clean_photos):
    return sorted(clean_photos.glob("S*/*.jpg"))[:6]


def chips_of(photos, model):
    extractions = [extract_faces(path, None, Limits(), alignment=model.chips) for path in photos]
    return stack_chips(extractions, model.chip_pixels)


@pytest.mark.parametrize("mirrored", [False, True])
def test_dlibs_own_network_as_a_file_embeds_to_the_bit_as_the_built_in_one(tmp_path, photos, mirrored):
    given = given_embedder(dlib_embedder(tmp_path), mirrored)
    chips = chips_of(photos, given.model)
    assert np.array_equal(chips, chips_of(photos, installed_model()))
    assert np.array_equal(given.load().embed_chips(chips), Embedder(mirrored=mirrored).embed_chips(chips))
    assert given.model.digest != installed_model(mirrored).digest


def test_another_network_gets_its_chips_as_its_file_says(tmp_path, photos):
    given = read_embedder(other_embedder(tmp_path))
    chips = chips_of(photos, given.model)
    embeddings = given.load().embed_chips(chips)
    assert chips.shape == (len(photos), 112, 112, 3)
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (len(photos), 48))
    assert np.allclose(embeddings, by_hand(given.file, chips), atol=1e-5)


def test_a_mirrored_embedding_is_brought_to_length_one_after_the_mean(tmp_path, photos):
    plain, both = (
        given_embedder(other_embedder(tmp_path, normalisation="none", distance="euclidean"), one)
        for one in (False, True)
    )
    unit = given_embedder(other_embedder(tmp_path / "unit"), mirrored=True)
    chips = chips_of(photos, plain.model)
    turned = np.ascontiguousarray(chips[:, :, ::-1])
    mean = (plain.load().embed_chips(chips) + plain.load().embed_chips(turned)) / 2
    assert np.allclose(both.load().embed_chips(chips), mean, atol=1e-6)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    assert np.allclose(unit.load().embed_chips(chips), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
def test_a_network_for_one_face_at_a_time_or_for_pixels_is_taken(tmp_path, photos, kind):
    settings = {**OTHER, "mean": 0, "scale": 1}
    alone = write_embedder(tmp_path / "alone", made_up_network(batch=1, kind=kind), settings)
    many = write_embedder(tmp_path / "many", made_up_network(kind=kind), settings)
    chips = chips_of(photos, read_embedder(many).model)
    assert np.allclose(read_embedder(alone).load().embed_chips(chips), read_embedder(many).load().embed_chips(chips))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"chanels": "RGB"}, r"unknown key 'chanels'; did you mean 'channels'\?"),
        ({"mean": None}, "mean is missing; configs/embedders/ has an example"),
        ({"channels": "GBR"}, "channels is 'GBR'; give RGB or BGR"),
        ({"alignment": "mtcnn"}, "alignment is 'mtcnn'; give dlib or arcface"),
        ({"normalisation": True}, "normalisation is True; give none or unit"),
        ({"normalisation": "none"}, "distance is cosine, which is of unit vectors; give normalisation: unit"),
        ({"distance": "manhattan"}, "distance is 'manhattan'; give euclidean or cosine"),
        ({"alignment": ["dlib"]}, r"alignment is \['dlib'\]; give dlib or arcface"),
        ({"dimension": 0}, "dimension is 0; give a whole number from 1 to 8,192"),
        ({"dimension": 47}, r"gives tensor\(float\) .*'?n'?, 48.*; an embedder of dimension 47 .*correct dimension"),
        ({"input_pixels": "112"}, "input_pixels is '112'; give a whole number"),
        ({"input_pixels": 113}, "an embedder of input_pixels 113 takes float or uint8 .*correct input_pixels"),
        ({"mean": [1, 2]}, r"mean is \[1, 2\]; give a number, or a list of three"),
        ({"mean": float("nan")}, "mean is nan; give a number"),
        ({"scale": 0}, "scale is 0, which pixels are divided by; give numbers above 0"),
        ({"name": ""}, "name is ''; give up to 100 letters"),
        ({"name": "a\nb"}, "name is .*; give up to 100 letters"),
        ({"digest": "0" * 64}, "digest is '0000.*' and the SHA-256 of .* is [0-9a-f]{64}; give that one, if"),
        ({"digest": 7}, "digest is '7' and the SHA-256"),
    ],
)
def test_what_a_file_says_wrongly_is_told_in_one_line(tmp_path, changes, says):
    file = other_embedder(tmp_path, **changes)
    with pytest.raises(AfterfactError, match=says) as told:
        read_embedder(file)
    assert "\n" not in str(told.value)
    assert str(file) in str(told.value)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (b"no network", "is no ONNX model; name another file"),
        (made_up_network(outputs=2), "has 1 inputs and 2 outputs; export it with one of each"),
        (made_up_network(batch=4), "takes 4 faces at a time; export it with a free batch axis, or one of 1"),
        (made_up_network(side=140), "takes .*140.*; an embedder of input_pixels 112"),
        (made_up_network(kind=TensorProto.FLOAT16), r"takes tensor\(float16\)"),
        (made_up_network(kind=TensorProto.UINT8), "scales them itself; give mean: 0 and scale: 1"),
        (made_up_network(factor=float("inf")), "what is no number"),
        (made_up_network(factor=0), "what is no number"),
    ],
)
def test_a_network_that_does_not_fit_its_file_is_told_before_any_work(tmp_path, graph, says):
    with pytest.raises(ModelError, match=says) as told:
        read_embedder(write_embedder(tmp_path, graph, OTHER))
    assert "\n" not in str(told.value)


def test_weights_in_further_files_are_refused_since_no_digest_covers_them(tmp_path):
    model = onnx.load_from_string(made_up_network())
    onnx.save(model, str(tmp_path / "net.onnx"), save_as_external_data=True, location="weights", size_threshold=0)
    content = (tmp_path / "net.onnx").read_bytes()
    with pytest.raises(ModelError, match="has weights in further files, which no digest covers; save it as one"):
        read_embedder(write_embedder(tmp_path, content, OTHER))


def test_a_network_that_is_not_there_is_named(tmp_path):
    file = other_embedder(tmp_path)
    (tmp_path / OTHER["network"]).unlink()
    with pytest.raises(
        InputError, match=r"network .*made-up\.onnx does not exist; name the ONNX file, from this file's"
    ):
        read_embedder(file)


def test_a_model_is_told_and_known_again_to_its_last_number(tmp_path):
    model = given_embedder(other_embedder(tmp_path), mirrored=True).model
    told = model.as_json()
    assert Model.from_json(told) == model
    assert Model.from_json(installed_model().as_json()) == installed_model()
    for changes in ({"scale": [127.5, 127.5, 127.5]}, {"new": 1}, {"digest": "0" * 64}, {"name": None}):
        with pytest.raises(ModelError, match="is not described as this version of Afterfact"):
            Model.from_json({**told, **changes})


def test_each_line_that_changes_an_embedding_makes_another_model(tmp_path):
    told = {}
    for changes in (
        {},
        {"mean": 0},
        {"scale": 2},
        {"channels": "RGB"},
        {"alignment": "dlib"},
        {"distance": "euclidean"},
    ):
        told[read_embedder(other_embedder(tmp_path, **changes)).model.digest] = changes
    told[read_embedder(other_embedder(tmp_path, seed=2)).model.digest] = "weights"
    assert len(told) == 7


def test_a_network_is_kept_in_the_home_by_its_digest_and_found_there(tmp_path, monkeypatch):
    given, home = read_embedder(other_embedder(tmp_path / "given")), tmp_path / "home"
    home.mkdir()
    given.keep(home)
    kept = models_folder(home) / f"{given.model.network}.onnx"
    assert find_network(given.model, models_folder(home)) == kept
    assert digest_file(kept) == given.model.network
    shutil.rmtree(tmp_path / "given")
    Embedder(kept, model=given.model).embed_chips(np.zeros((1, 112, 112, 3), np.uint8) + np.uint8(9))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.rename(kept, elsewhere / kept.name)
    with pytest.raises(
        ModelError, match=rf"was expected at {kept} and is not there; .*{given.model.network}.* {MODELS}"
    ):
        find_network(given.model, models_folder(home))
    monkeypatch.setenv(MODELS, str(elsewhere))
    assert find_network(given.model, models_folder(home)) == elsewhere / kept.name


def test_a_kept_network_that_was_changed_is_never_used(tmp_path):
    given = read_embedder(other_embedder(tmp_path))
    network = tmp_path / OTHER["network"]
    spoiled = bytearray(network.read_bytes())
    spoiled[-9] ^= 1
    network.write_bytes(spoiled)
    with pytest.raises(
        ModelError, match=rf"is another than its model's: its SHA-256 is .*, expected {given.model.network}"
    ):
        given.load()


def test_cuda_that_is_asked_for_and_not_there_is_told():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    for ask in (require_device, lambda device: Embedder(device=device)):
        with pytest.raises(ModelError, match=r"device is cuda, and this onnxruntime has only .*--device cpu"):
            ask("cuda")
    chips = np.full((2, 150, 150, 3), 99, np.uint8)
    assert np.array_equal(Embedder(device="auto").embed_chips(chips), Embedder().embed_chips(chips))


def test_the_examples_have_every_line_and_the_built_in_networks_is_right(tmp_path):
    examples = {path.name: yaml.safe_load(path.read_text()) for path in packaged("embedders").iterdir()}
    assert set(examples) == {"arcface.yaml", "dlib.yaml"}
    assert all(set(one) == set(KEYS) for one in examples.values())
    example = {name: value for name, value in examples["dlib.yaml"].items() if name != "digest"}
    assert read_embedder(dlib_embedder(tmp_path, **example)).model.network == examples["dlib.yaml"]["digest"]


def test_arcface_chips_have_the_eyes_and_the_nose_where_its_template_has_them(photos):
    for path in photos:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        face = default_detector().faces(rgb)[0]
        chip = cut_face(rgb, face, *landmarks_each([(rgb, face)]), Alignment("arcface", 112)).chip
        wide = np.pad(chip, ((60, 60), (60, 60), (0, 0)))
        seen = points_of(wide) - 60
        assert np.abs(seen - ARCFACE).max() < 6, path


def points_of(rgb):
    (points,) = landmarks_each([(rgb, default_detector().faces(rgb)[0])])
    return np.array((points[2:4].mean(axis=0), points[0:2].mean(axis=0), points[4]))
