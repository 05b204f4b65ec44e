"""The json of the command line in the guide of February 2022.

That generation knows one picture input and no node-bits file: the converter chooses ranges by itself.
"""

from collections.abc import Sequence
from typing import Any

from stages.build.magik.vendor_names import CALIBRATION_FOLDER, DEBUG_FOLDER, feature_method, weight_method
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["ptq_json"]


def ptq_json(config: Config, picture: NetworkInput, samples: int, float_nodes: Sequence[str] = ()) -> dict[str, Any]:
    """The json of `--ptq_config_path`.

    Args:
        config: the experiment.
        picture: the network's input.
        samples: number of samples in the calibration folder.
        float_nodes: nodes that stay in float.
    """
    quant = config.quant
    return {
        "format": picture.color.value,
        "width": picture.width,
        "height": picture.height,
        "path": f"./{CALIBRATION_FOLDER}",
        "used_image_num": samples,
        "feature_quantize_method": feature_method(quant),
        "weight_quantize_method": weight_method(quant),
        "feature_quantize_bits": quant.feature_bits,
        "weight_quantize_bits": quant.weight_bits,
        "debug": {"open": True, "debug_input_path": f"./{DEBUG_FOLDER}", "debug_output_dir": "./dump_data"},
        # always off: the corrections are in the exported network's biases already
        "bias_corr": {"weight_corr": False, "feature_corr": False, "vali_dir": "", "corr_dir": ""},
        "weight_fake_quant": quant.float_features,
        "feature_fake_quant": quant.float_weights,
        "skip_node_quant": list(float_nodes),
        "skip_op_quant": [],
    }
