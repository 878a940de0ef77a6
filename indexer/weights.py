"""dlib's face network read from its .dat file and written as an ONNX graph.

The file is dlib's portable serialization: integers carry their byte count, tensors are float32
little-endian, and the layers follow one another from the input to the output, each behind its name.
The network (dlib's `anet_type`, dnn_face_recognition_ex.cpp) is a 29-convolution residual net; each
convolution's affine layer is folded into its weights here, and the scaling of pixels into the first
one's (which has no padding, so that nothing else is moved). That changes no embedding by more than rounding
(the largest difference seen is 4e-7).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import AfterfactError

CHANNEL_MEANS = (122.782, 117.001, 104.298)  # RGB, dlib's input_rgb_image_sized
PIXEL_SCALE = 256.0
CHIP_PIXELS = 150
DIMENSION = 128
CONVOLUTIONS = 29
CONVERTER = "3"  # part of the cached graph's name: raise it when the graph changes


class WeightsError(AfterfactError):
    """The weights file is not the network this converter knows."""


@dataclass(frozen=True)
class Convolution:
    """One folded convolution. kernel: float32 (out, in, rows, columns); bias: float32 (out,)."""

    kernel: np.ndarray
    bias: np.ndarray
    stride: int
    padding: int


class Reader:
    """dlib's portable serialization: numbers whose bytes are counted before them."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def integer(self, at: int) -> tuple[int, int]:
        """Returns the integer that starts at a position, and the position behind it."""
        control = self._content[at]
        count = control & 0x0F
        value = int.from_bytes(self._content[at + 1 : at + 1 + count], "little")
        return (-value if control & 0x80 else value), at + 1 + count

    def integers(self, at: int, count: int) -> tuple[list[int], int]:
        values = []
        for _ in range(count):
            value, at = self.integer(at)
            values.append(value)
        return values, at

    def every_integer(self) -> list[int]:
        """Returns the integers of a file that holds nothing else: a float is two, its mantissa and its exponent."""
        values, at = [], 0
        while at < len(self._content):
            value, at = self.integer(at)
            values.append(value)
        return values

    def tensor(self, at: int) -> tuple[np.ndarray, int]:
        """Returns the tensor that starts at a position, flat, and the position behind it."""
        (version, *shape), at = self.integers(at, 5)
        if version != 2:
            raise WeightsError(f"tensor version {version} in the weights; this converter reads version 2")
        size = int(np.prod(shape))
        return np.frombuffer(self._content, dtype="<f4", count=size, offset=at), at + 4 * size


def read_network(path: Path) -> tuple[list[Convolution], np.ndarray]:
    """Returns the 29 folded convolutions in the file's order, and the last matrix, float32 (256, 128).

    Raises WeightsError where the file is not dlib_face_recognition_resnet_model_v1.dat's network.
    """
    content = path.read_bytes()
    reader = Reader(content)
    convolutions: list[Convolution] = []
    matrix = np.empty((0, 0), dtype=np.float32)
    raw: tuple[np.ndarray, list[int]] | None = None
    try:
        for found in re.finditer(rb"(?:con_4|affine_|fc_2)(?=\x01)", content):
            if found.group() == b"con_4":
                weights, at = reader.tensor(found.end())
                shape, _ = reader.integers(at, 7)
                raw = weights, shape
            elif found.group() == b"affine_" and raw is not None:
                scale, _ = reader.tensor(found.end())
                convolutions.append(_fold(*raw, scale))
                raw = None
            elif found.group() == b"fc_2":
                at = found.end()
                (outputs, inputs), at = reader.integers(at, 2)
                weights, _ = reader.tensor(at)
                matrix = weights.reshape(inputs, outputs).astype(np.float32)
    except (IndexError, ValueError, OverflowError, struct.error) as error:
        raise WeightsError(f"{path} is cut off or not dlib's network ({error}); reinstall its package") from error
    if len(convolutions) != CONVOLUTIONS or matrix.shape != (256, DIMENSION):
        raise WeightsError(
            f"{path} holds {len(convolutions)} convolutions and a last matrix of {matrix.shape}; "
            f"expected {CONVOLUTIONS} and (256, {DIMENSION}): reinstall face_recognition_models"
        )
    return convolutions, matrix


