"""Chips to embeddings, by ONNX Runtime on one thread, or on CUDA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.files import digest_bytes
from indexer.models import Model, ModelError, converted_network, installed_model

BATCH = 16  # larger batches are no faster on one core and need more memory
DEVICES = ("auto", "cpu", "cuda")
CUDA = "CUDAExecutionProvider"
# TF32 would round to three digits: a probe embedded by the CPU would no longer lie beside its own photo.
_CUDA_OPTIONS = {"use_tf32": "0"}


class Embedder:
    """A network that embeds faces. One session on one thread: workers are processes, and share the cores among them.

    model: whose network; by default the built-in one, mirrored or not. A mirrored model's embedding is the mean of the
    outputs for a chip and its left-right mirror image, at twice the cost. graph: its ONNX file; needed where the model
    is not the built-in one (indexer.models.find_network). device: one of DEVICES; auto is CUDA where it is there.
    Raises ModelError for a graph that is spoiled, another, or of other shapes, and for CUDA that is not there.
    """

    def __init__(
        self, graph: Path | None = None, *, mirrored: bool = False, model: Model | None = None, device: str = "cpu"
    ) -> None:
        self.model = model or installed_model(mirrored)
        path = graph or converted_network()
        built_in = self.model.network == installed_model().network
        self._session = _open_session(path, None if built_in else self.model.network, device)
        self._takes = _what_it_takes(self._session, self.model, path)
        self._mean, self._scale = (np.array(one, np.float32) for one in (self.model.mean, self.model.scale))

    def embed_chips(self, chips: np.ndarray) -> np.ndarray:
        """Returns float32 (n, dimension) embeddings for uint8 (n, pixels, pixels, 3) RGB chips, as the model has them.

        Raises ModelError where the network gives another shape, or what is no number.
        """
        side = self.model.chip_pixels
        if chips.dtype != np.uint8 or chips.shape[1:] != (side, side, 3):
            raise ValueError(f"chips are {chips.dtype} {chips.shape}; expected uint8 (n, {side}, {side}, 3)")
        batch = 1 if self._takes.one_by_one else BATCH
        parts = [self._embed(chips[start : start + batch]) for start in range(0, len(chips), batch)]
        return np.concatenate(parts) if parts else np.empty((0, self.model.dimension), dtype=np.float32)

    def _embed(self, chips: np.ndarray) -> np.ndarray:
        embeddings = self._run(chips)
        if self.model.mirrored:
            embeddings = (embeddings + self._run(np.ascontiguousarray(chips[:, :, ::-1]))) / np.float32(2)
        if self.model.normalisation == "unit":
            with np.errstate(divide="ignore", invalid="ignore"):
                embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        if embeddings.shape != (len(chips), self.model.dimension) or not np.isfinite(embeddings).all():
            raise ModelError(
                f"network {self.model.name} gives {embeddings.dtype} {embeddings.shape} for {len(chips)} chips, or "
                f"what is no number; expected float32 ({len(chips)}, {self.model.dimension}): export it anew"
            )
        return embeddings

    def _run(self, chips: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._takes.name: self._prepared(chips)})[0]

    def _prepared(self, chips: np.ndarray) -> np.ndarray:
        """Returns the chips as the network takes them, which the built-in one does as they are."""
        pixels = chips[..., ::-1] if self.model.channels == "BGR" else chips
        if self._takes.floats:
            pixels = (pixels.astype(np.float32) - self._mean) / self._scale
        if self._takes.channels_first:
            pixels = pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class _Takes:
    """What a network takes. floats: numbers, not pixels as they are. channels_first: (n, 3, rows, columns)."""

    name: str
    floats: bool
    channels_first: bool
    one_by_one: bool


def require_device(device: str) -> None:
    """Raises ModelError where the device is CUDA and ONNX Runtime here has none."""
    import onnxruntime

    _providers(device, onnxruntime.get_available_providers())


def _open_session(path: Path, digest: str | None, device: str) -> Any:
    """Returns an ONNX Runtime session. digest: what the file must have; None for one that the cache has checked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = _providers(device, onnxruntime.get_available_providers())
    source: str | bytes = str(path) if digest is None else _read_whole(path, digest)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no public base class
        if digest is None:
            raise ModelError(f"the converted network {path} cannot be loaded; delete it and run again") from error
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"network {path} cannot be loaded ({said}); give an ONNX model in one file, for onnxruntime "
            f"{onnxruntime.__version__}"
        ) from error
    if device == "cuda" and CUDA not in session.get_providers():
        raise ModelError("device is cuda, and CUDA could not be started; see its driver, or give --device cpu")
    return session


def _providers(device: str, available: list[str]) -> list[Any]:
    if device not in DEVICES:
        raise ModelError(f"device is {device!r}; give one of {', '.join(DEVICES)}")
    if device == "cuda" and CUDA not in available:
        raise ModelError(
            f"device is cuda, and this onnxruntime has only {', '.join(available)}; install onnxruntime-gpu in the "
            "place of onnxruntime (docs/models.md), or give --device cpu"
        )
    cuda = [(CUDA, _CUDA_OPTIONS)] if device != "cpu" and CUDA in available else []
    return [*cuda, "CPUExecutionProvider"]


def _read_whole(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"network {path} cannot be read ({error.strerror}); copy it there again") from error
    if digest_bytes(content) != digest:
        raise ModelError(
            f"network {path} is another than its model's: its SHA-256 is {digest_bytes(content)}, expected {digest}; "
            "copy the right one there"
        )
    return content


def _what_it_takes(session: Any, model: Model, path: Path) -> _Takes:
    """Returns what the network takes. Raises ModelError where its input or output does not fit the model."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"network {path} has {len(inputs)} inputs and {len(outputs)} outputs; export it with one of each: faces "
            "in, embeddings out"
        )
    (given,), (made,) = inputs, outputs
    side = model.chip_pixels
    layouts = {True: (3, side, side), False: (side, side, 3)}
    fitting = [first for first, layout in layouts.items() if _fits(given.shape, (None, *layout))]
    if not fitting or given.type not in ("tensor(float)", "tensor(uint8)"):
        raise ModelError(
            f"network {path} takes {given.type} {given.shape}; an embedder of input_pixels {side} takes float or uint8 "
            f"(n, 3, {side}, {side}) or (n, {side}, {side}, 3): correct input_pixels, or export it so"
        )
    if given.shape[0] not in (1, None) and isinstance(given.shape[0], int):
        raise ModelError(
            f"network {path} takes {given.shape[0]} faces at a time; export it with a free batch axis, or one of 1"
        )
    if made.type != "tensor(float)" or not _fits(made.shape, (None, model.dimension)):
        raise ModelError(
            f"network {path} gives {made.type} {made.shape}; an embedder of dimension {model.dimension} gives float "
            f"(n, {model.dimension}): correct dimension, or export it so"
        )
    floats = given.type == "tensor(float)"
    if not floats and (any(model.mean) or any(one != 1 for one in model.scale)):
        raise ModelError(
            f"network {path} takes pixels as they are (uint8) and scales them itself; give mean: 0 and scale: 1"
        )
    return _Takes(given.name, floats, fitting[0], given.shape[0] == 1)


def _fits(shape: list[Any], wanted: tuple[int | None, ...]) -> bool:
    """Tells whether a shape, in which a name or None stands for any number, is the wanted one."""
    return len(shape) == len(wanted) and all(
        right is None or right == one or not isinstance(one, int) for one, right in zip(shape, wanted, strict=True)
    )
