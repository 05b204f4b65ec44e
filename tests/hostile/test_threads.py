"""The number of threads and the seed of Python's hashes change no byte of an artifact."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.compare.__main__ import compare
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.conftest import REPOSITORY, composed

ALL_STAGES = """
from importlib import import_module
from pathlib import Path

from stages.core.config.load import load_params

for stage in ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build"):
    getattr(import_module(f"stages.{stage}.__main__"), stage)(load_params(Path("params.yaml")))
"""
"""All stages in one process, which imports most of it once."""


def artifacts() -> dict[str, str]:
    """MD5 of each file that a stage wrote."""
    return {
        path.as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(Path("out").rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_artifacts_are_the_same_on_any_number_of_threads(calibrated, monkeypatch):
    """Rounding, corrections and equalization are accepted by measured errors, as `quant=best` does."""
    config = composed("quant=best", "compare.isolated=true", "compare.cures=0")
    of_threads = {}
    for threads in ("1", "2", "3", "4", "8"):
        monkeypatch.setenv("SOCQUANT_THREADS", threads)
        for stage in (export, quantize, evaluate, compare):
            stage(config)
        of_threads[threads] = artifacts()
    assert [threads for threads, written in of_threads.items() if written != of_threads["1"]] == []
    assert len(of_threads["1"]) > 30


@pytest.mark.slow
def test_artifacts_are_the_same_under_any_seed_of_hashes(calibrated):
    composed("quant.rounding=compensate", "compare.cures=0")
    of_seeds = {}
    for seed in ("0", "1", "random"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)}
        subprocess.run([sys.executable, "-c", ALL_STAGES], env=environment, check=True, capture_output=True)
        of_seeds[seed] = artifacts()
    assert of_seeds["0"] == of_seeds["1"] == of_seeds["random"]
