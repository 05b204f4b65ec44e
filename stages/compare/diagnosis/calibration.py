"""Calibration pictures that do not show what the network will see."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.compare.diagnosis.finding import Finding
from stages.compare.diagnosis.observed import Observed
from stages.core.base.console import counted
from stages.core.config.overrides import quoted
from stages.core.config.schema import DataConfig
from stages.core.integer.qparams import CONSTANT, NetworkParams

__all__ = ["calibration_findings", "debug_finding", "source_override"]

FEWEST = 10
"""The vendors ask for 10 to 200 pictures (Ingenic) or 100 to 500 (Sophgo)."""
MOST = 100
FLAT = 0.25
"""A set of which more pictures than this are of one flat colour shows little."""
OUTGROWN = 0.01
"""A feature outgrows calibration if cutting it at what was seen makes more than this part of its signal (20 dB)."""
MANY = 0.25
"""Calibration is to blame if more than this part of the features outgrow it, or the network's input."""


def calibration_findings(
    params: NetworkParams,
    observed: Mapping[str, Observed],
    data: DataConfig,
    pictures: int,
    available: int,
    flat: Sequence[str],
    noun: str = "picture",
) -> list[Finding]:
    """Find what is poor about the calibration pictures.

    Args:
        params: features with the ranges that calibration saw.
        observed: the same features on the debug pictures.
        data: where the pictures come from.
        pictures: how many calibrated.
        available: how many the source has.
        flat: names of those of one flat colour.
        noun: what messages call one.
    """
    found = []
    cure = source_override("data.calibration.source", data.debug.source)
    own = [entry for entry in params.features if entry.tensor in observed and entry.method != CONSTANT]
    outgrown = [entry for entry in own if observed[entry.tensor].beyond_part > OUTGROWN]
    at_input = any(entry.node == entry.tensor for entry in outgrown)  # pixels that were never seen need no more proof
    if at_input or len(outgrown) > MANY * len(own):
        worst = max(outgrown, key=lambda entry: observed[entry.tensor].beyond_part)
        seen = observed[worst.tensor]
        found.append(
            Finding(
                "calibration",
                None,
                f"calibration saw less than the debug {noun}s show: {len(outgrown)} of {counted(len(own), 'feature')} "
                f"are cut; {worst.node} reaches {seen.low:.4g} .. {seen.high:.4g}, calibration saw "
                f"{worst.seen_low:.4g} .. {worst.seen_high:.4g}. Calibrate on {noun}s of the same kind",
                {
                    "features": len(own),
                    "outgrown": len(outgrown),
                    "worst": worst.node,
                    "worst_share_beyond": seen.beyond / seen.values,
                    "worst_energy_beyond": seen.beyond_part,
                },
                cure,
            )
        )
    if len(flat) > FLAT * pictures:
        found.append(
            Finding(
                "calibration",
                None,
                f"{len(flat)} of {counted(pictures, 'calibration picture')} are mostly one flat colour: take typical "
                "pictures",
                {"pictures": pictures, "flat": len(flat)},
                cure,
            )
        )
    if pictures < FEWEST:
        more = min(available, MOST)
        found.append(
            Finding(
                "calibration",
                None,
                f"{counted(pictures, f'calibration {noun}')} are few: take {FEWEST} to 200",
                {"pictures": pictures, "available": available},
                f"data.calibration.size={more}" if more > pictures else None,
            )
        )
    return found


def debug_finding(known: Sequence[str], pictures: int, noun: str = "picture") -> list[Finding]:
    """Find debug pictures that served to quantize; `known` says of each what it is too."""
    if not known:
        return []
    return [
        Finding(
            "debug",
            None,
            f"{len(known)} of {counted(pictures, f'debug {noun}')} served to quantize, so the table flatters",
            {"pictures": pictures, "known": len(known)},
        )
    ]


def source_override(key: str, source: Any) -> str:
    """The override that gives a picture set another source: one, or a list."""
    if isinstance(source, str):
        return f"{key}={quoted(source)}"
    return f"{key}=[{', '.join(map(quoted, source))}]"
