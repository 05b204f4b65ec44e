"""Where the vendor's converter is."""

import os
from collections.abc import Sequence
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.paths import COMPILE
from stages.core.base.sources import PINNED_PATH, expanded, installed_environments
from stages.core.config.schema import Backend, ToolchainConfig, Vendor

__all__ = ["find_tool", "sophgo_compilers", "watched_result", "watched_simulation", "watched_tool"]

SOPHGO_COMPILER = "tpu-mlir"


def watched_tool(path: str | None, name: str) -> str:
    """Give the file whose content DVC has to watch for `soc.toolchain`: the executable.

    Its libraries are not watched: a toolkit takes gigabytes, and a release builds its executable anew. Without a path
    nothing of the toolkit is used; `PINNED_PATH` stands for that.
    """
    if not path:
        return PINNED_PATH
    toolkit = Path(expanded(path))
    return str(toolkit / name if toolkit.is_dir() else toolkit)


def sophgo_compilers(vendor: Vendor | str, path: str | None) -> list[str]:
    """List the compilers that compile can run on this machine: TPU-MLIR by `soc.toolchain.path` or as installed."""
    if Vendor.sophgo not in (vendor, getattr(Vendor, str(vendor), None)):
        return []
    return [SOPHGO_COMPILER] if path or installed_environments("sophgo") else []


def watched_result(compilers: Sequence[str]) -> str:
    """Give what the stages after compile depend on: its folder, or `PINNED_PATH` where there is no compiler."""
    return str(COMPILE) if compilers else PINNED_PATH


def watched_simulation(compilers: Sequence[str], backend: Backend | str) -> str:
    """Give what evaluate depends on: compile's folder where the vendor's simulator computes, else `PINNED_PATH`."""
    by_vendor = Backend.toolchain in (backend, getattr(Backend, str(backend), None))
    return watched_result(compilers if by_vendor else [])


def find_tool(toolchain: ToolchainConfig) -> Path | None:
    """Find the executable that `soc.toolchain` names.

    Returns:
        Its absolute path, links resolved; None without `soc.toolchain.path`.

    Raises:
        UserError: if it is not there or cannot be run.
    """
    if not toolchain.path:
        return None
    tool = Path(watched_tool(toolchain.path, toolchain.name))
    key = f"soc.toolchain.path={toolchain.path}"
    if not tool.is_file():
        raise UserError(f"{key}: there is no {tool}; give {toolchain.name} itself or the folder that has it")
    if not os.access(tool, os.X_OK):
        raise UserError(f"{key}: {tool} is not executable: `chmod +x` it")
    return tool.resolve()
