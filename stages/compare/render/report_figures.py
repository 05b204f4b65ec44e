"""The report's figures, out of what compare gathered: each is drawn in the background while the caller goes on."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from stages.compare.background import Background
from stages.compare.gather.gather import Gathered
from stages.compare.gather.layer_close_ups import CloseUp
from stages.compare.gather.observed_features import ObservedFeature
from stages.core.integer.network_params import FeatureParams, WeightParams

__all__ = ["Drawing", "Figure", "ReportFigures", "draw_plot", "load_plots"]

MAX_NAMES, MAX_NAMES_NARROW = 5, 3
Plot = Literal[
    "similarity_plot", "histogram_plot", "pair_plot", "channel_plot", "bits_plot", "score_plot", "agreement_plot"
]  # fmt: skip
"""The functions of `depth_plots`, `panel_plots` and `box_plots`."""


@dataclass(frozen=True)
class Figure:
    """A plot.

    Attributes:
        svg: as `stages.core.render.svg` saves it.
        caption: what it shows; may be empty.
        narrow: the same for a phone; None: it serves both.
    """

    svg: str
    caption: str
    narrow: str | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure that is being drawn; attributes as those of `Figure`."""

    svg: Future[str]
    caption: str
    narrow: Future[str] | None = None

    def figure(self) -> Figure:
        """Wait until it is drawn."""
        return Figure(self.svg.result(), self.caption, self.narrow.result() if self.narrow else None)


def load_plots() -> None:
    """Import what draws: matplotlib takes longer than most plots, and nobody need wait for it."""
    import stages.compare.render.depth_plots  # noqa: PLC0415
    import stages.compare.render.panel_plots  # noqa: F401, PLC0415


