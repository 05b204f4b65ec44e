"""Damaged model files for the C++ runtime, which is compiled with sanitizers: their length and checksum are mended."""

import os
import struct
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.build.runtime.binary import model_bytes
from stages.build.runtime.folder import SOURCES
from stages.build.runtime.memory import blocks_of, plan
from stages.build.runtime.translate import translate
from stages.core.base.errors import UserError
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput

__all__ = ["fuzz_runtime", "mended"]

HEADER_BYTES = 56
WORDS_AT = 36
"""Where the header has the number of words of the records."""
EDGES = (0, 1, 2, 3, 255, 65535, 2**16, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
SLOWEST_SECONDS = 60
SHAPE = (1, 3, 6, 6)


def fuzz_runtime(seconds: int, corpus: Path) -> int:
    """Try damaged files; one that ends otherwise than with code 0 or 2 is kept as `runtime-<number>.sqm`.

    Args:
        seconds: how long.
        corpus: where what was found is kept.

    Returns:
        How many files were tried.

    Raises:
        UserError: if the runtime cannot be compiled here.
    """
    rng = np.random.default_rng()
    whole = _model_file()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = _compiled(folder)
        (folder / "in.bin").write_bytes(bytes(int(np.prod(SHAPE))))
        end, tried = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            content = mended(_mutated(whole, rng))
            (folder / "fuzzed.sqm").write_bytes(content)
            if (said := _failure(program, folder)) is not None:
                (corpus / f"runtime-{tried}.sqm").write_bytes(content)
                (corpus / f"runtime-{tried}.txt").write_text(said, encoding="utf-8")
            tried += 1
    return tried


def mended(content: bytes) -> bytes:
    """The same with the length and the checksum that belong to it."""
    body = struct.pack("<I", len(content)) + content[20:]
    return content[:12] + struct.pack("<I", zlib.crc32(body)) + body


def _failure(program: Path, folder: Path) -> str | None:
    """Run a file; gives what was said where that is neither a result nor a refusal in one line."""
    line = [str(program), "fuzzed.sqm", "in.bin", "-o", "."]
    try:
        done = subprocess.run(line, cwd=folder, capture_output=True, check=False, timeout=SLOWEST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"runs longer than {SLOWEST_SECONDS} s"
    refused = done.returncode == 2 and done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1
    return None if done.returncode == 0 or refused else done.stderr.decode("utf-8", "replace")


def _compiled(folder: Path) -> Path:
    flags = "CXXFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    line = ["make", "-s", "-f", str(SOURCES / "Makefile"), f"TOPDIR={SOURCES}", "build_type=debug", flags]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        raise UserError(f"the runtime cannot be compiled here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "runtime_debug"


def _model_file() -> bytes:
    """A network in float with most kinds of operations: it needs no quantization to be written."""
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    constants = {"w": weight, "m": np.ones((6, 5), np.float32), "s": np.array([1, -1])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1]),
        helper.make_node("Add", ["p", "c"], ["a"], "add"),
        helper.make_node("Concat", ["a", "r"], ["j"], "join", axis=1),
        helper.make_node("Transpose", ["j"], ["t"], "turn", perm=[0, 2, 3, 1]),
        helper.make_node("Softmax", ["t"], ["f"], "soft", axis=-1),
        helper.make_node("Sigmoid", ["f"], ["g"], "gate"),
        helper.make_node("Reshape", ["g", "s"], ["y"], "flat"),
    ]
    graph = helper.make_graph(
        nodes,
        "fuzzed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 288])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("socquant", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    program = translate(model, [NetworkInput("x", SHAPE, (0.0,) * 3, (1.0,) * 3, Color.RGB)])
    return model_bytes(program, plan(blocks_of(program)))


def _mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bits, words or pieces changed, mostly in the records, or cut out."""
    actual = bytearray(content)
    records = HEADER_BYTES + 4 * int(struct.unpack_from("<I", content, WORDS_AT)[0])
    for _ in range(int(rng.integers(1, 6))):
        end = records if rng.random() < 0.8 else len(actual)
        at = int(rng.integers(20, max(end - 4, 24)))
        how = int(rng.integers(0, 5))
        if how == 0:
            actual[at] ^= 1 << int(rng.integers(0, 8))
        elif how <= 2:
            word = at // 4 * 4
            near = int(struct.unpack_from("<I", actual, word)[0]) + int(rng.integers(-3, 4))
            value = near if rng.random() < 0.5 else EDGES[int(rng.integers(0, len(EDGES)))]
            struct.pack_into("<I", actual, word, value % 2**32)
        elif how == 3:
            other, length = int(rng.integers(20, max(end - 4, 24))), int(rng.integers(1, 65))
            actual[at : at + length] = actual[other : other + length]
        elif len(actual) > HEADER_BYTES + 64:
            del actual[at : at + 4 * int(rng.integers(1, 5))]
    return bytes(actual)
