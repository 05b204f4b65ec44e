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
    """Say which features have channels that were 0 throughout on the debug pictures, the most first."""
    found = []
    for entry in params.features:
        seen = observed.get(entry.tensor)
        if seen is None or entry.method in (CONSTANT, SHARED):
            continue
        dead = int(np.count_nonzero((seen.channel_low == 0.0) & (seen.channel_high == 0.0)))
        channels = len(seen.channel_low)
        if dead and channels > 1:
            sentence = f"{dead} of {channels} channels of {entry.node} are 0 on all debug pictures"
            found.append(Finding("dead_channels", entry.node, sentence, {"dead": dead, "channels": channels}))
    return sorted(found, key=lambda finding: -float(finding.evidence["dead"]))
