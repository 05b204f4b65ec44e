"""Learning one block: roundings, biases and scales together, so that its output stays the float block's.

Sources: Y. Li et al., "BRECQ", ICLR 2021 (a block at a time); M. Nagel et al., "AdaRound", ICML 2020 (roundings are
learned); S. Esser et al., "LSQ", ICLR 2020 (scales too, the gradient passes rounding); X. Wei et al., "QDrop", ICLR
2022 (features are quantized at random meanwhile).
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.core.config.schema import Requantization, SocConfig
from stages.core.integer.network_params import WeightParams
from stages.quantize.candidate import Candidate
from stages.quantize.parameters.alignment import whole_shift_scales
from stages.quantize.parameters.choose import most_code
from stages.quantize.parameters.weight_scales import broadcast_shape
from stages.quantize.partition.subgraphs import Subgraph
from stages.quantize.rounding.reconstruct.block import (
    SMALLEST_DIVISOR,
    BlockParameters,
    TorchBlock,
    laid_out,
    read_batch,
)
from stages.quantize.rounding.reconstruct.forward import Values
from stages.quantize.rounding.replay import Replay

__all__ = ["learn_block"]

Array = NDArray[np.float32]

BATCH_SHARDS = 2
"""Parts of a batch that run side by side, each on one thread: so the sums do not depend on the number of cores."""
MAX_BATCH_PICTURES = 8
MAX_BATCH_POSITIONS = 112 * 112
"""Output positions that a batch need not exceed: wide feature maps are learned from fewer pictures at a time."""
LEARNING_RATES = {"weight_scales": 0.01, "biases": 0.005, "scales": 0.01}
"""Of Adam: relative, in standard deviations of the layer's output, relative."""
MAX_TRAVEL_CODES, MAX_TRAVEL_SHARE = 2.0, 1 / 16
"""How far all steps together may move a weight: so many codes, or this share of the largest code if that is more."""


def learn_block(candidate: Candidate, subgraph: Subgraph, replay: Replay, steps: int, seed: int) -> str | None:
    """Learn what belongs to one block of a candidate, and write it into the candidate.

    Codes that are passed on are not rounded again: of the operators that pass them on only a linear Resize would
    round, and what that loses is not learned.

    Args:
        candidate: what to change.
        subgraph: the block.
        replay: its inputs, and its outputs in float.
        steps: how many optimizer steps to learn in.
        seed: decides which pictures each step uses, and which values stay in float.

    Returns:
        Why the block was left as it was, or None.
    """
    if not any(node.name in candidate.weights for node in subgraph.nodes) or replay.count == 0:
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _BlockLearner(candidate, subgraph, replay, seed).learn(steps)
    finally:
        torch.set_num_threads(threads)


class _LearnedWeight:
    """A weight that is learned: its codes before rounding, and by how much its scales have moved."""

    def __init__(self, params: WeightParams, weight: Array, soc: SocConfig) -> None:
        self.qmax = most_code(params.bits, soc)
        self.fan_in = weight.size // weight.shape[params.axis] if params.axis is not None else weight.size
        shape = broadcast_shape(weight.ndim, params.axis)
        self._initial_scales = torch.tensor(params.scales, dtype=torch.float32).reshape(shape)
        latent = torch.from_numpy(weight.copy()) / self._initial_scales
        self.latent_codes = latent.clamp(-self.qmax - 0.49, self.qmax + 0.49).requires_grad_()
        self.log_scales = torch.zeros_like(self._initial_scales).requires_grad_()

    def dequantized(self, moved: Tensor) -> Tensor:
        """The dequantized weight, its scales moved by a logarithm; the gradient passes the rounding."""
        codes = self.latent_codes.clamp(-self.qmax, self.qmax)
        return (codes + (codes.round() - codes).detach()) * self.scales(moved)

    def scales(self, moved: Tensor) -> Tensor:
        return self._initial_scales * moved.exp()

    def codes(self) -> NDArray[np.int32]:
        with torch.no_grad():
            codes: NDArray[np.int32] = self.latent_codes.clamp(-self.qmax, self.qmax).round().numpy().astype(np.int32)
        return codes


