"""Every spoiled file is what its line says it is."""

import io
import os

import dlib
import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError, features

from demo.portraits import draw_portrait
from demo.spoiled import VAST_SIDE, vast_png, write_spoiled

DETECTOR = dlib.get_frontal_face_detector()
KNOWN = {"ENROLLED", "UNREADABLE_IMAGE", "IMAGE_TOO_LARGE", "NO_FACE", "MULTIPLE_FACES", "SMALL_FACE"}
KNOWN |= {"LOW_BRIGHTNESS", "HIGH_BRIGHTNESS", "LOW_SHARPNESS", "DUPLICATE", "MISSING_FILE", "OUTSIDE_ARCHIVE"}


@pytest.fixture(scope="module")
def portraits():
    return draw_portrait(1, 1_000_001, 1), draw_portrait(1, 1_000_002, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spoiled")


@pytest.fixture(scope="module")
def written(folder, portraits):
    return {spoiled.name: spoiled for spoiled in write_spoiled(folder, *portraits)}


def count_faces(picture):
    """Returns how many faces dlib finds on a grey copy whose shorter side is 240 pixels."""
    scale = 240 / min(picture.size)
    copy = picture.convert("L").resize((round(picture.width * scale), round(picture.height * scale)))
    return len(DETECTOR(np.asarray(copy), 0))


def open_upright(path):
    """Returns the picture upright and in 8 bits, as a careful reader sees it."""
    if path.suffix == ".heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        return pillow_heif.read_heif(path).to_pillow()
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode == "I;16":
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture


def test_every_file_is_there_and_only_the_missing_one_is_not(folder, written):
    assert len(written) >= 30
    assert set(written) - set(os.listdir(folder)) == {"never-written.jpg"}
    assert set(os.listdir(folder)) <= set(written)


def test_every_outcome_is_a_known_name_and_every_name_is_used(written):
    used = set().union(*(spoiled.expected for spoiled in written.values()))
    assert used == KNOWN
    assert all(spoiled.about.endswith(".") for spoiled in written.values())


def test_the_same_portraits_give_the_same_bytes(folder, written, portraits, tmp_path):
    write_spoiled(tmp_path, *portraits)
    for name in set(written) - {"never-written.jpg", "leads-outside.jpg"}:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_files_to_be_enrolled_show_exactly_one_face_and_share_no_bytes(folder, written):
    names = [name for name, spoiled in written.items() if spoiled.expected == {"ENROLLED"}]
    assert [count_faces(open_upright(folder / name)) for name in names] == [1] * len(names)
    assert len({(folder / name).read_bytes() for name in names}) == len(names)


@pytest.mark.parametrize("name", ["empty.jpg", "text.jpg", "truncated.jpg", "truncated.png"])
def test_unreadable_files_do_not_open(folder, written, name):
    assert written[name].expected == {"UNREADABLE_IMAGE"}
    with pytest.raises((UnidentifiedImageError, OSError)):
        Image.open(folder / name).load()


@pytest.mark.parametrize(
    ("name", "mode"), [("grey-16-bit.png", "I;16"), ("palette.png", "P"), ("grey.jpg", "L"), ("cmyk.jpg", "CMYK")]
)
def test_odd_forms_are_stored_in_the_mode_they_claim(folder, written, name, mode):
    assert name in written
    assert Image.open(folder / name).mode == mode


def test_the_16_bit_colour_png_says_so_in_its_header(folder, written, portraits):
    content = (folder / "colour-16-bit.png").read_bytes()
    assert "colour-16-bit.png" in written
    assert (content[24], content[25]) == (16, 2)  # bit depth, colour type
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), np.asarray(portraits[0]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_upright_once_undone(folder, written, portraits, orientation):
    name = f"exif-{orientation}.jpg"
    picture = Image.open(folder / name)
    assert name in written
    assert picture.getexif()[0x0112] == orientation
    upright = np.asarray(ImageOps.exif_transpose(picture), np.float32)
    assert np.abs(upright - np.asarray(portraits[0], np.float32)).mean() < 4


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp"])
def test_animations_have_two_frames(folder, written, name):
    assert name in written
    assert Image.open(folder / name).n_frames == 2


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_the_avif_photo_is_avif(folder, written):
    assert "phone.avif" in written
    assert Image.open(folder / "phone.avif").format == "AVIF"


def test_the_vast_png_is_small_and_says_it_is_vast(folder, written):
    content = (folder / "vast.png").read_bytes()
    assert written["vast.png"].expected == {"IMAGE_TOO_LARGE"}
    assert len(content) < 600_000
    assert content[16:24] == VAST_SIDE.to_bytes(4, "big") * 2


def test_a_vast_png_of_bearable_size_opens_whole_and_black():
    picture = Image.open(io.BytesIO(vast_png(3000)))
    assert (picture.mode, picture.size) == ("1", (3000, 3000))
    assert picture.getextrema() == (0, 0)


def test_people_are_counted_as_expected(folder, written):
    assert count_faces(Image.open(folder / "two-people.jpg")) == 2
    assert count_faces(Image.open(folder / "nobody.jpg")) == 0
    assert count_faces(Image.open(folder / "black.jpg")) == 0
    assert Image.open(folder / "far-away.jpg").size == (2400, 1800)
    assert written["two-people.jpg"].expected == {"MULTIPLE_FACES"}


def test_levels_are_as_far_off_as_they_claim(folder, portraits, written):
    def mean(name):
        return np.asarray(Image.open(folder / name).convert("L")).mean()

    assert {"dim.jpg", "blown-out.jpg"} <= set(written)
    assert mean("dim.jpg") < 0.1 * np.asarray(portraits[0].convert("L")).mean()
    assert mean("blown-out.jpg") > 220


def test_the_link_leads_out_and_the_twins_are_one(folder, written):
    assert (folder / "leads-outside.jpg").is_symlink()
    assert folder not in (folder / "leads-outside.jpg").resolve().parents
    assert (folder / "twin-first.jpg").read_bytes() == (folder / "twin-second.jpg").read_bytes()
    names = list(written)
    assert names.index("twin-first.jpg") < names.index("twin-second.jpg")


def test_writing_twice_into_one_folder_is_no_error(portraits, tmp_path):
    first = write_spoiled(tmp_path, *portraits)
    assert write_spoiled(tmp_path, *portraits) == first
