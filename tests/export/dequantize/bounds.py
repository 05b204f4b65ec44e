"""How far a quantized network is from its float meaning, one layer after the other."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from stages.core.graph.session import Runner, with_outputs
from stages.export.dequantize.rewriter import Rewriter
from stages.export.dequantize.undo import RULES, dequantized


def rounding_in_steps(source, feeds):
    """Feed each float layer what the quantized network feeds it; give the largest difference of an output.

    Returns:
        In steps (scales) of the output's codes, after the float value is clamped to what codes can express: 0.5 is the
        rounding to codes and nothing else.
    """
    rewriter = Rewriter(source, RULES)
    rewriter.run()
    coded = {name: known for name, known in rewriter.codes.items() if name not in rewriter.constants}
    computed = {name: known for name, known in coded.items() if known.scale is not None and name not in feeds}
    codes = Runner(with_outputs(source, list(computed)), optimize="none").run(feeds)
    truth = {}
    for name, known in computed.items():
        kind, zero, scale = codes[name].dtype, known.zero_point.reshape(-1)[0], known.scale.reshape(-1)[0]
        ends = np.array([np.iinfo(kind).min, np.iinfo(kind).max], np.float64)
        real = (codes[name].astype(np.float64) - zero) * scale
        truth.setdefault(known.real, (real, scale, (ends - zero) * scale))
    values = {name: value for name, value in feeds.items() if name not in coded}
    values |= {tensor.name: numpy_helper.to_array(tensor) for tensor in dequantized(source).model.graph.initializer}
    values |= {tensor.name: numpy_helper.to_array(tensor) for tensor in rewriter.written.values()}
    values |= {name: numpy_helper.to_array(tensor) for name, tensor in rewriter.constants.items()}
    values |= {name: real.astype(np.float32) for name, (real, *_) in truth.items() if name in feeds}
    worst, checked = 0.0, 0
    for node in rewriter.nodes:
        if any(name and name not in values for name in node.input) or node.op_type == "Constant":
            continue
        for name, value in zip(node.output, run_node(node, values, source), strict=True):
            values[name] = value
            if name in truth:
                real, scale, ends = truth[name]
                worst = max(worst, float(np.abs(np.clip(value, *ends) - real).max() / scale))
                checked += 1
                values[name] = real.astype(np.float32)
    assert checked
    return worst


def run_node(node, values, source):
    """Run one node by itself."""
    inputs = dict.fromkeys(filter(None, node.input))
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[name].dtype), values[name].shape)
        for name in inputs
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    model = helper.make_model(
        helper.make_graph([node], "one", infos, outputs), opset_imports=source.opset_import, ir_version=10
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: values[name] for name in inputs})
