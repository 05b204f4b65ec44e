"""ESP-PPQ with its own simulator in PyTorch, which runs at any width."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.peers.adapter import Array, Pictures, Predict

__all__ = ["any_batch", "asymmetric"]

WEIGHTED_TYPES = ("Conv", "ConvTranspose", "Gemm")
LEARNING_BATCH, LEARNING_RATE = 2, 1e-3


def asymmetric(
    model: Path,
    calibration: Pictures,
    target: Path,
    *,
    weight_bits: int = 8,
    feature_bits: int = 8,
    steps: int = 0,
) -> Predict:
    """Quantize for its ONNX Runtime platform: features affine and per tensor over min and max, weights per channel.

    Args:
        model: the float network.
        calibration: pictures.
        target: a file beside which it may write.
        weight_bits: of convolutions and matrix products.
        feature_bits: of all features.
        steps: of learned step size quantization a block; 0: none.
    """
    import torch  # noqa: PLC0415
    from esp_ppq.api import QuantizationSettingFactory, load_onnx_graph, quantize_native_model  # noqa: PLC0415
    from esp_ppq.core import TargetPlatform  # noqa: PLC0415
    from esp_ppq.executor import TorchExecutor  # noqa: PLC0415
    from esp_ppq.lib import register_network_quantizer  # noqa: PLC0415

    register_network_quantizer(_quantizer_class(weight_bits, feature_bits), TargetPlatform.ONNXRUNTIME)
    setting = QuantizationSettingFactory.default_setting()
    setting.lsq_optimization = steps > 0
    learning = setting.lsq_optimization_setting
    learning.collecting_device, learning.steps, learning.lr = "cpu", steps, LEARNING_RATE
    source, batch = model, LEARNING_BATCH if steps else 1
    if steps:
        source = target.with_name("any_batch.onnx")
        onnx.save(any_batch(onnx.load(model)), source)
    batches = [
        torch.from_numpy(np.concatenate(calibration[start : start + batch]))
        for start in range(0, len(calibration), batch)
    ]
    graph = quantize_native_model(
        model=load_onnx_graph(str(source)),
        calib_dataloader=batches,
        calib_steps=len(batches),
        input_shape=list(calibration[0].shape),
        platform=TargetPlatform.ONNXRUNTIME,
        setting=setting,
        device="cpu",
    )
    executor = TorchExecutor(graph, device="cpu")

    def predict(picture: Array) -> Array:
        with torch.no_grad():
            output: Array = executor.forward(torch.from_numpy(picture))[0].numpy()
        return output

    return predict


def _quantizer_class(weight_bits: int, feature_bits: int) -> Any:
    """The ONNX Runtime platform's quantizer at other bit widths."""
    from esp_ppq.core import QuantizationPolicy, QuantizationProperty  # noqa: PLC0415
    from esp_ppq.quantization.quantizer import OnnxruntimeQuantizer  # noqa: PLC0415

    affine = QuantizationProperty.ASYMMETRICAL + QuantizationProperty.LINEAR + QuantizationProperty.PER_TENSOR

    class Quantizer(OnnxruntimeQuantizer):  # type: ignore[misc]  # untyped
        def init_quantize_config(self, operation: Any) -> Any:
            config = super().init_quantize_config(operation)
            is_parameter = slice(1, None) if operation.type in WEIGHTED_TYPES else slice(0, 0)
            parameters = list(config.input_quantization_config)[is_parameter]
            for tensor in [*config.input_quantization_config, *config.output_quantization_config]:
                if not any(tensor is parameter for parameter in parameters):
                    _set_bit_width(tensor, feature_bits, qmin=0)
                    tensor.policy, tensor.observer_algorithm = QuantizationPolicy(affine), "minmax"
            for weight in parameters[:1]:
                _set_bit_width(weight, weight_bits, qmin=-(2 ** (weight_bits - 1)))
                weight.observer_algorithm = "minmax"
            return config

    return Quantizer


def _set_bit_width(tensor: Any, bits: int, qmin: int) -> None:
    tensor.num_of_bits, tensor.quant_min, tensor.quant_max = bits, qmin, qmin + 2**bits - 1


def any_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a network of batch 1 that takes any batch: a reshape keeps its first axis."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    shapes = {node.input[1] for node in copy.graph.node if node.op_type == "Reshape"}
    for tensor in copy.graph.initializer:
        if tensor.name in shapes:
            shape = numpy_helper.to_array(tensor).copy()
            shape[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    del copy.graph.value_info[:]
    return copy
