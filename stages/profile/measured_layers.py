"""What a board's log measured, layer by layer: each row with what its layer does, and the bit widths that it ran at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.core.base.console import counted, warn
from stages.core.base.errors import UserError
from stages.core.cost import BYTES_PER_MEGABYTE, LayerWork, bytes_moved, layer_key
from stages.profile.board_log import LayerRow, ProfileRun, averaged, read_log
from stages.profile.layer_names import LayerNames, row_work

__all__ = ["MeasuredLayer", "MeasuredLog", "merged", "note", "read_measured"]

MAX_LOST_SHARE = 0.01  # of the total: what rounding of rows to three digits leaves open


@dataclass(frozen=True)
class MeasuredLayer:
    """A measured layer.

    Attributes:
        work: what it does.
        feature_bits: bit width of its features.
        weight_bits: bit width of its weights.
        ms: what the board took.
        known: whether the layer is one of the network's, under `work.node`.
    """

    work: LayerWork
    feature_bits: int
    weight_bits: int
    ms: float
    known: bool = False

    @property
    def bit_widths(self) -> str:
        """The key of its price."""
        return layer_key(self.work, self.feature_bits, self.weight_bits)

    @property
    def megabytes(self) -> float:
        """2^20 bytes moved at these bit widths."""
        return bytes_moved(self.work, self.feature_bits, self.feature_bits, self.weight_bits) / BYTES_PER_MEGABYTE


@dataclass(frozen=True)
class MeasuredLog:
    """A log as it was read.

    Attributes:
        path: the file.
        bits: feature and weight bits that the board ran at.
        run: one of its runs, or the mean of all.
        layers: what each of the run's rows measured.
    """

    path: Path
    bits: tuple[int, int]
    run: ProfileRun
    layers: Sequence[MeasuredLayer]


def read_measured(path: Path, number: int | None, bits: tuple[int, int], names: LayerNames | None) -> MeasuredLog:
    """Read a log.

    Args:
        path: the file.
        number: which of its runs, from 1; None: the mean of all.
        bits: feature and weight bits that the board ran at.
        names: the network's layers, where there is a network.

    Raises:
        UserError: if the file is no log, or has no such run.
    """
    run = _chosen_run(path, number)
    return MeasuredLog(path, bits, run, [_measured(row, bits, names) for row in run.layers])


def _chosen_run(path: Path, number: int | None) -> ProfileRun:
    runs = read_log(path)
    if number is not None and not 1 <= number <= len(runs):
        raise UserError(f"--run {number}: {path} holds {counted(len(runs), 'run')}")
    run = averaged(runs if number is None else [runs[number - 1]], str(path))
    if abs(run.lost) > MAX_LOST_SHARE:
        rows_ms = run.total * (1 - run.lost)
        warn(f"{path}: its rows add up to {rows_ms:.3f} ms of a total of {run.total:.3f} ms: are lines missing?")
    return run


def _measured(row: LayerRow, bits: tuple[int, int], names: LayerNames | None) -> MeasuredLayer:
    """What a row measured; the network's own counts where it names one of its layers."""
    work = names.find(row.name) if names else None
    return MeasuredLayer(work or row_work(row), *bits, row.average, work is not None)


def merged(layers: Sequence[MeasuredLayer]) -> list[MeasuredLayer]:
    """One measurement a layer: a layer that the board ran in several rows took them all."""
    by_layer: dict[tuple[str, int], MeasuredLayer] = {}
    for index, layer in enumerate(layers):
        key = (layer.work.node, -1 if layer.known else index)
        by_layer[key] = replace(layer, ms=layer.ms + by_layer[key].ms) if key in by_layer else layer
    return list(by_layer.values())


def note(logs: Sequence[MeasuredLog]) -> str:
    """Where the numbers come from."""
    return "measured on a board: " + ", ".join(f"{log.path.name} at {log.bits[0]}/{log.bits[1]}" for log in logs)
