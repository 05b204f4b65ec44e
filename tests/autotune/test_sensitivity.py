from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.autotune.allocation.problem import find_problem
from stages.autotune.sensitivity import measure_sensitivities
from stages.core.config.schema import Color, Config, QuantConfig
from stages.core.cost import CostModel
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.statistics.collect import collect
from stages.quantize.float_network import Network
from stages.quantize.pipeline import Pipeline
from tests.export.graphs import graph_model, node
from tests.networks import relative_error, soc_config, tiny_classifier

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(3)]


def measured(model, folder, **quant):
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q", **quant))
    statistics = collect(graph.model, ((str(i), dict(feeds)) for i, feeds in enumerate(PICTURES)))
    problem = find_problem(graph, config, {}, CostModel(), allow_float=False)
    images = NetworkInput("images", (1, 3, 16, 16), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    pipeline = Pipeline(config, Network(graph, statistics), {}, images, folder, folder)
    return measure_sensitivities(problem, pipeline, {}, PICTURES, folder / "scratch"), statistics


def error_of(changed, model):
    """The error of another network's output."""
    expected, actual = ([runner.run(feeds)["logits"] for feeds in PICTURES] for runner in map(Runner, (model, changed)))
    return relative_error(expected, actual)


def with_weight_quantized(model, name, bits, axis):
    """MAX_ABS by hand; the scale's move to a whole multiplier is left out."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensor = next(entry for entry in changed.graph.initializer if entry.name == name)
    weight = numpy_helper.to_array(tensor).astype(np.float64)
    others = tuple(other for other in range(weight.ndim) if other != axis)
    top = 2 ** (bits - 1) - 1
    scale = np.abs(weight).max(axis=others, keepdims=True) / top
    codes = np.clip(np.rint(weight / scale), -top, top)
    tensor.CopyFrom(numpy_helper.from_array((codes * scale).astype(np.float32), name))
    return changed


def with_feature_quantized(model, tensor, low, high, bits):
    """Quantize and dequantize written out as Div, Round, Clip, Mul after one tensor; the whole network runs."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1)
    zero = round(-low / scale)
    for name, number in (("s", scale), ("bottom", -zero), ("top", 2**bits - 1 - zero)):
        changed.graph.initializer.append(numpy_helper.from_array(np.float32(number), f"q/{name}"))
    for consumer in changed.graph.node:
        for index, name in enumerate(consumer.input):
            if name == tensor:
                consumer.input[index] = "q/out"
    at = next((i + 1 for i, producer in enumerate(changed.graph.node) if tensor in producer.output), 0)
    steps = [("Div", tensor, "q/s", "a"), ("Round", "q/a", None, "b"), ("Clip", "q/b", ("q/bottom", "q/top"), "c")]
    for offset, (kind, source, more, made) in enumerate([*steps, ("Mul", "q/c", "q/s", "out")]):
        given = [source, *([more] if isinstance(more, str) else more or ())]
        changed.graph.node.insert(at + offset, onnx.helper.make_node(kind, given, [f"q/{made}"], f"q/{made}"))
    return changed


@pytest.mark.parametrize("tensor", ["images", "r1", "r2", "c3", "sum", "pooled"])
def test_a_feature_alone_as_a_whole_run_has_it(tensor, tmp_path):
    model = tiny_classifier()
    found, statistics = measured(model, tmp_path)
    seen = statistics[tensor]
    for bits, error in found[f"feature {tensor}"].items():
        wanted = error_of(with_feature_quantized(model, tensor, seen.low, seen.high, bits), model)
        assert error == pytest.approx(wanted, rel=2e-2)


@pytest.mark.parametrize(("node", "name", "axis"), [("stem", "w1", 0), ("depthwise", "w2", 0), ("fc", "w4", 0)])
def test_a_weight_alone_as_a_whole_run_has_it(node, name, axis, tmp_path):
    model = tiny_classifier()
    found, _ = measured(model, tmp_path, feature_bits=32)  # float features leave the weights' scales as they are
    assert list(found[f"weight {node}"]) == ([2, 4, 8] if node == "fc" else [2, 4, 6, 8])
    for bits, error in found[f"weight {node}"].items():
        assert error == pytest.approx(error_of(with_weight_quantized(model, name, bits, axis), model), rel=1e-3)


def test_every_bit_width_of_every_variable_and_the_wider_the_better(tmp_path):
    found, _ = measured(tiny_classifier(), tmp_path)
    assert set(found) == {
        *(f"feature {name}" for name in ("images", "r1", "r2", "c3", "sum", "pooled")),
        *(f"weight {name}" for name in ("stem", "depthwise", "project", "fc")),
    }
    for errors in found.values():
        assert list(errors) == sorted(errors)
        assert errors[min(errors)] > 10 * errors[max(errors)]


def test_the_same_for_any_number_of_cores(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SOCQUANT_THREADS", "1")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, _ = measured(tiny_classifier(), tmp_path / "a")
    monkeypatch.setenv("SOCQUANT_THREADS", "5")
    assert measured(tiny_classifier(), tmp_path / "b")[0] == one


def test_every_kind_of_weighted_layer_and_two_outputs(tmp_path):
    # a grouped ConvTranspose, a MatMul and a split whose halves meet again; the weights of each become inputs
    rng = np.random.default_rng(5)

    def constant(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    model = graph_model(
        [
            node("ConvTranspose", ["images", "t"], ["up"], "up", group=3, strides=[2, 2]),
            node("Split", ["up"], ["left", "right"], "split", axis=2, num_outputs=2),
            node("Mul", ["left", "right"], ["product"], "product"),
            node("Conv", ["product", "w"], ["made"], "made"),
            node("GlobalAveragePool", ["made"], ["mean"], "mean"),
            node("Flatten", ["mean"], ["flat"], "flat"),
            node("MatMul", ["flat", "m"], ["logits"], "matmul"),
        ],
        {"images": [1, 3, 16, 16]},
        ["logits", "made"],
        {"t": constant(3, 2, 2, 2), "w": constant(4, 6, 1, 1), "m": constant(4, 5)},
        opset=18,
    )
    found, _ = measured(model, tmp_path)
    assert {name for name in found if name.startswith("weight")} == {"weight up", "weight made", "weight matmul"}
    for errors in found.values():
        assert 0 < errors[max(errors)] < errors[min(errors)]
    # by hand: only one of two outputs follows from the matrix, so that its error counts half
    matrix = numpy_helper.to_array(next(entry for entry in model.graph.initializer if entry.name == "m"))
    flat = [Runner(with_outputs(model, ["flat"])).run(picture)["flat"] for picture in PICTURES]
    scale = np.abs(matrix).max(axis=0) / 127
    coarse = np.rint(matrix / scale) * scale
    alone = relative_error([values @ matrix for values in flat], [values @ coarse for values in flat])
    assert found["weight matmul"][8] == pytest.approx(alone / 2, rel=0.1)
