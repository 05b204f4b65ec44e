import shutil
from pathlib import Path

import pytest

from tests.build.venus import programs


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """The toolkit's stand-in for this machine; what the sanitizers find in it or in a program ends the program."""
    _need_compiler()
    return programs.toolkit(tmp_path_factory.mktemp("toolkit") / "tree", programs.SANITIZED)


@pytest.fixture(scope="session")
def plain_tree(tmp_path_factory) -> Path:
    """The same without sanitizers, which double the time to compile: for what is only built."""
    _need_compiler()
    return programs.toolkit(tmp_path_factory.mktemp("plain_toolkit") / "tree")


def _need_compiler() -> None:
    for tool in ("g++", "make"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing: apt-get install g++ make")
