"""The scan for the terminal: a row a SOC, then what is not in integers and what routes refuse, and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stages.core.base.console import new_table
from stages.core.cost import MACS_PER_GMAC
from stages.scan.costs import NetworkCost
from stages.scan.large_depthwise import depthwise_line
from stages.scan.network_scan import NetworkScan, SocScan
from stages.scan.placements import State
from stages.scan.routes import CPP, OPEN_T41, Route, RouteRefusal

__all__ = ["UNKNOWN", "FloatGroup", "bit_range", "float_groups", "refusal_groups", "route_text", "scan_lines"]

UNKNOWN = "unknown"
NO_ROUTE = "\N{EN DASH}"
MOST_NAMES = 3
MOST_GROUPS = 12
"""Rows of a table on the terminal."""
MEGABYTE = 1e6
LEGEND = "8/8: bits of features/weights; C++: the reference runtime; open T41: the open compiler"
NUMBERS = ("weights MB", "features MB", "ms")
"""Columns with a number for each pair of bit widths."""


@dataclass(frozen=True)
class FloatGroup:
    """Nodes of one operator with one reason and one remedy.

    Attributes:
        kind: the operator.
        nodes: their names, in graph order.
        where: SOCs or routes.
        reason: why.
        remedy: what to do; empty where nothing is known.
    """

    kind: str
    nodes: Sequence[str]
    where: Sequence[str]
    reason: str
    remedy: str

    @property
    def names(self) -> str:
        """The first names, and how many more."""
        more = f" and {len(self.nodes) - MOST_NAMES} more" if len(self.nodes) > MOST_NAMES else ""
        return ", ".join(self.nodes[:MOST_NAMES]) + more


def scan_lines(scan: NetworkScan, name: str) -> list[RenderableType]:
    """What the terminal shows.

    Args:
        scan: the scan.
        name: of the network.
    """
    inputs = ", ".join(f"{each.name} {list(each.shape)}" for each in scan.inputs)
    lines: list[RenderableType] = [
        Text(f"{name}: {len(scan.graph.nodes)} nodes, {scan.macs / MACS_PER_GMAC:.3g} GMAC, inputs {inputs}"),
        Text(scan.description),
        _soc_table(scan),
        Text(LEGEND),
    ]
    for title, where, groups in (
        ("not in integers", "SOC", float_groups(scan)),
        ("refused by a route", "route", refusal_groups(scan)),
    ):
        if groups:
            lines.append(_group_table(title, where, groups[:MOST_GROUPS]))
        if len(groups) > MOST_GROUPS:
            lines.append(Text(f"{len(groups) - MOST_GROUPS} more rows are on the page"))
    lines += [Text(line) for line in dict.fromkeys(depthwise_line(soc.depthwise) for soc in scan.socs.values()) if line]
    lines += [Text(f"{soc}: {reason}") for soc, reason in scan.refused.items()]
    lines += [Text(f"times: {soc}: {source}") for soc, source in _time_sources(scan).items()]
    return [*lines, *map(Text, _conditions(scan))]


def _soc_table(scan: NetworkScan) -> Table:
    title = f"on each SOC; several numbers are at {_widths(scan)} bits of features/weights"
    table = new_table(title)
    table.add_column("SOC", no_wrap=True)
    headings = ("integer layers", "float layers", "integer MACs", "weights MB", "features MB", "ms", "C++", "open T41")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading in NUMBERS, overflow="fold")
    for name, soc in scan.socs.items():
        undecided = soc.count(State.undecided)
        share = soc.integer_share
        costs = {cost.bits: cost for cost in soc.costs}
        table.add_row(
            name,
            f"{soc.count(State.integer)}" + (f" (+{undecided}?)" if undecided else ""),
            str(soc.count(State.float)),
            NO_ROUTE if share is None else f"{share:.1%}",
            bit_range(costs, lambda cost: f"{cost.weight_bytes / MEGABYTE:.3g}"),
            bit_range(costs, lambda cost: f"{cost.peak_bytes / MEGABYTE:.3g}"),
            bit_range(costs, _time) if soc.time_source else UNKNOWN,
            *(route_text(soc, route) for route in (CPP, OPEN_T41)),
            style="yellow" if soc.count(State.float) else None,
        )
    return table


def _widths(scan: NetworkScan) -> str:
    """The bit widths that cells with several numbers are of."""
    bits = dict.fromkeys(cost.bits for soc in scan.socs.values() for cost in soc.costs)
    return ", ".join(f"{features}/{weights}" for features, weights in bits)


def bit_range(costs: Mapping[tuple[int, int], NetworkCost], form: Callable[[NetworkCost], str]) -> str:
    """A cell with a number for each pair of bit widths that the SOC can do."""
    return " ".join(form(cost) for cost in costs.values())


def _time(cost: NetworkCost) -> str:
    """Time of the layers in integers; a plus sign stands for layers in float, which no source times."""
    return UNKNOWN if cost.milliseconds is None else f"{cost.milliseconds:.3g}" + ("+" if cost.untimed else "")


def route_text(soc: SocScan, name: str) -> str:
    """What a route does with the network: taken, so many refusals, or no such route."""
    route = _route(soc, name)
    if route is None:
        return NO_ROUTE
    if not route.taken:
        return f"refused ({len(route.refusals)})"
    return "taken, if" if route.conditions else "taken"


def _route(soc: SocScan, name: str) -> Route | None:
    return next((route for route in soc.routes if route.name == name), None)


def float_groups(scan: NetworkScan) -> list[FloatGroup]:
    """Layers that are not in integers, by operator, reason and remedy; SOCs with the same nodes together."""
    told = (
        (name, layer.kind, layer.node, layer.reason.replace(f"the {soc.soc.name} has", "the SOC has"), layer.remedy)
        for name, soc in scan.socs.items()
        for layer in soc.float_layers
    )
    by_reason: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for name, kind, node, reason, remedy in told:
        by_reason.setdefault((kind, reason, remedy), {}).setdefault(name, []).append(node)
    groups = []
    for (kind, reason, remedy), by_soc in by_reason.items():
        for nodes, names in _same_nodes(by_soc).items():
            where = ["all"] if len(names) == len(scan.socs) > 1 else names
            groups.append(FloatGroup(kind, nodes, where, reason, remedy))
    return groups


def refusal_groups(scan: NetworkScan) -> list[FloatGroup]:
    """What routes refuse, by route and remedy: operators with the same remedy together, with the first one's reason."""
    by_remedy: dict[tuple[str, str], dict[str, list[RouteRefusal]]] = {}
    for name, soc in scan.socs.items():
        for route in soc.routes:
            for refusal in route.refusals:
                by_soc = by_remedy.setdefault((route.name, refusal.remedy), {})
                by_soc.setdefault(name, []).append(refusal)
    groups = []
    for (where, remedy), by_soc in by_remedy.items():
        nodes_of = {soc: list(dict.fromkeys(each.node for each in refusals)) for soc, refusals in by_soc.items()}
        for nodes, names in _same_nodes(nodes_of).items():
            refusals = by_soc[names[0]]
            kinds = ", ".join(dict.fromkeys(each.op_type for each in refusals if each.op_type))
            everywhere = where == OPEN_T41 or len(names) == len(scan.socs)
            shown = where if everywhere else f"{where} of {', '.join(names)}"
            groups.append(FloatGroup(kinds, nodes, [shown], refusals[0].reason, remedy))
    return groups


