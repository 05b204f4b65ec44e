"""Dumps of a small network as infer writes them, a board's folder made of them, and differences planted into its bytes.

What plants a difference knows nothing of stages.check: it moves single values by index, in plain Python.
"""

import json
import shutil
import struct
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.config.load import load_params
from stages.export.__main__ import export
from stages.infer.__main__ import infer
from stages.quantize.__main__ import quantize
from tests.conftest import REPOSITORY, write_params
from tests.networks import write_pictures

STEM, LEFT, RIGHT, SUM, POOL, LAST = "stem_relu", "left_relu", "right_relu", "sum", "pool", "fc"
SHAPES = {"images_codes": (16, 12, 3), STEM: (8, 6, 40), LEFT: (8, 6, 36), RIGHT: (8, 6, 36), SUM: (8, 6, 36)}
"""Height, width, channels."""
OVERRIDES = [
    "model=onnx",
    "model.source=file:two.onnx",
    "model.name=my",
    "model.inputs=[{mean: [110, 120, 130], normal: [60, 64, 70], color: RGB}]",
    "model.preprocess.fit=stretch",
    "data=folder",
    "data.calibration.source=file:calibration",
    "data.debug.source=file:calibration",
    "data.evaluation.source=file:calibration",
    "data.evaluation.task=none",
    "data.evaluation.labels=null",
]


def two_branches() -> onnx.ModelProto:
    """Input `images` [1, 3, 16, 12]; a stem of 40 channels, two convolutions of 36, their sum, a classifier."""
    rng = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32), name)

    def conv(x: str, name: str, stride: int, size: int) -> list[onnx.NodeProto]:
        pads = [size // 2] * 4
        conv = helper.make_node(
            "Conv", [x, f"{name}.w", f"{name}.b"], [f"{name}.c"], name, pads=pads, strides=[stride] * 2
        )
        return [conv, helper.make_node("Relu", [f"{name}.c"], [f"{name}.r"], f"{name}_relu")]

    nodes = [
        *conv("images", "stem", 2, 3), *conv("stem.r", "left", 1, 3), *conv("stem.r", "right", 1, 1),
        helper.make_node("Add", ["left.r", "right.r"], ["s"], "sum"),
        helper.make_node("GlobalAveragePool", ["s"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "fc.w", "fc.b"], ["logits"], "fc", transB=1),
    ]  # fmt: skip
    constants = [
        weight("stem.w", 40, 3, 3, 3), weight("stem.b", 40), weight("left.w", 36, 40, 3, 3), weight("left.b", 36),
        weight("right.w", 36, 40, 1, 1), weight("right.b", 36), weight("fc.w", 5, 36), weight("fc.b", 5),
    ]  # fmt: skip
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("images", [1, 3, 16, 12]), ("logits", [1, 5]))
    ]
    graph = helper.make_graph(nodes, "two", *ends, constants)
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )


def make_experiment(*overrides: str) -> None:
    """Quantize the network in the current folder."""
    onnx.save(two_branches(), "two.onnx")
    write_pictures(Path("calibration"), 10, seed=5)
    Path("conf").symlink_to(REPOSITORY / "conf")
    config = write_params(*OVERRIDES, *overrides)
    for stage in (export, calibset, calibrate, quantize):
        stage(config)


def dump(*inputs: str, into: str) -> Path:
    """Run `stages.infer INPUT... --dump INTO` in this process."""
    arguments = Namespace(inputs=[Path(name) for name in inputs], dump=Path(into), json=None)
    infer(load_params(Path("params.yaml")), arguments)
    return Path(into)


def picture(seed: int) -> np.ndarray:
    """Pixels of the network's input that are no noise: a ramp with some."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(20, 230, 16)[:, None, None] * np.array([1.0, 0.7, 0.3]) + np.linspace(0, 60, 12)[None, :, None]
    return np.clip(ramp[:: 1 if seed % 2 else -1] + rng.normal(0, 20, (16, 12, 3)), 0, 255).astype(np.uint8)


@dataclass
class Board:
    """A board's folder."""

    folder: Path

    def path(self, layer: str) -> Path:
        """Of a layer's file; codes or float."""
        codes = self.folder / f"{layer}_Quantize_out.bin"
        return codes if codes.exists() else self.folder / f"{layer}_out.bin"

    def change(self, layer: str, plant: Callable[..., bytes], *arguments: object) -> None:
        """Put other bytes in the place of a layer's."""
        path = self.path(layer)
        path.write_bytes(plant(path.read_bytes(), *arguments))

    def spoil(self, *layers: str) -> None:
        """Change about half of the values, as layers do that follow a wrong one."""
        for layer in layers:
            self.change(layer, spoiled)