class _BlockLearner:
    def __init__(self, candidate: Candidate, subgraph: Subgraph, replay: Replay, seed: int) -> None:
        self._candidate, self._subgraph, self._replay, self._seed = candidate, subgraph, replay, seed
        self._block = TorchBlock(candidate, subgraph)
        self._deviations: dict[str, float] = {}
        nodes = self._block.weighted
        self._whole_shifts = candidate.soc.requantization is Requantization.sophgo_bm1684
        self._weights = {
            name: _LearnedWeight(self._weight_params(node), self._block.constants[node.input[1]], candidate.soc)
            for name, node in nodes.items()
        }
        self._biases = {
            name: torch.from_numpy(np.array(bias, dtype=np.float32))
            for name, node in nodes.items()
            if (bias := candidate.bias(node)) is not None
        }
        self._bias_limits = {
            name: candidate.bias_limit(nodes[name], bias.numpy()) for name, bias in self._biases.items()
        }
        self._bias_shifts = {name: torch.zeros_like(bias).requires_grad_() for name, bias in self._biases.items()}
        outputs = [name for layer in subgraph.layers for name in layer.nodes[-1].output]
        features = {name: candidate.features[name] for name in outputs if name in candidate.features}
        self._features = {name: params for name, params in features.items() if not params.method.is_shared}
        # where every effective scale is a power of two, scales cannot move by little; a range that the user gave stays
        self._scales_move = candidate.soc.requantization is not Requantization.shift
        self._log_scales = {
            name: torch.zeros(len(params.scales)).requires_grad_()
            for name, params in self._features.items()
            if self._scales_move and not params.method.is_given and name not in candidate.held
        }
        areas = [math.prod(candidate.graph.shapes[name][2:]) for name in outputs if name in candidate.graph.shapes]
        fitting = MAX_BATCH_POSITIONS // max([1, *areas])
        self._batch_size = min(MAX_BATCH_PICTURES, max(BATCH_SHARDS, fitting), replay.count)

    def _weight_params(self, node: onnx.NodeProto) -> WeightParams:
        """A weight's parameters to begin with: where shifts are whole, its scale follows features learned before."""
        params = self._candidate.weights[node.name]
        x, y = self._candidate.ends(node)
        if not self._whole_shifts or x is None or y is None:
            return params
        scales = whole_shift_scales(np.array(params.scales, dtype=np.float32), x.scale, y.scale)
        return replace(params, scales=tuple(scales.tolist()))

    def learn(self, steps: int) -> str | None:
        """Learn, and write what was learned unless it is not finite; says why a block is left as it was."""
        reason, self._deviations = self._block.check(self._replay, range(min(BATCH_SHARDS, self._replay.count)))
        if reason is not None:
            return reason
        groups = self._parameter_groups(steps)
        if not groups:
            return "there are too few samples to learn its weights from, and it has nothing else"
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        with ThreadPoolExecutor(BATCH_SHARDS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for pictures, seeds in self._batches(steps):
                optimizer.zero_grad()
                self._backward(pictures, seeds, pool)
                optimizer.step()
                schedule.step()
        return self._write()

    def _parameter_groups(self, steps: int) -> list[dict[str, Any]]:
        """What the optimizer moves, and at which learning rates."""
        learned = [weight for name, weight in self._weights.items() if self._positions(name) >= weight.fan_in]
        groups = {
            "weight_scales": [weight.log_scales for weight in learned]
            if self._scales_move and not self._whole_shifts
            else [],
            "biases": list(self._bias_shifts.values()),
            "scales": list(self._log_scales.values()),
        }
        return [
            *(
                {"params": [weight.latent_codes], "lr": max(MAX_TRAVEL_CODES, MAX_TRAVEL_SHARE * weight.qmax) / steps}
                for weight in learned
            ),
            *({"params": group, "lr": LEARNING_RATES[key]} for key, group in groups.items() if group),
        ]

    def _positions(self, name: str) -> int:
        """How many outputs of a weighted node each of its weights is learned from, over all pictures."""
        node = self._block.weighted[name]
        shape = self._candidate.graph.shapes[node.output[0]]
        return self._replay.count * math.prod(shape[1:-1] if node.op_type in ("Gemm", "MatMul") else shape[2:])

    def _batches(self, steps: int) -> Iterator[tuple[list[int], list[int]]]:
        """The pictures of each step, and a seed for each shard."""
        rng = np.random.default_rng(self._seed)
        order: list[int] = []
        for _ in range(steps):
            while len(order) < self._batch_size:
                order += rng.permutation(self._replay.count).tolist()
            pictures, order = order[: self._batch_size], order[self._batch_size :]
            yield pictures, rng.integers(0, 2**31, BATCH_SHARDS).tolist()

    def _parameters(self) -> BlockParameters:
        """What the block runs with at present, as functions of what is learned."""
        weights = {}
        for name, weight in self._weights.items():
            bias = self._biases.get(name)
            if bias is not None:
                limit = self._bias_limits[name]
                bias = (bias + self._deviations[name] * self._bias_shifts[name]).clamp(-limit, limit)
            weights[name] = weight.dequantized(self._moved(name)), bias
        scales = {name: torch.from_numpy(params.scales.copy()) for name, params in self._features.items()}
        moved = {name: scales[name] * log_scales.exp() for name, log_scales in self._log_scales.items()}
        return BlockParameters(weights, scales | moved)

    def _moved(self, name: str) -> Tensor:
        """The logarithm by which a weight's scales move: with the features' where the shift between them stays."""
        if not self._whole_shifts:
            return self._weights[name].log_scales
        sources = {quantizer.tensor: quantizer.source for quantizer in self._candidate.setup.features}
        output = next(each.output for each in self._candidate.setup.weights if each.node == name)
        x, y = (
            self._log_scales.get(sources.get(tensor, tensor), torch.zeros(1))
            for tensor in (self._block.weighted[name].input[0], output)
        )
        return y - x

    def _backward(self, pictures: list[int], seeds: list[int], pool: ThreadPoolExecutor) -> None:
        """Compute the gradients of all that is learned, from a batch."""
        parameters = self._parameters()
        shards = [shard for k in range(BATCH_SHARDS) if (shard := pictures[k::BATCH_SHARDS])]
        shares = [1.0 / len(shards)] * len(shards)
        gradients = list(pool.map(partial(self._gradients, parameters), shards, shares, seeds))
        totals = [_sum(of_shards) for of_shards in zip(*gradients, strict=True)]
        pairs = [
            (tensor, gradient)
            for tensor, gradient in zip(parameters.tensors(), totals, strict=True)
            if gradient is not None and tensor.requires_grad
        ]
        torch.autograd.backward([tensor for tensor, _ in pairs], [gradient for _, gradient in pairs])

    def _gradients(
        self, parameters: BlockParameters, pictures: list[int], share: float, seed: int
    ) -> list[Tensor | None]:
        """Gradients of one shard's loss times its share, in the order of the parameters' tensors."""
        leaves = parameters.detached()
        inputs = self._mixed_inputs(pictures, seed)
        expected = read_batch(self._replay.float, self._subgraph.outputs, pictures)
        values = self._block.run(inputs, leaves, seed)
        losses = [((values[name] - y) ** 2).mean() / _variance(y) for name, y in expected.items()]
        return list(torch.autograd.grad(torch.stack(losses).sum() * share, leaves.tensors(), allow_unused=True))

    def _mixed_inputs(self, pictures: Sequence[int], seed: int) -> Values:
        """The block's quantized inputs; of narrow features a random share of the values is the float ones."""
        inputs = read_batch(self._replay.quantized, self._subgraph.inputs, pictures)
        mixed = [name for name in inputs if self._block.quantized_share(name) < 1.0]
        float_inputs = read_batch(self._replay.float, mixed, pictures)
        random = torch.Generator().manual_seed(seed)
        for name in mixed:
            quantized = torch.rand(inputs[name].shape, generator=random) < self._block.quantized_share(name)
            inputs[name] = laid_out(torch.where(quantized, inputs[name], float_inputs[name]))
        return inputs

    def _write(self) -> str | None:
        """Write what was learned into the candidate, unless it is not finite."""
        parameters = self._parameters()
        if not all(bool(tensor.isfinite().all()) for tensor in parameters.tensors()):
            return "learning led to values that are not finite"
        for name in self._log_scales:
            self._candidate.rescale(name, parameters.scales[name].detach().numpy())
        for name, weight in self._weights.items():
            bias = parameters.weights[name][1]
            if bias is not None:
                self._candidate.biases[name] = bias.detach().numpy()
            scales = weight.scales(self._moved(name)).detach().numpy().reshape(-1)
            self._candidate.reround(self._block.weighted[name], scales, weight.codes())
        return None


def _variance(expected: Tensor) -> Tensor:
    """What an output's squared error is relative to: its variance, or 1 where it is constant."""
    variance = expected.var(correction=0)
    return torch.where(variance > SMALLEST_DIVISOR, variance, torch.ones_like(variance))


def _sum(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return sum(tensors[1:], tensors[0]) if tensors else None
