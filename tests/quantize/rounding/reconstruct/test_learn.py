"""Learning blocks of small networks: what comes out is better, within range, and the same again."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
import torch

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.base.errors import UserError
from stages.core.base.paths import NOTES
from stages.core.config.load import load_params
from stages.core.config.schema import (
    ChannelScales,
    Color,
    Config,
    FakeQuant,
    FeatureZeroPoint,
    OperatorGroup,
    QuantConfig,
    Requantization,
    Rounding,
    SocConfig,
    WeightScale,
)
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.statistics.collect import collect
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from stages.quantize.candidate import Candidate
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.partition.subgraphs import find_blocks, layer_subgraphs, subgraph_model
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.rounding.reconstruct import learn_block
from stages.quantize.rounding.reconstruct.block import TorchBlock
from stages.quantize.rounding.refine import refine
from stages.quantize.rounding.replay import Replay
from tests.export.graphs import graph_model, node

KINDS = (
    "Conv", "DepthwiseConv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Clip", "Add", "Sub", "Mul", "Concat",
    "Sigmoid", "Silu", "MaxPool", "GlobalAveragePool", "Flatten", "Reshape", "Resize", "Transpose", "Softmax", "Tanh",
)  # fmt: skip
SHAPE = (1, 3, 12, 12)


def soc(**changes):
    given = {
        "requantization": Requantization.multiplier_shift,
        "feature_zero_point": FeatureZeroPoint.affine,
        "weight_scale": WeightScale.per_channel,
        "fused_activations": ["Relu", "Clip"],
        "operators": {kind: OperatorGroup([kind], [4, 8], [2, 4, 8]) for kind in KINDS},
    }
    return SocConfig(name="S1", **given | changes)


def weight(rng, *shape):
    return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)


def two_blocks(seed=0):
    """Two residual blocks and a fully connected layer."""
    rng = np.random.default_rng(seed)
    constants = {"w0": weight(rng, 12, 3, 3, 3), "b0": rng.normal(0, 0.1, 12)}
    nodes = [node("Conv", ["x", "w0", "b0"], ["c0"], "conv", pads=[1] * 4), node("Relu", ["c0"], ["r0"], "stem_relu")]
    for k in (1, 2):
        constants |= {f"w{k}a": weight(rng, 12, 12, 3, 3), f"b{k}a": rng.normal(0, 0.1, 12)}
        constants |= {f"w{k}b": weight(rng, 12, 12, 3, 3), f"b{k}b": rng.normal(0, 0.1, 12)}
        nodes += [
            node("Conv", [f"r{k - 1}", f"w{k}a", f"b{k}a"], [f"c{k}"], f"first{k}", pads=[1] * 4),
            node("Relu", [f"c{k}"], [f"a{k}"], f"first{k}_relu"),
            node("Conv", [f"a{k}", f"w{k}b", f"b{k}b"], [f"d{k}"], f"second{k}", pads=[1] * 4),
            node("Add", [f"r{k - 1}", f"d{k}"], [f"s{k}"], f"sum{k}"),
            node("Relu", [f"s{k}"], [f"r{k}"], f"sum{k}_relu"),
        ]
    constants |= {"wf": weight(rng, 5, 12), "bf": rng.normal(0, 0.1, 5)}
    nodes += [
        node("GlobalAveragePool", ["r2"], ["g"], "pool"),
        node("Flatten", ["g"], ["f"], "flatten"),
        node("Gemm", ["f", "wf", "bf"], ["y"], "fc", transB=1),
    ]
    return graph_model(nodes, {"x": SHAPE}, ["y"], constants)


def pictures(count, seed, shape=SHAPE):
    """Pictures like filtered noise: each pixel is near its neighbours."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (count, *shape[1:]))
    for axis in range(2, noise.ndim):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return [{"x": (each[np.newaxis] / noise.std()).astype(np.float32)} for each in noise]


def shape_of(model):
    return [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]


def new_candidate(model, feeds, chip=None, **quant):
    model = onnx.shape_inference.infer_shapes(model)
    graph = Graph(model)
    config = Config(soc=chip or soc(), quant=QuantConfig("q", **quant))
    setup = place_quantizers(graph, config.soc, config.quant)
    statistics = collect(model, ((str(index), dict(fed)) for index, fed in enumerate(feeds)))
    features = choose_features(setup, graph, statistics, config)
    weights, codes = choose_weights(setup, graph, features, config)
    return Candidate(graph, setup, config.soc, {f.tensor: f for f in features}, {w.node: w for w in weights}, codes)


