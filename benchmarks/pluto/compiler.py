"""The open T41 compiler, from a copy of its repository: whether it compiles a network, and its arithmetic."""

import importlib
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.errors import UserError, one_line

__all__ = ["OFFSET", "Codes", "Compiler"]

Codes = NDArray[np.uint8]
"""Of one picture, [C, H, W], or [C] behind a pool: code + 128."""
OFFSET = 128


class Compiler:
    """The compiler.

    Args:
        folder: a copy of github.com/inoop/t41-pluto; its package `compile` is imported.

    Raises:
        UserError: if the folder has no such package.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "compile" / "onnx_import.py").is_file():
            raise UserError(f"{folder} is no copy of github.com/inoop/t41-pluto: it lacks compile/onnx_import.py")
        sys.path.insert(0, str(folder))
        self._reader, self._builder, self._ops, self._math = (
            importlib.import_module(f"compile.{name}") for name in ("onnx_import", "model_build", "ops", "nnmath")
        )

    def refusal(self, model: onnx.ModelProto) -> str:
        """What ends the compilation of a network, empty if nothing does."""
        try:
            self._builder.build(self.load(model)).pack()
        except Exception as error:  # whatever its code raises is its answer
            return f"{type(error).__name__}: {one_line(error)}"
        return ""

    def load(self, model: onnx.ModelProto) -> Any:
        """The compiler's own form of a network, unchanged by its later steps."""
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # NumPy's newer versions make errors of them
            file = Path(folder) / "network.onnx"
            onnx.save(model, file)
            return self._reader.load(str(file))

    def kernel(self, layer: Any) -> str:
        """The module of the compiler that owns a layer: k3, stem, dense, genconv, pointwise, depthwise, ..."""
        return str(self._ops.find_or_die(layer).NAME)

    def layer(self, layer: Any, inputs: list[Codes]) -> Codes:
        """Run one layer in the compiler's arithmetic.

        Args:
            layer: of a loaded network.
            inputs: codes of each input.
        """
        module = self._ops.find_or_die(layer)
        if isinstance(layer, (self._reader.ConvLayer, self._reader.PoolLayer)):
            signed = module.simulate(layer, inputs[0].astype(np.int64) - OFFSET)
        elif isinstance(layer, self._reader.FCLayer):
            logits = module.simulate(layer, inputs[0].astype(np.int64) - OFFSET)
            signed = np.rint(logits.astype(np.float64) / layer.act_out.scale) + layer.act_out.zero_point
        else:
            return np.asarray(module.simulate(layer, *inputs), np.uint8)
        return (np.asarray(signed).astype(np.int64) + OFFSET).astype(np.uint8)

    def run(self, network: Any, picture: NDArray[np.float32]) -> Mapping[str, Codes]:
        """Run a loaded network on a picture [C, H, W]: the codes of every tensor that a layer gives, by name."""
        quant = network.input_quant
        tensors = {network.input_name: self._math.to_byte(picture.astype(np.float64), quant.scale, quant.zero_point)}
        for layer in network.layers:
            tensors[layer.output] = self.layer(layer, [tensors[name] for name in layer.inputs])
        return tensors
