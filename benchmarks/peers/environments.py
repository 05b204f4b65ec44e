"""The environments of other toolkits; each setting runs in a process of its own there, which may fail."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import PROJECT
from benchmarks.peers.adapter import Peer
from benchmarks.peers.toolkit_settings import PEERS
from stages.core.base.errors import UserError, did_you_mean, one_line

__all__ = ["Hosted", "failure", "find_peers", "run_peer"]

MAX_SECONDS = 3600
"""Of one setting."""
LOG_FILE = Path("peer.log")
RESULT_FILE = Path("peer.json")


@dataclass(frozen=True)
class Hosted:
    """A toolkit's setting and the Python that can run it.

    Attributes:
        number: in PEERS.
        python: the interpreter.
    """

    number: int
    python: str

    @property
    def peer(self) -> Peer:
        """The setting."""
        return PEERS[self.number]


def find_peers(pythons: Sequence[str], names: Sequence[str]) -> list[Hosted]:
    """Find the settings that any of the environments can run, in their order; the first that can does.

    Args:
        pythons: interpreters.
        names: toolkits, or settings as the rows call them, to look for; empty: all.

    Raises:
        UserError: for a name without an adapter or that no environment can run, or an interpreter that cannot tell.
    """
    known = list(dict.fromkeys([*(peer.toolkit for peer in PEERS), *(peer.name for peer in PEERS)]))
    for name in names:
        if name not in known:
            raise UserError(f"--peers: no adapter for {name!r}; {did_you_mean(name, known)}")
    hosts: dict[int, str] = {}
    for python in pythons:
        for number in _runnable(python):
            hosts.setdefault(number, python)
    for name in names:
        if not any(_is_named(PEERS[number], [name]) for number in hosts):
            raise UserError(f"--peers: {name} cannot run here; --peer-python names an environment that has it")
    wanted = sorted(number for number in hosts if not names or _is_named(PEERS[number], names))
    return [Hosted(number, hosts[number]) for number in wanted]


def _is_named(peer: Peer, names: Sequence[str]) -> bool:
    return peer.toolkit in names or peer.name in names


def _runnable(python: str) -> list[int]:
    try:
        listed = subprocess.run(
            [python, "-m", "benchmarks.peers"], env=_environment(), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UserError(f"--peer-python {python}: {one_line(error)}") from error
    if listed.returncode:
        raise UserError(f"--peer-python {python}: {failure(listed.stderr, listed.returncode)}; it needs numpy and onnx")
    numbers: list[int] = json.loads(listed.stdout.splitlines()[-1])
    return numbers


def run_peer(hosted: Hosted, samples: Path, outputs: Path) -> dict[str, Any]:
    """Quantize by a setting on out/ of the current folder and run the samples.

    Returns:
        `seconds` of the process without running the samples, `peak_mb` before that, `version`; or `error`, one line.
    """
    for stale in (RESULT_FILE, outputs):
        stale.unlink(missing_ok=True)
    files = ["--samples", samples, "--outputs", outputs, "--result", RESULT_FILE]
    line = [hosted.python, "-m", "benchmarks.peers", str(hosted.number), *map(str, files)]
    start = time.perf_counter()
    with LOG_FILE.open("w", encoding="utf-8") as log:
        try:
            code = subprocess.run(
                line, env=_environment(), stdout=log, stderr=log, timeout=MAX_SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return {"error": f"stopped after {MAX_SECONDS} seconds"}
    seconds = time.perf_counter() - start
    if not RESULT_FILE.is_file():
        return {"error": failure(LOG_FILE.read_text(encoding="utf-8", errors="replace"), code)}
    result: dict[str, Any] = json.loads(RESULT_FILE.read_text(encoding="utf-8"))
    if "error" in result:
        return result
    return {"seconds": seconds - result.pop("running")} | result


def failure(log: str, code: int) -> str:
    """One line for a process that ended on its own: its exit code and last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return f"exit code {code}: {lines[-1]}" if lines else f"exit code {code}"


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # threads that spin while they wait make PyTorch's toolkits many times slower where other work runs beside them
    return {"OMP_WAIT_POLICY": "PASSIVE"} | kept | {"PYTHONPATH": str(PROJECT)}
