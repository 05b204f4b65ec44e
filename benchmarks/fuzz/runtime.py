"""Damaged model files for the C++ runtime, under libFuzzer and sanitizers: their length and checksum are mended.

libFuzzer is the one that atheris brings; g++ tells it what a file reaches (`runtime.cpp`).
"""

import os
import subprocess
import sysconfig
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

__all__ = ["compiled_fuzzer", "seed_files"]

HARNESS = Path(__file__).with_name("runtime.cpp")
LIBRARY = "libclang_rt.fuzzer_no_main.a"
FLAGS = (
    *("-std=c++17", "-O1", "-g", "-fno-math-errno", "-ffp-contract=off"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-coverage=trace-pc,trace-cmp"),
    "-Wl,-z,muldefs",  # libFuzzer's own __sanitizer_cov_trace_pc is of no use
)
SHAPE = (1, 3, 6, 6)


def compiled_fuzzer(folder: Path) -> Path:
    """Compile the runtime with libFuzzer.

    Args:
        folder: for the program.

    Returns:
        The program, which takes libFuzzer's options and a folder of model files.

    Raises:
        UserError: if it cannot be compiled here.
    """
    program = folder / "fuzz_runtime"
    library = Path(sysconfig.get_path("platlib")) / LIBRARY
    line = ["g++", *FLAGS, f"-I{SOURCES}", str(HARNESS), str(library), "-o", str(program), "-lpthread"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ)
    except OSError as error:
        raise UserError(f"g++ cannot be run: {error.strerror}") from error
    if done.returncode:
        raise UserError(f"the runtime cannot be compiled here: {done.stderr.strip().splitlines()[-1]}")
    return program


def seed_files() -> list[bytes]:
    """Model files to begin with."""
    return [_model_file()]


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
