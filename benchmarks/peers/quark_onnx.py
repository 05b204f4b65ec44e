"""AMD Quark on an ONNX network."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.adapter import Feeder, Pictures, input_name

__all__ = ["per_channel"]


def per_channel(model: Path, calibration: Pictures, target: Path, *, algorithms: Sequence[str] = ()) -> None:
    """Quantize to 8 bits: weights per channel and symmetric, features affine over what was seen, float scales.

    Args:
        model: the float network.
        calibration: pictures.
        target: the QDQ network.
        algorithms: of quark.onnx's, run with their defaults: CLE, BiasCorrection.
    """
    from quark.onnx import ModelQuantizer  # noqa: PLC0415
    from quark.onnx.quantization.config import algorithm  # noqa: PLC0415
    from quark.onnx.quantization.config.config import QConfig  # noqa: PLC0415
    from quark.onnx.quantization.config.spec import (  # noqa: PLC0415
        CalibMethod,
        Int8Spec,
        QLayerConfig,
        QuantGranularity,
        ScaleType,
        UInt8Spec,
    )

    shared = {"calibration_method": CalibMethod.MinMax, "scale_type": ScaleType.Float32}
    config = QConfig(
        global_config=QLayerConfig(
            activation=UInt8Spec(symmetric=False, **shared),
            weight=Int8Spec(
                symmetric=True,
                calibration_method=CalibMethod.MinMax,
                quant_granularity=QuantGranularity.Channel,
            ),
        ),
        algo_config=[getattr(algorithm, f"{name}Config")() for name in algorithms],
    )
    ModelQuantizer(config).quantize_model(str(model), str(target), Feeder(calibration, input_name(model)))
