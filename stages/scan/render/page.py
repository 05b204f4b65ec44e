"""The scan as one self-contained page: the SOCs, the graph's bottlenecks, what is not in integers and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from stages.core.cost import MACS_PER_GMAC
from stages.scan.costs import NetworkCost
from stages.scan.large_depthwise import depthwise_line
from stages.scan.network_scan import NetworkScan, SocScan
from stages.scan.placements import State
from stages.scan.render.depth_figure import Bar, depth_figure
from stages.scan.render.tables import UNKNOWN, float_groups, refusal_groups, route_text
from stages.scan.routes import CPP, OPEN_T41

__all__ = ["render_page"]

MOST_BOTTLENECKS = 10
MEGABYTE = 1e6


@dataclass(frozen=True)
class SameLayers:
    """SOCs that run every layer alike.

    Attributes:
        names: of the SOCs.
        scan: of the first of them.
        timed: those of which times are known.
        macs: figure of multiplications over depth.
        memory: figure of living features over depth.
        rows: of the table of layers.
        bottlenecks: layers with the most multiplications, a sentence each.
    """

    names: Sequence[str]
    scan: SocScan
    timed: Sequence[str]
    macs: Markup
    memory: Markup
    rows: Sequence[Sequence[str]]
    bottlenecks: Sequence[str]


def render_page(scan: NetworkScan, name: str) -> str:
    """Render HTML that needs no other file and no network, the same for the same scan.

    Args:
        scan: the scan.
        name: of the network.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.scan.render", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        name=name,
        scan=scan,
        gmacs=f"{scan.macs / MACS_PER_GMAC:.3g}",
        socs=[_soc_row(soc, each) for soc, each in scan.socs.items()],
        groups=_same_layers(scan),
        float_groups=float_groups(scan),
        refusal_groups=refusal_groups(scan),
        depthwise=[(depthwise_line(soc.depthwise), soc.depthwise) for soc in scan.socs.values() if soc.depthwise],
        time_sources={soc: each.time_source for soc, each in scan.socs.items() if each.time_source},
        clean=not any(soc.count(State.float) for soc in scan.socs.values()),
        undecided=any(soc.count(State.undecided) for soc in scan.socs.values()),
        verdict=_verdict(scan),
    )


def _verdict(scan: NetworkScan) -> str:
    """How much stays in float, in a few words."""
    counts = [(soc.count(State.float), soc.count(State.integer)) for soc in scan.socs.values()]
    if not counts:
        return "No SOC here has these bit widths"
    most = max(in_float for in_float, _ in counts)
    if not most:
        return "No layer stays in float"
    least = min(in_float for in_float, _ in counts)
    some = f"{least}" if least == most else f"{least} to {most}"
    return f"{some} of {max(map(sum, counts))} layers stay in float"


def _soc_row(name: str, soc: SocScan) -> dict[str, Any]:
    share = soc.integer_share
    return {
        "name": name,
        "integer": soc.count(State.integer),
        "float": soc.count(State.float),
        "undecided": soc.count(State.undecided),
        "share": UNKNOWN if share is None else f"{share:.1%}",
        "costs": [_cost_cells(cost) for cost in soc.costs],
        "cpp": route_text(soc, CPP),
        "open_t41": route_text(soc, OPEN_T41),
    }


def _cost_cells(cost: NetworkCost) -> dict[str, str]:
    time = UNKNOWN if cost.milliseconds is None else f"{cost.milliseconds:.3g} ms"
    untimed = "+" if cost.untimed and cost.milliseconds is not None else ""
    return {
        "bits": f"{cost.bits[0]}/{cost.bits[1]}",
        "weights": f"{cost.weight_bytes / MEGABYTE:.3g} MB",
        "memory": f"{cost.peak_bytes / MEGABYTE:.3g} MB",
        "peak_layer": cost.peak_layer,
        "time": time + untimed,
    }


def _same_layers(scan: NetworkScan) -> list[SameLayers]:
    """SOCs by how they run each layer, and how features lie in their memory."""
    names: dict[tuple[Any, ...], list[str]] = {}
    for name, soc in scan.socs.items():
        key = (tuple(soc.placement.states.items()), tuple(soc.layer_costs.alive))
        names.setdefault(key, []).append(name)
    return [_drawn({name: scan.socs[name] for name in group}) for group in names.values()]


def _drawn(socs: Mapping[str, SocScan]) -> SameLayers:
    soc = next(iter(socs.values()))
    states, works, alive = soc.placement.states, soc.placement.works, soc.layer_costs.alive
    layers = list(zip(states.items(), works, alive, strict=True))
    macs = [Bar(name, work.macs / MACS_PER_GMAC, state) for (name, state), work, _ in layers]
    memory = [Bar(name, amount / MEGABYTE, state) for (name, state), _, amount in layers]
    reasons = {layer.node: layer.reason for layer in soc.float_layers}
    timed = {name: times for name, each in socs.items() if (times := each.layer_costs.milliseconds) is not None}
    rows = [
        (
            str(depth), name, work.kind, state.value, f"{work.macs / 1e6:.3g}", f"{work.weights / 1e3:.3g}",
            f"{amount / 1e3:.4g}", *(f"{times[depth]:.3g}" for times in timed.values()), reasons.get(name, ""),
        )
        for depth, ((name, state), work, amount) in enumerate(layers)
    ]  # fmt: skip
    return SameLayers(
        list(socs),
        soc,
        list(timed),
        depth_figure(macs, "multiplications of each layer", lambda value: f"{value:.3g} GMAC"),
        depth_figure(memory, "features that live while each layer runs", lambda value: f"{value:.3g} MB"),
        rows,
        _bottlenecks(soc),
    )


def _bottlenecks(soc: SocScan) -> list[str]:
    """The layers with the most multiplications, each with its share of all."""
    works = sorted(soc.placement.works, key=lambda work: -work.macs)[:MOST_BOTTLENECKS]
    total = sum(work.macs for work in soc.placement.works)
    states = soc.placement.states
    return [
        f"{work.node} ({work.kind}): {work.macs / total:.1%} of the multiplications, {states[work.node].value}"
        for work in works
        if work.macs
    ]
