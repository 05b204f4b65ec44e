"""Sources that are not what they seem, as float networks with NCHW pictures at their inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from stages.core.base.errors import UserError
from stages.core.graph.session import Runner
from stages.export.dequantize.codes import Codes, FeatureRange, dequantize, limits
from stages.export.dequantize.undo import Dequantized, dequantized, is_quantized
from stages.export.layout.picture_inputs import float_pixels, with_channels_first
from stages.export.shapes import graph_shapes

__all__ = ["FloatSource", "agreement", "float_source"]

RANDOM_SEED = 0
LOW_COSINE = 0.9


@dataclass(frozen=True)
class FloatSource:
    """A source as the pipeline takes it.

    Attributes:
        model: the float network.
        lines: what was undone, a line each.
        ranges: float tensor -> range of the codes that it had, of a quantized source.
    """

    model: onnx.ModelProto
    lines: Sequence[str] = ()
    ranges: Mapping[str, FeatureRange] = field(default_factory=dict)


def float_source(model: onnx.ModelProto, name: str, shapes: Sequence[Sequence[int]] = ()) -> FloatSource:
    """Undo quantization, inputs with channels last, and pixels as integers.

    Args:
        model: the source; not changed.
        name: what lines call it.
        shapes: configured shapes of inputs, for those whose sizes are not static.

    Raises:
        UserError: if it is quantized and its float meaning is not exact.
    """
    lines: list[str] = []
    ranges: Mapping[str, FeatureRange] = {}
    if is_quantized(model):
        try:
            undone = dequantized(model)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        lines += [*undone.lines(name), *_agreement_lines(model, undone, shapes)]
        model, ranges = undone.model, undone.ranges
    model, pixels = float_pixels(model)
    lines += [f"input {each!r} took integers and takes float now: the same values" for each in pixels]
    model, last = with_channels_first(model)
    lines += [f"input {each!r} is NHWC in {name} and NCHW from here on: give shapes as NCHW" for each in last]
    return FloatSource(model, lines, ranges)


def _agreement_lines(model: onnx.ModelProto, undone: Dequantized, shapes: Sequence[Sequence[int]]) -> list[str]:
    cosine = agreement(model, undone, shapes)
    if cosine is None:
        return []
    low = (
        ": a lot for rounding alone, so an activation may be left out in its quantizers" if cosine < LOW_COSINE else ""
    )
    return [f"cosine of the float and the quantized network's outputs on random input: {cosine:.4f}{low}"]


def agreement(model: onnx.ModelProto, undone: Dequantized, shapes: Sequence[Sequence[int]] = ()) -> float | None:
    """Run a quantized network and its float meaning on the same random values, in the range of each input.

    Args:
        model: the quantized network.
        undone: its float meaning.
        shapes: configured shapes, for inputs whose sizes are not static.

    Returns:
        The smallest cosine of an output; None if a size is not known, or ONNX Runtime lacks one of the operators.
    """
    generator = np.random.default_rng(RANDOM_SEED)
    types = {info.name: info.type.tensor_type.elem_type for info in (*model.graph.input, *model.graph.output)}
    fed: dict[str, NDArray[np.generic]] = {}
    real: dict[str, NDArray[np.float32]] = {}
    for name, shape in graph_shapes(model).items():
        sizes = _sizes(shape, shapes)
        if sizes is None or (types[name] != TensorProto.FLOAT and name not in undone.codes):
            return None
        if name in undone.codes:
            low, high = limits(types[name])
            codes = generator.integers(low, high + 1, sizes)
            fed[name] = codes.astype(onnx.helper.tensor_dtype_to_np_dtype(types[name]))
            real[name] = _real(codes, undone.codes[name])
        else:
            found = undone.ranges.get(name, FeatureRange(8, -1.0, 1.0))
            fed[name] = real[name] = generator.uniform(found.low, found.high, sizes).astype(np.float32)
    try:
        quantized = Runner(model, optimize="none").run(fed)
    except Exception:  # what ONNX Runtime cannot run has no values to compare with
        return None
    cosines = []
    for name, value in Runner(undone.model).run(real).items():
        other = quantized[name]
        other = _real(other, undone.codes[name]) if name in undone.codes else other
        if value.shape == other.shape and value.dtype.kind == "f":
            cosines.append(_cosine(value, other))
    return min(cosines, default=None)


def _sizes(shape: Sequence[int], configured: Sequence[Sequence[int]]) -> Sequence[int] | None:
    """Static sizes for a shape (0: not static): the first configured shape that fits, else with batch 1; or None."""
    for candidate in (*configured, [1, *shape[1:]]):
        fits = len(candidate) == len(shape) and all(
            size in (0, own) for size, own in zip(shape, candidate, strict=True)
        )
        if fits and 0 not in candidate:
            return candidate
    return None


def _real(codes: NDArray[np.generic], known: Codes) -> NDArray[np.float32]:
    assert known.scale is not None
    return dequantize(codes, known.scale, known.zero_point)


def _cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    one, other = (value.astype(np.float64).ravel() for value in (left, right))
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else float(np.array_equal(one, other))
