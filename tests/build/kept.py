"""What a compiler has made is kept in the user's cache folder: the same sources and flags are compiled once."""

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import platformdirs

MONTH = 30 * 24 * 3600
"""Seconds after which a program that no test has asked for is removed."""
SOURCES = {".cpp", ".h", ".a", ".o"}
"""Endings of what a compiler reads, beside a Makefile."""


def kept_folder() -> Path:
    """Where programs are kept, each in a folder named by the hash of what it was made of."""
    return Path(platformdirs.user_cache_dir("socquant-tests")) / "programs"


def run(
    line: Sequence[str | Path], folder: Path, sources: Sequence[Path], made: Sequence[str], compiler: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, or take what it has made before; with a warning nothing is kept.

    Args:
        line: the command; its text is part of the key, but for where `folder` and `sources` are.
        folder: the current folder.
        sources: files, and folders of files, that the command reads.
        made: files that it makes, below `folder`.
        compiler: the command line of the compiler, whose version is part of the key.
    """
    entry = kept_folder() / _key([str(word) for word in line], [folder, *sources], made, compiler)
    if entry.is_dir():
        os.utime(entry)
        for name in made:
            _take(entry / name, folder / name)
        return subprocess.CompletedProcess(list(line), 0, "", "")
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if (done.returncode, done.stderr) == (0, ""):
        _keep(entry, folder, made)
    return done


def _key(words: Sequence[str], places: Sequence[Path], made: Sequence[str], compiler: str) -> str:
    text = "\n".join([*words, *made, _version(compiler), _machine()])
    for number, place in sorted(enumerate(places), key=lambda item: -len(str(item[1]))):
        if place.is_absolute():  # a short name may be part of any word
            text = text.replace(str(place), f"<{number}>")
    digest = hashlib.sha256(text.encode())
    for number, place in enumerate(places):
        for path in _files(place):
            if path.name not in {Path(name).name for name in made}:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{number} {path.relative_to(place)} {content}\n".encode())
    return digest.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for path in sorted(place.rglob("*")):
        if path.suffix in SOURCES or path.name == "Makefile":
            yield path


@cache
def _version(compiler: str) -> str:
    return subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _machine() -> str:
    """The processor's kind and instructions, for -march=native."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _take(kept: Path, target: Path) -> None:
    """Copy beside the target and rename: another test process may run the program that is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as part:
        Path(shutil.copy(kept, part)).replace(target)


def _keep(entry: Path, folder: Path, made: Sequence[str]) -> None:
    """Another test process may keep the same at the same time: what is there is whole."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    for old in entry.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another has just named what it keeps, or removed it
            if old.stat().st_mtime < time.time() - MONTH:
                shutil.rmtree(old, ignore_errors=True)
    part = Path(tempfile.mkdtemp(dir=entry.parent))
    for name in made:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, part / name)
    try:
        part.rename(entry)
    except OSError:
        shutil.rmtree(part)
