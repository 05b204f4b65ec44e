"""Runs the vendor's converter on a copy of the folder and collects its output files."""

import hashlib
import json
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.build.magik.converter_similarity import parse_table, table_csv
from stages.build.magik.scripts import Options
from stages.build.magik.vendor_names import CONVERTED_FOLDER
from stages.core.base.artifacts import write_json, write_text
from stages.core.base.console import console, warn
from stages.core.base.errors import UserError, one_line
from stages.core.base.processes import run_streaming
from stages.core.graph.onnx_graph import Graph

__all__ = ["Converted", "convert", "last_error"]

LOG_FILE = "converter.log"
# The guide's log ends with these words; some releases are reported to end with code 1 after them.
SUCCESS_WORDS = "convert successfully"
ERROR_LINE = re.compile(r":\s[EF]\s\S+:\d+|\b(?:error|fatal|invalid|failed|exception|segmentation)\b", re.IGNORECASE)
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
TOOL_VERSION = re.compile(r"magik-transform-tools version:(\S+)")
# The guide spells the debug folder both ways.
NODE_INFO_FILES = ("magik_dump_path/model_node_info.json", "magik_dump_data/model_node_info.json")


@dataclass(frozen=True)
class Converted:
    """The result of a conversion.

    Attributes:
        files: names of the converter's output files, now in `converted/`.
        rows: its similarity table, a dict a layer; empty if the log has none.
    """

    files: list[str]
    rows: list[dict[str, Any]]


def convert(folder: Path, scratch: Path, tool: Path, call: Options, graph: Graph, log: Path) -> Converted:
    """Run the converter and write `converted/` into the folder: its output files, similarity table and log.

    Args:
        folder: the converter's input. It runs on a copy, so that its by-products (dumps, event logs) stay out.
        scratch: where the copy goes; created here, removed at the end.
        tool: the converter.
        call: its options; `-o NAME.mk.h` names its output.
        graph: the network that is converted.
        log: receives the converter's text while it runs. It stays there if the conversion fails.

    Raises:
        UserError: if it cannot be started, fails, or writes no network. The message names the log and its last error.
    """
    shutil.copytree(folder, scratch)
    exit_code = _run(tool, call, scratch, log)
    lines = _lines(log)
    stem = dict(call)["-o"].removesuffix(".mk.h")
    success = any(SUCCESS_WORDS in line.lower() for line in lines)
    if (exit_code and not success) or not (scratch / f"{stem}.bin").is_file():
        raise UserError(f"{tool} {_ending(exit_code)}{last_error(lines)}; its log: {log}")
    if exit_code:
        warn(
            f"{tool.name} ended with exit code {exit_code}, yet its log says that it converted, and {stem}.bin is there"
        )
    rows = parse_table(lines, graph, _layer_types(scratch))
    target = folder / CONVERTED_FOLDER
    target.mkdir()
    files = _collect_networks(scratch, folder, target)
    if rows:
        write_json(target / "similarity.json", rows)
        write_text(target / "similarity.csv", table_csv(rows))
    version = next((match[1] for match in map(TOOL_VERSION.search, lines) if match), "")
    content = {
        "tool": tool.name,
        "version": version,
        "sha256": hashlib.sha256(tool.read_bytes()).hexdigest(),
        "options": [word for pair in call for word in pair],
        "exit_code": exit_code,
        "files": files,
    }
    write_json(target / "conversion.json", content)
    shutil.rmtree(scratch)
    log.replace(target / LOG_FILE)
    return Converted(files, rows)


def _run(tool: Path, call: Options, folder: Path, log: Path) -> int:
    with log.open("w", encoding="utf-8", newline="") as file:

        def copy_text(text: str) -> None:
            file.write(text)
            file.flush()
            console.file.write(text)
            console.file.flush()

        try:
            return run_streaming([str(tool), *(word for pair in call for word in pair)], folder, copy_text)
        except OSError as error:
            raise UserError(f"soc.toolchain.path: {tool} cannot be run here: {one_line(error)}") from error


def _lines(log: Path) -> list[str]:
    """The log's lines without colours; a line that was rewritten in place gives one line for each state."""
    return ANSI_COLOUR.sub("", log.read_text(encoding="utf-8")).splitlines()


def _ending(exit_code: int) -> str:
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}: "
    return f"ended with exit code {exit_code}: " if exit_code else "wrote no network: "


def last_error(lines: list[str]) -> str:
    """The last line that speaks of an error, else the last line."""
    text = [" ".join(line.split()) for line in lines if line.strip()]
    errors = [line for line in text if ERROR_LINE.search(line)]
    return (errors or text or ["it printed nothing"])[-1]


def _layer_types(scratch: Path) -> Mapping[str, str]:
    """Layer -> the converter's type of it, as a debug run writes them; empty where there is no such file."""
    for path in (scratch / name for name in NODE_INFO_FILES):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {str(name): op_type for op_type in content["all_type"] for name in content.get(op_type, [])}
        except (OSError, ValueError, KeyError, TypeError):  # no file, or of another form: the table has no types then
            continue
    return {}


def _collect_networks(scratch: Path, folder: Path, target: Path) -> list[str]:
    """Move the converter's networks (for the board, as a header, for the PC) into one folder; gives their names."""
    networks = [*scratch.glob("*.bin"), *scratch.glob("*.mk.h"), *scratch.rglob("*.mgk")]
    written = [path for path in networks if not (folder / path.relative_to(scratch)).exists()]
    for path in written:
        path.replace(target / path.name)
    return sorted(path.name for path in written)