def learned(candidate, feeds, steps=3):
    """Learn all blocks of a copy: the copy, and the reason or None of each block."""
    changed, reasons = candidate.copy(), []
    with TemporaryDirectory() as folder:
        replay = Replay(Path(folder) / "replay", feeds, changed.features)
        for index, subgraph in enumerate(find_blocks(changed.graph, changed.setup.layers)):
            replay.advance_float(subgraph, subgraph_model(changed.graph, subgraph))
            reasons.append(learn_block(changed, subgraph, replay, steps, index))
            replay.advance_quantized(subgraph, changed.subgraph(subgraph), changed.features_of(subgraph))
    return changed, reasons


def error(candidate, feeds):
    """Squared error of the QDQ network's outputs relative to the float outputs' variance."""
    qdq = insert_quantizers(candidate.model(), candidate.params(), candidate.codes)
    plain, quantized = Runner(candidate.graph.model), Runner(qdq, optimize="none")
    expected, actual = (np.concatenate([side.run(fed)["y"] for fed in feeds]) for side in (plain, quantized))
    return float(((actual - expected) ** 2).mean() / expected.var())


def same(one, other):
    return (
        one.features == other.features
        and one.weights == other.weights
        and all(np.array_equal(one.codes[name], other.codes[name]) for name in one.codes)
        and one.biases.keys() == other.biases.keys()
        and all(np.array_equal(one.biases[name], other.biases[name]) for name in one.biases)
    )


def in_range(candidate):
    tops = {name: 2 ** (entry.bits - 1) - 1 for name, entry in candidate.weights.items()}
    return (
        all(np.abs(codes).max() <= tops[name] for name, codes in candidate.codes.items())
        and all(np.all(each.scales > 0) and np.isfinite(each.scales).all() for each in candidate.features.values())
        and all(min(each.scales) > 0 for each in candidate.weights.values())
        and all(np.isfinite(bias).all() for bias in candidate.biases.values())
    )


@pytest.mark.slow
@pytest.mark.parametrize(("feature_bits", "steps", "share"), [(8, 40, 0.4), (4, 90, 0.6)])
def test_what_is_learned_holds_on_unseen_pictures(feature_bits, steps, share):
    feeds, unseen = pictures(24, 1), pictures(24, 2)
    candidate = new_candidate(two_blocks(), feeds, soc(float_outputs=True), weight_bits=4, feature_bits=feature_bits)
    better, reasons = learned(candidate, feeds, steps=steps)
    assert set(reasons) == {None}
    assert in_range(better)
    assert error(better, unseen) < share * error(candidate, unseen)


@pytest.mark.slow
def test_a_draft_that_is_not_learned_stays_as_it_was():
    feeds = pictures(4, 1)
    candidate = new_candidate(two_blocks(), feeds, weight_bits=4)
    before = candidate.copy()
    learned(candidate, feeds)
    assert same(candidate, before)


@pytest.mark.slow
def test_the_same_again_and_the_number_of_threads_comes_back():
    feeds, threads = pictures(5, 1), torch.get_num_threads()
    candidate = new_candidate(two_blocks(), feeds, weight_bits=4, feature_bits=4)
    torch.set_num_threads(3)
    try:
        one, other = learned(candidate, feeds, 6)[0], learned(candidate, feeds, 6)[0]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert same(one, other)
    assert not same(one, candidate)


def digest():
    """What a few steps on the two blocks lead to."""
    feeds = pictures(5, 1)
    candidate, _ = learned(new_candidate(two_blocks(), feeds, weight_bits=4, feature_bits=4), feeds, 6)
    state = hashlib.sha256(repr((candidate.features, candidate.weights)).encode())
    for value in (*candidate.codes.values(), *candidate.biases.values()):
        state.update(np.ascontiguousarray(value).tobytes())
    return state.hexdigest()


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing():
    code = "from tests.quantize.rounding.reconstruct.test_learn import digest; print(digest())"

    def run(omp, own):
        environment = os.environ | {"OMP_NUM_THREADS": omp, "SOCQUANT_THREADS": own}
        line = [sys.executable, "-c", code]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout.split()[-1]

    assert run("1", "1") == run("4", "2")


# --- forms of blocks ---


