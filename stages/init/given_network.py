"""The network that init is given: a file, a folder, a pinned source, or a class of PyTorch's that builds it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.core.base.errors import UserError
from stages.core.base.sources import open_source, watched_path
from stages.core.data.model_files import IncompleteSourceError, is_network_name, source_stem, with_format
from stages.init.write.source_text import source

__all__ = ["GivenNetwork", "given_network", "whole_source"]

PINNED = ("package:", "https://", "file:")
CODE = re.compile(r"(?P<where>(?!file:|https:)[^#]+):(?P<name>[A-Za-z_][\w.]*)(?P<digest>#.*)?")
"""`module:Class`, `folder/net.py:Class`, or a module of a package: `package:.../net.py:Class#sha256=...`."""
SUFFIX = ".py"
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class GivenNetwork:
    """What `model` says of a network.

    Attributes:
        source: as `model.source` has it; None of a module whose weights its code gives.
        stem: a short name for it.
        overrides: further keys.
    """

    source: str | None
    stem: str
    overrides: Sequence[str] = ()


def given_network(given: str) -> GivenNetwork | None:
    """Read the word that names a network; None of a file that is none, which may be a vendor's config.

    Raises:
        UserError: for a pinned source, or a folder or pattern, without a network.
    """
    code = None if Path(given).exists() else _of_code(given)
    if code is not None:
        return code
    text = given if given.startswith(PINNED) else source(Path(given))
    if given.startswith(PINNED[:2]):
        return GivenNetwork(text, source_stem(text))
    try:
        with_format(open_source(text, "the network"), text)
    except IncompleteSourceError as error:
        text = whole_source(error)
    except UserError:
        path = Path(given)
        meant = path.is_dir() or (path.is_file() and is_network_name(given)) or watched_path(text) == "."
        if meant or given.startswith(PINNED):
            raise
        return None
    return GivenNetwork(text, source_stem(text))


def whole_source(error: IncompleteSourceError) -> str:
    """The source of all files of a network of which one was given.

    Raises:
        UserError: if they are not known, or lie in the project's own folder, which DVC cannot watch.
    """
    if error.whole is None:
        raise error
    whole = error.whole if error.whole.startswith("package:") else source(Path(error.whole.removeprefix("file:")))
    if watched_path(whole) == ".":
        names = whole.removeprefix("file:").strip("{}").replace(",", ", ")
        raise UserError(f"the network is {names}: move these into a folder of their own and give that folder")
    return whole


def _of_code(given: str) -> GivenNetwork | None:
    """The keys of a class or function that builds a module; None of another word.

    Raises:
        UserError: for a file that is not there.
    """
    word = CODE.fullmatch(given)
    if word is None:
        return None
    where, name = word["where"], word["name"]
    if MODULE.fullmatch(where) and not where.endswith(SUFFIX):
        return GivenNetwork(None, name, [f"model.torch.callable={where}:{name}"])
    if not where.endswith(SUFFIX):
        return None
    if where.startswith("package:"):
        module = ".".join(PurePosixPath(where.removesuffix(SUFFIX)).parts[1:])
        code = f"{where}{word['digest'] or ''}"
    else:
        path = Path(where).expanduser()
        if not path.is_file():
            raise UserError(f"{given}: {path} does not exist")
        root = next(folder for folder in path.absolute().parents if not (folder / "__init__.py").exists())
        module = ".".join(path.absolute().relative_to(root).with_suffix("").parts)
        code = "" if root == Path.cwd() else source(root)
    callable_key = f"model.torch.callable={module}:{name}"
    return GivenNetwork(None, name, [callable_key, f"model.torch.code={code}"] if code else [callable_key])
