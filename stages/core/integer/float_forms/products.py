"""Matrix products, and what is made of them: Gemm with all its options, Einsum, interpolation with constant weights."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Array, Rewriter, Rule
from stages.core.integer.reference import run_onnx_node

__all__ = ["RULES"]

MATRIX = 2


def _gemm(to: Rewriter, node: onnx.NodeProto) -> None:
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    weight, turned = to.value(node, 1), attribute(node, "transA", 0)
    bias_known = not to.has(node, 2) or to.value(node, 2) is not None
    if weight is not None and bias_known and (alpha, beta) == (1.0, 1.0) and not turned:
        to.keep(node)
        return
    left = to.op("Transpose", node.input[0], perm=[1, 0]) if turned else node.input[0]
    if weight is not None:
        right: str | Array = (weight.T if attribute(node, "transB", 0) else weight) * np.float32(alpha)
        right = np.ascontiguousarray(right)
    else:
        right = to.op("Transpose", node.input[1], perm=[1, 0]) if attribute(node, "transB", 0) else node.input[1]
    scaled = weight is None and alpha != 1
    biased = to.has(node, 2) and beta != 0
    total = to.op("MatMul", left, right, y="" if scaled or biased else node.output[0])
    if scaled:
        total = to.op("Mul", total, np.float32(alpha), y="" if biased else node.output[0])
    if biased:
        bias = to.value(node, 2)
        term: str | Array = node.input[2] if bias is None else bias * np.float32(beta)
        term = to.op("Mul", term, np.float32(beta)) if isinstance(term, str) and beta != 1 else term
        to.op("Add", total, term, y=node.output[0])


def _mat_mul(to: Rewriter, node: onnx.NodeProto) -> None:
    """Vectors become matrices of one row or one column."""
    left, right, y = (to.shape(name) for name in (*node.input, node.output[0]))
    if left is None or right is None or min(len(left), len(right)) >= MATRIX:
        to.keep(node)
        return
    a = to.reshape(node.input[0], [1, left[0]]) if len(left) == 1 else node.input[0]
    b = to.reshape(node.input[1], [right[0], 1]) if len(right) == 1 else node.input[1]
    to.reshape(to.op("MatMul", a, b), y or [], y=node.output[0])


# --- Einsum ---


def _einsum(to: Rewriter, node: onnx.NodeProto) -> None:
    """Operands two at a time: axes are turned so that a matrix product sums over the shared ones."""
    shapes = [to.shape(name) for name in node.input]
    if any(shape is None for shape in shapes):
        to.keep(node)
        return
    terms, result = _letters(attribute(node, "equation").decode().replace(" ", ""), [len(s or []) for s in shapes])
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        sizes |= dict(zip(term, shape or [], strict=True))
    steady = all([sizes[letter] for letter in t] == s for t, s in zip(terms, shapes, strict=True))
    if not steady:
        to.keep(node)
        return
    names = []
    for index, name in enumerate(node.input):
        single, terms[index] = _diagonal(to, name, terms[index], sizes)
        names.append(single)
    x, letters = _summed(to, names[0], terms[0], set("".join((*terms[1:], result))))
    for index, (name, term) in enumerate(zip(names[1:], terms[1:], strict=True), start=1):
        needed = set("".join((*terms[index + 1 :], result)))
        other, other_letters = _summed(to, name, term, needed | set(letters))
        x, letters = _contracted(to, (x, letters), (other, other_letters), needed, sizes)
    if result:
        to.op("Transpose", x, y=node.output[0], perm=[letters.index(letter) for letter in result])
    else:
        to.op("Identity", x, y=node.output[0])


def _letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand's axes, and of the result's; an ellipsis becomes letters of its own."""
    given, _, result = equation.partition("->")
    terms = given.split(",")
    free = [chr(code) for code in range(0x3B1, 0x3B1 + 16)]
    hidden = max((rank - len(t) + 3 for t, rank in zip(terms, ranks, strict=True) if "..." in t), default=0)
    for index, rank in enumerate(ranks):
        count = rank - len(terms[index]) + 3
        terms[index] = terms[index].replace("...", "".join(free[hidden - count : hidden]) if count > 0 else "")
    if "->" not in equation:
        joined = "".join(terms)
        single = sorted(letter for letter in set(joined) if joined.count(letter) == 1 and letter not in free)
        return terms, "".join(free[:hidden]) + "".join(single)
    return terms, result.replace("...", "".join(free[:hidden]))


def _diagonal(to: Rewriter, x: str, letters: str, sizes: dict[str, int]) -> tuple[str, str]:
    """Of axes with the same letter only the diagonal: zeros beside it, and a sum."""
    for letter in sorted({letter for letter in letters if letters.count(letter) > 1}):
        while letters.count(letter) > 1:
            first, last = letters.index(letter), letters.rindex(letter)
            eye = np.eye(sizes[letter], dtype=np.bool_)
            shape = [sizes[letter] if axis in (first, last) else 1 for axis in range(len(letters))]
            x = to.reduce("ReduceSum", to.op("Where", eye.reshape(shape), x, to.zero(x)), [last], 0)
            letters = letters[:last] + letters[last + 1 :]
    return x, letters


