"""The small project whose files are damaged: a classifier, pictures of three classes, every artifact."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.common import PROJECT
from benchmarks.common.processes import run_stage

__all__ = ["OVERRIDES", "classifier", "make_files", "make_project"]

STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build")
OVERRIDES = (
    "model=onnx",
    "model.source=file:net.onnx",
    "model.inputs=[{mean: [128], normal: [64]}]",
    "data=folder",
    "data.calibration.source=file:calibration",
    "data.debug.source=file:evaluation/ant",
    "data.evaluation.source=file:evaluation",
    "compare.cures=0",
)
SIZE = 16


def classifier() -> onnx.ModelProto:
    """Two convolutions, a mean and a fully connected layer: `images` [1, 3, 16, 16] to `logits` [1, 3]."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (3, 8)}
    constants = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["c1"], "stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "stem_relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "depthwise", pads=[1, 1, 1, 1], group=8),
        helper.make_node("Add", ["c2", "r1"], ["sum"], "residual"),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w3"], ["logits"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_files(folder: Path) -> None:
    """Make the network and the pictures in a folder that is there."""
    os.chdir(folder)
    onnx.save(classifier(), "net.onnx")
    rng = np.random.default_rng(1)
    for name, count in {"calibration": 8, "evaluation/ant": 2, "evaluation/bee": 2, "evaluation/cat": 2}.items():
        Path(name).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(f"{name}/{index}.png", rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))


def make_project(folder: Path) -> None:
    """Make the project in a folder that is there, and run its stages there."""
    make_files(folder)
    shutil.copytree(PROJECT / "conf", "conf")  # init writes there
    run_stage("compose", *OVERRIDES)
    for stage in STAGES:
        run_stage(stage)
    run_stage("infer", "evaluation/ant/0.png", "--dump", "pc")
