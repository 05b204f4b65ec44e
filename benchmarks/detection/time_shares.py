"""How long evaluate decodes and suppresses; for a process of its own, on the artifacts in the folder."""

import contextlib
import io
import time
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.common.timing import seconds_of
from stages.core.config.load import load_params
from stages.core.heads.detector import Detector

__all__ = ["evaluate_seconds"]


def evaluate_seconds() -> dict[str, float]:
    """Seconds of evaluate, imports not counted, and of these in `Detector.detect`: decoding and suppression."""
    from stages.evaluate.__main__ import evaluate  # noqa: PLC0415  not counted, and not for the parent to load

    detecting = 0.0
    detect = Detector.detect

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal detecting
        start = time.perf_counter()
        found = detect(*arguments, **named)
        detecting += time.perf_counter() - start
        return found

    with contextlib.redirect_stdout(io.StringIO()), mock.patch.object(Detector, "detect", timed):
        seconds = seconds_of(lambda: evaluate(load_params(Path("params.yaml"))))
    return {"evaluate_s": seconds, "detect_s": detecting, "share": detecting / seconds}
