"""Runs in the toolchain's own Python: lowers a network for a chip and runs it, picture by picture.

Usage: python recorder.py MLIR CHIP TABLE INPUTS CODES [QTABLE]

INPUTS is an npz file of stacked float inputs, one array an input; CODES gets one array a tensor, stacked likewise:
codes of quantized tensors, values of the others. It imports nothing of this project.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(mlir: str, chip: str, table: str, inputs: str, codes: str, qtable: str = "") -> None:
    importlib.import_module("tpu_mlir")  # sets the path of its libraries
    pymlir = importlib.import_module("pymlir")
    mlir_lowering = importlib.import_module("tpu_mlir.python.utils.mlir_shell").mlir_lowering

    lowered = f"{Path(mlir).stem}_{chip}.mlir"
    mlir_lowering(mlir, lowered, "INT8", chip, cali_table=table, quantize_table=qtable or None)
    pymlir.set_mem_mode("value_mem")
    module = pymlir.module()
    module.load(lowered)
    with np.load(inputs) as stored:
        fed = {name: stored[name] for name in stored.files}
    found: dict[str, list[np.ndarray]] = {}
    for index in range(len(next(iter(fed.values())))):
        for name in module.input_names:
            values = fed[name][index]
            module.set_tensor(name, values, values.shape)
        module.invoke(False)
        for name, values in module.get_all_tensor().items():
            found.setdefault(name, []).append(np.array(values))
    stacked: dict[str, Any] = {name.replace("/", "\\"): np.stack(values) for name, values in found.items()}
    np.savez(codes, **stacked)


if __name__ == "__main__":
    main(*sys.argv[1:])
