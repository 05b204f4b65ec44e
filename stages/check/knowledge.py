"""What is known of the layers: from the dump's own list, the experiment, a log, or the files' sizes alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from stages.check.folders import QUANTIZED, Dump, input_shape
from stages.check.layers import Form, Layer, as_picture
from stages.core.base.artifacts import read_json
from stages.core.base.errors import UserError
from stages.core.base.paths import INTEGER_MODEL
from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.integer.dumps import NODE_INFO, DumpedLayer, dumped_layers, node_info
from stages.core.integer.model import load_integer_model
from stages.core.integer.quant_params import QuantParams

__all__ = ["Known", "guesses", "input_form", "known_layers"]

ENOUGH = 0.5  # of the PC's files have to be the experiment's
PYRAMID = 7  # times that a network halves a picture at most
DUMPED = re.compile(
    r"([^/\s]+\.bin)\s*-+>?\s*shape:\s*\[([\d,\s]+)\]"
)  # Data dumping to:: ./MAGIK_DATA_DUMP/A.bin--->shape:[1,2,3,4]


@dataclass(frozen=True)
class Known:
    """The layers in graph order.

    Attributes:
        layers: those that have a PC dump.
        source: where shapes and order come from, to follow "shapes and order:".
        model: the experiment's integer model, where it is the dump's.
        certain: whether the order is the graph's.
    """

    layers: tuple[Layer, ...]
    source: str
    model: onnx.ModelProto | None = None
    certain: bool = True


def known_layers(pc: Dump, log: str = "") -> Known:
    """Describe the layers of a PC's dump.

    Args:
        pc: the dump.
        log: what the tool printed that wrote it, or the board; may list shapes.

    Raises:
        UserError: if the list beside the dump is damaged.
    """
    experiment = _experiment()
    listed = _listed(pc)
    if listed is not None:
        path, content = listed
        same = experiment is not None and _same(content, node_info(dumped_layers(experiment))["files"])
        return Known(_in_order(pc, _from_list(content, path)), str(path), experiment if same else None)
    if experiment is not None:
        layers = dumped_layers(experiment)
        known = {_plain(layer.file) for layer in layers}
        if sum(_plain(name) in known for name in pc.files) >= ENOUGH * len(pc.files):
            return Known(_in_order(pc, _from_model(layers)), str(INTEGER_MODEL), experiment)
    shapes = {match[1]: tuple(int(size) for size in match[2].split(",")) for match in DUMPED.finditer(log)}
    if sum(name in shapes for name in pc.files) >= ENOUGH * len(pc.files):
        layers_of_log = [Layer(_plain(name), name, _of_size(pc, name, shape)) for name, shape in shapes.items()]
        return Known(_in_order(pc, layers_of_log), "the log")
    layers_by_name = tuple(Layer(_plain(name), name) for name in pc.files)
    return Known(
        layers_by_name, "guessed from names and sizes: keep the list that infer writes, or out/quantize", None, False
    )


def guesses(layer: Layer, size: int, inputs: Sequence[str]) -> Iterator[Form]:
    """What a file may hold by its size and its name: pictures of halves, quarters, ... of the input's, or a row.

    Args:
        layer: whose form is not known.
        size: bytes.
        inputs: names of the input's dumps, which may tell its size.
    """
    shape = next((found for name in inputs if len(found := input_shape(name) or ()) == PICTURE_RANK), None)
    bit_widths: list[tuple[int | None, int, int]] = [(8, 1, 1), (4, 1, 2), (12, 2, 1)]
    if not QUANTIZED.search(layer.file.removesuffix(".bin")) and size % 4 == 0:
        bit_widths.insert(0, (None, 4, 1))
    for bits, of_bytes, a_byte in bit_widths:
        if size % of_bytes:
            continue
        count = size // of_bytes * a_byte
        for halvings in range(PYRAMID if shape else 0):
            assert shape is not None
            height, width = (-(-side // (1 << halvings)) for side in shape[1:3])
            if height * width > 1 and count % (height * width) == 0:
                yield Form((1, height, width, count // (height * width)), bits)
        yield Form((1, 1, 1, count), bits)


def input_form(pc: Dump, name: str) -> Form | None:
    """What the input's dump holds; None where its name does not tell."""
    shape = input_shape(name)
    return _of_size(pc, name, shape, 8) if shape else None


def _experiment() -> onnx.ModelProto | None:
    try:
        return load_integer_model(INTEGER_MODEL) if INTEGER_MODEL.is_file() else None
    except UserError:
        return None


def _listed(pc: Dump) -> tuple[Path, dict[str, Any]] | None:
    """The list beside a dump, or one folder up as the converter's debug run has it."""
    for path in (pc.folder / NODE_INFO, pc.folder.parent / NODE_INFO):
        if path.is_file():
            content = read_json(path)
            files = content.get("files") if isinstance(content, dict) else None
            if isinstance(files, dict):
                return path, files
    return None


def _from_list(content: dict[str, Any], path: Path) -> list[Layer]:
    layers = []
    for node, entry in content.items():
        try:
            codes = None
            if "bits" in entry:
                scales = tuple(map(float, entry.get("channel_scales", ())))
                codes = QuantParams(int(entry["bits"]), float(entry["scale"]), int(entry["zero_point"]), scales)
            form = Form(as_picture(tuple(map(int, entry["shape"]))), codes.bits if codes else None, codes)
            takes = tuple(map(str, entry["takes"])) if "takes" in entry else None
            layers.append(Layer(node, str(entry["file"]), form, takes, takes == ()))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: the entry of {node!r} is damaged ({error!r}): write the dump anew") from error
    return layers


def _from_model(layers: Sequence[DumpedLayer]) -> list[Layer]:
    return _from_list(node_info(layers)["files"], INTEGER_MODEL)


def _in_order(pc: Dump, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Those that the dump has, whether its tool writes _Quantize or not; its further files behind them."""
    left = {_plain(name): name for name in pc.files} | {name: name for name in pc.files}
    found = []
    for layer in layers:
        name = left.get(layer.file) or left.get(_plain(layer.file))
        if name is not None:
            found.append(replace(layer, file=name))
            left = {key: other for key, other in left.items() if other != name}
    rest = dict.fromkeys(left.values())
    return (*found, *(Layer(_plain(name), name, listed=False) for name in pc.files if name in rest))


def _same(listed: dict[str, Any], own: dict[str, Any]) -> bool:
    return listed == own


def _of_size(pc: Dump, name: str, shape: tuple[int, ...], bits: int | None = None) -> Form | None:
    """A form of known shape whose width follows from the file's size."""
    picture = as_picture(shape)
    count, size = 1, (pc.folder / name).stat().st_size if (pc.folder / name).is_file() else 0
    for side in picture:
        count *= side
    if size == count:
        return Form(picture, bits or 8)
    if size == 2 * count:
        return Form(picture, 12)
    if size == 4 * count:
        return Form(picture, None)
    return Form(picture, 4) if size == count // picture[-1] * ((picture[-1] + 1) // 2) else None


def _plain(name: str) -> str:
    return QUANTIZED.sub("", name.removesuffix(".bin"))
