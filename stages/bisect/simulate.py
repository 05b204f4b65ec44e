"""Simulating the network with some nodes in float."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.bisect.measure import Pictures
from stages.core.config import ChannelScales, Config, Equalization, QuantConfig, Rounding
from stages.core.console import counted
from stages.core.paths import QUANTIZE
from stages.quantize.draft import Draft
from stages.quantize.drafting import Drafter
from stages.quantize.network import Network

__all__ = ["Simulator", "as_judged"]


def as_judged(quant: QuantConfig) -> tuple[QuantConfig, list[str]]:
    """Give the settings that simulations use, and a note on what they leave out: all that is fitted on pictures.

    That would take minutes a simulation, and a correction fitted around one skip list says little about another.
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
    return plain, [f"judged with {shown}: what is fitted or measured on pictures is left out"]


def _shown(value: object) -> str:
    return str(getattr(value, "value", value)).lower()


@dataclass(frozen=True)
class Simulator:
    """Drafts a network with a skip list and runs it.

    Attributes:
        drafter: makes drafts by the settings.
        network: what they are of: its channels scaled and its ranges chosen, once for all.
    """

    drafter: Drafter
    network: Network

    @classmethod
    def open(cls, config: Config) -> "Simulator":
        """Make one from the artifacts of export, calibset and calibrate."""
        drafter = Drafter.open(config, QUANTIZE.parent)
        plain = config.quant.equalization is Equalization.none
        return cls(drafter, drafter.ranged(drafter.network if plain else drafter.equalized()))

    def draft(self, nodes: Sequence[str] = ()) -> Draft:
        """The network with these nodes in float, beside those that the settings keep so; rounded to the nearest."""
        quant = self.drafter.config.quant
        return self.drafter.draft(self.network, replace(quant, skip_nodes=[*quant.skip_nodes, *nodes]))

    def measure(self, pictures: Pictures, nodes: Sequence[str]) -> float:
        """The metric with these nodes in float."""
        return pictures.of(self.draft(nodes).lowered()[0], f"{counted(len(nodes), 'node')} in float")
