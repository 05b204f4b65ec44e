"""The settings that candidates are tried with: an experiment's own, without what is fitted on pictures."""

from dataclasses import replace

from stages.core.config.schema import ChannelScales, Equalization, QuantConfig, Rounding

__all__ = ["trial_settings"]


def trial_settings(quant: QuantConfig) -> tuple[QuantConfig, list[str]]:
    """Give the settings that candidates are tried with, and a note on what they leave out.

    What is fitted on pictures would take minutes a candidate, and a correction fitted around one candidate says little
    about another.
    """
    plain = replace(
        quant,
        rounding=Rounding.nearest,
        weight_correction=False,
        feature_correction=False,
        equalization=Equalization.none if quant.equalization is Equalization.measured else quant.equalization,
        channel_scales=ChannelScales.never if quant.channel_scales is ChannelScales.measured else quant.channel_scales,
    )
    changed = [key for key, value in vars(plain).items() if value != getattr(quant, key)]
    if not changed:
        return plain, []
    shown = ", ".join(f"quant.{key}={_shown(getattr(plain, key))}" for key in changed)
    return plain, [f"tried with {shown}: what is fitted or measured on samples is left out"]


def _shown(value: object) -> str:
    return str(getattr(value, "value", value)).lower()
