"""How TPU-MLIR names the tensors of a network."""

from stages.core.graph.onnx_graph import Graph

__all__ = ["CAST_SUFFIX", "layer_name"]

CAST_SUFFIX = "_f32"
"""What the name of an output gets where its codes are cast to float."""


def layer_name(graph: Graph, tensor: str) -> str:
    """The name of a tensor: its ONNX name and the type of the node that computes it; an input keeps its name."""
    node = graph.producers.get(tensor)
    return tensor if node is None else f"{tensor}_{node.op_type}"
