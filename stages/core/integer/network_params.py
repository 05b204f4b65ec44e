"""Quantization parameters on disk: what quantize chose for every feature and weight."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import read_artifact, write_json
from stages.core.base.errors import UserError
from stages.core.config.schema import Config, FeatureMethod
from stages.core.integer.quant_params import QuantParams

__all__ = ["FeatureParams", "NetworkParams", "RangeSource", "WeightParams", "load_qparams", "save_qparams"]


class RangeSource(StrEnum):
    """Where the range of a feature's codes comes from; as text it is what `qparams.json` says."""

    MAX_ABS = FeatureMethod.MAX_ABS.value
    KL = FeatureMethod.KL.value
    MSE = FeatureMethod.MSE.value
    ADMM = FeatureMethod.ADMM.value
    OUTPUT = FeatureMethod.OUTPUT.value
    PERCENTILE = FeatureMethod.PERCENTILE.value
    node_bits = "node_bits"  # the user gave it
    shared = "shared"  # the feature passes on the codes of the operator before
    constant = "constant"  # a constant operand: its own smallest and largest value

    @property
    def by_method(self) -> FeatureMethod | None:
        """The feature method that chose it from statistics; None where none did."""
        return FeatureMethod(self.value) if self.value in FeatureMethod.__members__ else None

    @property
    def is_given(self) -> bool:
        """Whether the user gave it."""
        return self is RangeSource.node_bits

    @property
    def is_shared(self) -> bool:
        """Whether it is that of the operator before."""
        return self is RangeSource.shared

    @property
    def is_constant(self) -> bool:
        """Whether it is that of a constant."""
        return self is RangeSource.constant

    @property
    def is_chosen(self) -> bool:
        """Whether it was chosen for this feature, by a method or by the user."""
        return not (self.is_shared or self.is_constant)


@dataclass(frozen=True)
class FeatureParams:
    """One quantized feature: real = (code - zero_point) * scale, codes 0 .. 2**bits - 1.

    Where depthwise convolutions and tables are its only consumers, each channel may have its own scale.

    Attributes:
        tensor: its name.
        node: the node that computes it (the last of a fused layer); for an input or a constant its own name.
        bits: bit width of a code.
        scale: float32 value; of several scales the largest.
        zero_point: the code of real 0, in every channel.
        low: real value of the smallest code, at `scale`.
        high: of the largest code.
        seen_low: smallest value during calibration.
        seen_high: largest.
        method: where the range comes from.
        channel_scales: float32 values, one a channel (axis 1); empty where `scale` serves all.
        float_consumers: nodes that run in float and take its float values instead of its codes.
    """

    tensor: str
    node: str
    bits: int
    scale: float
    zero_point: int
    low: float
    high: float
    seen_low: float
    seen_high: float
    method: RangeSource
    channel_scales: tuple[float, ...] = ()
    float_consumers: tuple[str, ...] = ()

    @property
    def quant_params(self) -> QuantParams:
        """Bit width, scale, zero point and scales of channels alone."""
        return QuantParams(self.bits, self.scale, self.zero_point, self.channel_scales)

    @property
    def scales(self) -> NDArray[np.float32]:
        """float32 [C], the scale of each channel, or [1] where one serves all."""
        return self.quant_params.scales


@dataclass(frozen=True)
class WeightParams:
    """One quantized weight: real = code * scale[channel], codes -(2**(bits-1) - 1) .. 2**(bits-1) - 1.

    Attributes:
        tensor: the initializer's name in the float network.
        node: the node that multiplies by it.
        bits: bit width of a code.
        axis: the output-channel axis, or None for one scale a tensor.
        scales: float32 values, one a channel or just one.
        method: how the scales were chosen.
    """

    tensor: str
    node: str
    bits: int
    axis: int | None
    scales: tuple[float, ...]
    method: str


@dataclass(frozen=True)
class NetworkParams:
    """All parameters of a quantized network, in graph order.

    Attributes:
        features: the quantized features.
        weights: the quantized weights.
        float_nodes: nodes that the user's settings keep in float (skip lists, head).
        factors: tensor that equalization scaled -> one factor a channel (axis 1), float32 values: original = scaled *
            factor. Features, weights and ranges are those of the scaled network.
    """

    features: Sequence[FeatureParams]
    weights: Sequence[WeightParams]
    float_nodes: Sequence[str] = ()
    factors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def save_qparams(path: Path, params: NetworkParams, config: Config) -> None:
    """Write as JSON, together with the SOC and the quant settings that the parameters were chosen with."""
    write_json(
        path,
        _chosen_with(config)
        | {
            "settings": _settings(config),
            "features": [_feature_entry(feature) for feature in params.features],
            "weights": [asdict(weight) for weight in params.weights],
            "float_nodes": list(params.float_nodes),
            "factors": {name: list(factors) for name, factors in params.factors.items()},
        },
    )


def load_qparams(path: Path, config: Config) -> NetworkParams:
    """Read what `save_qparams` wrote.

    Raises:
        UserError: if it is missing or damaged, or other settings than the config's were in force: a stage was run by
            hand before quantize.
    """
    return read_artifact(path, lambda content: _checked(path, content, config))


def _checked(path: Path, content: Any, config: Config) -> NetworkParams:
    """The parameters in a file's content, which must have been chosen with the config's settings."""
    features = content["features"]
    for key, value in _chosen_with(config).items():
        if content.get(key) == value:
            continue
        setting = f"{key}={content.get(key)}, not {value}"
        if "," in key:  # a digest tells nobody anything: name the keys that it stands for
            before = content.get("settings", {})
            changed = [name for name, digest in _settings(config).items() if before.get(name) != digest]
            setting = f"another {', '.join(changed) or key}"
        raise UserError(f"{path} was made with {setting}: run `dvc repro`")
    return NetworkParams(
        features=[
            FeatureParams(
                **feature
                | {"method": RangeSource(feature["method"])}
                | {key: tuple(feature.get(key, ())) for key in ("channel_scales", "float_consumers")}
            )
            for feature in features
        ],
        weights=[WeightParams(**weight | {"scales": tuple(weight["scales"])}) for weight in content["weights"]],
        float_nodes=content["float_nodes"],
        factors={name: tuple(factors) for name, factors in content["factors"].items()},
    )


def _feature_entry(feature: FeatureParams) -> dict[str, Any]:
    """A feature in the file: few have consumers in float."""
    entry = asdict(feature)
    if not feature.float_consumers:
        del entry["float_consumers"]
    return entry


def _chosen_with(config: Config) -> dict[str, str | int]:
    """The settings that a quantized network follows from; soc, model and the pictures used as one digest."""
    quant = {f"quant.{key}": getattr(value, "name", value) for key, value in config.quant.settings.items()}
    data = config.data
    pictures = [asdict(part) for part in (data.calibration, data.correction, data.validation)]
    rest = repr([config.soc.arithmetic, config.model.network, *pictures])
    digest = hashlib.sha256(rest.encode()).hexdigest()[:16]
    return {"soc.name": config.soc.name, "model.name": config.model.name} | quant | {"soc, model, calibration": digest}


def _settings(config: Config) -> dict[str, str]:
    """A short digest of each setting of soc, model and the pictures that quantize uses, to tell which one changed."""
    data = config.data
    parts = {"soc": asdict(config.soc), "model": asdict(config.model)}
    parts |= {f"data.{name}": asdict(getattr(data, name)) for name in ("calibration", "correction", "validation")}
    return {
        f"{name}.{key}": hashlib.sha256(repr(value).encode()).hexdigest()[:8]
        for name, part in parts.items()
        for key, value in part.items()
    }
