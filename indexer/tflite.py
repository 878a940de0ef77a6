"""A TensorFlow Lite file of float networks read without TensorFlow, and written as an ONNX graph.

A .tflite file is a flatbuffer: tables whose fields are found through a table of offsets. The field and operator numbers
are those of TensorFlow's schema.fbs, which only ever appends. Nine operators are known: BlazeFace's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ADD, CONCATENATION, CONVOLUTION, DEPTHWISE, DEQUANTIZE, MAX_POOL, RELU, RESHAPE, PAD = 0, 2, 3, 4, 6, 17, 19, 22, 34
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4"}
_SAME = 0  # of the schema's two paddings
_TO_NCHW = (0, 3, 1, 2)
# ONNX Runtime keeps 8 (AVX2) or 16 (AVX-512) channels together. Where a count is no multiple, or zero channels are
# appended with Pad, it converts forth and back around every block (a fifth to a third of the time), so that counts are
# rounded up here with channels of zeros, which stay zero.
BLOCK = 16


class NetworkError(Exception):
    """The file is not a network that this converter knows."""


class _Table:
    """One table of a flatbuffer. Fields are asked for by their number in the schema."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at
        self._offsets = at - self._read("i", at)

    def _read(self, kind: str, at: int) -> Any:
        return struct.unpack_from("<" + kind, self._content, at)[0]

    def _field(self, number: int) -> int | None:
        if 4 + 2 * number >= self._read("H", self._offsets):
            return None
        offset = self._read("H", self._offsets + 4 + 2 * number)
        return self._at + offset if offset else None

    def _follow(self, at: int) -> int:
        return at + self._read("I", at)

    def scalar(self, number: int, kind: str, default: int = 0) -> int:
        at = self._field(number)
        return default if at is None else self._read(kind, at)

    def table(self, number: int) -> _Table | None:
        at = self._field(number)
        return None if at is None else _Table(self._content, self._follow(at))

    def tables(self, number: int) -> list[_Table]:
        at = self._field(number)
        if at is None:
            return []
        start = self._follow(at)
        items = (start + 4 + 4 * item for item in range(self._read("I", start)))
        return [_Table(self._content, self._follow(item)) for item in items]

    def array(self, number: int, kind: str) -> np.ndarray:
        at = self._field(number)
        if at is None:
            return np.empty(0, dtype=kind)
        start = self._follow(at)
        return np.frombuffer(self._content, dtype=kind, count=self._read("I", start), offset=start + 4)


@dataclass(frozen=True)
class Operation:
    """One step: its schema number, the tensors that it reads and writes, and its options table."""

    kind: int
    inputs: list[int]
    outputs: list[int]
    options: _Table | None


@dataclass(frozen=True)
class Network:
    """Shapes of all tensors (NHWC), the constants among them, and the operations in order."""

    shapes: list[list[int]]
    constants: dict[int, np.ndarray]
    operations: list[Operation]
    inputs: list[int]
    outputs: list[int]


def read_network(content: bytes) -> Network:
    """Returns the first graph of a .tflite file, its half-precision constants widened. Raises NetworkError."""
    try:
        return _read(content)
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise NetworkError(f"cut off, or no float .tflite network ({type(error).__name__}: {error})") from error


def _read(content: bytes) -> Network:
    if content[4:8] != b"TFL3":
        raise NetworkError(f"starts with {content[:8]!r}; a .tflite file has TFL3 at its fifth byte")
    model = _Table(content, struct.unpack_from("<I", content, 0)[0])
    codes = [max(code.scalar(0, "b"), code.scalar(3, "i")) for code in model.tables(1)]
    buffers, graph = model.tables(4), model.tables(2)[0]
    shapes: list[list[int]] = []
    constants: dict[int, np.ndarray] = {}
    for number, tensor in enumerate(graph.tables(0)):
        shapes.append([int(size) for size in tensor.array(0, "<i4")])
        raw = buffers[tensor.scalar(2, "I")].array(0, "u1")
        if raw.size:
            constants[number] = raw.view(_TYPES[tensor.scalar(1, "b")]).reshape(shapes[-1])
    operations = []
    for one in graph.tables(3):
        kind = codes[one.scalar(0, "I")]
        inputs, outputs = ([int(n) for n in one.array(field, "<i4")] for field in (1, 2))
        if kind == DEQUANTIZE:
            constants[outputs[0]] = constants[inputs[0]].astype(np.float32)
        else:
            operations.append(Operation(kind, inputs, outputs, one.table(4)))
    ends = ([int(n) for n in graph.array(field, "<i4")] for field in (1, 2))
    return Network(shapes, constants, operations, *ends)


