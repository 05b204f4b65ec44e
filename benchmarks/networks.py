"""The real networks that are measured, and where their pictures and files lie."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import pictures_in
from stages.core.base.errors import UserError
from stages.core.command import guarded

__all__ = ["NETWORKS", "Network", "find_data", "networks_command"]


@dataclass(frozen=True)
class Network:
    """A network to measure: its pictures in DIR, its file in DIR (none: conf/ fetches it), and how to compose it."""

    pictures: str
    file: str | None
    overrides: tuple[str, ...]


NETWORKS = {
    "lite0": Network("imagenet_sample", None, ()),
    "yolox_nano": Network(
        "coco_train128/images",
        "models/yolox_nano_416.onnx",
        (
            "model=onnx",
            "model.source=file:network.onnx",
            "model.name=yolox_nano",
            "model.inputs=[{mean: [0], normal: [1], color: BGR}]",
            "model.preprocess.fit=letterbox",
            "model.preprocess.anchor=top_left",
            "model.preprocess.pad=114",
        ),
    ),
}


def find_data(network: Network, data: Path, least: int) -> tuple[list[Path], Path | None]:
    """The network's pictures by name, `least` or more of them, and its file in DIR.

    Raises:
        UserError: naming what DIR lacks.
    """
    if not data.is_dir():
        raise UserError(f"--data {data}: is no folder")
    pictures = pictures_in(data / network.pictures)
    if len(pictures) < least:
        raise UserError(f"{data / network.pictures} holds {len(pictures)} pictures: {least} or more needed")
    file = data / network.file if network.file else None
    if file and not file.is_file():
        raise UserError(f"{file} is missing: see --help for what --data holds")
    return pictures, file


def networks_command(program: str, doc: str, measure: Callable[[Sequence[str], Path, Path | None], bool]) -> None:
    """Run a benchmark of these networks from the command line; exits, with 1 where a bar is missed.

    Args:
        program: the module.
        doc: its documentation: what follows the first line is the command's description.
        measure: takes names of networks, DIR and the file of rows; gives whether every bar is reached.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=doc.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of pictures and networks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--network", choices=NETWORKS, help="measure this one only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    chosen = [arguments.network] if arguments.network else list(NETWORKS)
    reached: list[bool] = []
    code = guarded(lambda: reached.append(measure(chosen, arguments.data, arguments.json)), arguments.debug)
    sys.exit(code or int(not all(reached)))
