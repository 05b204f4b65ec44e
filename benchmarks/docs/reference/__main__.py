"""Writes the pages of docs/reference that follow from the code: `python -m benchmarks.docs.reference`.

They list every key of the config, every command with its options, every SOC and every finding. Run it after a change of
the schema, of a command's options, of `conf/soc` or of compare's findings. `--check` writes nothing: it compares.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

from benchmarks.docs.reference.commands_page import commands_page
from benchmarks.docs.reference.config_page import config_page
from benchmarks.docs.reference.finding_pictures import PICTURES
from benchmarks.docs.reference.findings_page import findings_page
from benchmarks.docs.reference.socs_page import socs_page
from stages.core.base.artifacts import write_text
from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.command import Parser, guarded
from stages.core.config.composition import compose_socs

__all__ = ["FOLDER", "PAGES", "PICTURES_FOLDER", "run"]

CONF = Path("conf")
FOLDER = Path("docs/reference")
PICTURES_FOLDER = Path("docs/images/findings")


def config_text() -> str:
    """The page of keys."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return config_page({name: stage.get("do", stage) for name, stage in stages.items()})  # a stage may be conditional


def socs_text() -> str:
    """The page of SOCs."""
    return socs_page(compose_socs(sorted(path.stem for path in (CONF / "soc").glob("*.yaml")), CONF))


PAGES: Mapping[str, Callable[[], str]] = {
    "config.md": config_text,
    "commands.md": commands_page,
    "socs.md": socs_text,
    "findings.md": findings_page,
}
"""File -> what gives its text."""


def main() -> None:
    parser = Parser("benchmarks.docs.reference", (__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 2 if a page would change")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: write(arguments.check), arguments.debug))


def write(check_only: bool) -> None:
    """Write all pages, and the pictures of findings; or compare the pages, and see that the pictures are there.

    The bytes of a picture are those of a release of matplotlib: they are not compared.

    Raises:
        UserError: with `check_only`, for a page that would change or a picture that is missing.
    """
    run(PAGES, check_only)
    for kind, draw in PICTURES.items():
        path = PICTURES_FOLDER / f"{kind}.svg"
        if not check_only:
            write_text(path, draw())
        elif not path.is_file():
            raise UserError(f"{path} is missing: write it with `python -m benchmarks.docs.reference`")


def run(pages: Iterable[str], check_only: bool) -> None:
    """Write pages, or only compare them.

    Raises:
        UserError: with `check_only`, if a page would change.
    """
    for name in pages:
        path, text = FOLDER / name, PAGES[name]()
        if not check_only:
            write_text(path, text)
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path} is not what the code says: write it with `python -m benchmarks.docs.reference`")
        output.print(f"{path} {'is what the code says' if check_only else 'written'}")


if __name__ == "__main__":
    main()
