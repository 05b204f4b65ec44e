"""A hook of mkdocs: a link to a file of the repository beside docs/ stands as its text; the file must be there."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]*)?\)")
log = get_plugin_logger("site_hook")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Take links that leave docs/ out of a page; a warning where the file is missing, which ends a strict build."""
    docs = Path(config["docs_dir"])

    def replaced(link: re.Match[str]) -> str:
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link[2]))
        if not inside.startswith("../"):
            return link[0]
        if not (docs / inside).exists():
            log.warning("%s links to %s, which is not there", page.file.src_uri, link[2])
        return link[1]

    return LINK.sub(replaced, markdown)
