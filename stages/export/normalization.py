"""What a network's batch norms saw in training: mean and deviation of their output tensors.

A batch norm in training gives each channel the mean `beta` and the deviation `|gamma|` over the batch. Folding hides
both, so they are noted here: pictures that are fed as in training bring the tensors near to them, others do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_NORMS", "Norm", "located", "onnx_norms", "to_json", "torch_norms"]

MAX_NORMS = 4
"""So many of the first batch norms are noted: later ones see what pictures show more than how they are fed."""
MAX_FOLDING_DIFFERENCE = 1e-3
"""Between a tensor before and after folding, in parts of its largest value."""


@dataclass(frozen=True)
class Norm:
    """A batch norm of the source.

    Attributes:
        mean: float32 [C], its `beta`.
        deviation: float32 [C], the magnitude of its `gamma`.
        output: its output on the inputs that the source was run on, float32 [1, C, ...].
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    output: NDArray[np.float32]


def onnx_norms(model: onnx.ModelProto, feeds: Mapping[str, NDArray[np.float32]]) -> list[Norm]:
    """Find the first batch norms of an ONNX source that have constant parameters; `feeds` are its inputs."""
    graph = Graph(model)
    parameters: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for node in graph.nodes:
        if node.op_type == "BatchNormalization" and len(parameters) < MAX_NORMS:
            gamma, beta = (graph.constant(name) for name in node.input[1:3])
            if gamma is not None and beta is not None:
                parameters[node.output[0]] = beta, np.abs(gamma)
    if not parameters:
        return []
    runner = Runner(with_outputs(model, list(parameters)), optimize="none")
    outputs = runner.run({name: feeds[name] for name in runner.inputs})
    return [Norm(mean, deviation, outputs[name]) for name, (mean, deviation) in parameters.items()]


def torch_norms(module: "torch.nn.Module", arrays: Sequence[NDArray[np.float32]]) -> list[Norm]:
    """Find the first batch norms, in the order of execution, of a PyTorch module; `arrays` are its inputs."""
    import torch  # noqa: PLC0415  an extra: only a module needs it

    norms: list[Norm] = []

    def keep(norm: Any, _: Any, output: torch.Tensor) -> None:
        if len(norms) < MAX_NORMS and norm.affine:
            gamma, beta = (value.detach().float().numpy().copy() for value in (norm.weight, norm.bias))
            norms.append(Norm(beta, np.abs(gamma), output.detach().numpy().copy()))

    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    hooks = [part.register_forward_hook(keep) for part in module.modules() if isinstance(part, kinds)]
    try:
        with torch.no_grad():
            module(*(torch.from_numpy(array) for array in arrays))
    finally:
        for hook in hooks:
            hook.remove()
    return norms


def located(
    norms: Sequence[Norm], exported: onnx.ModelProto, feeds: Mapping[str, NDArray[np.float32]]
) -> dict[str, Norm]:
    """Find the tensors of the exported network that hold the outputs of batch norms of the source.

    They are told by their values: names may change when batch norms are folded, and a tensor that only looks like the
    right one would mislead.

    Args:
        norms: of the source.
        exported: the canonical network.
        feeds: its inputs, of the same run as the norms' outputs.

    Returns:
        Tensor -> norm, in the norms' order. A norm that has no such tensor is left out.
    """
    graph = Graph(exported)
    shapes = {norm.output.shape for norm in norms}
    candidates = [name for name in graph.float_tensors if tuple(graph.shapes.get(name, ())) in shapes]
    candidates = [name for name in candidates if name in graph.producers]
    if not candidates:
        return {}
    values = Runner(with_outputs(exported, candidates)).run(feeds)
    by_tensor: dict[str, Norm] = {}
    for norm in norms:
        bound = MAX_FOLDING_DIFFERENCE * float(np.abs(norm.output).max(initial=0.0))
        for name in candidates:
            value = values[name]
            same_shape = value.shape == norm.output.shape
            if name not in by_tensor and same_shape and np.abs(value - norm.output).max() <= bound:
                by_tensor[name] = norm
                break
    return by_tensor


def to_json(norms: Mapping[str, Norm]) -> list[dict[str, Any]]:
    """Plain form for JSON: a list of tensor, mean and deviation (one value a channel)."""
    return [
        {
            "tensor": name,
            "mean": [float(value) for value in norm.mean],
            "deviation": [float(value) for value in norm.deviation],
        }
        for name, norm in norms.items()
    ]
