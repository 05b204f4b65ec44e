"""Runs the quantized network on samples, with the exact integers that the SOC computes, and shows its outputs.

Of a detector it shows boxes, in pixels of the picture; --json has the outputs too.

--dump writes every layer as the vendor's tools do under MAGIK_DATA_DUMP: `<layer>_Quantize.bin` (codes, NHWC, 4 bits
two a byte), `<layer>.bin` (what runs in float), the input, and model_node_info.json, which says what each file holds. A
board program built with build_type=debug writes the same bytes as `<layer>_Quantize_out.bin`: `python -m stages.check`
compares them. Reads params.yaml, out/export and out/quantize.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import check_targets, read_artifact, read_json, write_json
from stages.core.base.console import new_table, next_step, output
from stages.core.base.errors import UserError
from stages.core.base.file_names import file_names, input_stems
from stages.core.base.paths import DETECTOR, INPUTS, INTEGER_MODEL, JUDGED, QPARAMS
from stages.core.command import run_command
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput, Sample, feeds, load_inputs
from stages.core.data.preprocess import Placement
from stages.core.data.sample_files import read_samples
from stages.core.graph.session import Runner
from stages.core.heads.detector import Detector, load_detector
from stages.core.integer.dumps import (
    NODE_INFO,
    dump_names,
    dumped_layers,
    layer_dumps,
    nhwc,
    node_info,
)
from stages.core.integer.model import load_integer_model, tensor_quant_params
from stages.core.integer.network_params import load_qparams
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.simulator import simulator_model
from stages.core.outputs.judged_set import JudgedSet
from stages.core.outputs.output_kind import OutputKind
from stages.infer.precise import precise
from stages.infer.sample_path import INPUT_KEY, sample_files

SHOWN_CLASSES = 5  # of an output that has as many as a classifier
EPILOG = """\
examples:
  python -m stages.infer cat.jpg                              the outputs
  python -m stages.infer samples/0 samples/1                  of a network with several inputs: a folder a sample
  python -m stages.infer input.bin --dump MAGIK_DATA_DUMP     every layer, to compare with a board's
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="a picture, or what the input is fed as .npy, .npz or .bin, uint8 or float32 (before mean and normal, a "
        "picture's pixels NHWC; with data.debug.preprocessed=true the network's input as it is); of several inputs a "
        "folder with such a file for each, called after it, or an .npz",
    )
    parser.add_argument(
        "--dump", type=Path, metavar="DIR", help="write every layer there; of several inputs into a folder for each"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outputs there too")


def infer(config: Config, arguments: argparse.Namespace) -> None:
    check_targets(arguments.json)
    if arguments.dump:
        check_dump(arguments.dump, len(arguments.inputs))
    inputs = load_inputs(INPUTS)
    load_qparams(QPARAMS, config)  # refuses a quantized network of other parameters
    model = load_integer_model(INTEGER_MODEL)
    qparams = tensor_quant_params(model.graph.node)
    outputs = [each.name for each in model.graph.output]
    tensors = list(dict.fromkeys([*outputs, *(dump_names(model) if arguments.dump else ())]))
    runner = Runner(simulator_model(precise(model), tensors, codes=True), optimize="safe")
    detector = load_detector(DETECTOR, config.model.detector, {name: runner.outputs[name] for name in outputs})
    table = new_table(None, "input", "output", "shape", "smallest", "largest", f"best or first {SHOWN_CLASSES}")
    boxes = new_table(None, "input", "class", "score", "left", "top", "right", "bottom")
    content: list[dict[str, Any]] = []
    kinds = output_kinds()
    folders = file_names([path.stem for path in arguments.inputs])
    for path, folder in zip(arguments.inputs, folders, strict=True):
        files = sample_files(path, inputs)
        if config.data.debug.preprocessed:
            files = replace(files, preprocessed=True)
        (read,) = read_samples([files], inputs, config.model.preprocess, INPUT_KEY)
        values = runner.run(feeds(read.sample, inputs))
        reals = {name: dequantized(values[name], qparams.get(name)) for name in outputs}
        for name, real in reals.items():
            table.add_row(*table_row(path, name, real, kinds.get(name, OutputKind.class_scores)))
            shape, numbers = list(real.shape), real.ravel().tolist()
            content.append({"input": str(path), "output": name, "shape": shape, "values": numbers})
        if detector is not None:
            found = boxes_in_picture(detector, reals, read.placement)
            for box in found:
                boxes.add_row(path.name, str(box["class"]), f"{box['score']:.3f}", *(f"{x:.1f}" for x in box["box"]))
            content.append({"input": str(path), "boxes": found})
        if arguments.dump:
            target = arguments.dump if len(folders) == 1 else arguments.dump / folder.removesuffix(".bin")
            clear_dump(target)
            write_dump(target, inputs, read.sample, layer_dumps(model, values))
            write_json(target / NODE_INFO, node_info(dumped_layers(model)))
    if detector is None:
        output.print(table)
    else:
        output.print(boxes if boxes.rows else f"no box has a score of {detector.score_threshold:g} or more")
    if arguments.dump:
        output.print(f"layers written: {arguments.dump}")
    if arguments.json:
        write_json(arguments.json, content)
    compared = f"python -m stages.check {arguments.dump} BOARD_DIR, with the layers that a board wrote"
    next_step(compared if arguments.dump else "--dump DIR writes every layer, to compare with a board's")


def dequantized(values: NDArray[Any], quant_params: QuantParams | None) -> NDArray[np.float32]:
    """The real values of codes; values without codes as they are."""
    if quant_params is None:
        return values
    minus_zp = values.astype(np.int64) - quant_params.zero_point
    return minus_zp.astype(np.float32) * quant_params.broadcast_scale(values.ndim)


def boxes_in_picture(
    detector: Detector, outputs: Mapping[str, NDArray[np.float32]], placement: Placement | None
) -> list[dict[str, Any]]:
    """Class, score and box (left, top, right, bottom in pixels of the picture) of what is found, the best first."""
    found = detector.detect(outputs, detector.score_threshold)
    boxes = found.boxes if placement is None else placement.to_picture(found.boxes)
    return [
        {"class": int(number), "score": float(score), "box": box}
        for number, score, box in zip(found.classes, found.scores, boxes.tolist(), strict=True)
    ]


def output_kinds() -> dict[str, OutputKind]:
    """What evaluate took the outputs for; nothing where it has not run."""
    try:
        return {judged.output: judged.kind for judged in read_artifact(JUDGED, JudgedSet.from_json).outputs}
    except UserError:
        return {}


def table_row(path: Path, name: str, values: NDArray[np.float32], kind: OutputKind) -> list[str]:
    """A row of the table: the best of classes or probabilities, of other vectors the first values."""
    best = ""
    if values.ndim == 2 and len(values) == 1 and values.size > 1:
        if kind.is_share or kind.has_classes:
            classes = np.argsort(-values[0], kind="stable")[:SHOWN_CLASSES]
            best = ", ".join(f"{index}: {values[0, index]:.4g}" for index in classes)
        else:
            best = ", ".join(f"{value:.4g}" for value in values[0, :SHOWN_CLASSES]) + ", ..."
    return [path.name, name, "x".join(map(str, values.shape)), f"{values.min():.4g}", f"{values.max():.4g}", best]


def check_dump(folder: Path, inputs: int) -> None:
    """Refuse to mix a dump with other files: `stages.check` would take them for layers.

    Args:
        folder: of --dump.
        inputs: how many there are; several have a folder each in it.

    Raises:
        UserError: if it is a file, or holds anything but an earlier dump of the same form.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--dump: {folder} is a file: give a folder")
    inside = sorted(folder.iterdir()) if folder.exists() else []
    dumps = [folder] * len(inside) if inputs == 1 else inside
    other = next((path for path, dump in zip(inside, dumps, strict=True) if not (dump / NODE_INFO).is_file()), None)
    if other is not None:
        raise UserError(f"--dump: {folder} holds {other.name}, no earlier dump: give a new or an empty folder")


def clear_dump(folder: Path) -> None:
    """Remove the layers of an earlier dump, which may be of another network: by the list that it left."""
    listed = folder / NODE_INFO
    files = read_json(listed).get("files", {}) if listed.is_file() else {}
    for layer in files.values():
        (folder / Path(layer["file"]).name).unlink(missing_ok=True)


def write_dump(folder: Path, inputs: Sequence[NetworkInput], sample: Sample, layers: dict[str, bytes]) -> None:
    """Write the inputs and the layers."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, stem in zip(inputs, input_stems([each.name for each in inputs]), strict=True):
            shape = "_".join(map(str, nhwc(np.empty(each.shape, np.bool_)).shape))
            (folder / f"{stem}_data_shape_{shape}.bin").write_bytes(sample[each.name].tobytes())
        for name, content in layers.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise UserError(f"--dump: {folder} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    run_command(infer, __doc__ or "", add_arguments, EPILOG)
