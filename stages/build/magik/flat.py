"""The flat cfg of the post-training guide of July 2022."""

from collections.abc import Sequence
from typing import Any

from stages.build.magik.words import CALIBRATION, DEBUG, feature_method, weight_method
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["flat_cfg"]


def flat_cfg(
    config: Config,
    inputs: Sequence[NetworkInput],
    outputs: Sequence[str],
    samples: int,
    float_nodes: Sequence[str] = (),
) -> dict[str, Any]:
    """The converter's config: basic keys, then debug keys.

    One input gives flat lists, several give nested ones. Mean and normal always have a value a channel: the converter
    wants them so.

    Args:
        config: the experiment.
        inputs: of the network.
        outputs: of the network.
        samples: how many there are in the calibration folder.
        float_nodes: nodes that stay in float; operator types are among them, named node by node, since the converter
            has type names of its own.
    """

    def spread(values: list[Any]) -> Any:
        return values[0] if len(values) == 1 else values

    quant = config.quant
    return {
        "SOC": config.soc.name,
        "INPUT": [entry.name for entry in inputs],
        "INPUT_SHAPE": spread([list(entry.shape) for entry in inputs]),
        "MEAN": spread([list(entry.mean) for entry in inputs]),
        "NORMAL": spread([list(entry.normal) for entry in inputs]),
        "COLOR": [entry.color.value for entry in inputs],
        "OUTPUT": list(outputs),
        "QUANT_DATASET_PATH": f"./{CALIBRATION}",
        "DEBUG_PATH": f"./{DEBUG}",
        "QUANT_FEATURE_BIT": quant.feature_bits,
        "QUANT_WEIGHT_BIT": quant.weight_bits,
        "QUANT_FEATURE_METHOD": feature_method(quant),
        "QUANT_WEIGHT_METHOD": weight_method(quant),
        "QUANT_DATASET_SIZE": samples,
        "QUANT_NODE_SKIP": list(float_nodes),
        "QUANT_OP_SKIP": [],
        # empty whatever is corrected: the network handed over has its corrections in it already
        "WEIGHT_CORRECT_PATH": "",
        "FEATURE_CORRECT_PATH": "",
        "WEIGHT_FAKE_QUANT": quant.float_features,
        "FEATURE_FAKE_QUANT": quant.float_weights,
        "SAVE_OP_QUANT_BIT": False,
        "LOAD_OP_QUANT_BIT": True,
        "LOAD_OP_QUANT_MIN_MAX": True,
    }
