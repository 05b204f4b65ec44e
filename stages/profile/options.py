"""What the user of profile asks for, and the bit widths that a log may have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.base.console import counted
from stages.core.base.errors import UserError
from stages.core.config.bit_widths import allowed_bit_widths
from stages.core.config.schema import FLOAT_BITS, Config

__all__ = ["Request", "check_bits", "parse_bits", "usual_bits"]

ALL_BIT_WIDTHS = (2, 4, 6, 8, 10, 12, 16)  # of any SOC


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        logs: files.
        bits: feature and weight bits of each.
        run: which run of each file, from 1; None: the mean of all.
        count: layers to show; None: all.
        write: the cost file to write.
        base: a cost file for bit widths that no log has.
        json: the file for the numbers.
        params: the experiment's config.
        nmem: a memory report.
        track: whether to log into the experiment's MLflow run; None: if there is one and the log is its network's.
    """

    logs: Sequence[Path]
    bits: Sequence[tuple[int, int]] | None = None
    run: int | None = None
    count: int | None = 20
    write: Path | None = None
    base: Path | None = None
    json: Path | None = None
    params: Path = Path("params.yaml")
    nmem: Path | None = None
    track: bool | None = None


def parse_bits(texts: Sequence[str], logs: int) -> list[tuple[int, int]]:
    """Parse --bits: one pair for all logs, or one for each.

    Raises:
        UserError: if it is no pair, or there are more or fewer than logs.
    """
    for text in texts:
        if not re.fullmatch(r"[1-9]\d?/[1-9]\d?", text):
            raise UserError(f"--bits {text}: give feature bits/weight bits, as in 8/8 or 8/4")
    if len(texts) not in (1, logs):
        raise UserError(f"--bits: {counted(len(texts), 'pair')} for {counted(logs, 'log')}; give one, or one for each")
    pairs = [(int(features), int(weights)) for features, _, weights in (text.partition("/") for text in texts)]
    return pairs * logs if len(pairs) == 1 else pairs


def usual_bits(config: Config | None) -> tuple[int, int]:
    """The experiment's bit widths; 8/8 where there is none, or a side is in float."""
    bit_widths = (config.quant.feature_bits, config.quant.weight_bits) if config else (8, 8)
    return (8, 8) if FLOAT_BITS in bit_widths else bit_widths


def check_bits(pairs: Sequence[tuple[int, int]], config: Config | None, asked: str = "--bits ") -> None:
    """Refuse bit widths that the SOC has not; `asked` is what stands before them, for messages.

    Raises:
        UserError: naming those that it has.
    """
    for pair in pairs:
        for index, side in enumerate(("feature_bits", "weight_bits")):
            bit_widths = allowed_bit_widths(config.soc, side) if config else list(ALL_BIT_WIDTHS)
            if pair[index] not in bit_widths:
                who = f"the {config.soc.name} has" if config else "SOCs have"
                listed, what = ", ".join(map(str, bit_widths)), side.removesuffix("_bits")
                raise UserError(f"{asked}{pair[0]}/{pair[1]}: {who} {what}s of {listed} bits")
