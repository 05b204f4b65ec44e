"""What the vendor calls things: names of files and of methods, the same in all generations."""

from stages.core.config.schema import Config, FeatureMethod, QuantConfig, WeightMethod

__all__ = [
    "CALIBRATION",
    "CONVERTED",
    "DEBUG",
    "PTQ",
    "cfg_name",
    "feature_method",
    "header_name",
    "training_name",
    "weight_method",
]

CALIBRATION, DEBUG = "calibration", "debug"
"""Folders of pictures."""
CONVERTED = "converted"
"""What the converter made."""
PTQ = "ptq_config.json"
# The converter lacks these methods; the feature ranges found here reach it through the node-bits file.
FEATURE_METHODS = {FeatureMethod.PERCENTILE: "MAX_ABS", FeatureMethod.OUTPUT: "MAX_ABS"}
WEIGHT_METHODS = {WeightMethod.MSE: "ADMM"}


def cfg_name(config: Config) -> str:
    """Name of the flat cfg, as the toolkit's samples have it."""
    return f"magik_{config.soc.name.lower()}.cfg"


def training_name(config: Config) -> str:
    """Name of the training kit's json; its samples call it as the flat cfg is called."""
    return f"training_{config.soc.name.lower()}.cfg"


def header_name(config: Config) -> str:
    """What the converter is told to write; the network for the board lies beside it, as `.bin`."""
    return f"{config.model.name}_{config.soc.name.lower()}_magik.mk.h"


def feature_method(quant: QuantConfig) -> str:
    """The converter's nearest method for ranges of features."""
    return FEATURE_METHODS.get(quant.feature_method, quant.feature_method.value)


def weight_method(quant: QuantConfig) -> str:
    """The converter's nearest method for scales of weights."""
    return WEIGHT_METHODS.get(quant.weight_method, quant.weight_method.value)
