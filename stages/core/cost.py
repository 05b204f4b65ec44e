"""What a layer costs on a SOC: time, bytes, bit operations. Times come from `conf/cost/` or a board's profile log."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from stages.core.base.artifacts import write_text
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.texts import check_yaml
from stages.core.config.schema import FLOAT_BITS

__all__ = [
    "BYTES_PER_MEGABYTE",
    "COST_FOLDER",
    "MACS_PER_GMAC",
    "CostModel",
    "LayerTime",
    "LayerWork",
    "bit_operations",
    "bit_widths_key",
    "bytes_moved",
    "cost_file",
    "layer_key",
    "load_cost",
    "save_cost",
    "size",
    "stored_bits",
]

COST_FOLDER = Path(__file__).resolve().parents[2] / "conf" / "cost"
"""Cost files, one a SOC: the project's own, wherever a command runs."""
GENERIC_NAME = "generic"
BYTES_PER_MEGABYTE = 2**20
"""As the board's profile log counts."""
MACS_PER_GMAC = 1e9
FLOAT_MS_PER_GMAC = 500.0
"""ms for 10^9 multiplications in float where a file has no `32/32`: an estimate, two a nanosecond on one MIPS core with
SIMD. Ingenic's unit has no float and no public source times a float layer; it keeps float a last resort."""


@dataclass(frozen=True)
class LayerWork:
    """What a layer does, before any bit width is chosen. Counts are of one picture.

    Attributes:
        node: the layer's name, its last node's.
        kind: the operator that the SOC's table lists.
        macs: multiplications with accumulation; 0 where nothing is accumulated.
        inputs: elements of all its input features, and of constants that are quantized like them.
        outputs: elements of its output features.
        weights: elements of its constant weight, without bias and requantization.
    """

    node: str
    kind: str
    macs: int
    inputs: int
    outputs: int
    weights: int


@dataclass(frozen=True)
class LayerTime:
    """A layer's time in its parts, ms."""

    compute: float
    traffic: float
    overhead: float

    @property
    def total(self) -> float:
        """Their sum, ms."""
        return self.compute + self.traffic + self.overhead

    @property
    def bound(self) -> str:
        """The largest part: "compute", "memory" or "overhead"."""
        parts = {"compute": self.compute, "memory": self.traffic, "overhead": self.overhead}
        return max(parts, key=lambda name: parts[name])


@dataclass
class CostModel:
    """Time on a SOC as a sum: multiplications at a price of their bit widths, bytes moved, and a price a layer.

    A sum, though a unit may overlap computing with moving: no public source says how far the boards do. A sum is at
    most twice a maximum, falls on whichever side a bit width is narrowed, and fitting it to a log is a linear problem.

    Attributes:
        name: the SOC.
        note: where the numbers come from, for the user to read.
        ms_per_gmac: "feature bits/weight bits" -> ms for 10^9 multiplications; "32/32" is float. Empty: no times known.
        ms_per_mbyte: ms for 2^20 bytes of features and weights moved.
        ms_per_layer: ms for a layer, whatever it does.
        measured: node -> "feature bits/weight bits" -> ms that the board took; precedes the model.
    """

    name: str = ""
    note: str = ""
    ms_per_gmac: dict[str, float] = field(default_factory=dict)
    ms_per_mbyte: float = 0.0
    ms_per_layer: float = 0.0
    measured: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """Whether times are known; without, bytes and bit operations are all that can be told."""
        return bool(self.ms_per_gmac)

    def latency(self, work: LayerWork, in_bits: int, out_bits: int, weight_bits: int) -> float:
        """Time of a layer, ms.

        A time that was measured at these bit widths, all features alike, is the answer. One that was measured at others
        scales the model: a layer that took twice what the model says at 8/8 is assumed to do so at 4/4. Float is not
        scaled: it may run on another unit.

        Args:
            work: the layer.
            in_bits: bit width of its input features; 32 is float.
            out_bits: bit width of its output features.
            weight_bits: bit width of its weights; ignored for a layer without weights.

        Raises:
            UserError: if no times are known.
        """
        times = self.measured.get(work.node, {})
        key = layer_key(work, in_bits, weight_bits)
        if key in times and in_bits == out_bits:
            return times[key]
        modelled = self.parts(work, in_bits, out_bits, weight_bits).total
        if FLOAT_BITS in (*_bit_widths(key), out_bits):
            return modelled
        ratios = [
            ratio for other in ([key] if key in times else times) if (ratio := self._ratio(work, other)) is not None
        ]
        return modelled * sum(ratios) / len(ratios) if ratios else modelled

    def _ratio(self, work: LayerWork, key: str) -> float | None:
        """A layer's measured time over the modelled one; None where that says nothing."""
        features, weights = _bit_widths(key)
        modelled = self.parts(work, features, features, weights).total
        return self.measured[work.node][key] / modelled if modelled and FLOAT_BITS not in (features, weights) else None

    def parts(self, work: LayerWork, in_bits: int, out_bits: int, weight_bits: int) -> LayerTime:
        """Time of a layer by the model alone, in its parts. A layer that neither computes nor moves takes none.

        Raises:
            UserError: if no times are known.
        """
        if not self.timed:
            raise UserError(
                f"no times are known for {self.name or 'this SOC'}: "
                "make a cost file of a board's log with `python -m stages.profile LOG --write FILE`"
            )
        moved = bytes_moved(work, in_bits, out_bits, weight_bits)
        if not work.macs and not moved:
            return LayerTime(0.0, 0.0, 0.0)
        return LayerTime(
            self.compute_price(in_bits, weight_bits if work.weights else in_bits) * work.macs / MACS_PER_GMAC
            if work.macs
            else 0.0,
            self.ms_per_mbyte * moved / BYTES_PER_MEGABYTE,
            self.ms_per_layer,
        )

    def compute_price(self, feature_bits: int, weight_bits: int) -> float:
        """Give the ms for 10^9 multiplications at two bit widths.

        Bit widths without an entry take the least price of an entry at least as wide on both sides. Wider than all
        integer entries: the widest one's price for each pass, an operand being cut into parts of its width (10-bit
        features on an 8-bit unit: two passes; an estimate). Float without an entry: `FLOAT_MS_PER_GMAC`.
        """
        prices = {_bit_widths(key): price for key, price in self.ms_per_gmac.items()}
        exact = prices.get((feature_bits, weight_bits))
        if exact is not None:
            return exact
        integer = {bit_widths: price for bit_widths, price in prices.items() if FLOAT_BITS not in bit_widths}
        if FLOAT_BITS in (feature_bits, weight_bits) or not integer:
            return prices.get((FLOAT_BITS, FLOAT_BITS), FLOAT_MS_PER_GMAC)
        wider = [price for (f, w), price in integer.items() if f >= feature_bits and w >= weight_bits]
        if wider:
            return min(wider)
        widest = max(integer)
        passes = math.ceil(feature_bits / widest[0]) * math.ceil(weight_bits / widest[1])
        return passes * integer[widest]


