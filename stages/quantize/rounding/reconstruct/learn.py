"""Learning one block: roundings, biases and scales together, so that its output stays the float block's.

Sources: Y. Li et al., "BRECQ", ICLR 2021 (a block at a time); M. Nagel et al., "AdaRound", ICML 2020 (roundings are
learned); S. Esser et al., "LSQ", ICLR 2020 (scales too, the gradient passes rounding); X. Wei et al., "QDrop", ICLR
2022 (features are quantized at random meanwhile).
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.core.base.errors import one_line
from stages.core.config.schema import Requantization
from stages.core.integer.qparams import NODE_BITS, SHARED, WeightParams
from stages.quantize.candidate import Candidate
from stages.quantize.parameters.weight_scales import broadcast_shape, weight_qmax
from stages.quantize.partition.nodes import clamp_bounds
from stages.quantize.partition.subgraphs import Subgraph
from stages.quantize.rounding.reconstruct.fake_quant import FeatureQuantizer
from stages.quantize.rounding.reconstruct.forward import Values, run_node
from stages.quantize.rounding.replay import Replay, TensorFiles, fake_quantize

__all__ = ["learn_block"]

Array = NDArray[np.float32]

BATCH_SHARDS = 2
"""Parts of a batch that run side by side, each on one thread: so the sums do not depend on the number of cores."""
MAX_BATCH_PICTURES = 8
MAX_BATCH_POSITIONS = 112 * 112
"""Output positions that a batch needs not exceed: wide feature maps are learned from fewer pictures at a time."""
LEARNING_RATES = {"weight_scales": 0.01, "biases": 0.005, "scales": 0.01}
"""Step sizes of Adam: relative, in standard deviations of the layer's output, relative."""
MAX_TRAVEL_CODES, MAX_TRAVEL_SHARE = 2.0, 1 / 16
"""How far all steps together may take a weight: so many codes, or this share of the largest if that is more."""
QUANTIZED_SHARE = 0.5
"""Share of the values of a feature that are quantized while learning, the rest passes in float (QDrop): of few bits
only, whose noise would else be learned by heart."""
MIN_BITS_WITHOUT_QDROP = 6
SMALLEST_DIVISOR = 1e-30
MAX_FLOAT_DIFFERENCE = 1e-3
"""Relative difference between PyTorch's float block and ONNX Runtime's that two ways to compute the same may have."""
OPERATOR_ERRORS = (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What operators raise on a form of them that they do not cover."""


def learn_block(candidate: Candidate, subgraph: Subgraph, replay: Replay, steps: int, seed: int) -> str | None:
    """Learn what belongs to one block of a candidate, and write it into the candidate.

    Codes that are passed on are not rounded again: of the operators that pass them on only a linear Resize would
    round, and what that loses is not learned.

    Args:
        candidate: what to change.
        subgraph: the block.
        replay: what it takes, and makes in float.
        steps: how many to learn in.
        seed: decides which pictures each step takes, and which values stay in float.

    Returns:
        Why the block was left as it was, or None.
    """
    if not any(node.name in candidate.weights for node in subgraph.nodes) or replay.count == 0:
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        learner = _Learner(candidate, subgraph, replay, seed)
        return learner.trouble() or learner.run(steps)
    finally:
        torch.set_num_threads(threads)


class _Weight:
    """A weight that is learned: what its codes are, before rounding, and how far its scales have moved."""

    def __init__(self, entry: WeightParams, weight: Array) -> None:
        self.top = weight_qmax(entry.bits)
        self.fan_in = weight.size // weight.shape[entry.axis] if entry.axis is not None else weight.size
        self.given = torch.tensor(entry.scales, dtype=torch.float32).reshape(broadcast_shape(weight.ndim, entry.axis))
        self.latent = (torch.from_numpy(weight.copy()) / self.given).clamp(-self.top - 0.49, self.top + 0.49)
        self.latent.requires_grad_()
        self.logs = torch.zeros_like(self.given).requires_grad_()

    def rounded(self) -> Tensor:
        """The dequantized weight; the gradient passes the rounding."""
        codes = self.latent.clamp(-self.top, self.top)
        return (codes + (codes.round() - codes).detach()) * self.scales()

    def scales(self) -> Tensor:
        return self.given * self.logs.exp()

    def codes(self) -> NDArray[np.int32]:
        with torch.no_grad():
            codes: NDArray[np.int32] = self.latent.clamp(-self.top, self.top).round().numpy().astype(np.int32)
        return codes


@dataclass
class _State:
    """What one step computes with: leaves of the graph of a shard."""

    weights: dict[str, tuple[Tensor, Tensor | None]]
    scales: dict[str, Tensor]


class _Learner:
    def __init__(self, candidate: Candidate, subgraph: Subgraph, replay: Replay, seed: int) -> None:
        self._candidate, self._subgraph, self._replay = candidate, subgraph, replay
        self._seed = seed
        graph = candidate.graph
        self._constants = {
            name: value for node in subgraph.nodes for name in node.input if (value := graph.constant(name)) is not None
        }
        self._quantized_constants = self._constants | {
            name: fake_quantize(value, candidate.features[name]).reshape(value.shape)
            for name, value in self._constants.items()
            if name in candidate.features
        }
        self._spreads: dict[str, float] = {}
        self._nodes = {node.name: node for node in subgraph.nodes if node.name in candidate.weights}
        self._weights = {
            name: _Weight(candidate.weights[name], self._constants[node.input[1]]) for name, node in self._nodes.items()
        }
        self._biases = {
            name: torch.from_numpy(np.array(bias, dtype=np.float32))
            for name, node in self._nodes.items()
            if (bias := candidate.bias(node)) is not None
        }
        # a clamp that is fused belongs to its quantizer
        self._bounds = {
            layer.output: clamp_bounds(graph, layer.nodes[-1])
            for layer in subgraph.layers
            if len(layer.nodes) > 1
            and layer.nodes[-1].op_type in ("Relu", "Clip")
            and layer.output in candidate.features
        }
        self._clamps = {layer.name for layer in subgraph.layers if layer.output in self._bounds}
        made = [name for layer in subgraph.layers for name in layer.nodes[-1].output]
        self._own = [name for name in made if name in candidate.features and candidate.features[name].method != SHARED]
        # where every gain is a power of two, scales cannot move by little; a range that the user gave stays
        self._scales_move = candidate.soc.requantization is not Requantization.shift
        self._moving = [
            name for name in self._own if self._scales_move and candidate.features[name].method != NODE_BITS
        ]
        areas = [math.prod(graph.shapes[name][2:]) for name in made if name in graph.shapes]
        self._batch = min(MAX_BATCH_PICTURES, max(BATCH_SHARDS, MAX_BATCH_POSITIONS // max([1, *areas])), replay.count)

    def trouble(self) -> str | None:
        """Compare the float block in PyTorch with ONNX Runtime's: say what is not covered, or None."""
        pictures = list(range(min(BATCH_SHARDS, self._replay.count)))
        node = self._subgraph.nodes[0]
        try:
            values = self._read(self._replay.float, self._subgraph.inputs, pictures)
            with torch.no_grad():
                for node in self._subgraph.nodes:
                    run_node(node, values, self._constants, None)
            target = self._read(self._replay.float, self._subgraph.outputs, pictures)
            self._spreads = {
                name: float(values[node.output[0]].std(correction=0)) for name, node in self._nodes.items()
            }
        except NotImplementedError as error:
            return one_line(error)
        except OPERATOR_ERRORS:
            return f"{node.op_type} {node.name} is not covered in this form"
        for name, wanted in target.items():
            made = values[name]
            if made.shape != wanted.shape:
                return f"PyTorch gives {name!r} the shape {list(made.shape)}, not {list(wanted.shape)}"
            difference = float((made - wanted).norm() / wanted.norm().clamp_min(SMALLEST_DIVISOR))
            if not difference <= MAX_FLOAT_DIFFERENCE:
                return f"PyTorch's {name!r} differs by {difference:.2g} of its norm"
        return None

    def run(self, steps: int) -> str | None:
        """Learn, and write what was learned unless it is not finite."""
        candidate = self._candidate
        shifts = {name: torch.zeros_like(bias) for name, bias in self._biases.items()}
        logs = {name: torch.zeros(len(candidate.features[name].scales)) for name in self._moving}
        for leaf in (*shifts.values(), *logs.values()):
            leaf.requires_grad_()
        learned = [weight for name, weight in self._weights.items() if self._positions(name) >= weight.fan_in]
        groups = {
            "weight_scales": [weight.logs for weight in learned] if self._scales_move else [],
            "biases": list(shifts.values()),
            "scales": list(logs.values()),
        }
        chosen_groups = [
            *(
                {"params": [weight.latent], "lr": max(MAX_TRAVEL_CODES, MAX_TRAVEL_SHARE * weight.top) / steps}
                for weight in learned
            ),
            *({"params": group, "lr": LEARNING_RATES[key]} for key, group in groups.items() if group),
        ]
        if not chosen_groups:
            return "there are too few pictures to learn its weights from, and it has nothing else"
        adam = torch.optim.Adam(chosen_groups)
        slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        rng = np.random.default_rng(self._seed)
        order: list[int] = []

        def state() -> _State:
            weights = {}
            for name, weight in self._weights.items():
                bias = self._biases.get(name)
                shifted = None if bias is None else bias + self._spreads[name] * shifts[name]
                weights[name] = weight.rounded(), shifted
            given = {name: torch.from_numpy(candidate.features[name].scales.copy()) for name in self._own}
            return _State(weights, given | {name: given[name] * logs[name].exp() for name in self._moving})

        with ThreadPoolExecutor(BATCH_SHARDS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in range(steps):
                while len(order) < self._batch:
                    order += rng.permutation(self._replay.count).tolist()
                chosen, order = order[: self._batch], order[self._batch :]
                now = state()
                tensors = [
                    *(weight for weight, _ in now.weights.values()),
                    *(bias for _, bias in now.weights.values() if bias is not None),
                    *now.scales.values(),
                ]
                seeds = rng.integers(0, 2**31, BATCH_SHARDS).tolist()
                parts = [part for k in range(BATCH_SHARDS) if (part := chosen[k::BATCH_SHARDS])]
                shares = [1.0 / len(parts)] * len(parts)
                gradients = list(pool.map(partial(self._gradients, now), parts, shares, seeds))
                adam.zero_grad()
                totals = [_sum(each) for each in zip(*gradients, strict=True)]
                pairs = [(t, g) for t, g in zip(tensors, totals, strict=True) if g is not None and t.requires_grad]
                torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
                adam.step()
                slower.step()
        last = state()
        values = [*last.scales.values(), *(v for pair in last.weights.values() for v in pair if v is not None)]
        if not all(bool(value.isfinite().all()) for value in values):
            return "learning led to values that are not finite"
        for name in self._moving:
            candidate.rescale(name, last.scales[name].detach().numpy())
        for name, weight in self._weights.items():
            bias = last.weights[name][1]
            if bias is not None:
                candidate.biases[name] = bias.detach().numpy()
            candidate.reround(self._nodes[name], weight.scales().detach().numpy().reshape(-1), weight.codes())
        return None

    def _gradients(self, now: _State, pictures: list[int], share: float, seed: int) -> list[Tensor | None]:
        """Gradients of one shard's loss times its share, in the order: weights, biases, scales."""
        weights = {name: weight.detach().requires_grad_() for name, (weight, _) in now.weights.items()}
        biases = {name: bias.detach().requires_grad_() for name, (_, bias) in now.weights.items() if bias is not None}
        scales = {name: scale.detach().requires_grad_() for name, scale in now.scales.items()}
        given = self._read(self._replay.quantized, self._subgraph.inputs, pictures)
        mixed = [name for name in given if self._kept(name) < 1.0]
        plain = self._read(self._replay.float, mixed, pictures)
        random = torch.Generator().manual_seed(seed)
        for name in mixed:
            quantized = torch.rand(given[name].shape, generator=random) < self._kept(name)
            given[name] = _laid_out(torch.where(quantized, given[name], plain[name]))
        target = self._read(self._replay.float, self._subgraph.outputs, pictures)
        pairs = {name: (weight, biases.get(name)) for name, weight in weights.items()}
        made = self._forward(given, _State(pairs, scales), seed)
        losses = [((made[name] - wanted) ** 2).mean() / _variance(wanted) for name, wanted in target.items()]
        leaves = [*weights.values(), *biases.values(), *scales.values()]
        return list(torch.autograd.grad(torch.stack(losses).sum() * share, leaves, allow_unused=True))

    def _forward(self, inputs: Values, state: _State, seed: int) -> Values:
        values = dict(inputs)
        for index, node in enumerate(self._subgraph.nodes):
            if node.name in self._clamps:
                values[node.output[0]] = values[node.input[0]]
            else:
                run_node(node, values, self._quantized_constants, state.weights.get(node.name))
            for name in node.output:
                if name in state.scales:
                    values[name] = self._quantized(name, values[name], state.scales[name], seed + index)
        return values

    def _quantized(self, name: str, value: Tensor, scales: Tensor, seed: int) -> Tensor:
        """Quantize a feature, with the clamp that is fused before it."""
        entry, shape = self._candidate.features[name], value.shape
        if len(scales) > 1:
            value = value.reshape([*shape[:2], -1, 1]) if value.ndim != 4 else value
        bounds = self._bounds.get(name, (-math.inf, math.inf))
        made: Tensor = FeatureQuantizer.apply(
            _laid_out(value), scales, entry.zero_point, 2**entry.bits - 1, bounds, self._kept(name), seed
        )
        return made.reshape(shape)

    def _positions(self, name: str) -> int:
        """How many outputs of a weighted node each of its weights is learned from, over all pictures."""
        node = self._nodes[name]
        shape = self._candidate.graph.shapes[node.output[0]]
        return self._replay.count * math.prod(shape[1:-1] if node.op_type in ("Gemm", "MatMul") else shape[2:])

    def _kept(self, name: str) -> float:
        """Share of a feature's values that are quantized while learning."""
        entry = self._candidate.features.get(name)
        return QUANTIZED_SHARE if entry is not None and entry.bits < MIN_BITS_WITHOUT_QDROP else 1.0

    def _read(self, files: TensorFiles, names: Sequence[str], pictures: list[int]) -> Values:
        return {
            name: _laid_out(torch.from_numpy(np.concatenate([files.read(name, index) for index in pictures])))
            for name in names
        }


def _laid_out(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value.contiguous()


def _variance(wanted: Tensor) -> Tensor:
    """What an output's squared error is relative to: its variance, or 1 where it is constant."""
    variance = wanted.var(correction=0)
    return torch.where(variance > SMALLEST_DIVISOR, variance, torch.ones_like(variance))


def _sum(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return sum(given[1:], given[0]) if given else None
