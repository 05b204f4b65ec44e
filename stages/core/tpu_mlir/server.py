"""Runs a lowered network (`_tpu.mlir`) in TPU-MLIR's own simulator, for another process: by the Python of its tools.

    python server.py NET_tpu.mlir < requests

Each request is a line, INPUT.npz and OUTPUT.npz with a tab between; the answer is a line "done" once OUTPUT.npz is
written.
The network stays loaded in between. It runs in the network's folder, where its weights are.
"""

# ruff: noqa: I001  tpu_mlir puts pymlir on the path
import sys

import numpy as np
import tpu_mlir  # type: ignore[import-not-found]  # noqa: F401  puts the next on the path
import pymlir  # type: ignore[import-not-found]


def main(file: str) -> None:
    """Answer requests until there are no more."""
    pymlir.set_mem_mode("value_mem")
    module = pymlir.module()
    module.load(file)
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with np.load(source) as stored:
            for name in module.input_names:
                values = stored[name].astype(np.float32)
                module.set_tensor(name, values, values.shape)
        module.invoke(True)
        tensors = module.get_all_tensor()
        np.savez(target, **{name: tensors[name] for name in module.output_names})
        print("\ndone", flush=True)  # on a line of its own: the simulator draws its progress


if __name__ == "__main__":
    main(sys.argv[1])
