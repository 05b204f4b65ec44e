"""Runs the vendor's converter on a copy of the folder and gathers what it makes."""

import hashlib
import json
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.build.magik.scripts import Options
from stages.build.magik.similarity import parse_table, table_csv
from stages.build.magik.words import CONVERTED
from stages.core.base.artifacts import write_json, write_text
from stages.core.base.console import console, warn
from stages.core.base.errors import UserError, one_line
from stages.core.base.processes import run_streaming
from stages.core.graph.onnx_graph import Graph

__all__ = ["Converted", "convert", "last_error"]

LOG = "converter.log"
DONE = "convert successfully"  # the guide's last line says so; some releases are reported to end with code 1 after it
ERRORS = re.compile(r":\s[EF]\s\S+:\d+|\b(?:error|fatal|invalid|failed|exception|segmentation)\b", re.IGNORECASE)
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
VERSION = re.compile(r"magik-transform-tools version:(\S+)")
# The guide writes the debug folder both ways.
NODE_INFOS = ("magik_dump_path/model_node_info.json", "magik_dump_data/model_node_info.json")


@dataclass(frozen=True)
class Converted:
    """What a conversion gave.

    Attributes:
        files: names of the converter's files, now in `converted/`.
        rows: its similarity table; empty if the log has none.
    """

    files: list[str]
    rows: list[dict[str, Any]]


def convert(folder: Path, scratch: Path, tool: Path, call: Options, graph: Graph, log: Path) -> Converted:
    """Run the converter and write `converted/` into the folder: its files, its table, its log.

    Args:
        folder: what it takes; it runs on a copy, so that its by-products (dumps, event logs) stay out.
        scratch: the copy's place; made here, removed at the end.
        tool: the converter.
        call: its options; `-o NAME.mk.h` says what it makes.
        graph: the network that is converted.
        log: a file that takes what it says while it runs. It stays there if the conversion fails.

    Raises:
        UserError: if it cannot be started, fails, or makes no network; names the log and its last error.
    """
    shutil.copytree(folder, scratch)
    code = _run(tool, call, scratch, log)
    lines = _lines(log)
    stem = dict(call)["-o"].removesuffix(".mk.h")
    done = any(DONE in line.lower() for line in lines)
    if (code and not done) or not (scratch / f"{stem}.bin").is_file():
        raise UserError(f"{tool} {_ending(code)}{last_error(lines)}; its log: {log}")
    if code:
        warn(f"{tool.name} ended with exit code {code}, yet its log says that it converted, and {stem}.bin is there")
    rows = parse_table(lines, graph, _types(scratch))
    target = folder / CONVERTED
    target.mkdir()
    files = _gather(scratch, folder, target)
    if rows:
        write_json(target / "similarity.json", rows)
        write_text(target / "similarity.csv", table_csv(rows))
    version = next((match[1] for match in map(VERSION.search, lines) if match), "")
    content = {
        "tool": tool.name,
        "version": version,
        "sha256": hashlib.sha256(tool.read_bytes()).hexdigest(),
        "options": [word for pair in call for word in pair],
        "exit_code": code,
        "files": files,
    }
    write_json(target / "conversion.json", content)
    shutil.rmtree(scratch)
    log.replace(target / LOG)
    return Converted(files, rows)


def _run(tool: Path, call: Options, folder: Path, log: Path) -> int:
    with log.open("w", encoding="utf-8", newline="") as file:

        def take(text: str) -> None:
            file.write(text)
            file.flush()
            console.file.write(text)
            console.file.flush()

        try:
            return run_streaming([str(tool), *(word for pair in call for word in pair)], folder, take)
        except OSError as error:
            raise UserError(f"soc.toolchain.path: {tool} cannot be run here: {one_line(error)}") from error


def _lines(log: Path) -> list[str]:
    """The log's lines, without colours; of what was rewritten in place each state."""
    return COLOUR.sub("", log.read_text(encoding="utf-8")).splitlines()


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}: "
    return f"ended with exit code {code}: " if code else "made no network: "


def last_error(lines: list[str]) -> str:
    """The last line that speaks of an error, else the last line."""
    said = [" ".join(line.split()) for line in lines if line.strip()]
    errors = [line for line in said if ERRORS.search(line)]
    return (errors or said or ["it said nothing"])[-1]


def _types(scratch: Path) -> Mapping[str, str]:
    """Its types of its layers, from what a debug run leaves: layer -> type."""
    for path in (scratch / name for name in NODE_INFOS):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {str(name): kind for kind in content["all_type"] for name in content.get(kind, [])}
        except (OSError, ValueError, KeyError, TypeError):  # none, or of another form: the table has no types then
            continue
    return {}


def _gather(scratch: Path, folder: Path, target: Path) -> list[str]:
    """Move the networks that it made, for the board, as a header and for the PC, into one folder."""
    found = [*scratch.glob("*.bin"), *scratch.glob("*.mk.h"), *scratch.rglob("*.mgk")]
    made = [path for path in found if not (folder / path.relative_to(scratch)).exists()]
    for path in made:
        path.replace(target / path.name)
    return sorted(path.name for path in made)
