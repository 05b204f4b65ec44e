"""Networks that read bytes."""

from pathlib import Path

import numpy as np

from benchmarks.strangers.material.files import files
from benchmarks.strangers.measures.answers import same_class
from benchmarks.strangers.networks.planted import with_known_shape
from benchmarks.strangers.stranger import Arrays, Bounds, Material, Samples, Stranger

__all__ = ["NETWORKS"]

ENDS, PADDING = 1024, 256
"""Bytes of a file's beginning and of its end, and what stands for none."""
ONE_HOT = "jax2tf_get_logits_/pjit_get_logits_/pjit__one_hot_/Cast_1:0"
"""The graph's first tensor of floats."""


def _one_hot(content: bytes) -> Arrays:
    content = content.strip()
    codes = np.full(2 * ENDS, PADDING)
    first, last = content[:ENDS], content[-ENDS:]
    codes[: len(first)] = list(first)
    codes[2 * ENDS - len(last) :] = list(last)
    return {ONE_HOT: np.eye(PADDING + 1, dtype=np.float32)[codes][np.newaxis]}


def _contents(material: Material) -> Samples:
    return Samples.divided([_one_hot(content) for content in files(material.data)])


def _plant(material: Material, folder: Path) -> str:
    return with_known_shape(material, folder, "bytes", [1, 2 * ENDS])


NETWORKS = [
    Stranger(
        "magika",
        "file type",
        "package:magika==1.0.3/magika/models/standard_v3_3/model.onnx#sha256=3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        _contents,
        same_class,
        "same types",
        Bounds(good=0.95, dead=0.6),
        (f"model.inputs=[{{name: '{ONE_HOT}', shape: [1, 2048, 257]}}]",),
        plant=_plant,
    )
]
