"""What is worth knowing and no fault: layers in float on this SOC, channels that never say anything."""

from collections.abc import Collection, Mapping

import numpy as np

from stages.compare.diagnosis.finding import Finding
from stages.compare.diagnosis.observed import Observed
from stages.core.graph import Graph
from stages.core.qparams import CONSTANT, SHARED, QuantParams

__all__ = ["dead_channels", "float_layers"]

SHOWN = 4  # names in a sentence


def float_layers(graph: Graph, in_integers: Collection[str], params: QuantParams, soc: str) -> list[Finding]:
    """Say which layers run in float though the settings do not ask for it.

    Args:
        graph: the float network.
        in_integers: tensors that layers in integers make, those inside fused layers too.
        params: names the nodes that the settings keep in float.
        soc: its name.
    """
    if not params.features:
        return []  # all is in float, as asked
    wanted = set(params.float_nodes)
    nodes = [
        node.name
        for node in graph.nodes
        if node.name not in wanted
        and node.output[0] in graph.float_tensors
        and not any(name in in_integers for name in node.output)
        and any(name and name not in graph.constants for name in node.input)
    ]
    if not nodes:
        return []
    shown = ", ".join(nodes[:SHOWN]) + (f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else "")
    sentence = f"{len(nodes)} of {len(graph.nodes)} nodes run in float on {soc}: {shown}"
    return [Finding("float_layers", None, sentence, {"nodes": len(nodes), "of": len(graph.nodes), "names": shown})]


def dead_channels(params: QuantParams, observed: Mapping[str, Observed]) -> list[Finding]:
    """Say how many channels of features were 0 throughout on the debug pictures, and where most are."""
    dead, channels = dict[str, int](), 0
    for entry in params.features:
        seen = observed.get(entry.tensor)
        if seen is None or entry.method in (CONSTANT, SHARED) or len(seen.channel_low) < 2:
            continue
        channels += len(seen.channel_low)
        dead[entry.node] = int(np.count_nonzero((seen.channel_low == 0.0) & (seen.channel_high == 0.0)))
    total = sum(dead.values())
    if not total:
        return []
    most = max(dead, key=lambda node: dead[node])
    sentence = f"{total} of {channels} channels are 0 on all debug pictures, most of them ({dead[most]}) in {most}"
    evidence: dict[str, float | str] = {"dead": total, "channels": channels, "most": most, "most_dead": dead[most]}
    return [Finding("dead_channels", most, sentence, evidence)]
