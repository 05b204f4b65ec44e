"""A point's folder as a DVC workspace of its own: the project's pipeline and code, its cache, other parameters."""

import configparser
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from stages.core.base.artifacts import write_text
from stages.core.base.errors import UserError
from stages.core.base.processes import own_line, running

__all__ = [
    "LAST_SHARED_STAGE",
    "LOCKS_FOLDER",
    "LOG_FILE",
    "POINT_STAGES",
    "cache_folder",
    "clear_leftovers",
    "guilty_line",
    "prepare",
    "reproduce",
    "upstream_params",
]

LAST_SHARED_STAGE = "calibrate"
"""The last stage that many points share: no bit width goes into it."""
POINT_STAGES = ("compare", "build", "evaluate")
"""What a point computes; the MLflow run is the sweep's own business, since a cached point needs one too."""
LOG_FILE = "dvc.log"
LOCKS_FOLDER = "sweeps"  # in the cache, which the locks protect
BUSY_MESSAGES = ("Unable to acquire lock", "is busy")
RETRY_SECONDS = 1.0  # between two tries at a workspace that an earlier run still uses
MAX_WRITE_SECONDS = 5.0  # a living DVC never takes longer to write a file of its run cache


def cache_folder(project: Path) -> Path:
    """The DVC cache of a project, absolute.

    Raises:
        UserError: if there is no DVC project.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{project} is no DVC project: run this in the project's folder")
    return (project / ".dvc" / done.stdout.strip()).resolve()


def clear_leftovers(cache: Path) -> None:
    """Remove what a killed DVC left half-written in its run cache, where it would take it for a finished file."""
    for path in (cache / "runs").glob("*/*/.*.tmp"):
        with suppress(OSError):  # another sweep did
            if time.time() - path.stat().st_mtime > MAX_WRITE_SECONDS:
                path.unlink()


def prepare(project: Path, folder: Path, params: str, watched: Sequence[str], cache: Path) -> None:
    """Make `folder` a DVC workspace whose dependencies equal the project's.

    Code and the user's local files are links to the project's; outputs will be links to the cache.

    Args:
        project: the repository.
        folder: the workspace; what an earlier run left in it stays.
        params: the text of params.yaml.
        watched: paths of the user's own files, as the pipeline names them.
        cache: the DVC cache.
    """
    settings = configparser.ConfigParser(interpolation=None)
    settings.read([project / ".dvc" / name for name in ("config", "config.local")])
    for section in settings.sections():
        if section not in ("core", "cache"):
            settings.remove_section(section)  # a remote's relative path would lead elsewhere from here
    settings.read_dict(
        {
            "core": {
                "no_scm": "true",
                "analytics": "false",
                "check_update": "false",
                # not in a folder of the machine, where nobody would clear away one for each point
                "site_cache_dir": str(folder / ".dvc" / "tmp" / "site"),
            },
            "cache": {"dir": str(cache), "type": "reflink,hardlink,symlink,copy"},
        }
    )
    (folder / ".dvc").mkdir(parents=True, exist_ok=True)
    with (folder / ".dvc" / "config").open("w", encoding="utf-8") as file:
        settings.write(file)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copyfile(project / name, folder / name)
    write_text(folder / "params.yaml", params)
    # a path before what lies below it
    for path in sorted({"stages", "conf/quant", *(path for path in watched if not Path(path).is_absolute())}):
        if not os.path.lexists(folder / path) and not path.startswith("stages/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(project / path)


def reproduce(folder: Path, cache: Path, params: str, upstream: str) -> list[str]:
    """Run `dvc repro` in a workspace. Of points that share stages or are the same, one computes and the others wait.

    Args:
        folder: the workspace, prepared.
        cache: the DVC cache.
        params: what identifies the point: the text of params.yaml.
        upstream: what identifies everything up to calibration.

    Returns:
        The stages that were computed, not taken from the cache.

    Raises:
        UserError: if a stage fails; its own line.
    """
    locks = cache / LOCKS_FOLDER
    locks.mkdir(parents=True, exist_ok=True)
    name, shared = _digest(params), _digest(upstream)
    latest, calibrated = locks / f"{name}.latest", folder.parent / f".{shared}.calibrated"
    executed: list[str] = []
    with FileLock(locks / f"{name}.lock"):
        seeded = _seed(folder, latest)
        if not seeded and not calibrated.exists():
            with FileLock(locks / f"{shared}.lock"):
                if not calibrated.exists():
                    executed += _dvc(folder, [LAST_SHARED_STAGE])
                    calibrated.touch()
        executed += _dvc(folder, POINT_STAGES)
        write_text(latest, str(folder))
    return executed


def upstream_params(pipeline: Mapping[str, Any], params: Mapping[str, Any], target: str = LAST_SHARED_STAGE) -> str:
    """Say what a stage and all before it depend on among the parameters: a text that is equal where they are.

    Args:
        pipeline: dvc.yaml.
        params: params.yaml.
        target: the stage.
    """
    stages = pipeline["stages"]
    producers = {out: name for name, stage in stages.items() for out in _outputs(stage)}

    def keys(name: str) -> set[str]:
        used = set(stages[name].get("params", []))
        for dependency in stages[name].get("deps", []):
            if dependency.startswith("${"):
                used.add(dependency[2:-1])
            for out, producer in producers.items():
                if dependency == out or dependency.startswith(f"{out}/"):
                    used |= keys(producer)
        return used

    def value(key: str) -> Any:
        node: Any = params
        for part in key.split("."):
            node = node[part]
        return node

    return json.dumps({key: value(key) for key in sorted(keys(target))}, sort_keys=True)


def _outputs(stage: Mapping[str, Any]) -> list[str]:
    outputs = [output for kind in ("outs", "metrics", "plots") for output in stage.get(kind, [])]
    return [path for output in outputs for path in ([output] if isinstance(output, str) else output)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _seed(folder: Path, latest: Path) -> bool:
    """Start from where the same point lay before, if that is still there: DVC then checks files, and fetches none."""
    if (folder / "dvc.lock").exists():
        return True
    try:
        before = Path(latest.read_text(encoding="utf-8"))
        shutil.copytree(before / "out", folder / "out", symlinks=True, copy_function=os.link, dirs_exist_ok=True)
        shutil.copyfile(before / "dvc.lock", folder / "dvc.lock")
    except (OSError, shutil.Error):  # cleared away, or another disk
        shutil.rmtree(folder / "out", ignore_errors=True)
        return False
    return True


def _dvc(folder: Path, targets: Sequence[str]) -> list[str]:
    """Run `dvc repro`; gives the stages that ran.

    Raises:
        UserError: if one fails.
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    environment.pop("DVC_SITE_CACHE_DIR", None)
    while True:
        with (folder / LOG_FILE).open("w+", encoding="utf-8", errors="replace") as log:
            with running([sys.executable, "-m", "dvc", "repro", *targets], folder, log, environment) as process:
                code = process.wait()
            log.seek(0)
            text = log.read()
        if code == 0:
            return re.findall(r"^Running stage '([\w@-]+)'", text, re.MULTILINE)
        if code < 0:
            raise UserError(f"`dvc repro` was killed by {signal.Signals(-code).name}")
        if not any(sign in text for sign in BUSY_MESSAGES):
            raise UserError(guilty_line(text))
        time.sleep(RETRY_SECONDS)  # a killed sweep's stage, about to end


def guilty_line(text: str) -> str:
    """Find the line in a failed pipeline's log that says why: the stage's own, else DVC's."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if own := own_line(text):
        return own
    ended = re.search(r"failed to run: (.+?), exited with (-?\d+)", text)
    if ended:
        code = int(ended[2])
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"`{ended[1]}` {how}"
    refused = [line for line in lines if line.startswith("ERROR: ")]
    return (refused or lines or ["dvc repro failed without a word"])[-1].removeprefix("ERROR: ")
