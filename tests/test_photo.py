"""Bytes are read and decoded inside limits, or the photo is rejected with a reason."""

import contextlib
import io
import os
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from indexer.limits import Limits
from indexer.outcomes import Outcome, Rejection
from indexer.photo import decode_photo, decode_reduced, read_photo

GRADIENT = Image.fromarray(np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)).convert("RGB")


def saved(picture, form, **options):
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def assert_rejected(outcome, says, call, *arguments):
    with pytest.raises(Rejection) as raised:
        call(*arguments)
    assert raised.value.outcome is outcome
    assert says in raised.value.detail


def open_below(folder):
    """What this process holds open of a folder (what other tests left behind is not this one's business)."""
    held = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            held.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in held if path.startswith(str(folder))]


def test_a_file_at_the_byte_limit_is_read_and_one_byte_more_is_not(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"x" * 100)
    assert read_photo(path, tmp_path, Limits(max_bytes=100)) == b"x" * 100
    assert_rejected(
        Outcome.IMAGE_TOO_LARGE, "100 bytes; the limit is 99", read_photo, path, tmp_path, Limits(max_bytes=99)
    )


def test_what_is_no_regular_file_is_unreadable_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    address = os.path.relpath(tmp_path / "socket.jpg")  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        for name in ("pipe.jpg", "folder.jpg", "socket.jpg"):
            for _ in range(5):
                assert_rejected(Outcome.UNREADABLE_FILE, "", read_photo, tmp_path / name, tmp_path, Limits())
        assert open_below(tmp_path) == []
    assert_rejected(Outcome.UNREADABLE_FILE, "not a regular file", read_photo, "/dev/null", None, Limits())


def test_a_file_that_is_not_there_is_missing(tmp_path):
    assert_rejected(Outcome.MISSING_FILE, "no such file", read_photo, tmp_path / "x.jpg", tmp_path, Limits())
    (tmp_path / "y.jpg").write_bytes(b"")
    assert_rejected(Outcome.MISSING_FILE, "no such file", read_photo, tmp_path / "y.jpg" / "z.jpg", None, Limits())


def test_names_and_links_that_the_system_refuses_are_unreadable(tmp_path):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name in ("loop.jpg", "x" * 300 + ".jpg"):
        assert_rejected(Outcome.UNREADABLE_FILE, "", read_photo, tmp_path / name, tmp_path, Limits())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_unreadable(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    assert_rejected(Outcome.UNREADABLE_FILE, "Permission denied", read_photo, path, tmp_path, Limits())


def test_links_are_followed_inside_the_root_only(tmp_path):
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "root-not").mkdir()  # a neighbour whose name begins like the root's
    (root / "inner" / "a.jpg").write_bytes(b"a")
    (tmp_path / "root-not" / "b.jpg").write_bytes(b"b")
    (root / "in.jpg").symlink_to("inner/a.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "root-not" / "b.jpg")
    (root / "away").symlink_to(tmp_path / "root-not")
    assert read_photo(root / "in.jpg", root, Limits()) == b"a"
    for name in ("out.jpg", "away/b.jpg", "../root-not/b.jpg"):
        assert_rejected(Outcome.OUTSIDE_ARCHIVE, "leads to", read_photo, root / name, root, Limits())
        assert read_photo(root / name, None, Limits()) == b"b"


def test_a_link_to_a_name_that_is_no_text_has_a_readable_reason(tmp_path):
    target = os.fsencode(tmp_path) + b"/out-\xff.jpg"
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    (tmp_path / "root").mkdir()
    os.symlink(target, tmp_path / "root" / "x.jpg")
    with pytest.raises(Rejection) as raised:
        read_photo(tmp_path / "root" / "x.jpg", tmp_path / "root", Limits())
    assert raised.value.detail.encode("utf-8")  # the table could not hold anything else
    assert r"out-\xff.jpg" in raised.value.detail


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "I", "F"])
def test_every_kind_of_pixel_becomes_eight_bit_rgb(mode):
    picture = GRADIENT.convert("L") if mode in ("I;16", "I", "F") else GRADIENT
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    content = saved(picture if picture.mode == mode else picture.convert(mode), "TIFF")
    rgb = decode_photo(content, Limits())
    assert rgb.shape == (48, 64, 3)
    assert rgb.dtype == np.uint8