def board_of(pc: Path, folder: str = "board") -> Board:
    """A board's folder that agrees with a PC's: the same bytes under a board's names, parameters beside them."""
    target = Path(folder)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in pc.glob("*.bin"):
        kept = path.name if path.name.startswith("input_data") else f"{path.stem}_out.bin"
        shutil.copy(path, target / kept)
    for name in ("stem_relu_Quantize_bt.bin", "stem_relu_Quantize_weight.bin", "output_0.bin"):
        (target / name).write_bytes(b"1234")
    return Board(target)


def forget(pc: Path) -> None:
    """Remove the list beside a PC's dump, as the vendor's tools leave none."""
    (pc / "model_node_info.json").unlink()


# --- layouts, by index


def planes(content: bytes, height: int, width: int, channels: int, size: int = 1) -> bytes:
    """NHWC to NCHW, `size` bytes a value."""
    out = bytearray(len(content))
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                source, target = (y * width + x) * channels + c, (c * height + y) * width + x
                out[target * size : (target + 1) * size] = content[source * size : (source + 1) * size]
    return bytes(out)


def turned(content: bytes, height: int, width: int, channels: int) -> bytes:
    """NHWC to NWHC."""
    rows = [[(y * width + x) * channels for y in range(height)] for x in range(width)]
    return b"".join(content[start : start + channels] for column in rows for start in column)


def grouped(content: bytes, height: int, width: int, channels: int) -> bytes:
    """NHWC to NDHWC32."""
    groups = (channels + 31) // 32
    out = bytearray(groups * height * width * 32)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                out[((c // 32 * height + y) * width + x) * 32 + c % 32] = content[(y * width + x) * channels + c]
    return bytes(out)


def padded(content: bytes, channels: int, to: int, filler: int = 0) -> bytes:
    """Pixels of more channels."""
    pixels = (content[i : i + channels] for i in range(0, len(content), channels))
    return b"".join(pixel + bytes([filler]) * (to - channels) for pixel in pixels)


def reversed_channels(content: bytes) -> bytes:
    return b"".join(bytes(reversed(content[i : i + 3])) for i in range(0, len(content), 3))


# --- packing


def exchanged_nibbles(content: bytes) -> bytes:
    return bytes((value & 15) << 4 | value >> 4 for value in content)


def unpacked(content: bytes) -> bytes:
    """4-bit codes, a byte each; of an even number of channels."""
    return bytes(code for value in content for code in (value & 15, value >> 4))


def packed(codes: bytes) -> bytes:
    return bytes(codes[i] | codes[i + 1] << 4 for i in range(0, len(codes), 2))


def widened(content: bytes, form: str = "<H") -> bytes:
    return b"".join(struct.pack(form, value) for value in content)


def low_bytes(content: bytes) -> bytes:
    return content[::2]


def swapped_bytes(content: bytes, size: int = 2) -> bytes:
    return b"".join(content[i : i + size][::-1] for i in range(0, len(content), size))


def signed(content: bytes) -> bytes:
    return bytes((value - 128) % 256 for value in content)


def dequantized(content: bytes, scale: float, zero_point: int) -> bytes:
    return b"".join(struct.pack("<f", (value - zero_point) * scale) for value in content)


def meaning(pc: Path, file: str) -> tuple[float, int]:
    """Scale and zero point in the dump's list."""
    files = json.loads((pc / "model_node_info.json").read_text())["files"].values()
    info = next(info for info in files if info["file"] == file)
    return info["scale"], info["zero_point"]


# --- values


def spoiled(content: bytes) -> bytes:
    rng = np.random.default_rng(len(content))
    return bytes((value + int(rng.integers(2, 90))) % 256 if rng.random() < 0.5 else value for value in content)


def off_by_one(content: bytes, every: int) -> bytes:
    """One more at every n-th value that has room."""
    return bytes(value + 1 if i % every == 0 and value < 255 else value for i, value in enumerate(content))


def clamped(content: bytes, top: int) -> bytes:
    return bytes(min(value, top) for value in content)


def wrapped(content: bytes, overflow: Sequence[int]) -> bytes:
    """Values at the top wrapped: what was past 255 goes on from 0."""
    more = iter(overflow * (1 + len(content) // len(overflow)))
    return bytes(next(more) if value == 255 else value for value in content)


def shifted(content: bytes, by: int) -> bytes:
    return bytes(min(255, value + by) for value in content)


def in_channel(content: bytes, channels: int, channel: int, by: int) -> bytes:
    return bytes((value + by) % 256 if i % channels == channel else value for i, value in enumerate(content))


def on_border(content: bytes, height: int, width: int, channels: int, by: int) -> bytes:
    out = bytearray(content)
    for y in range(height):
        for x in range(width):
            if y in (0, height - 1) or x in (0, width - 1):
                for c in range(channels):
                    place = (y * width + x) * channels + c
                    out[place] = (out[place] + by) % 256
    return bytes(out)
