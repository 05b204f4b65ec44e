"""What is worth knowing and no fault: what could not be checked, layers in float on this SOC, channels that are 0."""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

import numpy as np

from stages.compare.diagnose.finding import Finding
from stages.compare.gather.observed_features import ObservedFeature
from stages.core.base.console import counted
from stages.core.config.schema import QuantConfig
from stages.core.graph.onnx_graph import WEIGHTED, Graph
from stages.core.integer.network_params import NetworkParams

__all__ = ["UNCHECKED", "dead_channels", "float_layers", "unchecked_input", "unquantized"]

UNCHECKED = "input_unchecked"
"""The kind of what `unchecked_input` says."""

MAX_NAMES = 4  # in a sentence


def unchecked_input(one_picture: bool, norms: int) -> Finding:
    """Say that nobody can tell whether the network is fed as it was trained, and why.

    Args:
        one_picture: whether one picture is all that the network takes.
        norms: how many batch norms export noted.
    """
    if not one_picture:
        why = "that takes a network whose only input is a picture"
    elif norms:
        why = "there are too few calibration pictures to go by its batch norms, and no labels (or too few)"
    else:
        why = "the network has no batch norms that export could note, and there are no labels (or too few)"
    return Finding(UNCHECKED, None, f"input (colour order, mean, normal) not checked: {why}", {"batch_norms": norms})


def float_layers(graph: Graph, in_integers: Collection[str], params: NetworkParams, soc: str) -> list[Finding]:
    """Say which layers run in float though the settings do not ask for it.

    Args:
        graph: the float network.
        in_integers: tensors that layers in integers compute, those inside fused layers too.
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
    shown = ", ".join(nodes[:MAX_NAMES]) + (f" and {len(nodes) - MAX_NAMES} more" if len(nodes) > MAX_NAMES else "")
    sentence = f"{len(nodes)} of {len(graph.nodes)} nodes run in float on {soc}: {shown}"
    return [Finding("float_layers", None, sentence, {"nodes": len(nodes), "of": len(graph.nodes), "names": shown})]


def unquantized(
    graph: Graph, in_integers: AbstractSet[str], params: NetworkParams, soc: str, quant: QuantConfig
) -> list[Finding]:
    """Find that no layer with weights runs in integers though the settings ask for it: then the table says nothing.

    Args:
        graph: the float network.
        in_integers: tensors that layers in integers compute, those inside fused layers too.
        params: names the nodes that the settings keep in float.
        soc: its name.
        quant: the settings.
    """
    wanted = set(params.float_nodes)
    nodes = [
        node
        for node in graph.nodes
        if node.op_type in WEIGHTED and node.input[1] in graph.constants and node.name not in wanted
    ]
    integer = [node for node in nodes if not in_integers.isdisjoint(node.output)]
    if integer or not nodes or quant.float_features or quant.float_weights:
        return []
    first = nodes[0]
    sentence = (
        f"none of {counted(len(nodes), 'layer')} with weights runs in integers on the {soc}, {first.name} "
        f"({first.op_type}) for one: the float network is compared with itself; the notes of quantize say why"
    )
    return [Finding("unquantized", None, sentence, {"layers_with_weights": len(nodes)})]


def dead_channels(params: NetworkParams, observed: Mapping[str, ObservedFeature]) -> list[Finding]:
    """Say how many channels of features were 0 throughout on the debug pictures, and where most are."""
    dead, channels = dict[str, int](), 0
    for feature in params.features:
        seen = observed.get(feature.tensor)
        if seen is None or not feature.method.is_chosen or len(seen.channel_low) < 2:
            continue
        channels += len(seen.channel_low)
        dead[feature.node] = int(np.count_nonzero((seen.channel_low == 0.0) & (seen.channel_high == 0.0)))
    total = sum(dead.values())
    if not total:
        return []
    most = max(dead, key=lambda node: dead[node])
    sentence = f"{total} of {channels} channels are 0 on the whole debug set, most of them ({dead[most]}) in {most}"
    evidence: dict[str, float | str] = {"dead": total, "channels": channels, "most": most, "most_dead": dead[most]}
    return [Finding("dead_channels", most, sentence, evidence)]
