"""AIMET on an ONNX network, with its own simulator, which runs at any width."""

from pathlib import Path

import onnx

from benchmarks.peers.adapter import Array, Pictures, Predict, input_name

__all__ = ["simulated"]


def simulated(
    model: Path,
    calibration: Pictures,
    target: Path,
    *,
    weights: str = "int8",
    features: str = "int8",
    equalize: bool = False,
) -> Predict:
    """Quantize over what was seen, by the default configuration.

    Args:
        model: the float network.
        calibration: pictures.
        target: not used: the simulator stays in memory.
        weights: type of parameters.
        features: type of activations.
        equalize: equalize the scales of consecutive layers first.
    """
    import aimet_onnx  # noqa: PLC0415
    from aimet_onnx.cross_layer_equalization import equalize_model  # noqa: PLC0415

    del target
    loaded, name = onnx.load(model), input_name(model)
    if equalize:
        equalize_model(loaded)
    simulator = aimet_onnx.QuantizationSimModel(
        loaded, param_type=weights, activation_type=features, quant_scheme="min_max"
    )
    simulator.compute_encodings([{name: picture} for picture in calibration])

    def predict(picture: Array) -> Array:
        outputs: Array = simulator.session.run(None, {name: picture})[0]
        return outputs

    return predict
