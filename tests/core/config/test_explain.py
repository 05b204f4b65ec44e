import pytest

KEYS = [
    (
        "nonsense=1",
        "nonsense: no such key",
        "known: 'soc', 'model', 'data', 'quant', 'compare', 'evaluate', 'track', 'watch'",
    ),
    ("+nonsense=1", "nonsense: no such key", "'quant'"),
    ("+nonsense.deep=1", "nonsense: no such key", "'quant'"),
    ("quant.feature_bit=8", "quant.feature_bit: no such key of quant", "did you mean 'feature_bits'"),
    ("+quant.bits=4", "quant.bits: no such key of quant", "did you mean 'node_bits'"),
    ("+quant.width=4", "quant.width: no such key of quant", "'feature_bits'"),
    ("quant.skip_node=[a]", "quant.skip_node: no such key of quant", "did you mean 'skip_nodes'"),
    ("quant.fake_quants=weight", "quant.fake_quants: no such key of quant", "did you mean 'fake_quant'"),
    ("+soc.simulated.feature_bit=[16]", "soc.simulated.feature_bit: no such key", "'feature_bits'"),
    ("model.torch.callabel=a", "model.torch.callabel: no such key of model.torch", "did you mean 'callable'?"),
    ("model.inputs=[{maen: [1]}]", "model.inputs[].maen: no such key", "did you mean 'mean'?"),
    ("model.inputs=[{mean: [1]}, {colour: RGB}]", "model.inputs[].colour: no such key", "did you mean 'color'?"),
    ("model.inputs=[{data: 1}]", "model.inputs[].data: no such key", "'mean'"),
    ("+model.inputs.0.foo=1", "model.inputs[].foo: no such key", "'normal'"),
    (
        "+soc.operators.at_8_bits.feature_bit=[8]",
        "soc.operators.at_8_bits.feature_bit: no such key",
        "'feature_bits'",
    ),
    ("model.detector.stride=[8]", "model.detector.stride: no such key of model.detector", "did you mean 'strides'?"),
    ("compare.isolate=false", "compare.isolate: no such key of compare", "did you mean 'isolated'"),
    ("+soc.runtime.librares=a", "soc.runtime.librares: no such key", "did you mean 'libraries'?"),
]

TYPES = [
    ("quant.feature_bits=many", "quant.feature_bits: ", "'many'", "give a whole number"),
    ("quant.feature_bits=8.5", "quant.feature_bits: ", "8.5", "give a whole number"),
    ("++quant.weight_bits=zz", "quant.weight_bits: ", "zz", "give a whole number"),
    ("quant.edge_bits=wide", "quant.edge_bits: ", "'wide'", "give a whole number"),
    ("quant.percentile=most", "quant.percentile: ", "'most'", "give a number"),
    ("quant.rounding=up", "quant.rounding: ", "up", "give one of nearest, compensate, reconstruct"),
    ("quant.steps=few", "quant.steps: ", "'few'", "give a whole number"),
    ("quant.variants=null", "quant.variants: ", "", "give a whole number"),
    ("quant.weight_correction=some", "quant.weight_correction: ", "some", "give true or false"),
    ("quant.skip_nodes=stem", "quant.skip_nodes: ", "not a list", "give a list of texts"),
    ("quant.skip_ops=Conv", "quant.skip_ops: ", "not a list", "give a list of texts"),
    ("quant.node_bits=[a]", "quant.node_bits: ", "", "give a text"),
    ("quant.node_ranges=some", "quant.node_ranges: ", "some", "give true or false"),
    ("quant.channel_scales=most", "quant.channel_scales: ", "most", "give one of never, always, measured"),
    ("soc.simulated.feature_bits=16", "soc.simulated.feature_bits: ", "", "give a list of whole numbers"),
    ("model.fp32_diff=little", "model.fp32_diff: ", "little", "give a number"),
    ("soc.float_outputs=maybe", "soc.float_outputs: ", "maybe", "give true or false"),
    ("compare.dump=all", "compare.dump: ", "", "give true or false"),
    ("track.experiment=null", "track.experiment: ", "", "give a text"),
    ("model.inputs=[{mean: [a]}]", "model.inputs[].mean[0]: ", "'a'", "give a number"),
    ("model.inputs=[{mean: 3}]", "model.inputs[].mean: ", "not a list", "give a list of numbers"),
    ("model.inputs=[{shape: [1,x]}]", "model.inputs[].shape[1]: ", "'x'", "give a whole number"),
    (
        "+soc.operators.conv.feature_bits=[8]",
        "soc.operators.conv: ",
        "no group of operators of that name",
        "conf/operators/",
    ),
    ("model.outputs=logits", "model.outputs: ", "not a list", "give a list of texts"),
    (
        "soc.operators.at_8_bits.feature_bits=8",
        "soc.operators.at_8_bits.feature_bits: ",
        "",
        "give a list of whole numbers",
    ),
    (
        "model.preprocess=4",
        "model.preprocess: ",
        "no group of keys",
        "give keys of fit, shorter_side, interpolation, pad, anchor",
    ),
]

ENUMS = [
    (
        "quant.feature_method=KLL",
        "quant.feature_method: ",
        "'KLL'",
        "give one of MAX_ABS, KL, MSE, ADMM, OUTPUT, PERCENTILE",
    ),
    ("quant.weight_method=KL", "quant.weight_method: ", "'KL'", "give one of MAX_ABS, MSE, ADMM"),
    ("quant.equalization=cross", "quant.equalization: ", "'cross'", "give one of none, cross_layer, measured"),
    ("quant.fake_quant=both", "quant.fake_quant: ", "'both'", "give one of none, feature, weight"),
    ("quant.head=kept", "quant.head: ", "'kept'", "give one of quantized, float"),
    ("model.detector.kind=ssd", "model.detector.kind: ", "'ssd'", "give one of auto, none, yolox, yolov5"),
    ("model.preprocess.fit=letterbx", "model.preprocess.fit: ", "'letterbx'", "give one of stretch, letterbox, crop"),
    ("model.inputs=[{color: CMYK}]", "model.inputs[].color: ", "'CMYK'", "give one of RGB, BGR, GRAY"),
    ("soc.vendor=acme", "soc.vendor: ", "'acme'", "give one of ingenic, sophgo"),
    ("data.evaluation.task=boxes", "data.evaluation.task: ", "'boxes'", "classification, detection, custom, none"),
]


@pytest.mark.parametrize(("override", "problem", "allowed"), KEYS)
def test_a_wrong_key_comes_with_those_there_are(refused, override, problem, allowed):
    message = refused(override)
    assert message.startswith(problem)
    assert allowed in message


@pytest.mark.parametrize(("override", "key", "value", "allowed"), TYPES + ENUMS)
def test_a_wrong_value_comes_with_what_to_give(refused, override, key, value, allowed):
    message = refused(override)
    assert message.startswith(key)
    assert value in message
    assert message.endswith(allowed)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["data=folder"], "data.calibration.source"),
        (["model=onnx"], "model.source"),
        (["model.source=null", "model.torch.callable=null"], "model.source"),
        (["~quant"], "quant.name"),
        (["quant.name=???"], "quant.name"),
    ],
)
def test_a_missing_value_is_named(refused, overrides, key):
    message = refused(*overrides)
    assert message.startswith(key)
    assert "has no value" in message or "is empty" in message


def test_an_interpolation_that_leads_nowhere_names_its_key(refused):
    message = refused("quant.name=${nowhere}")
    assert "quant.name" in message
    assert "nowhere" in message
