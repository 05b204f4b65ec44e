"""A figure over a network's depth: a bar a layer, its colour how the layer runs. SVG text in the page's colours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from stages.scan.placements import State

__all__ = ["Bar", "depth_figure"]

WIDTH, HEIGHT = 960.0, 150.0
LEFT, TOP, LANE = 84.0, 12.0, 16.0
"""Room for the numbers left of the bars, above them, and for the lane below that marks layers in float."""


@dataclass(frozen=True)
class Bar:
    """A layer of the figure.

    Attributes:
        name: of the layer.
        value: its height.
        state: how it runs.
    """

    name: str
    value: float
    state: State


def depth_figure(bars: Sequence[Bar], label: str, form: Callable[[float], str]) -> Markup:
    """Draw a bar for each layer, and below them a mark for each that runs in float or may.

    Args:
        bars: in graph order.
        label: what the bars show, for who cannot see them.
        form: writes a value with its unit.
    """
    largest = max((bar.value for bar in bars), default=0.0) or 1.0
    step = (WIDTH - LEFT) / max(len(bars), 1)
    parts = [
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH:g} {TOP + HEIGHT + LANE + 4:g}">',
        *_axis(largest, form),
    ]
    for index, bar in enumerate(bars):
        x, height = LEFT + index * step, HEIGHT * bar.value / largest
        title = f"<title>{escape(f'{index} {bar.name}: {form(bar.value)}, {bar.state.value}')}</title>"
        wide = max(step * 0.85, 0.6)
        if height:
            parts.append(_rectangle(x, TOP + HEIGHT - height, wide, height, bar.state.value, title))
        if bar.state in (State.float, State.undecided):
            parts.append(_rectangle(x, TOP + HEIGHT + 5, wide, LANE - 5, bar.state.value, title))
    return Markup("".join([*parts, "</svg>"]))


def _axis(largest: float, form: Callable[[float], str]) -> list[str]:
    """Two lines with their values, at half the height and at the top, and the line that bars stand on."""
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + HEIGHT * (1.0 - share)
        text = escape(form(largest * share)) if share else "0"
        lines.append(f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH:g}" y1="{y:g}" y2="{y:g}"/>')
        lines.append(f'<text x="{LEFT - 6:g}" y="{y + 4:g}" text-anchor="end">{text}</text>')
    return [*lines, f'<text x="{LEFT - 6:g}" y="{TOP + HEIGHT + LANE:g}" text-anchor="end">in float</text>']


def _rectangle(x: float, y: float, width: float, height: float, kind: str, title: str) -> str:
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}">{title}</rect>'
