"""The nested json with which a network out of the training kit is converted: its widths and ranges are inside it."""

from collections.abc import Sequence
from typing import Any

from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["training_json"]


def training_json(config: Config, inputs: Sequence[NetworkInput]) -> dict[str, Any]:
    """The json of the kit's samples.

    Args:
        config: the experiment.
        inputs: of the network, pictures all of them.
    """
    return {
        "ARCH": {"SOC": config.soc.name},
        "MODEL": {
            "FORMAT": "onnx",
            "INPUT": [
                {
                    "BATCH": entry.shape[0],
                    "WIDTH": entry.width,
                    "HEIGHT": entry.height,
                    "CHANNEL": entry.channels,
                    "COLOR": entry.color.value,
                    "NORMAL": list(entry.normal),
                    "MEAN": list(entry.mean),
                }
                for entry in inputs
            ],
        },
        "EXTRA": {"BIZ_CODE": "Ingenic", "VERBOSE": "ON"},
    }