def chain(nodes, constants, shape=SHAPE, opset=17):
    """A network of one convolution and what follows it: `nodes` take c and make y."""
    rng = np.random.default_rng(5)
    rank = len(shape) - 2
    given = {"w": weight(rng, 6, shape[1], *[3] * rank), "b": rng.normal(0, 0.1, 6)}
    first = node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1] * 2 * rank)
    return graph_model([first, *nodes], {"x": shape}, ["y"], given | constants, opset)


def drawn(*shape):
    return weight(np.random.default_rng(6), *shape)


def transposed(group):
    return chain(
        [node("ConvTranspose", ["c", "u"], ["y"], "up", strides=[2, 2], group=group)], {"u": drawn(6, 2, 2, 2)}
    )


def matrices(kind, **attributes):
    nodes = [
        node("GlobalAveragePool", ["c"], ["g"], "pool"),
        node("Flatten", ["g"], ["f"], "flat"),
        node(kind, ["f", "u"], ["y"], "fc", **attributes),
    ]
    return chain(nodes, {"u": drawn(4, 6) if attributes.get("transB") else drawn(6, 4)})


FORMS = {
    "ConvTranspose": transposed(1),
    "ConvTranspose in groups": transposed(2),
    "MatMul": matrices("MatMul"),
    "MatMul of positions": chain(
        [
            node("Reshape", ["c", "s"], ["f"], "flat"),
            node("Transpose", ["f"], ["t"], "turn", perm=[0, 2, 1]),
            node("MatMul", ["t", "u"], ["y"], "product"),
        ],
        {"s": np.array([1, 6, -1]), "u": drawn(6, 4)},
    ),
    "Gemm": matrices("Gemm"),
    "Gemm, transposed": matrices("Gemm", transB=1),
    "row": chain([node("Conv", ["c", "u"], ["y"], "last")], {"u": drawn(4, 6, 3)}, (1, 3, 20)),
    "row with a scale a channel": chain(
        [
            node("Relu", ["c"], ["r"], "relu"),
            node("Conv", ["r", "u"], ["d"], "depthwise", group=6),
            node("Conv", ["d", "v"], ["y"], "last"),
        ],
        {"u": drawn(6, 1, 3), "v": drawn(4, 6, 1)},
        (1, 3, 20),
    ),
    "scale a channel": chain(
        [
            node("Relu", ["c"], ["r"], "relu"),
            node("Conv", ["r", "u"], ["d"], "depthwise", group=6, pads=[1] * 4),
            node("Conv", ["d", "v"], ["y"], "last"),
        ],
        {"u": drawn(6, 1, 3, 3), "v": drawn(4, 6, 1, 1)},
    ),
    "constant operands": chain(
        [
            node("Add", ["c", "k"], ["a"], "shift"),
            node("Concat", ["a", "m"], ["j"], "join", axis=1),
            node("Conv", ["j", "v"], ["y"], "last"),
        ],
        {"k": drawn(1, 6, 1, 1), "m": drawn(1, 2, 12, 12), "v": drawn(4, 8, 1, 1)},
    ),
    "gated": chain(
        [
            node("Sigmoid", ["c"], ["s"], "sigmoid"),
            node("Mul", ["c", "s"], ["m"], "gate"),
            node("Resize", ["m", "", "k"], ["z"], "up", mode="linear"),
            node("MaxPool", ["z"], ["p"], "pool", kernel_shape=[2, 2]),
            node("Conv", ["p", "v"], ["y"], "last"),
        ],
        {"k": np.array([1, 1, 2, 2], dtype=np.float32), "v": drawn(4, 6, 1, 1)},
    ),
    "dead": chain([node("Mul", ["c", "k"], ["y"], "dead")], {"k": np.float32(0.0)}),
    "residual": two_blocks(),
}
SETTINGS = {
    "plain": {},
    "one scale a weight": {"chip": soc(weight_scale=WeightScale.per_tensor)},
    "shift": {"chip": soc(requantization=Requantization.shift)},
    "symmetric": {"chip": soc(feature_zero_point=FeatureZeroPoint.symmetric)},
    "scales a channel": {"channel_scales": ChannelScales.always},
    "features alone": {"fake_quant": FakeQuant.feature},
    "weights alone": {"fake_quant": FakeQuant.weight},
    "a float layer": {"skip_nodes": ["conv"]},
    "4 bits": {"feature_bits": 4, "weight_bits": 4},
}


