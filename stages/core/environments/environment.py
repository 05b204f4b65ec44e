"""What an environment is made of, and where it lies."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.core.base.sources import environments_folder

__all__ = ["Environment", "Mend"]

DIGEST_DIGITS = 12


@dataclass(frozen=True)
class Mend:
    """A change to what pip has installed, without which it does not run.

    Attributes:
        title: what it does, for progress lines.
        code: Python that the environment's own Python runs, in the environment's folder. Once it has run, running it
            again changes nothing.
    """

    title: str
    code: str


@dataclass(frozen=True)
class Environment:
    """The recipe of an environment; another recipe is another environment, in another folder.

    Attributes:
        name: what `python -m stages.toolchain install` calls it.
        purpose: what it is for, in a few words.
        python: version of its Python, as "3.11".
        requirements: every package, those that others need among them, each of one exact version (`name==version`; a
            marker may follow, or `--hash=sha256:...` where each has one file): nothing else is installed.
        smoke: Python that runs there at the end; if it fails nothing is kept.
        gigabytes: what it takes on the disk.
        mends: applied in this order, before the smoke test.
        variables: environment variables of the programs that run in it.
    """

    name: str
    purpose: str
    python: str
    requirements: tuple[str, ...] = ()
    smoke: str = ""
    gigabytes: float = 0.0
    mends: tuple[Mend, ...] = ()
    variables: Mapping[str, str] | None = None

    @property
    def digest(self) -> str:
        """Digits that change with the recipe."""
        recipe = asdict(self) | {"purpose": "", "gigabytes": 0, "variables": None}
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]

    @property
    def folder(self) -> Path:
        """Where it lies once it is installed."""
        return environments_folder() / f"{self.name}-{self.digest}"

    @property
    def executable(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def installed(self) -> bool:
        """Whether it can be used: it is there, and so is the Python that it was made with."""
        return self.executable.exists()

    @property
    def leftovers(self) -> list[Path]:
        """Folders of other recipes of the same name: those of another version of the project."""
        digits = "[0-9a-f]" * DIGEST_DIGITS
        return sorted(set(environments_folder().glob(f"{self.name}-{digits}")) - {self.folder})
