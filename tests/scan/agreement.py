"""What quantize and build made of a network, read off their files, beside what a scan says of it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from stages.build.runtime.folder import write_runtime
from stages.build.runtime.program import UnsupportedError
from stages.core.base.paths import INPUTS, INTEGER_MODEL, NOTES
from stages.core.data.inputs import load_inputs
from stages.core.integer.model import is_step, load_integer_model, tensor_quant_params
from stages.core.integer.operators import BOUNDARIES, DOMAIN
from stages.scan.network_scan import SocScan
from stages.scan.placements import State
from stages.scan.routes import CPP, OPEN_T41, without_assumed

FLOAT_NOTE = re.compile(r"(.+) \(\S+\) runs in float: (.+)")


def layers_on_codes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes of an integer model that compute on codes: those of its domain, and moves of codes."""
    coded = tensor_quant_params(model.graph.node)
    return {
        node.name
        for node in model.graph.node
        if (node.domain == DOMAIN and node.op_type not in BOUNDARIES and not is_step(node))
        or (node.domain != DOMAIN and node.input and node.input[0] in coded)
    }


def placement_disagreements(soc: SocScan, folder: Path = Path()) -> list[str]:
    """Where the scan's verdict on a layer is not what quantize did in a project's folder."""
    on_codes = layers_on_codes(load_integer_model(folder / INTEGER_MODEL))
    found = []
    nodes = {layer.name: layer.names for layer in soc.placement.setup.layers}
    for name, state in soc.placement.states.items():
        runs = not on_codes.isdisjoint(nodes[name])  # an activation behind a float result is a node of its own
        if (state is State.integer and not runs) or (state in (State.float, State.index) and runs):
            found.append(f"{name}: the scan says {state.value}, quantize {'integer' if runs else 'float'}")
    unknown = on_codes.difference(*nodes.values())
    found += [f"{name}: runs on codes, and the scan has no such layer" for name in sorted(unknown)]
    said = {layer.node: layer.reason for layer in soc.float_layers if layer.state is State.float}
    for line in json.loads((folder / NOTES).read_text(encoding="utf-8")):
        if match := FLOAT_NOTE.fullmatch(line):
            reason = match[2].partition(", on the codes of")[0]
            if said.get(match[1], reason) != reason:
                found.append(f"{match[1]}: the scan says {said[match[1]]!r}, quantize {reason!r}")
    return found


def cpp_disagreements(soc: SocScan, folder: Path, scratch: Path) -> list[str]:
    """Whether the C++ runtime takes the network as the scan says, and refuses the same node first."""
    (route,) = (each for each in soc.routes if each.name == CPP)
    try:
        write_runtime(scratch, "net", load_integer_model(folder / INTEGER_MODEL), load_inputs(folder / INPUTS))
    except UnsupportedError as error:
        if route.taken:
            return [f"the scan says taken, build: {error}"]
        first = route.refusals[0]
        said = f"{first.node} ({first.op_type}): {first.reason}"
        same = str(error) in (said, f"{first.node}: {first.reason}")
        return [] if same else [f"the scan says {said!r} first, build {str(error)!r}"]
    return [] if route.taken else [f"the scan says {route.refusals[0]}, build takes it"]


def open_t41_disagreements(soc: SocScan, check: Mapping[str, Any]) -> list[str]:
    """Whether the open T41 runtime refuses what the scan says, but for what ranges decide (`check.json`)."""
    (route,) = (each for each in soc.routes if each.name == OPEN_T41)
    of_bits = {(each.node, each.reason) for each in route.refusals}
    told = [(each["node"], without_assumed(each["reason"]), each["concern"]) for each in check["refusals"]]
    ranges = {(node, reason) for node, reason, concern in told if concern == "settings"}
    built = {(node, reason) for node, reason, _ in told} - (ranges - of_bits)
    return [f"only the scan refuses {each}" for each in sorted(of_bits - built)] + [
        f"only build refuses {each}" for each in sorted(built - of_bits)
    ]
