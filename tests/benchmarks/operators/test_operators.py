"""The page on operators, and the tests that it is made of."""

import numpy as np
import onnx
import pytest

from benchmarks.operators.__main__ import PAGE, operators_page, run, versions
from benchmarks.operators.node_tests import NodeTest, Outcome, run_test
from stages.core.config.schema import OperatorGroup, SocConfig
from tests.conftest import REPOSITORY
from tests.export.graphs import graph_model, node

X = np.float32([[1.0, -2.0]])
SOCS = [SocConfig(name="A", operators={"Add": OperatorGroup(["Add"], [8])}), SocConfig(name="B")]


def case(entry, outputs, *inputs):
    model = graph_model([entry], {f"x{i}": value.shape for i, value in enumerate(inputs)}, ["y"])
    for info, value in zip(model.graph.input, inputs, strict=True):
        info.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    return NodeTest("case", entry.op_type, model, inputs, [outputs])


def test_an_operator_runs_in_integers_where_a_soc_has_it():
    outcome = run_test(case(node("Add", ["x0", "x1"], ["y"]), X + X, X, X), SOCS)
    assert outcome == Outcome(None, {"A"})


@pytest.mark.parametrize(
    ("entry", "outputs", "inputs", "said"),
    [
        (node("Neg", ["x0"], ["y"]), X, [X], "ONNX Runtime has other values"),
        (node("Add", ["x0", "x1"], ["y"]), X + X, [X.astype(np.int64)] * 2, "no input is float"),
        (node("Bernoulli", ["x0"], ["y"]), X, [X], "operator Bernoulli (y) gives other values on each run"),
    ],
)
def test_what_is_refused_says_why(entry, outputs, inputs, said):
    outcome = run_test(case(entry, outputs, *inputs), SOCS)
    assert str(outcome.refusal).startswith(said)
    assert outcome.integer_on == set()


def test_a_row_of_the_page():
    refused = Outcome("operator Odd (y) gives other values on each run: cut it")
    page = operators_page({"Div": [Outcome(None, {"A", "B"}), refused], "Odd": [Outcome(None, {"B"})]}, ["A", "B"])
    assert page.splitlines()[-2:] == [
        "| Div | all | 1 of 2 | yes | it gives other values on each run |",
        "| Odd | B | 1 of 1 |  |  |",
    ]


@pytest.mark.slow
def test_the_page_is_what_the_node_tests_say(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    if versions() not in PAGE.read_text():
        pytest.skip(f"the page is of other versions than {versions()}")
    run(check_only=True)
