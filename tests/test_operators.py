"""Every operator has all its parts: what is missing is named, and where."""

import importlib
import pkgutil
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from onnx import defs

from stages.build.runtime.contract import ATTRIBUTES, Opcode
from stages.build.runtime.header import HEADER, contract_header
from stages.build.runtime.translate import FLOAT_TRANSLATORS, INTEGER_TRANSLATORS
from stages.build.runtime.translate.moves import MOVING_OPERATORS
from stages.build.runtime.translate.pools import MAX_POOLS
from stages.core.integer import operators as integer_operators
from stages.core.integer.float_forms import RULES
from stages.core.integer.operators import (
    BOUNDARIES,
    BY_KIND,
    BY_ONNX_TYPE,
    HOMOGENEOUS,
    KEEPS_CODES,
    MOVES,
    OPERATORS,
    WEIGHTED,
    CodesOperator,
    operator_of,
)
from stages.core.integer.operators.fixed_point import MatMulFeatures
from stages.quantize import operators as quantize_operators
from stages.quantize.operators import ONNX_OPERATORS
from stages.quantize.operators.tables import FUNCTIONS
from tests.conftest import REPOSITORY
from tests.networks import soc_config

SAMPLES = {int: 3, str: "nna", tuple[int, ...]: (1, 2), tuple[str, ...]: ("inner",), tuple[float, ...]: (0.5, 0.25)}
LOWERED = BY_ONNX_TYPE.keys() | MOVES


@pytest.mark.parametrize("name", OPERATORS)
def test_a_record_survives_its_node(name):
    record = OPERATORS[name]
    sample = {field.name: SAMPLES.get(field.type, 0.5) for field in fields(record)}
    operator = record(**sample)
    node = operator.to_node(["x"], "y", "n")
    assert (node.op_type, node.domain, list(node.input), list(node.output)) == (name, "socquant", ["x"], ["y"])
    assert operator_of(node) == operator


@pytest.mark.parametrize("name", OPERATORS)
def test_a_record_refuses_attributes_that_are_not_its_own(name):
    record = OPERATORS[name]
    needed = [field.name for field in fields(record) if field.default is MISSING]
    node = record(**{field.name: SAMPLES.get(field.type, 0.5) for field in fields(record)}).to_node(["x"], "y", "n")
    if needed:
        kept = [entry for entry in node.attribute if entry.name != needed[0]]
        del node.attribute[:]
        node.attribute.extend(kept)
        with pytest.raises(ValueError, match=rf"n \({name}\) lacks its attribute {needed[0]}"):
            operator_of(node)
    node.attribute.add(name="color")
    with pytest.raises(ValueError, match=f"n .{name}. has no attribute color"):
        operator_of(node)


def test_a_float_output_has_no_quantization_parameters():
    operator = OPERATORS["MatMul"](rule="float")
    assert isinstance(operator, CodesOperator)
    assert (operator.qparams, list(operator.attributes())) == (None, ["rule"])


def test_every_record_is_translated_for_the_board():
    missing = OPERATORS.keys() - {record.op_type() for record in INTEGER_TRANSLATORS}
    assert missing == set(), "not translated: add them to INTEGER_TRANSLATORS in stages/build/runtime/translate/"
    assert set() == MOVES - MOVING_OPERATORS - MAX_POOLS


def test_the_page_lists_every_operator_that_the_boards_runtime_does_in_float():
    items = (REPOSITORY / "docs" / "board.md").read_text().split("How operators run in float:\n\n")[1]
    items = " ".join(items.split("\n\n")[0].split())
    listed = {name for item in items.removeprefix("- ").split(" - ") for name in item.split(": ")[0].split(", ")}
    folded = {"Constant", "ConstantOfShape", "Range", "Shape", "Size"}
    assert listed == FLOAT_TRANSLATORS.keys() | MOVING_OPERATORS | MAX_POOLS | RULES.keys() | folded


def test_every_record_but_the_boundaries_comes_from_an_onnx_operator():
    reached = {record.op_type() for record in BY_ONNX_TYPE.values()} | {MatMulFeatures.op_type()}
    assert OPERATORS.keys() - BOUNDARIES.keys() - reached == set()


def test_every_onnx_operator_is_claimed_by_one_record():
    claims = [name for record in OPERATORS.values() for name in record.onnx_types]
    assert sorted(claims) == sorted(set(claims))
    assert all(defs.has(name) for name in LOWERED)


def test_every_onnx_operator_with_a_record_is_lowered():
    lowered = {name for name, operator in ONNX_OPERATORS.items() if operator.lower}
    assert LOWERED - lowered == set(), "not lowered: add them to a table OPERATORS in stages/quantize/operators/"
    assert lowered - LOWERED == set(), "no record: add them to onnx_types in stages/core/integer/operators/"


@pytest.mark.parametrize("package", [integer_operators, quantize_operators])
def test_every_module_with_a_table_is_listed(package):
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names if name != "torch_convolution"]
    records = [record for module in modules for record in getattr(module, "OPERATORS", ())]
    listed = {*OPERATORS.values()} if package is integer_operators else ONNX_OPERATORS.keys()
    assert {*records} == {*listed}, f"{package.__name__} does not list every module with a table OPERATORS"


def test_every_table_has_its_function():
    assert set(OPERATORS["Table"].listed_as()) == FUNCTIONS.keys()


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_every_operator_that_a_soc_lists_is_known(soc):
    in_integers = {kind for kind, group in soc_config(soc).bit_widths.items() if group.feature_bits}
    assert in_integers - BY_KIND.keys() - MOVES == set()


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_weights_are_listed_for_weighted_operators_only(soc):
    listed = soc_config(soc).bit_widths
    with_weights = {kind for kind, group in listed.items() if group.weight_bits}
    assert with_weights == {kind for kind in listed if kind in BY_KIND and BY_KIND[kind].weighted}


def test_what_lets_the_factors_of_equalization_through():
    assert {
        "Add", "AveragePool", "Concat", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
        "LeakyRelu", "MatMul", "MaxPool", "PRelu", "Pad", "Relu", "Resize", "Sub",
    } == HOMOGENEOUS  # fmt: skip


def test_what_is_weighted_and_what_keeps_codes():
    assert {"Conv", "ConvTranspose", "Gemm", "MatMul"} == WEIGHTED
    assert MOVES | {"Resize"} == KEEPS_CODES


def test_every_operator_is_described():
    page = (REPOSITORY / "docs" / "arithmetic.md").read_text()
    named = OPERATORS.keys() - {"MatMulFeatures"} - BOUNDARIES.keys()
    assert {name for name in (*named, *MOVES) if name not in page} == set()


def test_the_header_of_the_runtime_is_the_contracts():
    assert HEADER.read_text() == contract_header(), "run `python -m stages.build.runtime.header`"


def test_every_operation_has_a_class_in_the_runtime():
    sources = "".join(path.read_text() for path in Path(HEADER).parent.rglob("*.h"))
    names = {"".join(word.capitalize() for word in code.name.split("_")) for code in Opcode}
    assert {name for name in names if f"class {name} : public " not in sources} == set()
    assert ATTRIBUTES.keys() == set(Opcode)


def test_floats_are_translated_by_onnx_operator():
    assert all(defs.has(name) for name in FLOAT_TRANSLATORS)
