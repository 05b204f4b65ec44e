"""Folders of dumps: which files are layers, and which file of a board belongs to which of the PC's.

The vendor's rule: `<layer>_Quantize.bin` on the PC is `<layer>_Quantize_out.bin` on the board (older tools write
QuantizeFeature); what is in float is `<layer>.bin` and `<layer>_out.bin`. A board writes its parameters beside them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = [
    "QUANTIZED_SUFFIX",
    "Dump",
    "DumpPair",
    "dumps_to_compare",
    "fed_picture",
    "input_shape",
    "is_picture",
    "pair_files",
    "read_dump",
    "sibling_dumps",
]

PARAMETER_FILE = re.compile(r"_(bt|weight)\.bin$")
OUTPUT_FILE = re.compile(r"^output_\d+\.bin$")  # the network's outputs again, as floats
INPUT_FILE = re.compile(r"^(.+_data_shape(?:_\d+)+|input|input_uint8)(_out)?\.bin$")
SHAPE_SUFFIX = re.compile(r"_data_shape((?:_\d+)+)(_out)?\.bin$")
QUANTIZED_SUFFIX = re.compile(r"_Quantize(Feature)?$")
MOST_DUMP_BYTES = 1 << 30


@dataclass(frozen=True)
class Dump:
    """A folder's files.

    Attributes:
        folder: where.
        files: names of layers' dumps, numbers in names in the order of numbers.
        inputs: names of the network's inputs as they were fed.
        aside: names of parameters and outputs, which are not compared.
    """

    folder: Path
    files: tuple[str, ...]
    inputs: tuple[str, ...]
    aside: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            UserError: if it cannot be read, or is larger than any layer's.
        """
        try:
            if (self.folder / name).stat().st_size <= MOST_DUMP_BYTES:
                return (self.folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.folder / name} cannot be read: {one_line(error)}") from error
        raise UserError(f"{self.folder / name} is larger than {MOST_DUMP_BYTES >> 20} MB: it is no layer's dump")


@dataclass(frozen=True)
class DumpPair:
    """A PC's dump and a board's, and which of their files belong together.

    Attributes:
        pc, board: the dumps.
        board_files: PC file -> board file.
        missing: PC files that the board has not.
        extra: board files that the PC has not.
        inputs: each input's file on the PC and on the board, where both have it.
    """

    pc: Dump
    board: Dump
    board_files: dict[str, str]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    inputs: tuple[tuple[str, str], ...]


def read_dump(folder: Path) -> Dump:
    """List a folder of dumps.

    Raises:
        UserError: if there is no such folder.
    """
    names = [path.name for path in _paths(folder) if path.suffix == ".bin" and path.is_file()]
    names.sort(key=_natural)
    aside = [name for name in names if PARAMETER_FILE.search(name) or OUTPUT_FILE.match(name)]
    inputs = [name for name in names if INPUT_FILE.match(name)]
    return Dump(folder, tuple(n for n in names if n not in aside and n not in inputs), tuple(inputs), tuple(aside))


def dumps_to_compare(pc: Path, board: Path) -> list[tuple[str, Dump, Dump]]:
    """Find what to compare: one pair of folders, or a pair for each input.

    Args:
        pc: a folder of dumps, or of a folder for each input, as `stages.infer` writes them.
        board: the same; for a folder of several inputs one of the same names, or the dump of one of those inputs.

    Returns:
        Name (empty for a single pair), PC dump, board dump. Of several inputs that one dump of a board may be of, the
        one with the most equal files.

    Raises:
        UserError: if a folder is missing or holds no dumps, or the two are exchanged or one and the same.
    """
    dumps = _dumps(pc, board)
    for _, one, other in dumps:
        if one.folder.samefile(other.folder):
            raise UserError(f"{pc} and {board} are the same folder: give the PC's dump, then the board's")
    return dumps


def _dumps(pc: Path, board: Path) -> list[tuple[str, Dump, Dump]]:
    one, other = read_dump(pc), read_dump(board)
    if one.files and other.files:
        _check_sides(one, other)
        return [("", one, other)]
    inner, outer = (_inside(folder) for folder in (pc, board))
    if not one.files and not inner:
        raise UserError(f"{pc} holds no dumps (.bin files): `python -m stages.infer INPUT --dump DIR` writes the PC's")
    if not other.files and not outer:
        raise UserError(f"{board} holds no dumps (.bin files): copy there what the board's debug build wrote")
    if one.files:
        raise UserError(f"{board} holds no dumps itself, but folders of them: give one of {', '.join(outer)}")
    if other.files:
        alike = {name: _equal_files(dump, other) for name, dump in inner.items()}
        name = max(alike, key=lambda key: alike[key])
        return [(name, inner[name], other)]
    shared = [name for name in inner if name in outer]
    if not shared:
        raise UserError(
            f"{pc} has folders {', '.join(inner)}, {board} {', '.join(outer)}: none has the name of another"
        )
    return [(name, inner[name], outer[name]) for name in shared]


