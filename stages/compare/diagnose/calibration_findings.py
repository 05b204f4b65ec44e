"""Calibration pictures that do not show what the network will see."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages.compare.diagnose.finding import Finding
from stages.compare.gather.observed_features import ObservedFeature
from stages.compare.gather.picture_sets import CalibrationSet, DebugSet
from stages.core.base.console import counted
from stages.core.config.overrides import quoted
from stages.core.config.schema import DataConfig
from stages.core.integer.network_params import FeatureParams, NetworkParams

__all__ = ["calibration_findings", "debug_findings", "source_override"]

MIN_PICTURES = 10
"""The vendors ask for 10 to 200 pictures (Ingenic) or 100 to 500 (Sophgo)."""
MAX_PICTURES_PROPOSED = 100
MAX_FLAT_SHARE = 0.25
"""A set of which more pictures than this are of one flat colour shows little."""
MAX_ENERGY_BEYOND = 0.01
"""A feature outgrows calibration if cutting it at what was seen makes more than this part of its signal (20 dB)."""
MOSTLY = 0.5
"""One picture is to blame if more than this part of the features leave what calibration saw furthest on it."""
MAX_OUTGROWN_SHARE = 0.25
"""Calibration is to blame if more than this part of the features outgrow it, or the network's input."""


def calibration_findings(
    params: NetworkParams, observed: Mapping[str, ObservedFeature], calibration: CalibrationSet, data: DataConfig
) -> list[Finding]:
    """Find what is poor about the calibration pictures.

    Args:
        params: features with the ranges that calibration saw.
        observed: the same features on the debug pictures.
        calibration: the set.
        data: where the pictures come from.
    """
    same = data.debug.source == data.calibration.source  # of one folder, each set takes its part
    other_source = None if same else source_override("data.calibration.source", data.debug.source)
    features = [f for f in params.features if f.tensor in observed and not f.method.is_constant]
    outgrown = [f for f in features if observed[f.tensor].beyond_part > MAX_ENERGY_BEYOND]
    return [
        *_outgrown(features, outgrown, observed, calibration.noun, other_source),
        *(_flat(calibration, other_source) if outgrown else ()),  # text on paper is flat in every set
        *_few(calibration),
    ]


def _outgrown(
    features: Sequence[FeatureParams],
    outgrown: Sequence[FeatureParams],
    observed: Mapping[str, ObservedFeature],
    noun: str,
    cure: str | None,
) -> list[Finding]:
    """Features that reach beyond what calibration saw, if they are many or the input is one."""
    at_input = any(f.node == f.tensor for f in outgrown)  # pixels that were never seen need no more proof
    if not at_input and len(outgrown) <= MAX_OUTGROWN_SHARE * len(features):
        return []
    wanted = f"{noun}s of the same kind" if cure else f"more {noun}s"
    worst = max(outgrown, key=lambda feature: observed[feature.tensor].beyond_part)
    seen, mostly = observed[worst.tensor], _mostly_on(outgrown, observed)
    return [
        Finding(
            "calibration",
            None,
            f"calibration saw less than the debug {noun}s show: {len(outgrown)} of {counted(len(features), 'feature')} "
            f"are cut{mostly}; {worst.node} reaches {seen.low:.4g} .. {seen.high:.4g}, calibration saw "
            f"{worst.seen_low:.4g} .. {worst.seen_high:.4g}. Calibrate on {wanted}",
            {
                "features": len(features),
                "outgrown": len(outgrown),
                "worst": worst.node,
                "worst_share_beyond": seen.beyond / seen.values,
                "worst_energy_beyond": seen.beyond_part,
            },
            cure,
        )
    ]


def _mostly_on(outgrown: Sequence[FeatureParams], observed: Mapping[str, ObservedFeature]) -> str:
    """Name the picture on which most of the features leave what calibration saw furthest, if one is to blame."""
    pictures = Counter(observed[feature.tensor].furthest[1] for feature in outgrown)
    name, count = pictures.most_common(1)[0]
    if not name or count <= MOSTLY * len(outgrown):
        return ""
    return f", {count} of them furthest on {name.rpartition('/')[2]}"


def _flat(calibration: CalibrationSet, cure: str | None) -> list[Finding]:
    """Many pictures of one flat colour."""
    pictures, flat = calibration.pictures, len(calibration.flat)
    if flat <= MAX_FLAT_SHARE * pictures:
        return []
    sentence = f"{flat} of {counted(pictures, 'calibration picture')} are mostly one flat colour: take typical pictures"
    return [Finding("calibration", None, sentence, {"pictures": pictures, "flat": flat}, cure)]


def _few(calibration: CalibrationSet) -> list[Finding]:
    """Fewer pictures than the vendors ask for."""
    pictures, available = calibration.pictures, calibration.available
    if pictures >= MIN_PICTURES:
        return []
    more = min(available, MAX_PICTURES_PROPOSED)
    verb = "is" if pictures == 1 else "are"
    sentence = f"{counted(pictures, f'calibration {calibration.noun}')} {verb} few: take {MIN_PICTURES} to 200"
    cure = f"data.calibration.size={more}" if more > pictures else None
    return [Finding("calibration", None, sentence, {"pictures": pictures, "available": available}, cure)]


def debug_findings(debug: DebugSet) -> list[Finding]:
    """Find debug pictures that served to quantize."""
    pictures, known = len(debug.names), len(debug.known)
    if not known:
        return []
    verb = "was" if known == 1 else "were"
    of = counted(pictures, f"debug {debug.noun}")
    sentence = f"{known} of {of} {verb} used to quantize too, so the table is too good"
    return [Finding("debug", None, sentence, {"pictures": pictures, "known": known})]


def source_override(key: str, source: Any) -> str:
    """The override that gives a picture set another source: one, or a list."""
    if isinstance(source, str):
        return f"{key}={quoted(source)}"
    return f"{key}=[{', '.join(map(quoted, source))}]"
