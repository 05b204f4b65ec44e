"""Problems of bit allocation: of a small network, and without one, a chain of made-up features and weights."""

from collections.abc import Mapping
from typing import Any

import onnx

from stages.autotune.allocation.integer_program import Table, tabulate
from stages.autotune.allocation.predicted_error import PredictedError
from stages.autotune.allocation.problem import AllocationProblem, find_problem
from stages.autotune.allocation.variables import Variable
from stages.core.config.schema import Config, QuantConfig
from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.placement import place_quantizers
from tests.networks import soc_config, tiny_classifier


def problem_of(
    model: onnx.ModelProto | None = None,
    given: Mapping[str, NodeBits] | None = None,
    soc: str = "t40",
    cost_model: CostModel | None = None,
    allow_float: bool = False,
    **quant: Any,
) -> AllocationProblem:
    """The problem of a network, the tiny classifier unless told otherwise; `quant`: keys of its settings."""
    graph = Graph(onnx.shape_inference.infer_shapes(model or tiny_classifier()))
    config = Config(soc=soc_config(soc), quant=QuantConfig("q", **quant))
    return find_problem(graph, config, given or {}, cost_model or CostModel(), allow_float)


def made_up(features: int = 3, weights: int = 3, bit_widths: tuple[int, ...] = (2, 4, 8)) -> AllocationProblem:
    """Variables `feature 0`, ..., `weight 0`, ...; the network behind them is the tiny classifier."""
    graph = Graph(tiny_classifier())
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    variables = [
        Variable(
            f"{kind} {i}", kind, f"t{i}", f"{kind}{i}", (f"t{i}",) if kind == "feature" else (), (), bit_widths, 10
        )
        for kind, count in (("feature", features), ("weight", weights))
        for i in range(count)
    ]
    return AllocationProblem(
        graph, place_quantizers(graph, config.soc, config.quant), tuple(variables), {}, config, CostModel()
    )


def bits(problem: AllocationProblem) -> list[Table]:
    """The sum of all bit widths as a cost."""
    return [
        tabulate([name], problem.bit_widths, lambda allocation: float(sum(allocation.values())))
        for name in problem.bit_widths
    ]


def halving(problem: AllocationProblem, per_variable: Mapping[str, float]) -> PredictedError:
    """Errors that fall fourfold a bit, as rounding does; `per_variable` scales them."""
    errors = {
        name: {bits: per_variable.get(name, 1.0) * 4.0**-bits for bits in bit_widths}
        for name, bit_widths in problem.bit_widths.items()
    }
    return PredictedError(problem, errors)
