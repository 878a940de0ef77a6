"""Embedders given as files: the built-in network, and small made-up ones that are no good at faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from foundation.files import digest_bytes
from indexer.models import converted_network

DLIB = {
    **{"name": "dlib-as-a-file", "network": "dlib.onnx", "input_pixels": 150, "channels": "RGB"},
    **{"mean": 0, "scale": 1, "alignment": "dlib"},
    **{"dimension": 128, "normalisation": "none", "distance": "euclidean"},
}
OTHER = {
    **{"name": "made-up", "network": "made-up.onnx", "input_pixels": 112, "channels": "BGR"},
    **{"mean": 127.5, "scale": [127.5, 127.5, 128], "alignment": "arcface"},
    **{"dimension": 48, "normalisation": "unit", "distance": "cosine"},
}


def write_embedder(folder: Path, graph: bytes, settings: dict[str, Any]) -> Path:
    """Writes the network and the YAML that names it, and returns the YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / settings["network"]).write_bytes(graph)
    file = folder / "embedder.yaml"
    file.write_text(yaml.safe_dump({"digest": digest_bytes(graph), **settings}))
    return file


def dlib_embedder(folder: Path, **changes: Any) -> Path:
    """Writes the built-in network as an embedder's files."""
    return write_embedder(folder, converted_network().read_bytes(), {**DLIB, **changes})


def other_embedder(folder: Path, seed: int = 1, **changes: Any) -> Path:
    """Writes a made-up network as an embedder's files."""
    return write_embedder(folder, made_up_network(seed=seed), {**OTHER, **changes})


def made_up_network(
    seed: int = 1,
    side: int = 112,
    dimension: int = 48,
    batch: int | str = "n",
    kind: int = TensorProto.FLOAT,
    outputs: int = 1,
    factor: float = 1.0,
) -> bytes:
    """Returns an ONNX graph (batch, 3, side, side) -> (batch, dimension): means over a grid of 7 x 7, then a matrix."""
    cells = side // 7
    draw = np.random.default_rng(seed)
    matrix = (factor * draw.normal(0, 1, (3 * 49, dimension)) / 12).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["faces"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["numbers"], ["means"], kernel_shape=[cells, cells], strides=[cells, cells]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        *(helper.make_node("MatMul", ["flat", "matrix"], [f"embedding{one}"]) for one in range(outputs)),
    ]
    given = helper.make_tensor_value_info("faces", kind, [batch, 3, side, side])
    made = [
        helper.make_tensor_value_info(f"embedding{n}", TensorProto.FLOAT, [batch, dimension]) for n in range(outputs)
    ]
    graph = helper.make_graph(nodes, "made-up", [given], made, [numpy_helper.from_array(matrix, "matrix")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def by_hand(file: Path, chips: np.ndarray) -> np.ndarray:
    """Returns float64 embeddings of uint8 (n, 112, 112, 3) RGB chips by a made-up network of OTHER's settings."""
    graph = onnx.load(str(file.parent / OTHER["network"])).graph
    matrix = numpy_helper.to_array(graph.initializer[0]).astype(np.float64)
    numbers = (chips[..., ::-1].astype(np.float64) - 127.5) / (127.5, 127.5, 128)
    means = numbers.reshape(len(chips), 7, 16, 7, 16, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    embeddings = means.reshape(len(chips), -1) @ matrix
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
