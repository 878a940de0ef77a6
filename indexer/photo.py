"""A photo's bytes, read and decoded inside limits, or a typed rejection."""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from indexer.limits import Limits
from indexer.locations import Fetched, Member, Photo, readable
from indexer.members import fetch_member, unpack_member
from indexer.outcomes import Outcome, Rejection
from indexer.tiff import require_short_directory

# What cameras, phones and booking systems write. Pillow knows stranger formats, some of which run programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Our own check of the header replaces Pillow's, which warns at one size and fails at another.
Image.MAX_IMAGE_PIXELS = None


def read_photo(photo: Photo, root: Path | None, limits: Limits) -> bytes:
    """Returns the file's or member's bytes. What was fetched before is closed.

    root: the folder that the path, links resolved, must lie in; None where any place will do.
    Raises Rejection: MISSING_FILE, UNREADABLE_FILE, OUTSIDE_ARCHIVE or IMAGE_TOO_LARGE.
    """
    if isinstance(photo, Fetched):
        with open(photo.handle, "rb") as stream:
            stream.seek(0)  # its place is shared with whoever handed it over, to an earlier helper maybe
            content = stream.read()
        return content if photo.member is None else unpack_member(content, photo.member, limits.max_bytes)
    path = photo.container if isinstance(photo, Member) else photo
    if root is not None:
        real = os.path.realpath(path)
        if not Path(real).is_relative_to(root):
            raise Rejection(Outcome.OUTSIDE_ARCHIVE, f"leads to {readable(real)}, outside {root}")
    try:
        # O_NONBLOCK: a pipe without a writer must not hang the job.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise Rejection(Outcome.UNREADABLE_FILE, "is not a regular file")
            if isinstance(photo, Member):
                block = fetch_member(photo, limits.max_bytes, partial(os.pread, handle))
                return unpack_member(block, photo, limits.max_bytes)
            if about.st_size > limits.max_bytes:
                raise Rejection(Outcome.IMAGE_TOO_LARGE, f"{about.st_size:,} bytes; the limit is {limits.max_bytes:,}")
            with open(handle, "rb", closefd=False) as stream:
                return stream.read(limits.max_bytes + 1)
        finally:
            os.close(handle)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Rejection(Outcome.MISSING_FILE, "no such file") from error
    except OSError as error:
        raise Rejection(Outcome.UNREADABLE_FILE, error.strerror or type(error).__name__) from error


def decode_photo(content: bytes, limits: Limits) -> np.ndarray:
    """Returns the upright pixels, uint8 (rows, columns, 3) RGB; of an animation, its first frame.

    Raises Rejection: UNREADABLE_IMAGE or IMAGE_TOO_LARGE.
    """
    return decode_reduced(content, limits, None)[0]


def decode_reduced(content: bytes, limits: Limits, side: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """Returns the upright pixels as decode_photo does, and the whole photo's upright width and height.

    side: a JPEG is decoded at a half, a quarter or an eighth, as long as its shorter side keeps so many pixels, at a
    fraction of the time and memory. None, and any other format, is decoded whole. Raises as decode_photo.
    """
    if not content:
        raise Rejection(Outcome.UNREADABLE_IMAGE, "the file is empty")
    require_short_directory(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
                _require_size(image.size, limits)
                whole = image.size
                if side is not None and min(image.size) >= 2 * side:
                    share = side / min(image.size)
                    image.draft(None, (math.ceil(image.width * share), math.ceil(image.height * share)))
                elif (pixels := _plain_jpeg(image, content)) is not None:
                    return pixels, whole
                image.load()
                lying = image.size
                upright = _upright(image)
                return np.asarray(_as_rgb(upright)), whole if upright.size == lying else (whole[1], whole[0])
    except UnidentifiedImageError as error:
        raise Rejection(Outcome.UNREADABLE_IMAGE, "not an image of a known format") from error
    except MemoryError as error:
        raise Rejection(Outcome.IMAGE_TOO_LARGE, "decoding needs more memory than the limit") from error
    except Rejection:
        raise
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        raise Rejection(Outcome.UNREADABLE_IMAGE, f"{type(error).__name__}: {error}"[:200]) from error


def _plain_jpeg(image: Image.Image, content: bytes) -> np.ndarray | None:
    """Returns the pixels of an upright colour or grey JPEG without a fault, decoded by libjpeg-turbo itself.

    They are the same as Pillow's, in half the time. None for whatever else: Pillow then says what it is.
    """
    if not isinstance(image, JpegImageFile) or image.mode not in ("RGB", "L"):
        return None
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return None
        return simplejpeg.decode_jpeg(content, colorspace="RGB", strict=True)
    except MemoryError:
        raise
    except Exception:
        return None


def _require_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        said = f"the limit is {limits.max_pixels:,} in all"
    elif max(size) > limits.max_side:
        said = f"the limit is {limits.max_side:,} along a side"
    else:
        return
    raise Rejection(Outcome.IMAGE_TOO_LARGE, f"{width:,} x {height:,} pixels; {said}")


def _formats(content: bytes) -> list[str]:
    """Returns the formats that this content may be opened as, of those that this Pillow has a decoder for."""
    return [*_known_formats(), *(_heif() if content[4:8] == b"ftyp" else [])]


@cache
def _known_formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@cache
def _heif() -> list[str]:
    try:
        import pillow_heif
    except ImportError:
        return []
    pillow_heif.register_heif_opener()
    return ["HEIF"]


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)  # else it copies what stands upright already
    except MemoryError:
        raise
    except Exception:  # a broken EXIF block does not make the picture unreadable
        pass
    return image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        pixels = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(pixels, 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
