"""Measured errors on disk, so that the next budget is answered at once."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stages.autotune.allocation.problem import AllocationProblem
from stages.core.base.artifacts import as_object, read_artifact, write_json
from stages.core.config.schema import Config
from stages.core.data.sample_store import SampleReader

__all__ = ["MeasuredErrors", "measurement_key"]

MEASUREMENT_VERSION = 4
"""Raise it when errors are measured in another way."""


def measurement_key(
    problem: AllocationProblem, config: Config, statistics: Path, pictures: SampleReader, validation: SampleReader
) -> str:
    """Identify all that measured errors follow from (16 hexadecimal digits)."""
    quant = {key: getattr(value, "name", value) for key, value in asdict(replace(config.quant, node_bits=None)).items()}
    settings = {  # its keys are part of the digest: with others all would be measured anew
        "version": MEASUREMENT_VERSION,
        "soc": repr(config.soc.arithmetic),
        "inputs": repr([asdict(each) for each in config.model.inputs]),
        "quant": quant,
        "given": {name: vars(bits) for name, bits in problem.given.items()},
        "widths": problem.bit_widths,
        "pictures": pictures.digests,
        "verification": validation.digests,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(problem.graph.model.SerializeToString(deterministic=True))
    digest.update(statistics.read_bytes())
    return digest.hexdigest()[:16]


class MeasuredErrors:
    """What was measured for one key.

    Attributes:
        sensitivities: variable -> bit width -> error; None if not measured yet.
        ranges: (tensor, bit width) -> range by output; None if not chosen yet.
        uniform: "feature bits/weight bits" -> measured error of uniform bit widths.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / f"{key}.json"
        self.sensitivities: dict[str, dict[int, float]] | None = None
        self.ranges: dict[tuple[str, int], tuple[float, float]] | None = None
        self.uniform: dict[str, float] = {}
        if self._path.is_file():
            read_artifact(self._path, self._fill)

    def _fill(self, content: Any) -> None:
        stored, ranges = as_object(content)["sensitivities"], content["ranges"]
        self.sensitivities = stored and {
            name: {int(bits): float(error) for bits, error in errors.items()} for name, errors in stored.items()
        }
        if ranges is not None:
            self.ranges = {(tensor, bits): (low, high) for tensor, bits, low, high in ranges}
        self.uniform = {name: float(error) for name, error in as_object(content["errors"]).items()}

    def save(self) -> None:
        """Write it all."""
        ranges = None if self.ranges is None else [[*key, *ends] for key, ends in self.ranges.items()]
        write_json(self._path, {"sensitivities": self.sensitivities, "ranges": ranges, "errors": self.uniform})
