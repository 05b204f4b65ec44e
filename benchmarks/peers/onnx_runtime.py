"""ONNX Runtime's static quantization."""

from pathlib import Path

import onnx
from onnx import version_converter

from benchmarks.peers.adapter import Feeder, Pictures, input_name

__all__ = ["static"]

FOUR_BIT_OPSET = 21
WEIGHTED_TYPES = ["Conv", "Gemm"]


def static(
    model: Path,
    calibration: Pictures,
    target: Path,
    *,
    method: str = "MinMax",
    types: tuple[str, str] = ("QUInt8", "QInt8"),
    weighted_only: bool = False,
) -> None:
    """Quantize with quantize_static: weights per channel, features affine and per tensor.

    Args:
        model: the float network.
        calibration: pictures.
        target: the QDQ network.
        method: a CalibrationMethod.
        types: a QuantType for features and one for weights.
        weighted_only: quantize the inputs of convolutions and matrix products only, not their outputs: nothing is
            between a convolution and its SiLU then.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    prepared = target.with_name("prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    features, weights = types
    if "4" in features + weights or "16" in features:
        onnx.save(version_converter.convert_version(onnx.load(prepared), FOUR_BIT_OPSET), prepared)
    quantize_static(
        prepared,
        target,
        Feeder(calibration, input_name(model)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=WEIGHTED_TYPES if weighted_only else None,
        per_channel=True,
        activation_type=QuantType[features],
        weight_type=QuantType[weights],
        calibrate_method=CalibrationMethod[method],
        extra_options={"OpTypesToExcludeOutputQuantization": WEIGHTED_TYPES} if weighted_only else {},
    )
