"""The scan as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stages.core.data.inputs import to_json
from stages.scan.network_scan import FloatLayer, NetworkScan, SocScan
from stages.scan.placements import State

__all__ = ["scan_json"]


def scan_json(scan: NetworkScan, name: str) -> dict[str, Any]:
    """Plain form for JSON: the network, and of each SOC its layers, routes and costs.

    Args:
        scan: the scan.
        name: of the network.
    """
    return {
        "network": name,
        "nodes": len(scan.graph.nodes),
        "macs": scan.macs,
        "inputs": to_json(scan.inputs),
        "outputs": scan.description,
        "socs": {soc: _soc(each) for soc, each in scan.socs.items()},
        "refused": dict(scan.refused),
    }


def _soc(soc: SocScan) -> dict[str, Any]:
    states = soc.placement.states
    return {
        "integer_layers": soc.count(State.integer),
        "float_layers": soc.count(State.float),
        "undecided_layers": soc.count(State.undecided),
        "integer_macs_share": soc.integer_share,
        "layers": {name: state.value for name, state in states.items()},
        "float": [_float_layer(layer) for layer in soc.float_layers],
        "float_islands": soc.islands,
        "routes": [
            {
                "route": route.name,
                "taken": route.taken,
                "refusals": [asdict(each) for each in route.refusals],
                "conditions": [asdict(each) for each in route.conditions],
            }
            for route in soc.routes
        ],
        "costs": [
            {"feature_bits": cost.bits[0], "weight_bits": cost.bits[1], **_numbers(asdict(cost))} for cost in soc.costs
        ],
        "time_source": soc.time_source or None,
        "large_depthwise": [asdict(each) for each in soc.depthwise],
    }


def _float_layer(layer: FloatLayer) -> dict[str, Any]:
    return {**asdict(layer), "state": layer.state.value, "remedy": layer.remedy or None}


def _numbers(cost: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cost.items() if key != "bits"}