def build_graph(network: Network) -> bytes:
    """Returns an ONNX model: input `pixels` uint8 (N, rows, columns, 3), scaled to -1..1 inside; outputs by number
    `output0`, ... float32 (N, anchors, values). Raises NetworkError.

    A network of convolutions takes any size: rows and columns may be other multiples of all its strides together.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph(network)
    channels = network.shapes[network.inputs[0]][3]
    x = graph.node("Cast", ["pixels"], to=TensorProto.FLOAT)
    x = graph.node("Transpose", [x], perm=_TO_NCHW)
    x = graph.node("Mul", [x, graph.constant(np.float32(1 / 127.5))])
    graph.names[network.inputs[0]] = graph.node("Sub", [x, graph.constant(np.float32(1))])
    for operation in network.operations:
        graph.add(operation)
    results = []
    for number, tensor in enumerate(network.outputs):
        graph.node("Identity", [graph.names[tensor]], name=f"output{number}")
        shape = ["n", f"anchors{number}", *network.shapes[tensor][2:]]
        results.append(helper.make_tensor_value_info(f"output{number}", TensorProto.FLOAT, shape))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "rows", "columns", channels])
    made = helper.make_graph(graph.nodes, "tflite", [pixels], results, graph.tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Graph:
    """An ONNX graph under construction. names: of the tensors made so far; four-dimensional ones are NCHW."""

    def __init__(self, network: Network) -> None:
        self.names: dict[int, str] = {}
        self.nodes: list = []
        self.tensors: list = []
        self._network = network
        self._channels = {network.inputs[0]: network.shapes[network.inputs[0]][3]}  # as made, zeros included
        self._zeros: dict[tuple[int, int, int], str] = {}
        self._flattened = {operation.inputs[0] for operation in network.operations if operation.kind == RESHAPE}
        self._known: dict[int, Callable[[Operation, list[str]], str]] = {
            ADD: lambda _, inputs: self.node("Add", inputs),
            CONCATENATION: lambda _, inputs: self.node("Concat", inputs, axis=1),
            CONVOLUTION: self._convolution,
            DEPTHWISE: self._convolution,
            MAX_POOL: self._max_pool,
            PAD: self._pad,
            RELU: lambda _, inputs: self.node("Relu", inputs),
            RESHAPE: self._reshape,
        }

    def node(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operation: Operation) -> None:
        if operation.kind not in self._known:
            raise NetworkError(f"operator {operation.kind} of the .tflite schema is not one this converter knows")
        inputs = [self.names[number] for number in operation.inputs if number in self.names]
        source, made = operation.inputs[0], operation.outputs[0]
        if operation.kind in (ADD, MAX_POOL, RELU, DEPTHWISE):
            self._channels[made] = self._channels[source]
        self.names[made] = self._known[operation.kind](operation, inputs)

    def _shape(self, number: int) -> list[int]:
        return self._network.shapes[number]

    def _convolution(self, operation: Operation, inputs: list[str]) -> str:
        source, weights, bias = operation.inputs
        made = operation.outputs[0]
        options = self._options(operation)
        depthwise = operation.kind == DEPTHWISE
        if options.scalar(4 if depthwise else 3, "b"):
            raise NetworkError("a convolution with a fused activation is not one this converter knows")
        # Stored as (1, rows, columns, channels) and (filters, rows, columns, channels).
        kernel = self._network.constants[weights].transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        if not depthwise:
            self._channels[made] = len(kernel) if made in self._flattened else _rounded(len(kernel))
        filters, depth = self._channels[made], 1 if depthwise else self._channels[source]
        wide = np.zeros((filters, depth, *kernel.shape[2:]), dtype=np.float32)
        wide[: kernel.shape[0], : kernel.shape[1]] = kernel
        offsets = np.zeros(filters, dtype=np.float32)
        offsets[: kernel.shape[0]] = self._network.constants[bias]
        strides = [options.scalar(2, "i", 1), options.scalar(1, "i", 1)]
        pads = self._pads(source, kernel.shape[2:], strides, options.scalar(0, "b"))
        constants = [self.constant(wide), self.constant(offsets)]
        return self.node("Conv", inputs + constants, strides=strides, pads=pads, group=filters if depthwise else 1)

    def _max_pool(self, operation: Operation, inputs: list[str]) -> str:
        options = self._options(operation)
        strides = [options.scalar(2, "i", 1), options.scalar(1, "i", 1)]
        window = (options.scalar(4, "i", 1), options.scalar(3, "i", 1))
        pads = self._pads(operation.inputs[0], window, strides, options.scalar(0, "b"))
        return self.node("MaxPool", inputs, kernel_shape=window, strides=strides, pads=pads)

    def _pad(self, operation: Operation, inputs: list[str]) -> str:
        """Appends channels of zeros, the only padding in BlazeFace that is no convolution's."""
        source, made = operation.inputs[0], operation.outputs[0]
        amounts = self._network.constants[operation.inputs[1]]
        if amounts[:3].any() or amounts[3][0]:
            raise NetworkError(f"padding by {amounts.tolist()} is not one this converter knows")
        self._channels[made] = max(_rounded(self._shape(made)[3]), self._channels[source])
        more = self._channels[made] - self._channels[source]
        return self.node("Concat", [*inputs, self._zero(source, inputs[0], more)], axis=1) if more else inputs[0]

    def _zero(self, source: int, name: str, channels: int) -> str:
        """A convolution by zeros: the cheapest zeros that ONNX Runtime lays out as the rest."""
        _, rows, columns, _ = self._shape(source)
        key = (rows, columns, channels)
        if key not in self._zeros:
            kernel = np.zeros((channels, self._channels[source], 1, 1), dtype=np.float32)
            self._zeros[key] = self.node("Conv", [name, self.constant(kernel)])
        return self._zeros[key]

    def _reshape(self, operation: Operation, inputs: list[str]) -> str:
        upright = self.node("Transpose", inputs, perm=(0, 2, 3, 1))
        _, _, *rest = self._shape(operation.outputs[0])
        return self.node("Reshape", [upright, self.constant(np.array([0, -1, *rest], dtype=np.int64))])

    def _pads(self, source: int, window: tuple[int, ...], strides: list[int], padding: int) -> list[int]:
        """TensorFlow's SAME: as many zeros as needed, the odd one at the end, and as many more as no step comes to.

        Those change nothing but that ONNX Runtime sees which sizes are equal without knowing them, and so can fuse an
        addition with what comes before it.
        """
        if padding != _SAME and window != tuple(strides):  # where they are equal there is nothing to pad
            raise NetworkError(f"a window of {window} in steps of {strides} without padding is not one it knows")
        sizes = self._shape(source)[1:3]
        if any(size % step for size, step in zip(sizes, strides, strict=True)):
            raise NetworkError(
                f"steps of {strides} over {sizes} pixels leave a rest, which this converter does not know"
            )
        begin = [max(span - step, 0) // 2 for span, step in zip(window, strides, strict=True)]
        return begin + [span - 1 - before for span, before in zip(window, begin, strict=True)]

    def _options(self, operation: Operation) -> _Table:
        if operation.options is None:
            raise NetworkError("an operation lacks its options")
        return operation.options


def _rounded(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