NOISE = Image.fromarray(np.random.default_rng(5).integers(0, 255, (75, 101, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
def test_a_jpegs_pixels_are_those_that_pillow_shows(mode, options):
    content = saved(NOISE.convert(mode), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode_photo(content, Limits()), expected)


def test_a_spoiled_jpeg_shows_what_pillow_shows_or_nothing():
    random = np.random.default_rng(6)
    content = saved(NOISE, "JPEG")
    for _ in range(300):
        spoiled = bytearray(content)
        for at in random.integers(2, len(content), 3):
            spoiled[at] = random.integers(256)
        try:
            shown = decode_photo(bytes(spoiled), Limits(max_pixels=1_000_000))
        except Rejection:
            continue
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(spoiled))).convert("RGB")
        np.testing.assert_array_equal(shown, np.asarray(expected))


def test_sixteen_bit_grey_keeps_its_shades():
    wide = Image.fromarray(np.asarray(GRADIENT.convert("L")).astype(np.uint16) * 257)
    rgb = decode_photo(saved(wide, "PNG"), Limits()).astype(int)
    assert np.abs(rgb - np.asarray(GRADIENT).astype(int)).max() <= 1


def test_an_animation_is_its_first_frame():
    black = Image.new("RGB", GRADIENT.size)
    content = saved(GRADIENT, "WEBP", save_all=True, append_images=[black], lossless=True)
    assert np.array_equal(decode_photo(content, Limits()), np.asarray(GRADIENT))


def test_the_pixel_limit_is_told_from_the_header():
    content = saved(GRADIENT, "PNG")
    assert decode_photo(content, Limits(max_pixels=64 * 48)).shape == (48, 64, 3)
    assert_rejected(
        Outcome.IMAGE_TOO_LARGE,
        "64 x 48 pixels; the limit is 3,071",
        decode_photo,
        content,
        Limits(max_pixels=64 * 48 - 1),
    )


def test_a_picture_too_long_to_show_a_face_is_told_from_its_header():
    content = saved(Image.new("L", (60, 2_000_000)), "PNG")
    assert_rejected(
        Outcome.IMAGE_TOO_LARGE,
        "60 x 2,000,000 pixels; the limit is 30,000 along a side",
        decode_photo,
        content,
        Limits(),
    )
    assert decode_photo(saved(GRADIENT, "PNG"), Limits(max_side=64)).shape == (48, 64, 3)
    says = "64 x 48 pixels; the limit is 63 along a side"
    assert_rejected(Outcome.IMAGE_TOO_LARGE, says, decode_photo, saved(GRADIENT, "PNG"), Limits(max_side=63))


def strips(rows, order, version):
    """Returns a grey TIFF one pixel wide, of a strip a row, every one of them the same byte."""
    tags = {256: (4, 1, 1), 257: (4, 1, rows), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    after = 8 + 2 + 12 * (len(tags) + 3) + 4
    tags |= {273: (4, rows, after), 278: (4, 1, 1), 279: (4, rows, after + 4 * rows)}
    tags = {
        tag: (kind, number, value << 16 if kind == 3 and order == ">" else value)
        for tag, (kind, number, value) in tags.items()
    }
    head = {"<": b"II", ">": b"MM"}[order] + version + struct.pack(order + "IH", 8, len(tags))
    entries = b"".join(struct.pack(order + "HHII", tag, *rest) for tag, rest in sorted(tags.items()))
    arrays = struct.pack(order + "I", after + 8 * rows) * rows + struct.pack(order + "I", 1) * rows
    return head + entries + bytes(4) + arrays + b"\x80"


@pytest.mark.parametrize(("order", "version"), [("<", b"*\0"), (">", b"\0*"), ("<", b"\0*"), (">", b"*\0")])
def test_a_tiff_of_a_million_strips_is_rejected_before_they_are_listed(order, version):
    assert decode_photo(strips(300, order, version), Limits()).shape == (300, 1, 3)
    content = strips(1_000_000, order, version)
    assert_rejected(Outcome.IMAGE_TOO_LARGE, "2,000,007 strips, tiles", decode_photo, content, Limits())


@pytest.mark.parametrize("big", [False, True])
def test_tiffs_of_both_layouts_are_read(big):
    assert decode_photo(saved(GRADIENT, "TIFF", big_tiff=big), Limits()).shape == (48, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone(orientation):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = GRADIENT.transpose(Image.Transpose(undo[orientation])) if orientation in undo else GRADIENT
    assert np.array_equal(decode_photo(saved(stored, "PNG", exif=exif), Limits()), np.asarray(GRADIENT))


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0" + b"\xff" * 40])
def test_broken_exif_does_not_make_a_picture_unreadable(exif):
    assert decode_photo(saved(GRADIENT, "JPEG", exif=exif), Limits()).shape == (48, 64, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_cut_off_anywhere_never_shows_half_a_face(form):
    whole = saved(GRADIENT, form)
    for share in (0.05, 0.3, 0.6, 0.9):
        with pytest.raises(Rejection) as raised:
            decode_photo(whole[: int(len(whole) * share)], Limits())
        assert raised.value.outcome is Outcome.UNREADABLE_IMAGE


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_flipped_bytes_end_as_a_picture_or_as_a_rejection(form):
    whole = saved(GRADIENT, form)
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            changed[at] = rng.integers(0, 256)
        try:
            assert decode_photo(bytes(changed), Limits(max_pixels=1_000_000)).dtype == np.uint8
        except Rejection as rejection:
            assert rejection.outcome in (Outcome.UNREADABLE_IMAGE, Outcome.IMAGE_TOO_LARGE)


def test_formats_that_no_camera_writes_are_not_opened():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    assert_rejected(Outcome.UNREADABLE_IMAGE, "not an image of a known format", decode_photo, postscript, Limits())
    for form in ("PCX", "TGA", "PPM", "ICO"):
        assert_rejected(Outcome.UNREADABLE_IMAGE, "", decode_photo, saved(GRADIENT, form), Limits())


def test_a_small_file_that_unpacks_to_much_is_rejected_before_it_is_unpacked():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    assert_rejected(Outcome.IMAGE_TOO_LARGE, "2,147,483,647 x 2,147,483,647", decode_photo, content, Limits())


def test_an_empty_file_says_so():
    assert_rejected(Outcome.UNREADABLE_IMAGE, "the file is empty", decode_photo, b"", Limits())


def test_memory_that_runs_out_is_not_blamed_on_the_format(monkeypatch):
    def greedy(image, in_place=False):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", greedy)
    assert_rejected(Outcome.IMAGE_TOO_LARGE, "memory", decode_photo, saved(GRADIENT, "PNG"), Limits())


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_smaller_and_says_its_whole_size(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(GRADIENT.resize((2049, 1537)), "JPEG", exif=exif)
    rgb, size = decode_reduced(content, Limits(), 300)
    assert size == ((2049, 1537) if orientation == 1 else (1537, 2049))
    assert min(rgb.shape[:2]) in range(300, 600)
    assert decode_photo(content, Limits()).shape[:2] == size[::-1]


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_other_formats_are_decoded_whole(form):
    assert decode_reduced(saved(GRADIENT.resize((1200, 900)), form), Limits(), 300)[0].shape == (900, 1200, 3)
