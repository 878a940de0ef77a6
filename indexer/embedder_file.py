"""An embedder given as a file: a small YAML that names an ONNX network, held against each other before any work.

What each line means is in docs/models.md, and an example in configs/embedders/.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import InputError
from foundation.files import digest_file, write_whole
from foundation.settings import read_yaml, refuse_unknown_keys
from indexer.alignment import TEMPLATES
from indexer.embedder import Embedder
from indexer.models import (
    CHIP_PADDING,
    COSINE,
    EUCLIDEAN,
    Model,
    ModelError,
    installed_model,
    models_folder,
    network_name,
)

CHOICES = {
    "channels": ("RGB", "BGR"),
    "alignment": TEMPLATES,
    "normalisation": ("none", "unit"),
    "distance": (EUCLIDEAN, COSINE),
}
LARGEST = {"input_pixels": 1024, "dimension": 8192}
KEYS = ("name", "network", "digest", "mean", "scale", *CHOICES, *LARGEST)
LONGEST_NAME = 100


@dataclass(frozen=True)
class GivenEmbedder:
    """The model that a job embeds with. file: its YAML; network: its ONNX file; both None for the built-in one."""

    model: Model
    file: Path | None = None
    network: Path | None = None

    def load(self, device: str = "cpu") -> Embedder:
        """Returns it, ready to embed. Raises ModelError."""
        return Embedder(self.network, model=self.model, device=device)

    def keep(self, home: Path) -> None:
        """Copies the network into the data home, where whoever searches finds it by its digest.

        Raises ModelError where it cannot be read or written, or is not what was checked any more.
        """
        if self.network is None:
            return
        kept = models_folder(home) / network_name(self.model)
        try:
            if kept.is_file() and digest_file(kept) == self.model.network:
                return
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            write_whole(kept, self.network.read_bytes(), mode=0o600)
            whole = digest_file(kept) == self.model.network
        except OSError as error:
            raise ModelError(f"network {self.network} cannot be copied to {kept} ({error}); see the disk") from error
        if not whole:
            kept.unlink()
            raise ModelError(f"network {self.network} changed while it was copied; run the same command again")


def given_embedder(file: Path | None, mirrored: bool = False) -> GivenEmbedder:
    """Returns the embedder in a YAML file, the built-in one where there is none. Raises as read_embedder."""
    if file is None:
        return GivenEmbedder(installed_model(mirrored))
    given = read_embedder(file)
    return replace(given, model=replace(given.model, mirrored=mirrored))


def read_embedder(file: Path) -> GivenEmbedder:
    """Returns the embedder in a YAML file, its network tried on two made-up chips.

    Raises InputError for what the file says, ModelError for a network that does not fit it.
    """
    settings = read_yaml(file)
    refuse_unknown_keys(settings, KEYS, str(file))
    for key in KEYS:
        if settings.get(key) is None:
            raise InputError(f"{file}: {key} is missing; configs/embedders/ has an example with every line")
    for key, allowed in CHOICES.items():
        if settings[key] not in allowed:
            raise InputError(f"{file}: {key} is {settings[key]!r}; give {' or '.join(allowed)}")
    if settings["distance"] == COSINE and settings["normalisation"] != "unit":
        raise InputError(f"{file}: distance is cosine, which is of unit vectors; give normalisation: unit")
    sizes = {key: _size(file, key, settings[key]) for key in LARGEST}
    mean, scale = (_of_channels(file, key, settings[key]) for key in ("mean", "scale"))
    if min(scale) <= 0:
        raise InputError(f"{file}: scale is {settings['scale']!r}, which pixels are divided by; give numbers above 0")
    name = _name(file, settings["name"])
    network = _network(file, settings["network"], settings["digest"])
    alignment = settings["alignment"]
    model = Model(
        network=settings["digest"],
        landmarks=installed_model().landmarks,
        chip_pixels=sizes["input_pixels"],
        chip_padding=CHIP_PADDING if alignment == "dlib" else 0.0,
        dimension=sizes["dimension"],
        name=name,
        alignment=alignment,
        channels=settings["channels"],
        mean=mean,
        scale=scale,
        normalisation=settings["normalisation"],
        distance=settings["distance"],
    )
    given = GivenEmbedder(model, file, network)
    _try(given)
    return given


def _size(file: Path, key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST[key]:
        raise InputError(f"{file}: {key} is {value!r}; give a whole number from 1 to {LARGEST[key]:,}")
    return value


def _of_channels(file: Path, key: str, value: Any) -> tuple[float, ...]:
    """Returns a number for each channel, in the order that channels names them."""
    numbers = value if isinstance(value, list) else [value] * 3
    right = all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in numbers)
    if len(numbers) != 3 or not right:
        raise InputError(f"{file}: {key} is {value!r}; give a number, or a list of three in the order of channels")
    return tuple(float(one) for one in numbers)


def _name(file: Path, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= LONGEST_NAME:
        raise InputError(f"{file}: name is {value!r}; give up to {LONGEST_NAME} letters, which leads will show")
    return value.strip()


def _network(file: Path, named: object, digest: object) -> Path:
    """Returns the path of the ONNX file, which starts from the YAML's folder."""
    network = file.parent / Path(str(named)).expanduser()
    if not network.is_file():
        raise InputError(f"{file}: network {network} does not exist; name the ONNX file, from this file's folder")
    try:
        found = digest_file(network)
    except OSError as error:
        raise InputError(f"{file}: network {network} cannot be read ({error.strerror}); name another") from error
    if found != digest:
        raise InputError(
            f"{file}: digest is {str(digest)[:80]!r} and the SHA-256 of {network} is {found}; give that one, if "
            "this is the network that is meant"
        )
    return network


def _try(given: GivenEmbedder) -> None:
    """Raises ModelError where the network does not embed made-up chips as the file says."""
    side = given.model.chip_pixels
    chips = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    try:
        if _lies_in_several_files(given.network):
            raise ModelError(
                f"network {given.network} has weights in further files, which no digest covers; save it as one"
            )
        given.load().embed_chips(chips)
    except ModelError as error:
        raise ModelError(f"{given.file}: {error}") from error
    except Exception as error:  # onnxruntime's errors share no public base class
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"{given.file}: network {given.network} fails on faces ({said}); export it anew") from error


def _lies_in_several_files(network: Path | None) -> bool:
    import onnx
    from onnx.external_data_helper import uses_external_data

    try:
        graph = onnx.load(str(network), load_external_data=False).graph
    except Exception as error:  # protobuf's, which onnx hides
        raise ModelError(f"network {network} is no ONNX model; name another file") from error
    return any(uses_external_data(tensor) for tensor in graph.initializer)