def blocks_to_learn():
    """Every form with every setting; the quick ones have every form and every setting in them."""
    for form, setting, count in product(FORMS, SETTINGS, (1, 3)):
        quick = count == 3 and (setting == "plain" or form in ("gated", "residual"))
        yield pytest.param(form, setting, count, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("form", "setting", "count"), blocks_to_learn())
def test_every_form_of_a_block_is_learned(form, setting, count):
    model, settings = FORMS[form], SETTINGS[setting]
    feeds = pictures(count, 3, shape_of(model))
    candidate = new_candidate(model, feeds, **settings)
    changed, reasons = learned(candidate, feeds)
    few = "there are too few samples to learn its weights from, and it has nothing else"
    assert set(reasons) <= {None, few if setting in ("weights alone", "shift") else None}
    assert in_range(changed)
    changed.lowered()
    if setting == "shift":
        assert changed.features == candidate.features
    if setting not in ("features alone", "a float layer"):
        assert "conv" in changed.biases


def test_features_of_a_row_get_scales_a_channel():
    candidate = new_candidate(
        FORMS["row with a scale a channel"], pictures(2, 3, (1, 3, 20)), channel_scales=ChannelScales.always
    )
    assert len(candidate.features["r"].channel_scales) == 6


@pytest.mark.slow
@pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "4 bits"])
@pytest.mark.parametrize("form", [name for name in FORMS if name != "gated"])
def test_learning_starts_from_what_the_quantized_network_computes(form, setting, monkeypatch):
    """The first step's forward pass, of one picture, against the QDQ network in ONNX Runtime.

    Left out are 4 bits, where a part of the values passes in float, and the linear Resize of the gated block, whose
    rounding is not learned with.
    """
    candidate = new_candidate(FORMS[form], pictures(1, 3, shape_of(FORMS[form])), **SETTINGS[setting])
    assert_learning_starts_right(
        candidate, find_blocks(candidate.graph, candidate.setup.layers), shape_of(FORMS[form]), monkeypatch
    )


@pytest.mark.parametrize("find", [find_blocks, layer_subgraphs])
def test_layers_in_float_take_floats_inside_a_block_and_from_the_one_before(find, monkeypatch):
    nodes = [
        node("Relu", ["c"], ["r"], "relu"),
        node("Softmax", ["r"], ["s"], "soft", axis=1),
        node("Conv", ["r", "v"], ["d"], "second"),
        node("Mul", ["d", "s"], ["y"], "product"),
    ]
    model = chain(nodes, {"v": drawn(6, 6, 1, 1)})
    operators = {kind: each for kind, each in soc().operators.items() if kind != "Softmax"}
    chip = soc(float_outputs=True, operators=operators)
    candidate = new_candidate(model, pictures(1, 3, SHAPE), chip=chip)
    assert candidate.features["r"].float_consumers == ("soft",)
    assert_learning_starts_right(candidate, find(candidate.graph, candidate.setup.layers), SHAPE, monkeypatch)


def assert_learning_starts_right(candidate, subgraphs, shape, monkeypatch):
    """The first step's forward pass of each block gives what ONNX Runtime makes of the QDQ network."""
    passes = []
    original = TorchBlock.run

    def spied(self, *arguments):
        passes.append(original(self, *arguments))
        return passes[-1]

    monkeypatch.setattr(TorchBlock, "run", spied)
    with TemporaryDirectory() as folder:
        replay = Replay(Path(folder) / "replay", pictures(1, 4, shape), candidate.features)
        for subgraph in subgraphs:
            passes.clear()
            replay.advance_float(subgraph, subgraph_model(candidate.graph, subgraph))
            learn_block(candidate.copy(), subgraph, replay, 1, 0)
            replay.advance_quantized(subgraph, candidate.subgraph(subgraph), candidate.features_of(subgraph))
            for name in subgraph.outputs if passes else ():
                # what layers in float take lies in float in the files
                actual = passes[0].get(f"{name}/float", passes[0][name]).detach().numpy()
                expected = replay.quantized.read(name, 0)
                # a sum that lies just between two codes may round either way
                differs = np.abs(actual - expected) > 1e-4 * np.abs(expected).max()
                assert differs.mean() <= 0.02, name


# --- what is not covered ---

