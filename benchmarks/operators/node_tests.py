"""The onnx package's tests of single operators, exported, run, and placed on every SOC."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.base.errors import UserError
from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.export.canonical import canonicalize
from stages.export.cut import find_cut
from stages.export.float16 import in_float32, other_precision
from stages.export.shapes import fix_shapes
from stages.export.standard_form.standard_form import standard_form
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.quantizers.float_layers import float_reasons

__all__ = ["NodeTest", "Outcome", "node_tests", "run_test"]

EXPANDED = "_expanded"
"""In the name of a test of an operator's definition by others."""
RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""Tolerance of the onnx package's own runner is 1e-3 and 1e-7; exports change the order of sums."""


@dataclass(frozen=True)
class NodeTest:
    """A test of one operator.

    Attributes:
        name: as the onnx package calls it.
        operator: its type.
        model: a network of that node.
        inputs: its inputs' values.
        outputs: the values that are right.
    """

    name: str
    operator: str
    model: onnx.ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]


@dataclass
class Outcome:
    """What became of a test.

    Attributes:
        refusal: why it was not exported, or that its values are others; None: it was, and they are the same.
        integer_on: names of the SOCs on which every layer of it runs in integers.
    """

    refusal: str | None = None
    integer_on: set[str] = field(default_factory=set)


def node_tests() -> Iterator[NodeTest]:
    """The tests of the standard's operators, without those of the same operators spelled out."""
    from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415  it computes all values at import

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        if case.model is None or case.data_sets is None or EXPANDED in case.name:
            continue
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].domain in ("", "ai.onnx"):
            inputs, outputs = case.data_sets[0]
            yield NodeTest(case.name, nodes[0].op_type, case.model, inputs, outputs)


def run_test(test: NodeTest, socs: Sequence[SocConfig]) -> Outcome:
    """Export a test, compare its values, and ask each SOC whether it runs in integers.

    Inputs that are not float are constants, as in networks. Where a SOC does not run the operator on features alone,
    all inputs but the first are constants.
    """
    outcome = Outcome()
    for fed in (len(test.inputs), 1):
        try:
            exported, refusal = _exported(test, fed)
        except UserError as error:
            outcome.refusal = outcome.refusal or str(error)
            return outcome
        except Exception as error:  # a crash is a refusal that is to be mended: the page shows it
            outcome.refusal = outcome.refusal or f"{type(error).__name__}: {error}"
            return outcome
        if refusal is not None:
            outcome.refusal = refusal
            return outcome
        outcome.integer_on |= {soc.name for soc in socs if _in_integers(exported, soc)}
        if len(outcome.integer_on) == len(socs) or len(test.inputs) == 1:
            break
    return outcome


def _exported(test: NodeTest, fed: int) -> tuple[onnx.ModelProto, str | None]:
    """Export a test with so many float inputs, the others constants; gives what is wrong with its values, if anything.

    Where ONNX Runtime has other values than the test of the source too, that is no fault of the export.
    """
    model, feeds = _with_constants(test, fed)
    source = standard_form(model, test.name)
    source = source if other_precision(source) is None else in_float32(source)
    static = fix_shapes(source, {name: list(value.shape) for name, value in feeds.items()})
    exported = canonicalize(static, find_cut(static, [None] * len(feeds), []))
    names = [info.name for info in test.model.graph.output]
    expected = dict(zip(names, test.outputs, strict=True))
    found = Runner(exported).run(feeds)
    if all(_same(value, expected[name]) for name, value in found.items()):
        return exported, None
    own = Runner(static, optimize="none").run(feeds)
    alike = all(_same(value, own[name]) for name, value in found.items())
    return exported, "ONNX Runtime has other values" if alike else "its values are others"


def _with_constants(test: NodeTest, fed: int) -> tuple[onnx.ModelProto, dict[str, NDArray[np.float32]]]:
    """The network of a test with constants for inputs, and what it is fed.

    Raises:
        UserError: if an input is no tensor, or none is float.
    """
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    feeds: dict[str, NDArray[np.float32]] = {}
    for info, value in zip(test.model.graph.input, test.inputs, strict=True):
        array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        if not isinstance(array, np.ndarray | np.generic):
            raise UserError("an input is no tensor")
        array = np.asarray(array)
        if array.dtype.kind == "f" and len(feeds) < fed:
            feeds[info.name] = array.astype(np.float32)
        else:
            model.graph.initializer.append(numpy_helper.from_array(array, info.name))
    if not feeds:
        raise UserError("no input is float")
    return model, feeds


def _same(found: NDArray[Any], expected: Any) -> bool:
    if isinstance(expected, list):
        raise UserError("an output is a sequence")
    value = np.asarray(numpy_helper.to_array(expected) if isinstance(expected, onnx.TensorProto) else expected)
    if not isinstance(found, np.ndarray):
        raise UserError("an output is no tensor")
    if found.shape != value.shape:
        return False
    if value.dtype.kind not in "fiub":
        return bool(np.array_equal(found, value))
    return bool(np.allclose(found.astype(np.float64), value.astype(np.float64), RELATIVE, ABSOLUTE, equal_nan=True))


def _in_integers(model: onnx.ModelProto, soc: SocConfig) -> bool:
    network = LayerGraph.of(Graph(model), soc)
    return bool(network.layers) and not float_reasons(network, soc, {})
