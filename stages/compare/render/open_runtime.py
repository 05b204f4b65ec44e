"""What the report says of a SOC's open runtime: are these integers its own, or an estimate of them?"""

from stages.core.base.console import counted
from stages.core.config.schema import Requantization, SocConfig
from stages.core.integer.exact_rounding import EXACT_BITS
from stages.core.integer.network_params import NetworkParams

__all__ = ["open_runtime_sentence"]

CHECK = "out/build/{}/pluto/check.json"
CONVERTER = (
    "With Ingenic's converter convolutions round alike; its biases, sums, pools and tables are unpublished and may "
    "differ by one code a layer."
)


def open_runtime_sentence(soc: SocConfig, params: NetworkParams) -> str:
    """A sentence or two; empty for a SOC without an open runtime."""
    if soc.open_runtime is None:
        return ""
    name, check = soc.name, CHECK.format(soc.name.lower())
    differences = _differences(soc, params)
    if differences:
        return f"For the open runtime of the {name} the numbers are an estimate: {'; '.join(differences)}."
    equal = f"The integers are those of the {name}'s open compiler too, to the bit, if it takes the network ({check})"
    ends = "; only its outputs are float here and of 8 bits there, as with soc.float_outputs=false"
    return f"{equal}{ends if soc.float_outputs else ''}. {CONVERTER}"


def _differences(soc: SocConfig, params: NetworkParams) -> list[str]:
    """Why the open runtime would compute other integers."""
    wide = sum(feature.bits != EXACT_BITS for feature in params.features)
    wide += sum(weight.bits != EXACT_BITS for weight in params.weights)
    scaled = sum(bool(feature.channel_scales) for feature in params.features)
    differences = {
        f"its rule is not {soc.requantization.value}": soc.requantization is not Requantization.nna_open,
        f"{counted(wide, 'tensor')} of other than {EXACT_BITS} bits": wide,
        f"{counted(scaled, 'feature')} with a scale a channel": scaled,
        f"{counted(len(params.float_nodes), 'node')} kept in float": params.float_nodes,
    }
    return [text for text, present in differences.items() if present]
