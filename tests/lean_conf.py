"""A copy of conf/ that composes faster."""

import shutil
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY


def lean_conf(folder: Path) -> Path:
    """Copy conf/ into `folder`; of each vendor's operators convolution alone is left."""
    conf = folder / "conf"
    shutil.copytree(REPOSITORY / "conf", conf, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (conf / "operators").glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump({"Conv": content["Conv"]}), encoding="utf-8")
    return conf
