"""Which toolkits are measured, under which settings."""

from functools import partial

from benchmarks.peers.adapter import Peer
from benchmarks.peers.aimet import simulated
from benchmarks.peers.esp_ppq_torch import asymmetric
from benchmarks.peers.neural_compressor_onnx import default
from benchmarks.peers.nncf_onnx import mixed
from benchmarks.peers.olive_onnx import static as olive_static
from benchmarks.peers.onnx_runtime import static
from benchmarks.peers.quark_onnx import per_channel

__all__ = ["PEERS"]

ORT = partial(Peer, "onnxruntime", "onnxruntime")
NNCF = partial(Peer, "nncf", "nncf")
PPQ = partial(Peer, "esp-ppq", "esp_ppq")
QUARK = partial(Peer, "quark", "quark.onnx")
AIMET = partial(Peer, "aimet", "aimet_onnx")

PEERS = [
    ORT("MinMax", 8, 8, static),
    ORT("Percentile", 8, 8, partial(static, method="Percentile")),
    ORT("Percentile (weighted inputs only)", 8, 8, partial(static, method="Percentile", weighted_only=True)),
    ORT("MinMax", 8, 16, partial(static, types=("QUInt16", "QInt8"))),
    ORT("MinMax", 4, 8, partial(static, types=("QUInt8", "QInt4"))),
    ORT("MinMax", 4, 4, partial(static, types=("QUInt4", "QInt4"))),
    NNCF("mixed", 8, 8, mixed),
    NNCF("mixed (features per tensor)", 8, 8, partial(mixed, per_tensor=True)),
    PPQ("MinMax", 8, 8, asymmetric),
    PPQ("LSQ 40 steps", 4, 8, partial(asymmetric, weight_bits=4, steps=40)),
    PPQ("LSQ 40 steps", 4, 4, partial(asymmetric, weight_bits=4, feature_bits=4, steps=40)),
    QUARK("MinMax", 8, 8, per_channel),
    QUARK("CLE + bias correction", 8, 8, partial(per_channel, algorithms=("CLE", "BiasCorrection"))),
    AIMET("MinMax", 8, 8, simulated),
    AIMET("CLE + MinMax", 4, 8, partial(simulated, weights="int4", equalize=True)),
    Peer("neural-compressor", "neural_compressor", "default", 8, 8, default),
    Peer("olive", "olive", "static", 8, 8, olive_static),
]
"""In the order that they run; --peers separates names by commas, so none is in one."""
