"""Codes of small networks, recorded from the open T41 compiler: its own reader and arithmetic (t41-pluto at 8f374b6).

Ranges and pictures are given, so that the codes do not depend on how a machine adds floats: the compiler read the form
that `compiled` gives, and ran the same pictures. Small tensors are recorded as they are, large ones as their SHA-256.
"""

import dataclasses
import hashlib
from functools import cache

import numpy as np
import pytest

from stages.build.pluto.compatibility import find_refusals
from stages.build.pluto.compiler_form import to_compiler_form
from stages.core.config.schema import Config, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.collect import collect
from stages.quantize.emit.lower import lower
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.quantizers.placement import place_quantizers
from tests.build.pluto.networks import SIZE, classifier, cut_detector
from tests.networks import soc_config

NETWORKS = {"classifier": classifier, "cut detector": cut_detector}
RANGES = {
    "classifier": {
        "images": (-1.0, 0.9921875), "r1": (0, 3.317), "r2": (0, 2.903), "c3": (-3.1013, 2.7077),
        "sum": (-2.3019, 4.7131), "r4": (0, 4.1), "pooled": (0, 1.9), "logits": (-1.7, 2.2),
    },
    "cut detector": {
        "focus": (-1.0, 1.0), "c1": (-3.7, 3.9), "s1": (-0.28, 3.1), "c2": (-4.1, 3.3), "s2": (-0.28, 2.9),
        "joined": (-0.3, 3.3), "box": (-2.9, 3.1), "raw": (-2.2, 2.7),
    },
}  # fmt: skip
"""Of each feature, near to what calibration sees; in no simple ratio, which an Add does not take. A feature that is
missing has the codes of the layer before."""
RECORDED = {
    "classifier": {
        "r1": "4a0ae8f743239653da006685509811ec1cdff345e70c3f97c0b9c30cefb4ecbf",
        "r2": "05acb6be653e45753da0dfd760b1d6e7b49e945803c70a45e79933f1783d7637",
        "c3": "5039c5f9f6472cbeedae503be25f82c6e60d5e07708f51dd05b4fea64c3573ae",
        "sum": "270db0a4de236195482d0d135128f353417d7ba543207868b16afd43a4de2d2f",
        "r4": "8c623627a804ec433e198569af5d7a2c6f588381759629017d6cdff49986e487",
        "pooled": "b82300ff0b7600efa006db00ffdc0034",
        "logits": "e92e88",
    },
    "cut detector": {
        "focus": "dbc1cba6989798e1446bb0c88dd614b7814b670869195cc338d3492124f47eb7",
        "c1": "29eb3c41bca5dce37c3fb11a3c3127d36e8d8a87ddd44416150e7b4bd017a33e",
        "s1": "87ddd50e92353a1c61a5bec0a4048a4075ea9e7722ddb4dc65b25ee73f2cc773",
        "m1": "589f912f921b09da3dd475aef7c593b1399738baadc24c4af4646ebae566fe8a",
        "c2": "11df3b41a4180a931abf91ac330907ade6d1a42fe3e6c6204aa492ce70ccab7e",
        "s2": "b3bad4031d31b3df64ab97d4042b8b35d9fd0c169be31b6fe8057340db144dda",
        "up": "9af2bb0bcbb9474663738964c176c5b61dee7931dc52f8a606f43059abde6735",
        "joined": "e3e897d7a597d75d6c120501b0dd55feb5287b173dd4fa1ad7b765028c7b4b4c",
        "box": "83b6158296f4187e551036924cafa4deb16fbc36df4836d197e91743f9e76568",
        "raw": "c8983605468c1ee3fc5a9eaaa9571ce61d1acc31ffb14a11a3422d03b865eb81",
    },
}


def picture():
    """By a formula: every code of an input from -1 to 127/128."""
    steps = np.arange(3 * SIZE * SIZE) ** 2 * 13 % 256 - 128
    return {"images": (steps / 128).astype(np.float32).reshape(1, 3, SIZE, SIZE)}


@cache
def compiled(kind):
    """The network for the open runtime, with codes of its outputs: integer model, QDQ network, compiler's form."""
    model, pictures = NETWORKS[kind]()
    graph, soc = Graph(model), dataclasses.replace(soc_config("t41"), float_outputs=False)
    config = Config(soc=soc, quant=QuantConfig("int8"))
    setup = place_quantizers(graph, soc, config.quant, None)
    statistics = collect(model, ((str(index), dict(feeds)) for index, feeds in enumerate(pictures)))
    features = choose_features(setup, graph, statistics, config, RANGES[kind])
    weights, codes = choose_weights(setup, graph, features, config)
    params = NetworkParams(features, weights)
    integer, _ = lower(model, soc, setup, params, codes)
    qdq = insert_quantizers(model, params, codes)
    return integer, qdq, to_compiler_form(qdq, {})[0]


def shown(codes):
    content = codes.astype(np.uint8).tobytes()
    return content.hex() if len(content) <= 16 else hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_layer_has_the_compilers_codes(kind):
    integer, _, form = compiled(kind)
    assert find_refusals(form) == []
    names = list(RECORDED[kind])
    assert set(RANGES[kind]) - {"images"} <= set(names) <= set(tensor_quant_params(integer.graph.node))
    values = Runner(simulator_model(integer, names, codes=True), optimize="safe").run(picture())
    assert {name: shown(values[name]) for name in names} == RECORDED[kind]
