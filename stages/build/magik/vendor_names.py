"""The converter's names for files and methods, the same in all generations of its config."""

from stages.core.config.schema import Config, FeatureMethod, QuantConfig, WeightMethod

__all__ = [
    "CALIBRATION_FOLDER",
    "CONVERTED_FOLDER",
    "DEBUG_FOLDER",
    "PTQ_CONFIG",
    "cfg_name",
    "feature_method",
    "header_name",
    "training_name",
    "weight_method",
]

CALIBRATION_FOLDER = "calibration"
"""The calibration samples."""
DEBUG_FOLDER = "debug"
"""The samples that the similarity table is measured on."""
CONVERTED_FOLDER = "converted"
"""The converter's output files."""
PTQ_CONFIG = "ptq_config.json"
# The converter lacks these methods; the feature ranges chosen here reach it through the node-bits file.
NEAREST_FEATURE_METHODS = {FeatureMethod.PERCENTILE: "MAX_ABS", FeatureMethod.OUTPUT: "MAX_ABS"}
NEAREST_WEIGHT_METHODS = {WeightMethod.MSE: "ADMM"}


def cfg_name(config: Config) -> str:
    """File name of the flat cfg, as in the toolkit's samples."""
    return f"magik_{config.soc.name.lower()}.cfg"


def training_name(config: Config) -> str:
    """File name of the training kit's json. The kit's samples use the flat cfg's name, which is in use here."""
    return f"training_{config.soc.name.lower()}.cfg"


def header_name(config: Config) -> str:
    """File name for the converter's `-o`; it writes the board's network beside the header, as `.bin`."""
    return f"{config.model.name}_{config.soc.name.lower()}_magik.mk.h"


def feature_method(quant: QuantConfig) -> str:
    """The converter's nearest method for feature ranges."""
    return NEAREST_FEATURE_METHODS.get(quant.feature_method, quant.feature_method.value)


def weight_method(quant: QuantConfig) -> str:
    """The converter's nearest method for weight scales."""
    return NEAREST_WEIGHT_METHODS.get(quant.weight_method, quant.weight_method.value)
