"""Reading networks of TensorFlow, Keras and TFLite: tf2onnx converts them, in an environment that has TensorFlow."""

import hashlib
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.artifacts import read_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.base.processes import own_line
from stages.core.base.sources import cache_folder, made_once
from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import ModelFiles, SourceFormat
from stages.core.environments.install import install, run_python
from stages.core.environments.recipes import TENSORFLOW
from stages.core.graph.onnx_graph import parse_model
from stages.core.graph.session import Runner
from stages.export.dequantize.undo import is_quantized
from stages.export.shapes import UnknownShapeError
from stages.export.sources.source_network import SourceNetwork
from stages.export.sources.tensorflow_names import name_nodes
from stages.export.verify import largest_difference

__all__ = ["KINDS", "Conversion", "compared", "read_tensorflow"]

WORKER = Path(__file__).parent / "workers" / "tensorflow_worker.py"
KINDS = {
    SourceFormat.tflite: "tflite",
    SourceFormat.keras: "keras",
    SourceFormat.saved_model: "saved_model",
    SourceFormat.frozen: "frozen",
}
"""What the worker calls the formats."""
REPORT, VALUES, MODEL = "report.json", "values.npz", "model.onnx"
"""What the worker writes."""
LOW_COSINE = 0.98
UNKNOWN_SHAPE = "unknown_shape.txt"
"""The worker writes into it the name of an input whose shape must be told."""

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Conversion:
    """What the worker gives.

    Attributes:
        model: the network as ONNX.
        inputs: random values of its inputs.
        outputs: what TensorFlow's own runtime makes of them.
    """

    model: onnx.ModelProto
    inputs: Values
    outputs: Values


def read_tensorflow(config: ModelConfig, files: ModelFiles) -> SourceNetwork:
    """Convert a network to ONNX, and compare it with TensorFlow's own runtime on random input.

    The environment with TensorFlow is installed first, if it is not there.

    Raises:
        UserError: if the network cannot be converted, or the environment cannot be made.
    """
    if not TENSORFLOW.installed:
        console.print(f"{files.name} needs TensorFlow, which is installed once, apart from the project's own packages")
    install(TENSORFLOW)
    shapes = [list(network_input.shape) for network_input in config.inputs if network_input.shape]
    return compared(_converted(files, shapes), files.name)


def compared(conversion: Conversion, name: str) -> SourceNetwork:
    """Run a converted network on the values that TensorFlow has run it on.

    A quantized network is integer arithmetic in TFLite and float between quantizers in ONNX: of it, the cosine is
    printed, and the difference is no measure.

    Args:
        conversion: what the worker gives.
        name: what lines call it.
    """
    outputs = Runner(conversion.model, optimize="none").run(conversion.inputs)
    pairs = [(_real(expected), _real(outputs[key])) for key, expected in conversion.outputs.items()]
    if not is_quantized(conversion.model):
        return SourceNetwork(conversion.model, max(largest_difference(*pair) for pair in pairs))
    cosine = min(_cosine(*pair) for pair in pairs)
    low = ": much less than rounding explains" if cosine < LOW_COSINE else ""
    output.print(f"cosine of {name} in its own runtime and as quantizers in ONNX, on random input: {cosine:.4f}{low}")
    return SourceNetwork(conversion.model)


def _converted(files: ModelFiles, shapes: list[list[int]]) -> Conversion:
    """Convert a network, or find it converted: `init` and `export` read it one after the other."""
    folder = cache_folder() / "conversions" / _digest(files, shapes)
    with made_once(folder) as results:
        if results is not None:
            _run_worker(files, shapes, results)
    report = read_json(folder / REPORT)
    for note in report["notes"]:
        output.print(f"{files.name}: {note}")
    with np.load(folder / VALUES) as arrays:
        values = {
            kind: {name: arrays[f"{kind}_{index}"] for index, name in enumerate(report[f"{kind}s"])}
            for kind in ("input", "output")
        }
    model = parse_model((folder / MODEL).read_bytes(), files.name)
    name_nodes(model)
    return Conversion(model, values["input"], values["output"])


def _digest(files: ModelFiles, shapes: list[list[int]]) -> str:
    """Stands for all that a conversion follows from: the files, the shapes, the worker and its packages."""
    digest = hashlib.sha256(json.dumps([KINDS[files.format], shapes, TENSORFLOW.folder.name]).encode())
    digest.update(WORKER.read_bytes())
    for file in (files.main, *files.others):
        content = file.read()
        digest.update(f"{file.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _run_worker(files: ModelFiles, shapes: list[list[int]], results: Path) -> None:
    """Run the worker, which writes into `results`."""
    with TemporaryDirectory(prefix="convert-") as temporary:
        folder = Path(temporary)
        network = _written(files, folder / "network")
        console.print(f"converting {files.name} ({files.format.value.title})", style="dim")
        arguments = [str(WORKER), KINDS[files.format], str(network), str(results), json.dumps(shapes)]
        code, text = run_python(TENSORFLOW, arguments, folder)
    if not code:
        return
    said = _refusal(code, text).replace(f"{folder}/", "")
    message = f"model.source: {files.name} {said}{_incomplete(files)}"
    unknown = results / UNKNOWN_SHAPE
    if unknown.exists():
        raise UnknownShapeError(unknown.read_text(encoding="utf-8"), message)
    raise UserError(message)


def _written(files: ModelFiles, folder: Path) -> Path:
    """Write a network's files where the worker finds them; gives the file, or the folder of a SavedModel."""
    root = PurePosixPath(files.main.name).parent
    for file in (files.main, *files.others):
        name = PurePosixPath(file.name)
        if name.is_relative_to(root):
            path = folder / name.relative_to(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())
    return folder if files.format is SourceFormat.saved_model else folder / PurePosixPath(files.main.name).name


def _incomplete(files: ModelFiles) -> str:
    """Say how a SavedModel is given whole, if only its graph was."""
    alone = files.format is SourceFormat.saved_model and not files.others
    return "; a SavedModel is given as its folder: model.source=file:FOLDER" if alone else ""


def _refusal(code: int, text: str) -> str:
    """What the worker said in the end; a damaged file can make TensorFlow crash."""
    if own := own_line(text):
        return own
    if code < 0:
        return f"cannot be converted: TensorFlow crashed on it ({signal.Signals(-code).name}); the file may be damaged"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"cannot be converted: {lines[-1] if lines else 'its program ended without a word'}"


def _real(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    one, other = (values.astype(np.float64).ravel() for values in (left, right))
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else float(np.array_equal(one, other))
