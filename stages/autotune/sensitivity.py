"""How far the outputs move when one tensor alone is quantized, for every tensor at every bit width."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.autotune.allocation.problem import AllocationProblem
from stages.autotune.allocation.variables import FEATURE, WEIGHT
from stages.core.base.console import track
from stages.core.base.threads import thread_count
from stages.core.config.schema import FLOAT_BITS, FeatureMethod, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.network_params import FeatureParams
from stages.core.outputs.output_error import NetworkError, Variations
from stages.core.outputs.output_parts import parts_of_outputs
from stages.core.outputs.states import answering_outputs
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.parameters.weight_scales import dequantized
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.subgraphs import Subgraph, downstream_subgraph, subgraph_model
from stages.quantize.pipeline import Pipeline
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.quantizers.setup import QuantizerSetup
from stages.quantize.rounding.replay import TensorFiles, fake_quantize

__all__ = ["Ranges", "measure_sensitivities", "ranges_by_bit_width", "ranges_of"]

Array = NDArray[np.float32]
Ranges = Mapping[tuple[str, int], tuple[float, float]]
"""(tensor, bit width) -> range, where the method chooses ranges by output."""


@dataclass(frozen=True)
class _TriedTensor:
    """A tensor that quantizers are tried on, and the layers that follow from it.

    Attributes:
        tensor: its name.
        features: (variable, bit width) -> what it is quantized with.
        weights: (variable, bit width), of the layer that computes it.
        producer: that layer, if it has a weight to try.
        rest: all that the tensor reaches.
    """

    tensor: str
    features: Mapping[tuple[str, int], FeatureParams]
    weights: Sequence[tuple[str, int]]
    producer: Subgraph | None
    rest: Subgraph

    @property
    def needs(self) -> set[str]:
        """Float tensors that trying takes."""
        return {self.tensor, *self.rest.inputs, *(self.producer.inputs if self.producer else ())}


def ranges_by_bit_width(problem: AllocationProblem, pipeline: Pipeline) -> dict[tuple[str, int], tuple[float, float]]:
    """Choose ranges by output for every bit width, once: a tensor's depends on its own bit width alone.

    Returns:
        Nothing where the method is another one, which takes no time.
    """
    config = pipeline.config
    by_bit_width: dict[tuple[str, int], tuple[float, float]] = {}
    if config.quant.feature_method is not FeatureMethod.OUTPUT:
        return {}
    for bits in sorted({*problem.integer_bit_widths(FEATURE), config.quant.feature_bits} - {FLOAT_BITS}):
        quant = replace(config.quant, feature_bits=bits, edge_bits=None)
        ranges = replace(pipeline, config=replace(config, quant=quant)).with_output_ranges(pipeline.network).ranges
        setup = place_quantizers(problem.graph, config.soc, quant, pipeline.by_node)
        by_bit_width |= {
            (each.tensor, each.bits): ranges[each.tensor] for each in setup.features if each.tensor in ranges
        }
    return by_bit_width


def ranges_of(ranges: Ranges, setup: QuantizerSetup) -> dict[str, tuple[float, float]]:
    """The ranges at the bit widths of a setup."""
    keys = {feature.tensor: (feature.tensor, feature.bits) for feature in setup.features}
    return {tensor: ranges[key] for tensor, key in keys.items() if key in ranges}


def measure_sensitivities(
    problem: AllocationProblem, pipeline: Pipeline, ranges: Ranges, feeds: Iterable[Mapping[str, Array]], folder: Path
) -> dict[str, dict[int, float]]:
    """Measure every variable at every bit width.

    The float network runs once a picture, all that is needed of it kept on disk. Then a variable is quantized as
    quantize would, and only the layers that follow run. A weight is tried in its layer alone, which then hands its
    output to the same layers. Ranges are chosen for each bit width.

    Such errors of single tensors add up, as far as none is large: they are independent of each other, and small beside
    the tensors.

    Args:
        problem: the variables.
        pipeline: of the experiment, for its settings and statistics.
        ranges: of `ranges_by_bit_width`.
        feeds: network inputs of each picture.
        folder: a scratch folder.

    Returns:
        Variable -> bit width -> error, the mean over all parts of float outputs of the mean squared error relative to
        the part's variance over the pictures, or what the network changes of an input.
    """
    graph = problem.graph
    features = _feature_params(problem, pipeline, ranges)
    weights = TensorFiles(folder / "weights")
    _write_weights(problem, pipeline, ranges, weights)
    tried = list(_tried_tensors(problem, features))
    outputs = answering_outputs(graph)
    files = TensorFiles(folder / "float")
    pictures = _run_float(
        graph, feeds, {*outputs, *graph.inputs, *(name for each in tried for name in each.needs)}, files
    )
    read = files.read
    of_pictures = (
        ({name: read(name, picture) for name in outputs}, {name: read(name, picture) for name in graph.inputs})
        for picture in range(pictures)
    )
    variations = Variations.of(parts_of_outputs(graph), of_pictures)
    errors: dict[tuple[str, int], list[float]] = {}
    with ThreadPoolExecutor(thread_count()) as pool:
        for each in track(tried, "sensitivity"):
            trial = _TensorTrial(graph, each, files, weights, variations)
            for of_picture in pool.map(trial.errors, range(pictures)):
                for key, error in of_picture.items():
                    errors.setdefault(key, []).append(error)
    return {
        variable.name: {bits: float(np.mean(errors[variable.name, bits])) for bits in variable.integer_bit_widths}
        for variable in problem.variables
    }


def _feature_params(
    problem: AllocationProblem, pipeline: Pipeline, ranges: Ranges
) -> dict[tuple[str, int], FeatureParams]:
    """Parameters of (tensor, bit width), chosen as quantize does."""
    base = replace(pipeline.config.quant, edge_bits=None)
    return {
        (feature.tensor, feature.bits): feature
        for bits in problem.integer_bit_widths(FEATURE)
        for feature in _chosen_features(problem, pipeline, ranges, replace(base, feature_bits=bits))
    }


def _chosen_features(
    problem: AllocationProblem, pipeline: Pipeline, ranges: Ranges, quant: QuantConfig
) -> list[FeatureParams]:
    config = replace(pipeline.config, quant=quant)
    setup = place_quantizers(problem.graph, config.soc, quant, pipeline.by_node)
    return choose_features(setup, problem.graph, pipeline.network.statistics, config, ranges_of(ranges, setup))


def _write_weights(problem: AllocationProblem, pipeline: Pipeline, ranges: Ranges, files: TensorFiles) -> None:
    """Write dequantized weights of (node, bit width), their scales chosen as quantize does."""
    base = replace(pipeline.config.quant, edge_bits=None)
    features = _chosen_features(problem, pipeline, ranges, base)
    stored: set[tuple[str, int]] = set()
    for bits in problem.integer_bit_widths(WEIGHT):
        config = replace(pipeline.config, quant=replace(base, weight_bits=bits))
        setup = place_quantizers(problem.graph, config.soc, config.quant, pipeline.by_node)
        weights, codes = choose_weights(setup, problem.graph, features, config)
        for weight in weights:
            if (weight.node, weight.bits) not in stored:
                stored.add((weight.node, weight.bits))
                values = dequantized(codes[weight.node], weight.scales, weight.axis)
                files.write(_weight_file(weight.node, weight.bits), 0, values)


def _weight_file(node: str, bits: int) -> str:
    return f"{node} {bits}"


def _tried_tensors(
    problem: AllocationProblem, params: Mapping[tuple[str, int], FeatureParams]
) -> Iterator[_TriedTensor]:
    """What to try, in graph order."""
    graph, layers = problem.graph, problem.setup.layers
    weights: dict[str, list[tuple[str, int]]] = {}
    features: dict[str, dict[tuple[str, int], FeatureParams]] = {}
    for variable in problem.variables:
        for bits in variable.integer_bit_widths:
            if variable.kind == WEIGHT:
                weights.setdefault(variable.tensor, []).append((variable.name, bits))
            else:
                features.setdefault(variable.tensor, {})[variable.name, bits] = params[variable.tensor, bits]
    producers = {layer.output: layer for layer in layers}
    for tensor in graph.float_tensors:
        if tensor in features or tensor in weights:
            producer = _alone(producers[tensor], graph) if tensor in weights else None
            rest = downstream_subgraph(graph, layers, tensor)
            yield _TriedTensor(tensor, features.get(tensor, {}), weights.get(tensor, []), producer, rest)


def _alone(layer: Layer, graph: Graph) -> Subgraph:
    """A weighted layer as a subgraph."""
    inputs = [name for name in layer.first.input if name and name not in graph.constants]
    return Subgraph((layer,), tuple(dict.fromkeys(inputs)), (layer.output,))


def _run_float(graph: Graph, feeds: Iterable[Mapping[str, Array]], needed: set[str], files: TensorFiles) -> int:
    """Store what is needed of the float network, of every picture; gives their number."""
    computed = [name for node in graph.nodes for name in node.output if name in needed]
    # a thread of its own, so that the results do not depend on the number of cores
    runner = Runner(with_outputs(graph.model, computed))
    count = 0
    for feed in feeds:
        for name, value in {**feed, **runner.run(feed)}.items():
            if name in needed:
                files.write(name, count, value)
        count += 1
    return count


class _TensorTrial:
    """One tensor, ready to be tried on any picture, on several at once."""

    def __init__(
        self, graph: Graph, tried: _TriedTensor, files: TensorFiles, weights: TensorFiles, variations: Variations
    ) -> None:
        self._tried, self._files, self._variations = tried, files, variations
        self._rest = Runner(subgraph_model(graph, tried.rest)) if tried.rest.outputs else None
        self._producer: Runner | None = None
        self._weights: dict[tuple[str, int], Array] = {}
        if tried.producer:
            node = tried.producer.layers[0].first
            self._weight = node.input[1]
            model = _with_weight_as_input(subgraph_model(graph, tried.producer), self._weight)
            self._producer = Runner(model)
            self._weights = {key: weights.read(_weight_file(node.name, key[1]), 0) for key in tried.weights}

    def errors(self, picture: int) -> dict[tuple[str, int], float]:
        """The outputs' errors for all that is tried here, on one picture."""
        tried, read = self._tried, self._files.read
        tensor: Array = read(tried.tensor, picture)
        others = {name: read(name, picture) for name in tried.rest.inputs if name != tried.tensor}
        expected = {name: read(name, picture) for name in self._variations.variances()}
        errors = {
            key: self._error(fake_quantize(tensor, params), others, expected) for key, params in tried.features.items()
        }
        if self._producer is not None and tried.producer is not None:
            inputs = {name: read(name, picture) for name in tried.producer.inputs}
            for key, weight in self._weights.items():
                values = self._producer.run({**inputs, self._weight: weight})[tried.tensor]
                errors[key] = self._error(values, others, expected)
        return errors

    def _error(self, values: Array, others: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        computed = {self._tried.tensor: values}
        if self._rest is not None:
            own = computed if self._tried.tensor in self._rest.inputs else {}
            computed |= self._rest.run({**others, **own})
        error = NetworkError(self._variations.parts, self._variations)
        error.add(expected, {name: computed.get(name, wanted) for name, wanted in expected.items()})
        return error.mean()


def _with_weight_as_input(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """Make a constant an input, so that one session runs all its candidates."""
    constant = next(each for each in model.graph.initializer if each.name == tensor)
    model.graph.input.append(helper.make_tensor_value_info(tensor, constant.data_type, constant.dims))
    model.graph.initializer.remove(constant)
    return model
