"""Where what is made of the board's folder goes: `dvc repro` removes all in `out/build` that it has not made itself."""

from pathlib import Path

__all__ = ["README", "RESULTS_OF_SCRIPT", "kept_folder", "readme"]

README = "README.md"
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


def readme(soc: str) -> str:
    """What the board's folder says of itself.

    Args:
        soc: the folder's name.
    """
    return f"""\
# out/build/{soc}

`dvc repro` replaces this folder: whatever you change or make in it is gone then.

- The scripts and Makefiles here write their results to `{kept_folder(soc)}/` in the project's folder, which DVC leaves
  alone.
- To change sources, copy their folder first: `cp -r out/build/{soc} {kept_folder(soc)}` or anywhere else. A copy keeps
  its results to itself.
"""
