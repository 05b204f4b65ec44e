"""Gelu, spelled out with Erf or Tanh."""

import math
from collections.abc import Iterator

import onnx

from stages.export.rewrites.match import Match

__all__ = ["gelu"]

TOLERANCE = 1e-4
"""Between constants: exporters write 1.4142 and 0.7978845 alike."""
CUBIC = 0.044715
"""Of the approximation by tanh. Source: D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units", 2016."""


def gelu(match: Match) -> list[onnx.NodeProto] | None:
    """Write x * (1 + erf(x / sqrt(2))) / 2, or its approximation by tanh, as Gelu."""
    factors, number = list[str](), 1.0
    for factor in _factors(match, match.node.output[0], 4):
        if isinstance(factor, float):
            number *= factor
        else:
            factors.append(factor)
    if len(factors) != 2 or not math.isclose(number, 0.5, rel_tol=TOLERANCE):
        return None
    for x, gate in (factors, factors[::-1]):
        kind = _gate(match, x, gate)
        if kind is not None and match.is_float(x):
            return match.finish("Gelu", [x], **({"approximate": "tanh"} if kind == "Tanh" else {}))
    return None


def _factors(match: Match, tensor: str, depth: int) -> Iterator[str | float]:
    """The factors of a product of products, numbers among them."""
    product = match.scaled(tensor)
    if product is not None and depth:
        yield product[1]
        yield from _factors(match, product[0], depth - 1)
        return
    node = match.producer(tensor, "Mul")
    if node is not None and match.sides(node) is None and depth:
        for name in node.input:
            yield from _factors(match, name, depth - 1)
    else:
        yield tensor


def _gate(match: Match, x: str, tensor: str) -> str | None:
    """Say with which function a tensor is 1 + erf(x / sqrt(2)), or the like; None if it is neither."""
    shifted = match.shifted(tensor)
    inner = match.producer(shifted[0], "Erf", "Tanh") if shifted and shifted[1] == 1 else None
    scaled = match.scaled(inner.input[0]) if inner is not None else None
    if inner is None or scaled is None:
        return None
    argument, factor = scaled
    if inner.op_type == "Erf":
        return "Erf" if argument == x and math.isclose(factor, math.sqrt(0.5), rel_tol=TOLERANCE) else None
    fits = math.isclose(factor, math.sqrt(2 / math.pi), rel_tol=TOLERANCE)
    return "Tanh" if fits and _is_cubic(match, x, argument) else None


def _is_cubic(match: Match, x: str, tensor: str) -> bool:
    """Whether a tensor is x + 0.044715 * x**3."""
    node = match.producer(tensor, "Add")
    others = [name for name in node.input if name != x] if node is not None else []
    scaled = match.scaled(others[0]) if len(others) == 1 else None
    if scaled is None or not math.isclose(scaled[1], CUBIC, rel_tol=TOLERANCE):
        return False
    power = match.producer(scaled[0], "Pow")
    if power is not None:
        return power.input[0] == x and match.number(power.input[1]) == 3
    return sorted(_factors(match, scaled[0], 2), key=str) == [x, x, x]
