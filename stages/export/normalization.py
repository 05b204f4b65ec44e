"""What a network's batch norms saw in training: mean and deviation of the tensors that they make.

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

__all__ = ["MOST", "Norm", "located", "onnx_norms", "to_json", "torch_norms"]

MOST = 4
"""So many of the first batch norms are noted: later ones see what pictures show more than how they are fed."""
NEAR = 1e-3  # largest difference between a tensor before and after folding, in parts of its largest value


@dataclass(frozen=True)
class Norm:
    """A batch norm of the source.

    Attributes:
        mean: float32 [C], its `beta`.
        deviation: float32 [C], the magnitude of its `gamma`.
        made: what it makes of the inputs that the source was run on, float32 [1, C, ...].
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    made: NDArray[np.float32]


def onnx_norms(model: onnx.ModelProto, feeds: Mapping[str, NDArray[np.float32]]) -> list[Norm]:
    """Find the first batch norms of an ONNX source that have constant parameters; `feeds` are its inputs."""
    graph = Graph(model)
    found: list[tuple[str, NDArray[Any], NDArray[Any]]] = []
    for node in graph.nodes:
        if node.op_type == "BatchNormalization" and len(found) < MOST:
            gamma, beta = (graph.constant(name) for name in node.input[1:3])
            if gamma is not None and beta is not None:
                found.append((node.output[0], beta, np.abs(gamma)))
    if not found:
        return []
    runner = Runner(with_outputs(model, [name for name, _, _ in found]), optimize="none")
    made = runner.run({name: feeds[name] for name in runner.inputs})
    return [Norm(mean, deviation, made[name]) for name, mean, deviation in found]


def torch_norms(module: "torch.nn.Module", arrays: Sequence[NDArray[np.float32]]) -> list[Norm]:
    """Find the first batch norms, in the order of execution, of a PyTorch module; `arrays` are its inputs."""
    import torch  # noqa: PLC0415  an extra: only a module needs it

    found: list[Norm] = []

    def keep(norm: Any, _: Any, made: torch.Tensor) -> None:
        if len(found) < MOST and norm.affine:
            gamma, beta = (value.detach().float().numpy().copy() for value in (norm.weight, norm.bias))
            found.append(Norm(beta, np.abs(gamma), made.detach().numpy().copy()))

    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    hooks = [part.register_forward_hook(keep) for part in module.modules() if isinstance(part, kinds)]
    try:
        with torch.no_grad():
            module(*(torch.from_numpy(array) for array in arrays))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def located(
    norms: Sequence[Norm], exported: onnx.ModelProto, feeds: Mapping[str, NDArray[np.float32]]
) -> dict[str, Norm]:
    """Find the tensors of the exported network that hold what batch norms of the source made.

    They are told by their values: names may change when batch norms are folded, and a tensor that only looks like the
    right one would mislead.

    Args:
        norms: of the source.
        exported: the canonical network.
        feeds: its inputs, of the same run as what the norms made.

    Returns:
        Tensor -> norm, in the norms' order. A norm that has no such tensor is left out.
    """
    graph = Graph(exported)
    shapes = {norm.made.shape for norm in norms}
    candidates = [name for name in graph.float_tensors if tuple(graph.shapes.get(name, ())) in shapes]
    candidates = [name for name in candidates if name in graph.producers]
    if not candidates:
        return {}
    values = Runner(with_outputs(exported, candidates)).run(feeds)
    found: dict[str, Norm] = {}
    for norm in norms:
        bound = NEAR * float(np.abs(norm.made).max(initial=0.0))
        for name in candidates:
            made = values[name]
            if name not in found and made.shape == norm.made.shape and np.abs(made - norm.made).max() <= bound:
                found[name] = norm
                break
    return found


def to_json(found: Mapping[str, Norm]) -> list[dict[str, Any]]:
    """Plain form for JSON: a list of tensor, mean and deviation (one value a channel)."""
    return [
        {
            "tensor": name,
            "mean": [float(value) for value in norm.mean],
            "deviation": [float(value) for value in norm.deviation],
        }
        for name, norm in found.items()
    ]
