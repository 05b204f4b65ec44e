"""What init writes: the model's file, and the line that composes the experiment."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from stages.core.config.overrides import list_override, quoted
from stages.init.vendor.vendor_experiment import VendorExperiment
from stages.init.write.source_text import source

__all__ = ["MISSING_NETWORK", "MISSING_PICTURES", "experiment_overrides", "model_yaml"]

MISSING_NETWORK, MISSING_PICTURES = "file:NETWORK.onnx", "file:PICTURES"
PLAIN_SOURCE = re.compile(r"file:[\w./+-]+", re.ASCII)
# What the preset int8 says already.
INT8_PRESET = {"feature_bits": 8, "weight_bits": 8, "feature_method": "MAX_ABS", "weight_method": "MAX_ABS"}


def model_yaml(experiment: VendorExperiment, name: str, read: Sequence[str]) -> str:
    """The text of conf/model/NAME.yaml.

    Args:
        experiment: what the config says.
        name: of the model.
        read: names of the files that were read.
    """
    content: dict[str, Any] = {
        "name": name,
        "source": source(experiment.network) if experiment.network else "???",
        "inputs": experiment.inputs,
        "outputs": experiment.outputs,
        "preprocess": {"fit": "stretch"},
    }
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return f"# Read from {', '.join(read)} by `python -m stages.init`.\n{body}"


def experiment_overrides(experiment: VendorExperiment, name: str) -> list[str]:
    """What `python -m stages.compose` is called with: SOC, model, pictures, quantization.

    What the config does not say stands as `file:NETWORK.onnx` and `file:PICTURES`. It has no labels: the debug pictures
    are evaluated without.
    """
    calibration = source(experiment.calibration) if experiment.calibration else MISSING_PICTURES
    debug = source(experiment.debug) if experiment.debug else calibration
    overrides = [f"soc={experiment.soc.lower()}"] if experiment.soc else []
    overrides.append(f"model={name}")
    if not experiment.network:
        overrides.append(f"model.source={MISSING_NETWORK}")
    overrides += ["data=folder", _source_override("data.calibration.source", calibration)]
    overrides.append(f"data.calibration.size={'null' if experiment.size is None else experiment.size}")
    if experiment.correction:
        overrides.append(_source_override("data.correction.source", source(experiment.correction)))
    if experiment.validation:
        overrides.append(_source_override("data.validation.source", source(experiment.validation)))
    overrides.append(_source_override("data.debug.source", debug))
    if experiment.debug:
        overrides.append("data.debug.size=null")
    overrides.append(_source_override("data.evaluation.source", debug))
    overrides += ["data.evaluation.labels=null", "data.evaluation.task=none", "quant=int8"]
    for key, value in experiment.quant.items():
        if isinstance(value, list):
            overrides.append(list_override(f"quant.{key}", value))
        elif INT8_PRESET.get(key) != value:
            overrides.append(f"quant.{key}={str(value).lower() if isinstance(value, bool) else value}")
    if experiment.node_bits:
        overrides.append(_source_override("quant.node_bits", source(experiment.node_bits)))
    return overrides


def _source_override(key: str, text: str) -> str:
    return f"{key}={text if PLAIN_SOURCE.fullmatch(text) else quoted(text)}"