ON_C = {
    "Erf": ([node("Erf", ["c"], ["y"], "erf")], {}, "Erf is not covered"),
    "ceil_mode": (
        [node("MaxPool", ["c"], ["y"], "pool", kernel_shape=[5, 5], strides=[2, 2], ceil_mode=1)],
        {},
        "MaxPool is not covered in this form",
    ),
    "over pictures": ([node("Softmax", ["c"], ["y"], "softmax", axis=0)], {}, "PyTorch's 'y' differs by"),
    "turned": (
        [node("Transpose", ["c"], ["y"], "turn", perm=[1, 0, 2, 3])],
        {},
        "PyTorch gives 'y' the shape [6, 2, 12, 12], not [12, 1, 12, 12]",
    ),
    "picked": (
        [node("Gather", ["c", "k"], ["y"], "pick", axis=1)],
        {"k": np.array([0, 1])},
        "Gather is not covered",
    ),
}


@pytest.mark.parametrize("name", ON_C)
def test_a_block_that_is_not_covered_is_left_with_the_reason(name):
    nodes, constants, said = ON_C[name]
    feeds = pictures(3, 3)
    candidate = new_candidate(chain(nodes, constants), feeds)
    changed, reasons = learned(candidate, feeds)
    assert same(changed, candidate)
    assert [said in reason for reason in reasons if reason] == [True]


def test_a_block_that_mixes_up_pictures_is_left():
    nodes = [
        node("Add", ["x", "k"], ["a"], "spread"),
        node("Slice", ["a", "s", "e", "s"], ["z"], "cut"),
        node("Conv", ["z", "v"], ["y"], "conv"),
    ]
    constants = {"k": drawn(3, 3, 1, 1), "s": np.array([0]), "e": np.array([1]), "v": drawn(4, 3, 1, 1)}
    feeds = pictures(3, 3)
    candidate = new_candidate(graph_model(nodes, {"x": SHAPE}, ["y"], constants), feeds)
    changed, reasons = learned(candidate, feeds)
    assert reasons == ["Add spread is not covered in this form"]
    assert same(changed, candidate)


def test_infinite_pictures_leave_the_block():
    feeds = pictures(3, 3)
    candidate = new_candidate(FORMS["scale a channel"], feeds)
    feeds[0]["x"][0, 0, 0, 0] = np.nan
    changed, reasons = learned(candidate, feeds)
    assert same(changed, candidate)
    assert "differs by nan of its norm" in reasons[0]


def samples(count):
    rng = np.random.default_rng(0)
    return [{"x": rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)} for _ in range(count)]


INPUTS = [NetworkInput("x", SHAPE, (128.0,) * 3, (64.0,) * 3, Color.RGB)]


def test_refine_notes_the_blocks_that_are_left(tmp_path):
    nodes = [node("Erf", ["c"], ["e"], "erf"), node("Conv", ["e", "v"], ["y"], "last")]
    candidate = new_candidate(chain(nodes, {"v": drawn(4, 6, 1, 1)}), pictures(3, 3))
    quant = QuantConfig("q", rounding=Rounding.reconstruct, steps=2, variants=2)
    notes = refine(candidate, quant, samples(2), INPUTS, tmp_path)
    reason = "(reconstruct): left as rounded to the nearest: Erf is not covered"
    assert [note for note in notes if note.endswith(reason)] == notes
    assert len(notes) == 1
    assert notes[0].startswith(("conv", "last"))


@pytest.mark.parametrize("missing", ["torch", "stages.quantize.rounding.reconstruct"])
def test_without_pytorch_the_user_is_told_what_to_install(missing, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("stages.quantize.rounding.reconstruct")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    candidate = new_candidate(FORMS["residual"], pictures(1, 3))
    with pytest.raises(UserError, match=r'^quant.rounding=reconstruct needs PyTorch: pip install -e "\.\[torch\]"$'):
        refine(candidate, QuantConfig("q", rounding=Rounding.reconstruct), samples(1), INPUTS, tmp_path)


@pytest.mark.slow
def test_the_stage_learns_and_says_how_much_it_helps(project):
    config = load_params(Path("params.yaml"))
    for stage in (export, calibset, calibrate):
        stage(config)
    quant = replace(config.quant, rounding=Rounding.reconstruct, steps=2, variants=2)
    quantize(replace(config, quant=quant))
    notes = json.loads(NOTES.read_text())
    assert [note for note in notes if note.startswith("quant.rounding=reconstruct: error of the outputs")]
    assert not [note for note in notes if "left as rounded" in note]