def bytes_moved(work: LayerWork, in_bits: int, out_bits: int, weight_bits: int) -> float:
    """Bytes of input features, output features and weights, each moved once."""
    bits = work.inputs * stored_bits(in_bits) + work.outputs * stored_bits(out_bits)
    return (bits + work.weights * stored_bits(weight_bits)) / 8


def size(work: LayerWork, weight_bits: int, float_bits: int = FLOAT_BITS) -> int:
    """Bytes of a layer's weights as stored, without biases and requantization (at 8 bits a hundredth more).

    Args:
        work: the layer.
        weight_bits: of its weights; `FLOAT_BITS` for float.
        float_bits: of a number in float on the SOC.
    """
    return math.ceil(work.weights * stored_bits(min(weight_bits, float_bits)) / 8)


def bit_operations(work: LayerWork, feature_bits: int, weight_bits: int, float_bits: int = FLOAT_BITS) -> int:
    """Multiplications times the bits of both operands, floats with theirs: a cost that needs no board."""
    return work.macs * min(feature_bits, float_bits) * min(weight_bits, float_bits)


def stored_bits(bits: int) -> int:
    """Bits that a code takes in memory: the next power of two.

    Source: the vendor's dumps hold two 4-bit codes a byte, and 10- and 12-bit codes in uint16; 6 bits by analogy.
    """
    return 1 << (bits - 1).bit_length()


def bit_widths_key(feature_bits: int, weight_bits: int) -> str:
    """Name a pair of bit widths as the cost files do: "8/4"."""
    return f"{feature_bits}/{weight_bits}"


def layer_key(work: LayerWork, feature_bits: int, weight_bits: int) -> str:
    """Name the bit widths of a layer; one without weights multiplies features, if anything."""
    return bit_widths_key(feature_bits, weight_bits if work.weights else feature_bits)


def cost_file(soc: str, folder: Path = COST_FOLDER) -> Path:
    """Find the cost file of a SOC by its name; the generic one, without times, where it has none."""
    path = folder / f"{soc.lower()}.yaml"
    return path if path.is_file() else folder / f"{GENERIC_NAME}.yaml"


def load_cost(path: Path) -> CostModel:
    """Read and check a cost file.

    Raises:
        UserError: if it is missing, is not YAML, or holds a wrong key, type or value.
    """
    try:
        check_yaml(path)
        content = OmegaConf.load(path)
        if not content:
            raise UserError(f"{path} is empty: give keys {', '.join(vars(CostModel()))}")
        model = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(CostModel), content))
    except FileNotFoundError:
        known = sorted(str(other) for other in COST_FOLDER.glob("*.yaml"))
        raise UserError(f"{path} is missing; {did_you_mean(str(path), known)}") from None
    except OmegaConfBaseException as error:
        reason = str(error.msg or error).splitlines()[0]
        raise UserError(f"{path}: {error.full_key or error.key}: {reason}") from error
    except RecursionError:
        raise UserError(f"{path}: an alias holds itself") from None
    except (YAMLError, OSError, ValueError) as error:
        raise UserError(f"{path} is not YAML with keys: {' '.join(str(error).split())}") from error
    if not isinstance(model, CostModel):
        raise UserError(f"{path} is no cost file: give keys {', '.join(vars(CostModel()))}")
    _check(path, model)
    return model


def save_cost(path: Path, model: CostModel, comments: Sequence[str] = ()) -> None:
    """Write a cost file, comments first."""
    text = "".join(f"# {line}\n" for line in comments)
    write_text(path, text + OmegaConf.to_yaml(OmegaConf.create(asdict(model))))


def _check(path: Path, model: CostModel) -> None:
    prices: dict[str, Mapping[str, float]] = {"ms_per_gmac": model.ms_per_gmac}
    prices |= {f"measured.{node}": times for node, times in model.measured.items()}
    for where, table in prices.items():
        for key, price in table.items():
            if not re.fullmatch(r"[1-9]\d?/[1-9]\d?", key):
                raise UserError(f"{path}: {where}.{key}: give feature bits/weight bits, as in 8/8")
            _require(path, f"{where}.{key}", price)
    _require(path, "ms_per_mbyte", model.ms_per_mbyte)
    _require(path, "ms_per_layer", model.ms_per_layer)


def _require(path: Path, key: str, value: Any) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{path}: {key}={value}: give milliseconds, not negative")


def _bit_widths(key: str) -> tuple[int, int]:
    features, _, weights = key.partition("/")
    return int(features), int(weights)
