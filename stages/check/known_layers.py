"""What is known of the layers: from the dump's own list, the experiment, a log, or the files' sizes alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from stages.check.checked_layer import CheckedLayer, TensorForm, as_picture
from stages.check.dump_folders import QUANTIZED_SUFFIX, Dump, input_shape
from stages.core.base.artifacts import read_json
from stages.core.base.errors import DamagedError, UserError
from stages.core.base.paths import INTEGER_MODEL
from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.integer.dumps import NODE_INFO, DumpedLayer, dumped_layers, node_info
from stages.core.integer.model import load_integer_model
from stages.core.integer.quant_params import QuantParams

__all__ = ["KnownLayers", "guesses", "input_form", "known_layers"]

LEAST_KNOWN_SHARE = 0.5  # of the PC's files have to be the experiment's, or the log's
MOST_BITS = 32
SIZE = re.compile(r"\d{1,9}")
MAX_HALVINGS = 7  # of a picture in a network
LONGEST_NAME = 255
# Data dumping to:: ./MAGIK_DATA_DUMP/A.bin--->shape:[1,2,3,4]
LOGGED_SHAPE = re.compile(r"\.bin\s*-+>?\s*shape:\s*\[([\d,\s]+)\]")


@dataclass(frozen=True)
class KnownLayers:
    """The layers in graph order.

    Attributes:
        layers: those that have a PC dump.
        source: where shapes and order come from, to follow "shapes and order:".
        model: the experiment's integer model, where it is the dump's.
        certain: whether the order is the graph's.
    """

    layers: tuple[CheckedLayer, ...]
    source: str
    model: onnx.ModelProto | None = None
    certain: bool = True


def known_layers(pc: Dump, log: str = "") -> KnownLayers:
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
        path, nodes = listed
        same = experiment is not None and nodes == node_info(dumped_layers(experiment))["files"]
        return KnownLayers(_in_order(pc, _from_list(nodes, path)), str(path), experiment if same else None)
    if experiment is not None:
        layers = dumped_layers(experiment)
        known = {_plain(layer.file) for layer in layers}
        if sum(_plain(name) in known for name in pc.files) >= LEAST_KNOWN_SHARE * len(pc.files):
            return KnownLayers(_in_order(pc, _from_model(layers)), str(INTEGER_MODEL), experiment)
    shapes = dict(_logged_shapes(log))
    if sum(name in shapes for name in pc.files) >= LEAST_KNOWN_SHARE * len(pc.files):
        layers_of_log = [CheckedLayer(_plain(name), name, _of_size(pc, name, shape)) for name, shape in shapes.items()]
        return KnownLayers(_in_order(pc, layers_of_log), "the log")
    layers_by_name = tuple(CheckedLayer(_plain(name), name) for name in pc.files)
    return KnownLayers(
        layers_by_name, "guessed from names and sizes: keep the list that infer writes, or out/quantize", None, False
    )


def guesses(layer: CheckedLayer, size: int, inputs: Sequence[str]) -> Iterator[TensorForm]:
    """What a file may hold by its size and its name: pictures of halves, quarters, ... of the input's, or a row.

    Args:
        layer: whose form is not known.
        size: bytes.
        inputs: names of the input's dumps, which may tell its size.
    """
    shapes = (input_shape(name) or () for name in inputs)
    picture = next((shape for shape in shapes if len(shape) == PICTURE_RANK), None)
    bit_widths: list[tuple[int | None, int, int]] = [(8, 1, 1), (4, 1, 2), (12, 2, 1)]
    if not QUANTIZED_SUFFIX.search(layer.file.removesuffix(".bin")) and size % 4 == 0:
        bit_widths.insert(0, (None, 4, 1))
    for bits, of_bytes, a_byte in bit_widths:
        if size % of_bytes:
            continue
        count = size // of_bytes * a_byte
        for halvings in range(MAX_HALVINGS if picture else 0):
            assert picture is not None
            height, width = (-(-side // (1 << halvings)) for side in picture[1:3])
            if height * width > 1 and count % (height * width) == 0:
                yield TensorForm((1, height, width, count // (height * width)), bits)
        yield TensorForm((1, 1, 1, count), bits)


def input_form(pc: Dump, name: str) -> TensorForm | None:
    """What the input's dump holds; None where its name does not tell."""
    shape = input_shape(name)
    return _of_size(pc, name, shape, 8) if shape else None


def _logged_shapes(log: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name of a dump and its shape, for each that a log lists."""
    for match in LOGGED_SHAPE.finditer(log):
        before = log[max(0, match.start() - LONGEST_NAME) : match.start()]
        if stem := re.split(r"[/\s]", before)[-1]:
            yield f"{stem}.bin", tuple(map(int, SIZE.findall(match[1])))


def _experiment() -> onnx.ModelProto | None:
    try:
        return load_integer_model(INTEGER_MODEL) if INTEGER_MODEL.is_file() else None
    except DamagedError:
        raise
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


def _from_list(nodes: dict[str, Any], path: Path) -> list[CheckedLayer]:
    """Read the list beside a dump: node -> its file and what that holds."""
    layers = []
    for node, info in nodes.items():
        try:
            qparams = None
            if "bits" in info:
                scales = tuple(map(float, info.get("channel_scales", ())))
                qparams = QuantParams(int(info["bits"]), float(info["scale"]), int(info["zero_point"]), scales)
            form = TensorForm(as_picture(tuple(map(int, info["shape"]))), qparams.bits if qparams else None, qparams)
            inputs = tuple(map(str, info["takes"])) if "takes" in info else None
            if qparams and not 1 <= qparams.bits <= MOST_BITS:
                raise ValueError(f"{qparams.bits} bits")
            layers.append(CheckedLayer(node, str(info["file"]), form, inputs, inputs == ()))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise UserError(f"{path}: the entry of {node!r} is damaged ({error!r}): write the dump anew") from error
    return layers


def _from_model(layers: Sequence[DumpedLayer]) -> list[CheckedLayer]:
    return _from_list(node_info(layers)["files"], INTEGER_MODEL)


def _in_order(pc: Dump, layers: Sequence[CheckedLayer]) -> tuple[CheckedLayer, ...]:
    """Those that the dump has, whether its tool writes _Quantize or not; its further files behind them."""
    left = {_plain(name): name for name in pc.files} | {name: name for name in pc.files}
    ordered = []
    for layer in layers:
        name = left.get(layer.file) or left.get(_plain(layer.file))
        if name is not None:
            ordered.append(replace(layer, file=name))
            left = {key: other for key, other in left.items() if other != name}
    rest = dict.fromkeys(left.values())
    return (*ordered, *(CheckedLayer(_plain(name), name, listed=False) for name in pc.files if name in rest))


def _of_size(pc: Dump, name: str, shape: tuple[int, ...], bits: int | None = None) -> TensorForm | None:
    """A form of known shape whose bit width follows from the file's size."""
    picture = as_picture(shape)
    if not all(picture):
        return None
    there = name in (*pc.files, *pc.inputs, *pc.aside)  # a log may have any text as a name
    count, size = 1, (pc.folder / name).stat().st_size if there else 0
    for side in picture:
        count *= side
    if size == count:
        return TensorForm(picture, bits or 8)
    if size == 2 * count:
        return TensorForm(picture, 12)
    if size == 4 * count:
        return TensorForm(picture, None)
    return TensorForm(picture, 4) if size == count // picture[-1] * ((picture[-1] + 1) // 2) else None


def _plain(name: str) -> str:
    return QUANTIZED_SUFFIX.sub("", name.removesuffix(".bin"))
