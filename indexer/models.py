"""Where the models' files are, what a gallery remembers of them, and the converted network's cache."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import rfc8785

from foundation.errors import AfterfactError
from foundation.files import digest_bytes, digest_file, write_whole
from indexer import weights

CHIP_PADDING = 0.25  # of the face's box on each side, as dlib trained with


class ModelError(AfterfactError):
    """A model's file is absent, or is not the one expected."""


def model_file(name: str) -> Path:
    """Returns the path of one of face_recognition_models' files; its package is found, not imported,

    because importing it would load pkg_resources. Raises ModelError where it is absent.
    """
    found = importlib.util.find_spec("face_recognition_models")
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise ModelError(f"model file {name} is not installed; run: pip install face_recognition_models")


def network_file() -> Path:
    """Returns the weights of dlib's face network. Raises ModelError."""
    return model_file("dlib_face_recognition_resnet_model_v1.dat")


def landmarks_file() -> Path:
    """Returns dlib's 5-point landmark predictor. Raises ModelError."""
    return model_file("shape_predictor_5_face_landmarks.dat")


@dataclass(frozen=True)
class Model:
    """What makes two embeddings comparable. digest: SHA-256 of the rest, which a gallery remembers.

    mirrored: whether an embedding is the mean of the network's outputs for a chip and its mirror image.
    """

    network: str
    landmarks: str
    chip_pixels: int
    chip_padding: float
    dimension: int
    name: str = "dlib_face_recognition_resnet_model_v1"
    mirrored: bool = False

    @property
    def digest(self) -> str:
        return digest_bytes(rfc8785.dumps(self._told()))

    def as_json(self) -> dict[str, object]:
        return {**self._told(), "digest": self.digest}

    def _told(self) -> dict[str, Any]:
        # Told only where it is so: galleries that were made before it could be keep their digest.
        return {name: value for name, value in asdict(self).items() if name != "mirrored" or value}


def installed_model(mirrored: bool = False) -> Model:
    """Returns the identity of an embedder in use: dlib's network behind its 5-point alignment."""
    return replace(_installed(), mirrored=mirrored)


@cache
def _installed() -> Model:
    return Model(
        network=digest_file(network_file()),
        landmarks=digest_file(landmarks_file()),
        chip_pixels=weights.CHIP_PIXELS,
        chip_padding=CHIP_PADDING,
        dimension=weights.DIMENSION,
    )


def cached_file(name: str, make: Callable[[], bytes]) -> Path:
    """Returns a file of the user's cache, made on first use, and anew where its digest does not fit any more.

    One flipped bit in a network would move every embedding and show nowhere. Two that make the file at once
    write the same bytes, each whole. Raises ModelError for a cache that cannot be written, and whatever make raises.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "afterfact"
    path, stated = folder / name, folder / f"{name}.sha256"
    if not _is_whole(path, stated):
        content = make()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            write_whole(stated, digest_bytes(content).encode())
        except OSError as error:
            raise ModelError(f"the model cache {folder} cannot be written ({error}); set XDG_CACHE_HOME") from error
    return path


def _is_whole(path: Path, stated: Path) -> bool:
    try:
        return digest_file(path) == stated.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False


def converted_network() -> Path:
    """Returns the ONNX graph of dlib's network, converted on first use.

    Raises weights.WeightsError for a weights file that is not dlib's, ModelError for an unusable cache.
    """
    source = network_file()
    name = f"{digest_file(source)[:32]}-{weights.CONVERTER}.onnx"
    return cached_file(name, lambda: weights.build_graph(*weights.read_network(source)))
