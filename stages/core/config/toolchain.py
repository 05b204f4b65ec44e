"""Where the vendor's converter is."""

import os
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.sources import PINNED_PATH, expanded
from stages.core.config.schema import ToolchainConfig

__all__ = ["find_tool", "watched_tool"]


def watched_tool(path: str | None, name: str) -> str:
    """Give the file whose content DVC has to watch for `soc.toolchain`: the executable.

    Its libraries are not watched: a toolkit takes gigabytes, and a release builds its executable anew. Without a path
    nothing of the toolkit is used; `PINNED_PATH` stands for that.
    """
    if not path:
        return PINNED_PATH
    toolkit = Path(expanded(path))
    return str(toolkit / name if toolkit.is_dir() else toolkit)


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
