"""The json beside the command line of the guide of February 2022.

That generation knows one picture input, and no file of widths and ranges: the converter chooses ranges by itself.
"""

from collections.abc import Sequence
from typing import Any

from stages.build.magik.words import CALIBRATION, DEBUG, feature_method, weight_method
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["ptq_json"]


def ptq_json(config: Config, entry: NetworkInput, samples: int, float_nodes: Sequence[str] = ()) -> dict[str, Any]:
    """The json of `--ptq_config_path`.

    Args:
        config: the experiment.
        entry: the picture input.
        samples: how many there are in the calibration folder.
        float_nodes: nodes that stay in float.
    """
    quant = config.quant
    return {
        "format": entry.color.value,
        "width": entry.width,
        "height": entry.height,
        "path": f"./{CALIBRATION}",
        "used_image_num": samples,
        "feature_quantize_method": feature_method(quant),
        "weight_quantize_method": weight_method(quant),
        "feature_quantize_bits": quant.feature_bits,
        "weight_quantize_bits": quant.weight_bits,
        "debug": {"open": True, "debug_input_path": f"./{DEBUG}", "debug_output_dir": "./dump_data"},
        # off whatever is corrected: the network handed over has its corrections in it already
        "bias_corr": {"weight_corr": False, "feature_corr": False, "vali_dir": "", "corr_dir": ""},
        "weight_fake_quant": quant.float_features,
        "feature_fake_quant": quant.float_weights,
        "skip_node_quant": list(float_nodes),
        "skip_op_quant": [],
    }
