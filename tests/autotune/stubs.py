"""A problem without a network: a chain of made-up features and weights."""

from stages.autotune.problem import Problem, Variable
from stages.autotune.solve import Table, table
from stages.core.config.schema import QuantConfig, SocConfig
from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.setup import place_quantizers
from tests.networks import soc_config, tiny_classifier


def made_up(features: int = 3, weights: int = 3, bit_widths: tuple[int, ...] = (2, 4, 8)) -> Problem:
    """Variables `feature 0`, ..., `weight 0`, ...; the network behind them is the tiny classifier."""
    graph = Graph(tiny_classifier())
    soc: SocConfig = soc_config("t40")
    variables = [
        Variable(
            f"{kind} {i}", kind, f"t{i}", f"{kind}{i}", (f"t{i}",) if kind == "feature" else (), (), bit_widths, 10
        )
        for kind, count in (("feature", features), ("weight", weights))
        for i in range(count)
    ]
    return Problem(graph, place_quantizers(graph, soc, QuantConfig("q")), tuple(variables), {}, CostModel())


def bits(problem: Problem) -> list[Table]:
    """The sum of all widths as a cost."""
    return [
        table([name], problem.bit_widths, lambda allotment: float(sum(allotment.values())))
        for name in problem.bit_widths
    ]
