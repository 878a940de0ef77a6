"""Chips to embeddings, by ONNX Runtime on one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from indexer.models import ModelError, converted_network
from indexer.weights import CHIP_PIXELS, DIMENSION

BATCH = 16  # larger batches are no faster on one core and need more memory


class Embedder:
    """dlib's network. One session on one thread: workers are processes, and share the cores among them."""

    def __init__(self, graph: Path | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = graph or converted_network()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"the converted network {path} cannot be loaded; delete it and run again") from error

    def embed_chips(self, chips: np.ndarray) -> np.ndarray:
        """Returns float32 (n, 128) embeddings, not of unit length, for uint8 (n, 150, 150, 3) RGB chips."""
        if chips.dtype != np.uint8 or chips.shape[1:] != (CHIP_PIXELS, CHIP_PIXELS, 3):
            raise ValueError(f"chips are {chips.dtype} {chips.shape}; expected uint8 (n, 150, 150, 3)")
        parts = [
            self._session.run(["embeddings"], {"chips": chips[start : start + BATCH]})[0]
            for start in range(0, len(chips), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, DIMENSION), dtype=np.float32)
