"""Runs one toolkit in an environment that has it; started by `benchmarks.accuracy --peers`, in its folder.

`python -m benchmarks.peers` prints which settings this environment can run, as numbers in the list. With a number it
calibrates and quantizes by that setting on out/, runs the samples and writes the outputs.
"""

import argparse
import importlib.util
import json
import resource
import sys
import tempfile
import time
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.adapter import Peer, Pictures, Predict
from benchmarks.peers.toolkit_settings import PEERS
from stages.core.base.errors import one_line
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS
from stages.core.data.inputs import load_inputs
from stages.core.data.sample_store import CALIBRATION


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("number", type=int, nargs="?", help="of the setting")
    parser.add_argument("--samples", type=Path, help="uint8 [pictures, H, W, C]")
    parser.add_argument("--outputs", type=Path, help="write float32 [pictures, ...] here")
    parser.add_argument("--result", type=Path, help="write version, time and memory here, or the error")
    arguments = parser.parse_args()
    if arguments.number is None:
        json.dump([number for number, peer in enumerate(PEERS) if importable(peer.module)], sys.stdout)
        return
    try:
        result = work(PEERS[arguments.number], arguments.samples, arguments.outputs)
    except Exception as error:  # any toolkit's own
        result = {"error": f"{type(error).__name__}: {one_line(error)}"}
    arguments.result.write_text(json.dumps(result), encoding="utf-8")


def importable(module: str) -> bool:
    """Whether a module is installed here."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of the package around it
        return False


def work(peer: Peer, samples: Path, outputs: Path) -> dict[str, Any]:
    """Quantize and run; gives the toolkit's version, the peak memory before running and the seconds of running."""
    (network_input,) = load_inputs(INPUTS)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "quantized.onnx"
        pictures = Pictures(CALIBSET / CALIBRATION / "0.npy", network_input)
        toolkit_predict = peer.adapter(FLOAT_MODEL, pictures, target)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        predict = toolkit_predict or plain_network(target, network_input.name)
        predictions = [predict(picture) for picture in Pictures(samples, network_input)]
    np.save(outputs, np.concatenate(predictions).astype(np.float32))
    return {"version": _version(peer.module), "peak_mb": peak, "running": time.perf_counter() - start}


def plain_network(path: Path, name: str) -> Predict:
    """An ONNX network in ONNX Runtime, each operator as the standard says.

    Raises:
        FileNotFoundError: if the toolkit wrote none.
    """
    from stages.core.graph.session import Runner  # noqa: PLC0415  a toolkit's environment may lack what it needs

    if not path.is_file():
        raise FileNotFoundError("the toolkit ended without an error and without a network")
    runner = Runner(path, optimize="none")
    output = next(iter(runner.outputs))  # Quark's bias correction leaves more behind it
    return lambda picture: runner.run({name: picture})[output]


def _version(module: str) -> str:
    names = packages_distributions().get(module.partition(".")[0], [])
    return ", ".join(f"{name} {version(name)}" for name in sorted(set(names)))


if __name__ == "__main__":
    main()
