"""Networks that are compared."""

from collections.abc import Mapping, Sequence

import onnx

from stages.compare.background import Background
from stages.compare.gather.comparison import Observer, compare_networks
from stages.compare.gather.networks import Networks, PartialNetworks
from stages.compare.gather.picture_sets import DebugPicture
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams


def networks(
    reference: onnx.ModelProto,
    integer: onnx.ModelProto,
    params: NetworkParams | None = None,
    partial: PartialNetworks | None = None,
) -> Networks:
    """What compares an integer model, or any other network in its place, with a float network."""
    return Networks(Graph(reference), integer, params or NetworkParams([], []), partial=partial)


def compared(compared_networks: Networks, fed: Sequence[Mapping], observers: Sequence[Observer] = ()) -> list[Mapping]:
    """The rows of the similarity table; the pictures are called 0, 1, ..."""
    pictures = [DebugPicture(str(index), {}, feeds) for index, feeds in enumerate(fed)]
    with Background() as background:
        return list(compare_networks(compared_networks, pictures, background, observers).values())
