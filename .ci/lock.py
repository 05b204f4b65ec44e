"""Writes .ci/requirements.txt: what CI installs, each package in one version with its file's hash.

`python .ci/lock.py` takes the newest that pyproject.toml allows. torch is left out: its files differ from index to
index (with and without accelerator libraries), so that pyproject.toml alone fixes its version.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / ".ci/requirements.txt"
EXTRAS = "dev,board,docs,fuzz,lmdb"
BUILD = "setuptools>=77"
"""With what packages without a wheel are built, and this project is installed."""
LEFT_OUT = {"socquant", "torch"}
HEADER = f"""\
# Exact versions that CI installs, with hashes: python .ci/lock.py, of `.[{EXTRAS}]`, without the project and torch.
"""


def resolved() -> list[dict[str, Any]]:
    """Packages as pip would install them into an empty environment."""
    with NamedTemporaryFile() as report:
        line = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*line, "--report", report.name, "-e", f"{PROJECT}[{EXTRAS}]", BUILD], check=True)
        packages: list[dict[str, Any]] = json.load(report)["install"]
        return packages


def main() -> None:
    """Resolve and write."""
    lines = []
    for package in sorted(resolved(), key=lambda package: package["metadata"]["name"].lower()):
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        if name not in LEFT_OUT:
            digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
            lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    LOCK.write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
