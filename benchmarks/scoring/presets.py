"""The settings of ours that `benchmarks.accuracy` measures."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scoring.evaluation import TASKS
from stages.core.base.errors import UserError, did_you_mean

__all__ = ["ABLATIONS", "PRESETS", "Preset", "select_presets"]


@dataclass(frozen=True)
class Preset:
    """A setting of ours.

    Attributes:
        name: for --presets and the row's tool; several bit widths may share it.
        weight_bits: for the row; the overrides must say so too.
        feature_bits: for the row; the overrides must say so too.
        soc: whose arithmetic is simulated.
        overrides: of the config.
        networks: the networks that it is measured on.
    """

    name: str
    weight_bits: int
    feature_bits: int
    soc: str
    overrides: tuple[str, ...]
    networks: tuple[str, ...] = tuple(TASKS)


PRESETS = [
    Preset("int8", 8, 8, "t40", ("quant=int8",)),
    Preset("a8w4", 4, 8, "t40", ("quant=a8w4",)),
    Preset("a4w4", 4, 4, "t40", ("quant=a4w4",)),
    Preset("best", 8, 8, "t40", ("quant=best",)),
    Preset("best", 4, 8, "t40", ("quant=best", "quant.weight_bits=4"), ("lite0",)),
    Preset("best", 4, 4, "t40", ("quant=best", "quant.weight_bits=4", "quant.feature_bits=4"), ("lite0",)),
    Preset("best-per-tensor", 8, 8, "t40", ("quant=best", "quant.channel_scales=never"), ("yolox",)),
]
"""What a run measures."""

ABLATED_PRESETS = [("int8", 8, 8, ("lite0", "yolox")), ("a8w4", 4, 8, ("lite0",)), ("a4w4", 4, 4, ("lite0",))]
"""The presets of `conf/quant/` that --ablation adds each option to: name, weight and feature bits, networks."""

ABLATION_BASE = {"edge_bits": "8", "weight_method": "MSE", "feature_method": "MSE"}
"""The settings that every option is added to: keys of `quant`."""

OPTIONS: dict[str, dict[str, str]] = {
    "max-abs": {"weight_method": "MAX_ABS", "feature_method": "MAX_ABS"},
    "base": {},
    "output-ranges": {"feature_method": "OUTPUT"},
    "equalization": {"equalization": "cross_layer"},
    "corrections": {"weight_correction": "true", "feature_correction": "true"},
    "compensate": {"rounding": "compensate"},
    "compensate+corrections": {"rounding": "compensate", "weight_correction": "true", "feature_correction": "true"},
    "channel-scales": {"channel_scales": "always"},
    "reconstruct": {"rounding": "reconstruct"},
}
"""Each option alone: its changes to the base."""


def _ablations() -> list[Preset]:
    presets = []
    for quant, weight_bits, feature_bits, networks in ABLATED_PRESETS:
        for name, option in OPTIONS.items():
            settings = (f"quant.{key}={value}" for key, value in (ABLATION_BASE | option).items())
            overrides = (f"quant={quant}", *settings)
            presets.append(Preset(name, weight_bits, feature_bits, "t40", overrides, networks))
    return presets + [preset for preset in PRESETS if preset.name.startswith("best")]


ABLATIONS = _ablations()
"""What --ablation measures instead: each option alone, and the best together."""


def select_presets(presets: Sequence[Preset], network: str, names: str | None) -> list[Preset]:
    """Select presets of a network by name, in the order of the list.

    Args:
        presets: to select from.
        network: lite0 or yolox.
        names: separated by commas; None: all, "none": none.

    Raises:
        UserError: for a name that none of them has.
    """
    fitting = [preset for preset in presets if network in preset.networks]
    if names is None:
        return fitting
    wanted = [] if names == "none" else names.split(",")
    known = list(dict.fromkeys(preset.name for preset in fitting))
    for name in wanted:
        if name not in known:
            raise UserError(f"--presets: {network} has no preset {name!r}; {did_you_mean(name, known)}")
    return [preset for preset in fitting if preset.name in wanted]
