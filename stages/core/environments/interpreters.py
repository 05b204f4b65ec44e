"""Finding a Python of a given version on this machine."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stages.core.base.errors import UserError

__all__ = ["clean_variables", "find_python"]

SHOW_VERSION = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
SECONDS = 30.0
"""What a Python may take to tell its version."""


def find_python(version: str, name: str) -> Path:
    """Find a Python: the running one, on PATH, pyenv's, uv's.

    Args:
        version: as "3.11".
        name: of the environment that needs it, for messages.

    Raises:
        UserError: if there is none.
    """
    if "{}.{}".format(*sys.version_info) == version and importlib.util.find_spec("venv"):
        return Path(sys.executable)
    for path in _candidates(version):
        if _version_of(path) == version:
            return path
    raise UserError(
        f"the environment {name} needs Python {version}, and this machine has none: install it with `uv python install "
        f"{version}`, `pyenv install {version}` or your system's packages, and run it again"
    )


def clean_variables() -> dict[str, str]:
    """This process's variables, without those by which one Python changes another."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}


def _candidates(version: str) -> Iterator[Path]:
    """Where such a Python may be, the likeliest first."""
    if on_path := shutil.which(f"python{version}"):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)
    if uv := shutil.which("uv"):
        command = [uv, "python", "find", "--no-python-downloads", version]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if found:
            yield Path(found)


def _version_of(path: Path) -> str | None:
    """Ask a Python for its version; None if it does not run, as pyenv's stand-ins, or lacks the module venv."""
    command = [str(path), "-c", SHOW_VERSION]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS, env=clean_variables()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
