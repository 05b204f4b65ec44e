"""The flat cfg of the post-training guide of July 2022."""

from collections.abc import Sequence
from typing import Any

from stages.build.magik.vendor_names import CALIBRATION_FOLDER, DEBUG_FOLDER, feature_method, weight_method
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
        inputs: the network's inputs.
        outputs: tensors that the network ends with.
        samples: number of samples in the calibration folder.
        float_nodes: nodes that stay in float. Skipped operator types are in it node by node, since the converter has
            type names of its own.
    """

    def flat_if_one(values: list[Any]) -> Any:
        return values[0] if len(values) == 1 else values

    quant = config.quant
    return {
        "SOC": config.soc.name,
        "INPUT": [network_input.name for network_input in inputs],
        "INPUT_SHAPE": flat_if_one([list(network_input.shape) for network_input in inputs]),
        "MEAN": flat_if_one([list(network_input.mean) for network_input in inputs]),
        "NORMAL": flat_if_one([list(network_input.normal) for network_input in inputs]),
        "COLOR": [network_input.color.value for network_input in inputs],
        "OUTPUT": list(outputs),
        "QUANT_DATASET_PATH": f"./{CALIBRATION_FOLDER}",
        "DEBUG_PATH": f"./{DEBUG_FOLDER}",
        "QUANT_FEATURE_BIT": quant.feature_bits,
        "QUANT_WEIGHT_BIT": quant.weight_bits,
        "QUANT_FEATURE_METHOD": feature_method(quant),
        "QUANT_WEIGHT_METHOD": weight_method(quant),
        "QUANT_DATASET_SIZE": samples,
        "QUANT_NODE_SKIP": list(float_nodes),
        "QUANT_OP_SKIP": [],
        # always empty: the corrections are in the exported network's biases already
        "WEIGHT_CORRECT_PATH": "",
        "FEATURE_CORRECT_PATH": "",
        "WEIGHT_FAKE_QUANT": quant.float_features,
        "FEATURE_FAKE_QUANT": quant.float_weights,
        "SAVE_OP_QUANT_BIT": False,
        "LOAD_OP_QUANT_BIT": True,
        "LOAD_OP_QUANT_MIN_MAX": True,
    }