class ReportFigures:
    """Has figures drawn.

    Args:
        gathered: what they show.
        background: draws.

    Attributes:
        bits: bit widths over depth.
    """

    def __init__(self, gathered: Gathered, background: Background) -> None:
        self._gathered, self._background = gathered, background
        params = gathered.networks.params
        self._features = {feature.tensor: feature for feature in params.features}
        self._weights = {weight.node: weight for weight in params.weights}
        self._layers: dict[str, list[Drawing]] = {}
        self.bits = self._bits()

    def draw(self, tensors: Iterable[str]) -> None:
        """Begin to draw layers closely: histogram, float against quantized, ranges of channels and of weights.

        Args:
            tensors: the layers' outputs; those that were asked for before are not drawn again.
        """
        for tensor in tensors:
            if tensor not in self._layers:
                self._layers[tensor] = self._layer(tensor)

    def layer(self, tensor: str) -> list[Figure]:
        """The figures of a layer, drawn."""
        return [drawing.figure() for drawing in self._layers[tensor]]

    def similarity(self, title: str, named: Sequence[str]) -> Future[str]:
        """Similarity over depth as a plot of its own, some nodes named."""
        return self._draw("similarity_plot", self._gathered.similarity.rows, title, named)

    def curve(self, named: Sequence[str], marked: Sequence[str]) -> Drawing:
        """Similarity over depth; names the first of some nodes, and marks those of findings."""
        rows = self._gathered.similarity.rows
        wide = self._draw("similarity_plot", rows, "", named[:MAX_NAMES], marked)
        narrow = self._draw("similarity_plot", rows, "", named[:MAX_NAMES_NARROW], marked, narrow=True)
        return Drawing(wide, "", narrow)

    def _bits(self) -> Drawing:
        """Bit widths over depth, of the table's rows in their order."""
        networks = self._gathered.networks
        producers, tensors = networks.reference.producers, list(networks.node_names)
        features = [self._features[name].bits if name in self._features else None for name in tensors]
        nodes = [producers[name].name for name in tensors]
        weights = [self._weights[node].bits if node in self._weights else None for node in nodes]
        in_float = [name not in networks.in_integers for name in tensors]
        wide = self._draw("bits_plot", features, weights, in_float)
        return Drawing(wide, "", self._draw("bits_plot", features, weights, in_float, narrow=True))

    def _layer(self, tensor: str) -> list[Drawing]:
        close_up = self._gathered.close_ups.of(tensor)
        feature, observed = self._features.get(tensor), self._gathered.observed.get(tensor)
        weights = [self._weights[node] for node in self._nodes(tensor) if node in self._weights]
        return [
            self._histogram(close_up, feature, observed),
            self._pairs(close_up),
            self._channels(close_up, feature),
            *map(self._weight_ranges, weights),
        ]

    def _draw(self, plot: Plot, *arguments: Any, **options: Any) -> Future[str]:
        return draw_plot(self._background, plot, *arguments, **options)

    def _nodes(self, tensor: str) -> Iterable[str]:
        """The float network's nodes of the layer with that output."""
        networks = self._gathered.networks
        inside = [name for name, output in networks.enclosing.items() if output == tensor]
        producers = networks.reference.producers
        return [producers[name].name for name in (*sorted(inside), tensor) if name in producers]

    def _histogram(self, close_up: CloseUp, feature: FeatureParams | None, observed: ObservedFeature | None) -> Drawing:
        if feature is None:
            caption = "no codes: the layer's output is in float"
            plot = self._draw("histogram_plot", close_up.statistics, None, None)
        else:
            caption = f"dashed: codes of {feature.bits} bits reach {feature.low:.4g} .. {feature.high:.4g}"
            if observed and observed.clipped:
                caption += f"; {observed.clipped / observed.values:.2g} of the values lie beyond"
            plot = self._draw("histogram_plot", close_up.statistics, feature.low, feature.high)
        return Drawing(plot, f"Histogram of the float tensor; {caption}")

    def _pairs(self, close_up: CloseUp) -> Drawing:
        caption = (
            f"Float against quantized, {len(close_up.reference)} values, all layers before quantized too; on the "
            "diagonal both are equal"
        )
        return Drawing(self._draw("pair_plot", close_up.reference, close_up.quantized), caption)

    def _channels(self, close_up: CloseUp, feature: FeatureParams | None) -> Drawing:
        low, high = close_up.statistics.channel_low, close_up.statistics.channel_high
        caption = f"Least to greatest value of the feature: {len(low)} channels"
        code_low, code_high = list[float](), list[float]()
        if feature:
            scales = feature.scales.astype(float)
            code_low = list(-feature.zero_point * scales)
            code_high = list((feature.quant_params.qmax - feature.zero_point) * scales)
            caption += "; each channel has a scale of its own" if feature.channel_scales else "; all share one scale"
            caption += "; dashed: what codes reach"
        return Drawing(self._draw("channel_plot", low, high, code_low, code_high, "feature"), caption)

    def _weight_ranges(self, weight: WeightParams) -> Drawing:
        """The weights of each output channel as the float network has them, and if nothing scaled them their codes."""
        networks = self._gathered.networks
        value = networks.reference.constant(weight.tensor)
        assert value is not None
        axis = weight.axis if weight.axis is not None else 0
        others = tuple(other for other in range(value.ndim) if other != axis)
        scaled = bool(networks.params.factors)
        reach = [] if scaled else [scale * (2 ** (weight.bits - 1) - 1) for scale in weight.scales]
        scales = "a scale a channel" if weight.axis is not None else "all share one scale"
        codes = f"dashed: codes of {weight.bits} bits" if reach else "codes stand for scaled weights"
        low, high = value.min(others), value.max(others)
        plot = self._draw("channel_plot", low, high, [-end for end in reach], reach, "weights")
        return Drawing(plot, f"Weights of {weight.node}, {value.shape[axis]} output channels, {scales}; {codes}")


def draw_plot(background: Background, plot: Plot, *arguments: Any, **options: Any) -> Future[str]:
    """Have a plot drawn in time."""
    return background.draw(_drawn, plot, *arguments, **options)


def _drawn(plot: Plot, *arguments: Any, **options: Any) -> str:
    from stages.compare.render import box_plots, depth_plots, panel_plots  # noqa: PLC0415  see `load_plots`

    module = next(module for module in (depth_plots, panel_plots, box_plots) if plot in module.__all__)
    return str(getattr(module, plot)(*arguments, **options))
