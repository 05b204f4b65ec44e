"""The nested json with which a network from the training kit is converted; bit widths and ranges are in the network."""

from collections.abc import Sequence
from typing import Any

from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["training_json"]


def training_json(config: Config, inputs: Sequence[NetworkInput]) -> dict[str, Any]:
    """The json of the kit's samples.

    Args:
        config: the experiment.
        inputs: the network's inputs, all of them pictures.
    """
    return {
        "ARCH": {"SOC": config.soc.name},
        "MODEL": {
            "FORMAT": "onnx",
            "INPUT": [
                {
                    "BATCH": picture.shape[0],
                    "WIDTH": picture.width,
                    "HEIGHT": picture.height,
                    "CHANNEL": picture.channels,
                    "COLOR": picture.color.value,
                    "NORMAL": list(picture.normal),
                    "MEAN": list(picture.mean),
                }
                for picture in inputs
            ],
        },
        "EXTRA": {"BIZ_CODE": "Ingenic", "VERBOSE": "ON"},
    }
