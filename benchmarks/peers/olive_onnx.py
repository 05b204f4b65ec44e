"""Olive on an ONNX network: its pass around ONNX Runtime's static quantization."""

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.peers.adapter import Array, Pictures, input_name

__all__ = ["static"]


def static(model: Path, calibration: Pictures, target: Path) -> None:
    """Quantize to 8 bits, weights per channel.

    Args:
        model: the float network.
        calibration: pictures.
        target: the QDQ network.
    """
    os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"
    from olive.data.config import DataComponentConfig, DataConfig  # noqa: PLC0415
    from olive.data.registry import Registry  # noqa: PLC0415
    from olive.hardware import AcceleratorSpec  # noqa: PLC0415
    from olive.model import ONNXModelHandler  # noqa: PLC0415
    from olive.passes.olive_pass import create_pass_from_dict  # noqa: PLC0415
    from olive.passes.onnx.quantization import OnnxStaticQuantization  # noqa: PLC0415

    name = input_name(model)

    class Pairs:
        """The pictures without their batch axis, each with a label that nothing reads."""

        def __len__(self) -> int:
            return len(calibration)

        def __getitem__(self, index: int) -> tuple[dict[str, Array], int]:
            return {name: calibration[index][0]}, 0

    def pairs(*_: Any, **__: Any) -> Pairs:
        return Pairs()

    Registry.register_dataset("calibration_pictures")(pairs)
    data = DataConfig(
        name="calibration",
        type="DataContainer",
        load_dataset_config=DataComponentConfig(type="calibration_pictures"),
        dataloader_config=DataComponentConfig(type="default_dataloader", params={"batch_size": 1}),
    )
    step = create_pass_from_dict(
        OnnxStaticQuantization,
        {"data_config": data, "per_channel": True, "activation_type": "uint8", "precision": "int8"},
        disable_search=True,
        accelerator_spec=AcceleratorSpec(accelerator_type="CPU", execution_provider="CPUExecutionProvider"),
    )
    quantized = step.run(ONNXModelHandler(str(model)), str(target.with_suffix("")))
    shutil.copy(quantized.model_path, target)
