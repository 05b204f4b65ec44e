"""YOLOX-nano's precision without the pipeline's decoding, suppression and metric; on the artifacts in the folder.

Each function is for a process of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.scoring.detection import INPUT_SIZE, decode, mean_average_precision, read_labels, suppress
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, INPUTS, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.simulator import simulator_model

__all__ = ["precisions_by_hand"]

SOURCE = Path("network.onnx")
KEY = "data.evaluation"
Outputs = dict[str, NDArray[np.float32]]


def precisions_by_hand(pictures: Sequence[Path], data: Path, exact: bool) -> dict[str, float]:
    """Mean average precision of both networks at IoU .5 to .95, by `benchmarks.scoring.detection` and pycocotools.

    The float network is the source as its authors exported it. The quantized one ends at the last convolutions: the
    source's own graph computes the rest, in float.

    Args:
        pictures: that evaluate.
        data: DIR, with the labels.
        exact: undo the letterbox by the resized picture's width and height, which are rounded; else by one ratio.
    """
    sizes = [_size(path) for path in pictures]
    folder = data / "coco_train128" / "labels"
    labels = [read_labels(folder / f"{path.stem}.txt", *size) for path, size in zip(pictures, sizes, strict=True)]
    scales = [_scale(*size, exact) for size in sizes]
    found = {
        side: [suppress(decode(output), scale) for output, scale in zip(outputs, scales, strict=True)]
        for side, outputs in (("float", _float_outputs()), ("quantized", _quantized_outputs()))
    }
    return {side: mean_average_precision(boxes, labels)[0] for side, boxes in found.items()}


def _float_outputs() -> Iterator[NDArray[np.float32]]:
    source = Runner(SOURCE)
    return (next(iter(source.run(fed).values()))[0] for fed in _samples())


def _quantized_outputs() -> Iterator[NDArray[np.float32]]:
    ends = list(Runner(FLOAT_MODEL).outputs)
    quantized = Runner(simulator_model(load_integer_model(INTEGER_MODEL), ends), optimize="safe")
    finish = _rest_of_source(ends)
    return (finish(quantized.run(fed)) for fed in _samples())


def _rest_of_source(ends: Sequence[str]) -> Callable[[Outputs], NDArray[np.float32]]:
    """What the source's graph makes of some tensors: its output, [anchors, 5 + classes]."""
    source = onnx.shape_inference.infer_shapes(onnx.load(SOURCE))
    (output,) = (info.name for info in source.graph.output)
    rest = Runner(onnx.utils.Extractor(source).extract_model(list(ends), [output]))
    return lambda values: rest.run({name: values[name] for name in ends})[output][0]


def _samples() -> Iterator[Any]:
    config, inputs = load_params(Path("params.yaml")), load_inputs(INPUTS)
    files = select(config.data.evaluation, inputs, KEY)
    return (feeds(read.sample, inputs) for read in read_samples(files, inputs, config.model.preprocess, KEY))


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture.

    Raises:
        UserError: if it cannot be read.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise UserError(f"{path} cannot be read as a picture")
    return picture.shape[0], picture.shape[1]


def _scale(height: int, width: int, exact: bool) -> NDArray[np.float64]:
    """Pixels of the input a pixel of a picture, for x, y, x, y."""
    ratio = min(INPUT_SIZE / height, INPUT_SIZE / width)
    if not exact:
        return np.full(4, ratio)
    return np.array([round(width * ratio) / width, round(height * ratio) / height] * 2)
