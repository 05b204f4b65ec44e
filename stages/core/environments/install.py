"""Making an environment, whole or not at all, and removing it."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stages.core.base.artifacts import output_folder, write_text
from stages.core.base.console import console, counted, progress
from stages.core.base.errors import UserError
from stages.core.base.processes import run_streaming
from stages.core.base.sources import environments_folder
from stages.core.environments.environment import Environment
from stages.core.environments.interpreters import clean_variables, find_python

__all__ = ["install", "remove", "run_python"]

BYTES_OF_GIGABYTE = 1_000_000_000
REQUIREMENTS_FILE = "requirements.txt"
LARGE_MEGABYTES = 10.0
"""Downloads from this size on are named while they run."""
FIRST_SIGHT = re.compile(r"\s*(?:Collecting|Processing) ")
DOWNLOAD = re.compile(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+)-\S+ \(([0-9.]+) MB\)")


def install(environment: Environment) -> Path:
    """Make an environment, unless it is there already.

    Another process that installs the same one is waited for.

    Returns:
        The environment's Python.

    Raises:
        UserError: if there is no Python for it, no room, or if a package, a mend or the smoke test fails; nothing is
            left behind then.
    """
    if environment.installed:
        return environment.executable
    with _locked(environment):
        if not environment.installed:
            base = find_python(environment.python, environment.name)
            _require_room(environment)
            console.print(f"installing {environment.name} (Python {environment.python}, {_amount(environment)})")
            with output_folder(environment.folder) as staging:
                _make(environment, base, staging)
            console.print(f"installed {environment.name} in {environment.folder}")
    return environment.executable


def remove(environment: Environment) -> list[Path]:
    """Remove an environment, and those of the same name that other versions of the project have made.

    Returns:
        The folders that were removed.
    """
    with _locked(environment):
        own = [environment.folder] if environment.folder.exists() else []
        folders = [*own, *environment.leftovers]
        for folder in folders:
            shutil.rmtree(folder)
    return folders


def run_python(
    environment: Environment, arguments: Sequence[str], folder: Path, python: Path | None = None
) -> tuple[int, str]:
    """Run an environment's Python without input, apart from this process's packages; its programs come first on PATH.

    Args:
        environment: an installed one.
        arguments: of its Python: a script and what it takes.
        folder: it runs there.
        python: another place of its Python, while it is made.

    Returns:
        The exit code, and all that was printed.
    """
    lines: list[str] = []
    executable = python or environment.executable
    search = {"PATH": os.pathsep.join([str(executable.parent), os.environ.get("PATH", os.defpath)])}
    variables = search | dict(environment.variables or {})
    code = _run([str(executable), *arguments], folder, lines.append, variables)
    return code, "".join(lines)


def _make(environment: Environment, base: Path, staging: Path) -> None:
    """Fill a folder that takes the environment's place afterwards."""
    python = staging / "bin" / "python"
    lines: list[str] = []
    prompt = f"--prompt={environment.name}"  # else that of the folder where it is made
    if _run([str(base), "-m", "venv", "--without-pip", prompt, str(staging)], staging, lines.append):
        raise UserError(f"{base} cannot make an environment: {_last(lines)}")
    _install_packages(environment, python, staging)
    steps = [(f"mend: {mend.title}", mend.code) for mend in environment.mends]
    for title, code in [*steps, ("the smoke test", environment.smoke)]:
        exit_code, text = run_python(environment, ["-c", code], staging, python)
        if exit_code:
            raise UserError(f"{environment.name} cannot be installed: {title}: {_last(text.splitlines())}")
    _relocate(staging, environment.folder)


def _install_packages(environment: Environment, python: Path, folder: Path) -> None:
    """Install what the recipe lists with the project's own pip, and nothing that it does not list."""
    if not environment.requirements:
        return
    lines: list[str] = []
    listed = folder / REQUIREMENTS_FILE  # pip takes digests from a file alone
    write_text(listed, "".join(f"{requirement}\n" for requirement in environment.requirements))
    # wheels only: a build would run code and take compilers; modules are compiled when they are first imported
    options = ["--no-deps", "--only-binary=:all:", "--no-compile", "--progress-bar=off", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", f"--python={python}", "install", *options, f"--requirement={listed}"]
    with progress(f"installing {environment.name}", len(environment.requirements)) as step:

        def show(line: str) -> None:
            lines.append(line)
            if FIRST_SIGHT.match(line):
                step()
            if (download := DOWNLOAD.match(line)) and float(download[2]) >= LARGE_MEGABYTES:
                console.print(f"  fetching {download[1]} ({download[2]} MB)", style="dim")

        code = _run(command, folder, show)
    if code:
        offline = "; is there a network?" if any("connection" in line.lower() for line in lines) else ""
        raise UserError(f"{environment.name} cannot be installed: pip: {_last(lines)}{offline}")


def _run(
    command: Sequence[str], folder: Path, take: Callable[[str], None], variables: Mapping[str, str] | None = None
) -> int:
    return run_streaming(command, folder, take, clean_variables() | dict(variables or {}))


def _relocate(staging: Path, final: Path) -> None:
    """Write the place where the environment will be into its scripts, which know where it was made."""
    old, new = str(staging.absolute()).encode(), str(final.absolute()).encode()
    for path in (staging / "pyvenv.cfg", *(staging / "bin").iterdir()):
        if path.is_file() and not path.is_symlink() and old in (content := path.read_bytes()):
            path.write_bytes(content.replace(old, new))


def _require_room(environment: Environment) -> None:
    root = environments_folder()
    free = shutil.disk_usage(root).free / BYTES_OF_GIGABYTE
    if free < environment.gigabytes:
        raise UserError(
            f"{environment.name} needs {environment.gigabytes:g} GB, and {root} has {free:.1f} GB free; SOCQUANT_CACHE "
            "names a folder on another disk"
        )


def _amount(environment: Environment) -> str:
    packages = counted(len(environment.requirements), "package")
    return f"{packages}, {environment.gigabytes:g} GB" if environment.gigabytes else packages


def _last(lines: Sequence[str]) -> str:
    """What a program said last: its own error, where it marks one."""
    said = [line.strip() for line in lines if line.strip()]
    marked = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return (marked or said or ["it says nothing"])[-1]


@contextmanager
def _locked(environment: Environment) -> Iterator[None]:
    """Hold the lock of a name; say so if another process has it."""
    root = environments_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root} cannot be written: {error.strerror}") from error
    lock = FileLock(root / f"{environment.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"waiting for another process that installs or removes {environment.name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
