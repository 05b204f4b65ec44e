"""The integer model as an ONNX file: nodes of the domain `socquant` compute on codes, others move codes or are float.

docs/arithmetic.md lists the operators, `operators/` has their records. A node whose output holds codes carries their
`bits`, `scale` and `zero_point`, the `channel_scales` if each channel has its own, and the clamp `low`..`high`; an ONNX
operator whose input holds codes (Reshape, MaxPool, ...) passes them on. All else is float.
"""

import re
from collections.abc import Container, Iterable
from pathlib import Path

import onnx

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import load_model
from stages.core.integer.operators import DOMAIN, CodesOperator, operator_of
from stages.core.integer.quant_params import QuantParams

__all__ = ["DOMAIN", "DOMAIN_VERSION", "inner_tensors", "is_step", "load_integer_model", "tensor_quant_params"]

DOMAIN_VERSION = 1
STEP = re.compile(r".*/operand\d*")
"""Names of the steps of a layer: an operand of it, rescaled."""


def is_step(node: onnx.NodeProto) -> bool:
    """Whether a node is one step of a layer: what it computes is no tensor of the float network."""
    return bool(node.domain == DOMAIN and STEP.fullmatch(node.name) and node.output[0] == node.name)


def tensor_quant_params(nodes: Iterable[onnx.NodeProto]) -> dict[str, QuantParams]:
    """Map every tensor that holds codes to its quantization parameters; nodes in topological order."""
    quant_params: dict[str, QuantParams] = {}
    for node in nodes:
        if node.domain == DOMAIN:
            operator = operator_of(node)
            if isinstance(operator, CodesOperator) and operator.qparams is not None:
                quant_params.update(dict.fromkeys(node.output, operator.qparams))
        elif node.input and node.input[0] in quant_params:
            quant_params.update(dict.fromkeys(node.output, quant_params[node.input[0]]))
    return quant_params


def inner_tensors(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Tensors of the float network that lie inside fused layers, where the integer model has no codes."""
    return {name for node in nodes if node.domain == DOMAIN for name in operator_of(node).inner}


def load_integer_model(path: Path) -> onnx.ModelProto:
    """Load an integer model.

    Raises:
        UserError: if the file is missing, is no integer model of this version, or has a node that is no operator of it.
    """
    model = load_model(path)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if versions.get(DOMAIN) != DOMAIN_VERSION:
        raise UserError(f"{path} is no integer model of version {DOMAIN_VERSION}: run `dvc repro quantize`")
    known = {each.name for each in (*model.graph.initializer, *model.graph.input)}
    for node in model.graph.node:
        try:
            _check_node(node, known)
        except ValueError as error:
            again = "run `dvc repro --force --single-item quantize`"
            raise UserError(f"{path} is damaged: {error}: {again}") from error
        known.update(node.output)
    return model


def _check_node(node: onnx.NodeProto, known: Container[str]) -> None:
    """Refuse a node whose record or inputs are not whole.

    Args:
        node: of the integer domain, or any other.
        known: tensors that are there before it.

    Raises:
        ValueError: saying what is wrong.
    """
    unknown = next((name for name in node.input if name and name not in known), None)
    if unknown is not None:
        raise ValueError(f"{node.name} ({node.op_type}) has the input {unknown}, which nothing computes before it")
    if node.domain == DOMAIN:
        given, needed = len(node.input), operator_of(node).least_inputs
        if given < needed or not all(node.input[:needed]):
            raise ValueError(
                f"{node.name} ({node.op_type}) needs {needed} inputs and has {len(list(filter(None, node.input)))}"
            )
