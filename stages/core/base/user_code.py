"""Code of the user's own: functions and classes that a setting names as module:name."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.sources import PINNED_PATH

__all__ = ["import_callable", "require_module", "watched_module"]


def import_callable(text: str, key: str, hint: str = "") -> Callable[..., Any]:
    """Import what a setting names.

    A module in the project's folder, the current one, is found; so is one that is installed.

    Args:
        text: `module:name`, or `module:Class.method`.
        key: the setting, for messages.
        hint: where a module can be put that is not found; "": into the project's folder.

    Raises:
        UserError: if the module cannot be imported, or has nothing of that name that can be called.
    """
    module, _, path = text.partition(":")
    where = f"{key}={text}"
    if not module or not path:
        raise UserError(f"{where}: write module:function")
    _look_in_the_current_folder()
    try:
        target: Any = importlib.import_module(module)
    except Exception as error:  # the user's own code may raise anything
        told = hint or f"put {module.partition('.')[0]}.py into the project's folder"
        absent = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        told = f"; {told}" if absent else ""
        raise UserError(f"{where}: {one_line(error)}{told}") from error
    for part in path.split("."):
        if not hasattr(target, part):
            public = [name for name in dir(target) if not name.startswith("_")]
            raise UserError(f"{where}: no {part!r} there; {did_you_mean(part, public)}")
        target = getattr(target, part)
    if not callable(target):
        raise UserError(f"{where}: {path!r} is a {type(target).__name__}; name a function or a class")
    function: Callable[..., Any] = target
    return function


def require_module(text: str | None, key: str) -> None:
    """Refuse a module that is nowhere or no Python, without running any of its code.

    Args:
        text: `module:name`; None: nothing to look for.
        key: the setting, for messages.

    Raises:
        UserError: if it is neither in the current folder nor installed, or if a file in the current folder has a syntax
            error.
    """
    if not text:
        return
    _look_in_the_current_folder()
    name = text.partition(":")[0].partition(".")[0]
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        raise UserError(f"{key}={text}: there is no module {name!r}; put {name}.py into the project's folder")
    path = Path(*text.partition(":")[0].split(".")).with_suffix(".py")
    if path.is_file():
        try:
            compile(path.read_bytes(), str(path), "exec")
        except (SyntaxError, ValueError) as error:
            raise UserError(f"{key}={text}: {one_line(error)}") from error


def watched_module(text: str | None) -> str:
    """Give the path whose content DVC has to watch for `module:name`: the module's file, or its package's folder.

    Of a module that is not in the current folder, and so is installed, `PINNED_PATH`.
    """
    name = (text or "").partition(":")[0].partition(".")[0]
    candidates = (Path(name), Path(f"{name}.py")) if name.isidentifier() else ()
    for path in candidates:
        if path.is_file() or any(path.glob("*.py")):
            return str(path)
    return PINNED_PATH


def _look_in_the_current_folder() -> None:
    if "" not in sys.path:
        sys.path.append("")  # behind folders that the user has put first
    importlib.invalidate_caches()  # a file may have come since Python looked into the folder
