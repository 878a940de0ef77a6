"""Chips to embeddings, by ONNX Runtime on one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from indexer.models import ModelError, converted_network
from indexer.weights import CHIP_PIXELS, DIMENSION

BATCH = 16  # larger batches are no faster on one core and need more memory


class Embedder:
    """dlib's network. One session on one thread: workers are processes, and share the cores among them.

    mirrored: an embedding is the mean of the outputs for a chip and its left-right mirror image, at twice the cost.
    """

    def __init__(self, graph: Path | None = None, *, mirrored: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._mirrored = mirrored
        path = graph or converted_network()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"the converted network {path} cannot be loaded; delete it and run again") from error

    def embed_chips(self, chips: np.ndarray) -> np.ndarray:
        """Returns float32 (n, 128) embeddings, not of unit length, for uint8 (n, 150, 150, 3) RGB chips."""
        if chips.dtype != np.uint8 or chips.shape[1:] != (CHIP_PIXELS, CHIP_PIXELS, 3):
            raise ValueError(f"chips are {chips.dtype} {chips.shape}; expected uint8 (n, 150, 150, 3)")
        parts = [self._embed(chips[start : start + BATCH]) for start in range(0, len(chips), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, DIMENSION), dtype=np.float32)

    def _embed(self, chips: np.ndarray) -> np.ndarray:
        plain = self._run(chips)
        if not self._mirrored:
            return plain
        return (plain + self._run(np.ascontiguousarray(chips[:, :, ::-1]))) / np.float32(2)

    def _run(self, chips: np.ndarray) -> np.ndarray:
        return self._session.run(["embeddings"], {"chips": chips})[0]
