"""Hard sigmoid and hard swish, spelled out."""

import math

import onnx

from stages.export.rewrites.match import Match

__all__ = ["hard_sigmoid", "hard_swish"]

TOLERANCE = 1e-6
"""Between constants that are rounded to float32."""


def hard_sigmoid(match: Match) -> list[onnx.NodeProto] | None:
    """Write a clamp of a * x + b to 0 .. 1 as HardSigmoid, in every order of its steps."""
    node = match.node
    root = node.output[0]
    factor = 1.0
    if node.op_type != "Clip":
        product = match.scaled(root)
        if product is None:
            return None
        root, factor = product
    found = _clamped(match, root, factor)
    if found is None:
        return None
    x, alpha, beta = found
    return match.finish("HardSigmoid", [x], alpha=alpha, beta=beta)


def hard_swish(match: Match) -> list[onnx.NodeProto] | None:
    """Write x * clamp(x + 3, 0, 6) / 6 as x * HardSigmoid(x), which SOCs run as one layer."""
    product = match.scaled(match.node.output[0])
    root, factor = product or (match.node.output[0], 1.0)
    multiplied = match.producer(root, "Mul")
    if multiplied is None or match.sides(multiplied) is not None:
        return None
    for x, gate in (list(multiplied.input), list(multiplied.input)[::-1]):
        inner = match.scaled(gate)
        tensor, scale = inner or (gate, 1.0)
        found = _clamped(match, tensor, factor * scale)
        if found is not None and found[0] == x:
            _, alpha, beta = found
            return match.finish("Mul", [x, match.add("HardSigmoid", [x], "HardSigmoid", alpha=alpha, beta=beta)])
    return None


def _clamped(match: Match, tensor: str, factor: float) -> tuple[str, float, float] | None:
    """Read a tensor, times a factor, as clamp(alpha * x + beta, 0, 1); gives x, alpha and beta."""
    clip = match.producer(tensor, "Clip")
    if clip is None:
        return None
    low, high = match.number(match.input(1, clip)), match.number(match.input(2, clip))
    if low != 0.0 or high is None or not math.isclose(high * factor, 1.0, rel_tol=TOLERANCE):
        return None
    x, alpha, beta = clip.input[0], factor, 0.0
    steps = 0
    while (step := match.shifted(x)) is not None or match.scaled(x) is not None:
        if step is not None:
            x, summand = step
            beta += alpha * summand
        else:
            x, scale = match.scaled(x) or (x, 1.0)
            alpha *= scale
        steps += 1
    sign_is_known = alpha > 0 and beta > 0
    return (x, alpha, beta) if steps and sign_is_known and match.is_float(x) else None
