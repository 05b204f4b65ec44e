"""Files of many types, as bytes."""

from pathlib import Path

import numpy as np

from benchmarks.common import PROJECT
from benchmarks.strangers.material.photos import photos
from benchmarks.strangers.material.text_pictures import matplotlib_data

__all__ = ["files"]

PATTERNS = {
    "stages": ("**/*.py", "**/*.h", "**/*.j2", "**/*.cpp"),
    "conf": ("**/*.yaml",),
    "docs": ("**/*.md", "images/*.png"),
}
FONT_PATTERNS = ("fonts/ttf/*.ttf", "fonts/afm/*.afm", "images/*.svg", "images/*.pdf", "stylelib/*.mplstyle")
EACH = 8
"""Files of a pattern at most."""


def files(data: Path | None) -> list[bytes]:
    """The project's sources and pages, Matplotlib's fonts and drawings, photos; in an order without meaning."""
    roots = [(PROJECT / name, patterns) for name, patterns in PATTERNS.items()]
    roots.append((matplotlib_data(), FONT_PATTERNS))
    found = [path for root, patterns in roots for pattern in patterns for path in sorted(root.glob(pattern))[:EACH]]
    contents = [path.read_bytes() for path in found] + [photo.content for photo in photos(data)[:EACH]]
    return [contents[index] for index in np.random.default_rng(7).permutation(len(contents))]
