"""What compile has written, for the stages after it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import read_json
from stages.core.base.checksums import read_bytes
from stages.core.base.errors import UserError
from stages.core.base.paths import COMPILE, COMPILED, COMPILER_LOG, INTEGER_MODEL
from stages.core.config.schema import Config

__all__ = ["LAYERS_FILE", "CompiledNetwork", "load_compiled", "network_digest", "was_refused", "weight_file"]

LAYERS_FILE = "layers.json"


@dataclass(frozen=True)
class CompiledNetwork:
    """A compiled network.

    Attributes:
        record: `compiled.json`.
        layers: `layers.json`: a dict a layer, on one picture.
    """

    record: dict[str, Any]
    layers: list[dict[str, Any]]

    @property
    def lowered(self) -> Path:
        """The network before compiling, which TPU-MLIR simulates."""
        return COMPILE / str(self.record["lowered"])

    @property
    def codes_apart(self) -> tuple[int, int]:
        """How many codes this project's simulator has otherwise, of how many."""
        coded = [row for row in self.layers if row["codes"]]
        return sum(row["codes_apart"] for row in coded), sum(row["codes"] for row in coded)

    def least_similar(self, count: int) -> Sequence[dict[str, Any]]:
        """The layers that are least like the float network's, the worst first."""
        return sorted(self.layers, key=lambda row: float(row["cosine"]))[:count]


def network_digest() -> str:
    """Digits that change with the quantized network.

    Raises:
        UserError: if it is missing or damaged.
    """
    return hashlib.sha256(read_bytes(INTEGER_MODEL)).hexdigest()[:16]


def was_refused() -> bool:
    """Whether compile was the last to run and made nothing: its log stays only then."""
    return COMPILER_LOG.exists() and not COMPILED.exists()


def load_compiled(config: Config) -> CompiledNetwork:
    """Read what compile has written.

    Raises:
        UserError: if it has not, or has of another SOC or another quantized network.
    """
    record = read_json(COMPILED)
    if (record["chip"], record["network"]) != (config.soc.name, network_digest()):
        raise UserError(f"{COMPILE} was made of another quantized network: run `dvc repro`")
    return CompiledNetwork(record, read_json(COMPILE / LAYERS_FILE))


def weight_file(path: Path) -> str:
    """The name of the file of weights that a .mlir names; it lies beside it.

    Raises:
        UserError: if it names none: it is damaged.
    """
    _, _, rest = path.read_bytes().partition(b"module.weight_file = ")
    try:
        name = json.JSONDecoder().raw_decode(rest.decode())[0]
    except ValueError:
        name = None
    if not isinstance(name, str) or name != Path(name).name:
        raise UserError(f"{path} is damaged: it does not say where its weights are; run `dvc repro -f compile`")
    return name
