"""Bad texts in the place of each text file that a command reads."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.hostile.case import Case
from benchmarks.hostile.damages import SPECIALS, TEXTS, written

__all__ = ["text_cases"]


def _setting(key: str, value: str) -> Callable[[], None]:
    """Change a setting of params.yaml, and what DVC watches for it."""

    def change() -> None:
        path = Path("params.yaml")
        lines = path.read_text(encoding="utf-8").splitlines()
        setting, watched = (index for index, line in enumerate(lines) if line.strip().startswith(f"{key}: "))
        lines[setting] = f"{lines[setting].partition(':')[0]}: {value}"
        lines[watched] = f"  {key}: {value.removeprefix('file:')}"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return change


def _nothing() -> None:
    """Leave the project as it is."""


READ: tuple[tuple[str, tuple[str, ...], Callable[[], None]], ...] = (
    ("params.yaml", ("export",), _nothing),
    ("params.yaml", ("compose", "--keep"), _nothing),
    ("params.yaml", ("compose", "soc=t41"), _nothing),
    ("other.yaml", ("infer", "evaluation/ant/0.png", "--params", "other.yaml"), _nothing),
    ("other.yaml", ("scan", "--params", "other.yaml"), _nothing),
    ("board.log", ("profile", "board.log"), _nothing),
    ("nmem.txt", ("profile", "--nmem", "nmem.txt"), _nothing),
    ("cost.yaml", ("autotune", "--mean-bits", "6", "--no-track", "--cost", "cost.yaml"), _nothing),
    ("bits.json", ("quantize",), _setting("node_bits", "file:bits.json")),
    ("labels.csv", ("evaluate",), _setting("labels", "file:labels.csv")),
    ("labels.json", ("evaluate",), _setting("labels", "file:labels.json")),
    ("magik.cfg", ("init", "magik.cfg", "--model", "net.onnx"), _nothing),
    ("ptq.json", ("init", "--from", "ptq.json", "--model", "net.onnx"), _nothing),
    ("rknn.yaml", ("init", "--from", "rknn.yaml", "--model", "net.onnx"), _nothing),
    ("run.sh", ("init", "run.sh", "--model", "net.onnx"), _nothing),
    ("console.log", ("check", "pc", "pc2", "--log", "console.log"), _nothing),
    ("pc/model_node_info.json", ("check", "pc", "pc2"), _nothing),
)
"""A text file, the command that reads it, and what the project needs for it."""


def text_cases() -> Iterator[Case]:
    """Each text file of a command and each bad text, and each thing that may stand in its place."""
    for path, line, ready in READ:
        for name, content in TEXTS.items():
            yield Case("texts", f"{path}: {name}", line, partial(_with_text, path, content, ready))
        for name, make in SPECIALS.items():
            yield Case("texts", f"{path}: {name}", line, partial(_with_special, path, make, ready))


def _with_text(path: str, content: bytes, ready: Callable[[], None]) -> None:
    ready()
    _second_dump()
    written(path, content)


def _with_special(path: str, make: Callable[[Path], object], ready: Callable[[], None]) -> None:
    ready()
    _second_dump()
    Path(path).unlink(missing_ok=True)
    make(Path(path))


def _second_dump() -> None:
    """A board's dump: what the PC's folder holds, under a board's names."""
    Path("pc2").mkdir()
    for file in Path("pc").glob("*.bin"):
        (Path("pc2") / f"{file.stem}_out.bin").write_bytes(file.read_bytes())