def _same_nodes(by_place: Mapping[str, Sequence[str]]) -> dict[tuple[str, ...], list[str]]:
    """Nodes -> the places that have just these."""
    places: dict[tuple[str, ...], list[str]] = {}
    for place, nodes in by_place.items():
        places.setdefault(tuple(nodes), []).append(place)
    return places


def _group_table(title: str, where: str, groups: Iterable[FloatGroup]) -> Table:
    table = new_table(title)
    for heading in ("operator", "nodes", where, "why", "remedy"):
        table.add_column(heading, overflow="fold")
    for group in groups:
        cells = (group.kind, group.names, ", ".join(group.where), group.reason, group.remedy or "none known")
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _time_sources(scan: NetworkScan) -> dict[str, str]:
    return {name: soc.time_source for name, soc in scan.socs.items() if soc.time_source}


def _conditions(scan: NetworkScan) -> list[str]:
    """What has to hold besides for what is taken, a line each."""
    lines = []
    if any(cost.untimed for soc in scan.socs.values() for cost in soc.costs if cost.milliseconds is not None):
        lines.append("a + behind ms: layers in float come on top, which no source times")
    for soc in scan.socs.values():
        for route in soc.routes:
            lines += [
                f"{route.name}: taken if the ranges of calibration allow it: {each.node}: {each.reason}: {each.remedy}"
                for each in (route.conditions if route.taken else [])[:MOST_NAMES]
            ]
    if any(soc.count(State.undecided) for soc in scan.socs.values()):
        lines.append("(+N?): N layers more, if the ranges of calibration allow it")
    return list(dict.fromkeys(lines))