def _summed(to: Rewriter, x: str, letters: str, needed: set[str]) -> tuple[str, str]:
    """Sum over the axes that nothing else has."""
    gone = [index for index, letter in enumerate(letters) if letter not in needed]
    if gone:
        x = to.reduce("ReduceSum", x, gone, 0)
    return x, "".join(letter for letter in letters if letter in needed)


def _contracted(
    to: Rewriter, left: tuple[str, str], right: tuple[str, str], needed: set[str], sizes: dict[str, int]
) -> tuple[str, str]:
    """The product of two operands, summed over the axes that both have and nothing else needs."""
    (a, a_letters), (b, b_letters) = left, right
    batch = [letter for letter in a_letters if letter in b_letters and letter in needed]
    inner = [letter for letter in a_letters if letter in b_letters and letter not in needed]
    rows = [letter for letter in a_letters if letter not in b_letters]
    columns = [letter for letter in b_letters if letter not in a_letters]

    def matrix(x: str, letters: str, order: Sequence[Sequence[str]]) -> str:
        flat = [letter for group in order for letter in group]
        turned = to.op("Transpose", x, perm=[letters.index(letter) for letter in flat]) if flat else x
        return to.reshape(turned, [int(np.prod([sizes[letter] for letter in group])) for group in order])

    total = to.op("MatMul", matrix(a, a_letters, (batch, rows, inner)), matrix(b, b_letters, (batch, inner, columns)))
    letters = [*batch, *rows, *columns]
    return to.reshape(total, [sizes[letter] for letter in letters]), "".join(letters)


# --- interpolation ---


def _resize(to: Rewriter, node: onnx.NodeProto) -> None:
    """A product with a matrix of weights along each axis that changes; to the nearest element it is a movement."""
    before, after = to.shape(node.input[0]), to.shape(node.output[0])
    crops = attribute(node, "coordinate_transformation_mode", b"half_pixel") == b"tf_crop_and_resize"
    kept_ratio = attribute(node, "keep_aspect_ratio_policy", b"stretch") != b"stretch"
    outside = crops and attribute(node, "extrapolation_value", 0.0) != 0
    nearest = attribute(node, "mode", b"nearest") == b"nearest"
    if nearest or before is None or after is None or kept_ratio or outside or not to.is_float(node.input[0]):
        to.keep(node)
        return
    axes = [axis % len(before) for axis in attribute(node, "axes", range(len(before)))]
    changed = [axis for axis in axes if crops or before[axis] != after[axis]]
    x = node.input[0]
    for axis in changed:
        weights = _weights(to, node, axes.index(axis), (before[axis], after[axis]), len(axes))
        last = axis == changed[-1]
        x = _along(to, x, weights, (axis, len(before)), node.output[0] if last else "")
    if not changed:
        to.op("Identity", x, y=node.output[0])


def _weights(to: Rewriter, node: onnx.NodeProto, at: int, lengths: tuple[int, int], count: int) -> Array:
    """The weights of one axis [before, after]: what ONNX Runtime makes of unit vectors.

    Args:
        to: the rewritten model.
        node: the Resize.
        at: number of the axis among those that the node resizes.
        lengths: of the axis, before and after.
        count: of axes that the node resizes.
    """
    before, after = lengths
    alone = helper.make_node("Resize", ["x", "roi", "scales", "sizes"], ["y"])
    alone.attribute.extend(each for each in node.attribute if each.name not in ("axes", "keep_aspect_ratio_policy"))
    roi, scales = to.value(node, 1), to.value(node, 2)
    window = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
    if roi is not None and roi.size:
        window[[2, 6]] = roi[[at, at + count]]
    eye = np.eye(before, dtype=np.float32).reshape(before, 1, before, 1)
    factor = np.array([1, 1, scales[at], 1], np.float32) if scales is not None and scales.size else None
    sizes = np.array([before, 1, after, 1], np.int64) if factor is None else None
    if sizes is None:
        del alone.input[3:]
    inputs = [eye, window, factor, sizes][: len(alone.input)]
    for index, value in enumerate(inputs):
        alone.input[index] = alone.input[index] if value is not None else ""
    (result,) = run_onnx_node(alone, inputs, to.opset_import)
    return np.asarray(result).reshape(before, after)


def _along(to: Rewriter, x: str, weights: Array, axis: tuple[int, int], y: str) -> str:
    """A product along one axis; `axis` is its number and the rank."""
    at, rank = axis
    if at == rank - 1:
        return to.op("MatMul", x, weights, y=y)
    turned = [*(other for other in range(rank) if other != at), at]
    total = to.op("MatMul", to.op("Transpose", x, perm=turned), weights)
    return to.op("Transpose", total, y=y, perm=np.argsort(turned).tolist())


RULES: dict[str, Rule] = {"Gemm": _gemm, "MatMul": _mat_mul, "Einsum": _einsum, "Resize": _resize}
