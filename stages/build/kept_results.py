"""Where what is made of the board's folder goes: `dvc repro` removes all in `out/build` that it has not made itself."""

from pathlib import Path

__all__ = ["RESULTS_OF_SCRIPT", "kept_folder"]

KEPT = Path("board")
"""Beside out/."""

RESULTS_OF_SCRIPT = f"""\
case "$here" in
*/out/build/*) results="${{here%/out/build/*}}/{KEPT}/${{here##*/out/build/}}" ;;
*) results=$here ;;
esac
"""
"""Shell: sets `results` for a script whose folder is `here`; a folder that was copied elsewhere keeps its own."""


def kept_folder(soc: str, part: str = "") -> Path:
    """The folder for what is made of `out/build/<soc>/<part>`, relative to the project's."""
    return KEPT / soc / part
