"""NNCF on an ONNX network."""

from pathlib import Path

import onnx

from benchmarks.peers.adapter import Pictures, input_name

__all__ = ["mixed"]


def mixed(model: Path, calibration: Pictures, target: Path, *, per_tensor: bool = False) -> None:
    """Quantize with the preset for networks with unbounded activations, and its fast bias correction.

    Args:
        model: the float network.
        calibration: pictures.
        target: the QDQ network.
        per_tensor: one scale a feature; NNCF's own choice is one a channel before a depthwise convolution.
    """
    import nncf  # noqa: PLC0415
    from nncf.quantization.advanced_parameters import (  # noqa: PLC0415
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )

    name = input_name(model)
    features = QuantizationParameters(per_channel=False) if per_tensor else None
    quantized = nncf.quantize(
        onnx.load(model),
        nncf.Dataset(calibration, lambda picture: {name: picture}),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
        fast_bias_correction=True,
        advanced_parameters=AdvancedQuantizationParameters(activations_quantization_params=features),
    )
    onnx.save(quantized, target)