def sibling_dumps(folder: Path, dump: Dump) -> list[Dump]:
    """The dumps beside one, in a folder of several; none if the folder is the dump itself."""
    if dump.folder == folder:
        return []
    others = (path for path in sorted(folder.iterdir()) if path.is_dir() and path != dump.folder)
    return [other for path in others if (other := read_dump(path)).files]


def pair_files(pc: Dump, board: Dump) -> DumpPair:
    """Pair files by the vendor's names; where characters were replaced, by letters and digits alone.

    Raises:
        UserError: if no name fits.
    """
    left = dict.fromkeys(board.files)
    paired: dict[str, str] = {}
    for rule in (_usual_names, _other_names):
        for name in pc.files:
            if name not in paired and (match := next((other for other in rule(name) if other in left), None)):
                paired[name] = match
                del left[match]
    loose: dict[str, list[str]] = {}
    for other in left:
        loose.setdefault(_loose(other, "_out"), []).append(other)
    for name in pc.files:
        if name not in paired and len(fitting := loose.get(_loose(name, ""), [])) == 1:
            paired[name] = fitting[0]
            del left[fitting.pop()]
    if not paired:
        raise UserError(
            f"no file of {board.folder} is named after one of {pc.folder}: the PC's are such as {pc.files[0]}, the "
            f"board's such as {board.files[0]}; are they of one network?"
        )
    missing = tuple(name for name in pc.files if name not in paired)
    return DumpPair(pc, board, paired, missing, tuple(left), _inputs(pc, board))


def input_shape(name: str) -> tuple[int, ...] | None:
    """The shape in the name of an input's dump: N, H, W, C of a picture."""
    match = SHAPE_SUFFIX.search(name)
    return tuple(map(int, match[1].split("_")[1:])) if match else None


def is_picture(name: str) -> bool:
    """Whether an input's dump may be of a picture, as far as its name tells."""
    shape = input_shape(name)
    return shape is None or len(shape) == PICTURE_RANK


def fed_picture(dump: Dump) -> bool:
    """Whether one of the network's inputs may be a picture."""
    return not dump.inputs or any(map(is_picture, dump.inputs))


def _usual_names(name: str) -> list[str]:
    """What the board calls a PC's file; last, another PC's dump has the same name."""
    stem = name.removesuffix(".bin")
    base = QUANTIZED_SUFFIX.sub("", stem)
    kinds = ["_Quantize", "_QuantizeFeature"] if base != stem else [""]
    return [f"{stem}_out.bin", *(f"{base}{kind}_out.bin" for kind in kinds), name]


def _other_names(name: str) -> list[str]:
    """Codes where the PC has floats, the other way round, or codes without a suffix (the converter's ptq_model)."""
    base = QUANTIZED_SUFFIX.sub("", name.removesuffix(".bin"))
    return [f"{base}{kind}{end}.bin" for end in ("_out", "") for kind in ("_Quantize", "_QuantizeFeature", "")]


def _loose(name: str, ending: str) -> str:
    stem = QUANTIZED_SUFFIX.sub("", name.removesuffix(".bin").removesuffix(ending))
    return re.sub(r"[\W_]+", "_", stem).strip("_").lower()


def _inputs(pc: Dump, board: Dump) -> tuple[tuple[str, str], ...]:
    """Files of the same name; where there are none, the first of each: only channels or type in the name differ."""
    same = tuple((name, name) for name in pc.inputs if name in board.inputs)
    return same or tuple(zip(pc.inputs[:1], board.inputs[:1], strict=False))


def _check_sides(pc: Dump, board: Dump) -> None:
    def outs(dump: Dump) -> int:
        return sum(name.endswith("_out.bin") for name in dump.files)

    if outs(pc) and not outs(board) and board.files:
        raise UserError(
            f"{pc.folder} has a board's files (..._out.bin), {board.folder} a PC's: give the PC's folder first"
        )


def _equal_files(pc: Dump, board: Dump) -> int:
    try:
        paired = pair_files(pc, board).board_files
    except UserError:
        return -1
    return sum(pc.read(name) == board.read(other) for name, other in paired.items())


def _paths(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is {'no folder' if folder.exists() else 'missing'}: give a folder of dumps")
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {one_line(error)}") from error


def _inside(folder: Path) -> dict[str, Dump]:
    dumps = ((path.name, read_dump(path)) for path in _paths(folder) if path.is_dir())
    return {name: dump for name, dump in dumps if dump.files}


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts conv2 before conv10."""
    parts = re.split(r"(\d+)", name)
    return [(1, 0, part) if index % 2 == 0 else (0, int(part), "") for index, part in enumerate(parts)]