def _fold(weights: np.ndarray, shape: list[int], scale: np.ndarray) -> Convolution:
    filters, rows, columns, stride, _, padding, _ = shape
    kernel, bias = weights[:-filters].reshape(filters, -1, rows, columns), weights[-filters:]
    gamma, beta = scale[:filters], scale[filters:]
    return Convolution(
        (kernel * gamma[:, None, None, None]).astype(np.float32),
        (bias * gamma + beta).astype(np.float32),
        stride,
        padding,
    )


def build_graph(convolutions: list[Convolution], matrix: np.ndarray) -> bytes:
    """Returns an ONNX model: input `chips` uint8 (N, 150, 150, 3) RGB, output `embeddings` float32 (N, 128)."""
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    x = graph.node("Cast", ["chips"], to=TensorProto.FLOAT)
    x = graph.node("Transpose", [x], perm=[0, 3, 1, 2])
    remaining = iter(convolutions)
    x = graph.node("Relu", [graph.convolve(x, _taking_pixels(next(remaining)))])
    x = graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    channels, size = 32, 35
    for first in remaining:
        second = next(remaining)
        y = graph.convolve(graph.node("Relu", [graph.convolve(x, first)]), second)
        filters = len(second.bias)
        if first.stride == 2:
            x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            if filters > channels:
                x = graph.convolve(x, _more_channels(channels, filters))
            pooled, size = size // 2, (size - 3) // 2 + 1
            x = graph.pad(x, size - pooled)
            y = graph.pad(y, pooled - size)
            size = max(pooled, size)
        channels = filters
        x = graph.node("Relu", [graph.node("Add", [x, y])])
    x = graph.node("GlobalAveragePool", [x])
    x = graph.node("Flatten", [x])
    graph.node("MatMul", [x, graph.constant(matrix)], name="embeddings")
    chips = helper.make_tensor_value_info("chips", TensorProto.UINT8, ["n", CHIP_PIXELS, CHIP_PIXELS, 3])
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", DIMENSION])
    made = helper.make_graph(graph.nodes, "dlib_face_recognition_resnet_v1", [chips], [embeddings], graph.tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _taking_pixels(first: Convolution) -> Convolution:
    """Returns the first convolution as it takes pixels of 0 to 255, which dlib shifts and scales beforehand."""
    kernel = first.kernel.astype(np.float64) / PIXEL_SCALE
    bias = first.bias - (kernel * np.array(CHANNEL_MEANS)[:, None, None]).sum(axis=(1, 2, 3))
    return Convolution(kernel.astype(np.float32), bias.astype(np.float32), first.stride, first.padding)


def _more_channels(channels: int, filters: int) -> Convolution:
    """Returns what appends channels of zeros, as dlib's add_prev does, in the layout of the convolutions around it:

    ONNX Runtime would leave that layout for a Pad, and every later addition with it.
    """
    kernel = np.eye(filters, channels, dtype=np.float32)[:, :, None, None]
    return Convolution(kernel, np.zeros(filters, dtype=np.float32), stride=1, padding=0)


class _Graph:
    """Nodes and constants of an ONNX graph under construction; every method returns a value's name."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.tensors: list = []

    def node(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def convolve(self, x: str, layer: Convolution) -> str:
        return self.node(
            "Conv",
            [x, self.constant(layer.kernel), self.constant(layer.bias)],
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
        )

    def pad(self, x: str, pixels: int) -> str:
        """Zeros behind the last row and column, as dlib's add_prev pads the smaller side."""
        if pixels <= 0:
            return x
        pads = np.array([0, 0, 0, 0, 0, 0, pixels, pixels], dtype=np.int64)
        return self.node("Pad", [x, self.constant(pads)])
