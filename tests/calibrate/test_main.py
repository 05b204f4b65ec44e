from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.calibrate.__main__ import calibrate
from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind
from stages.core.statistics.tensor_statistics import load_statistics

STATISTICS = Path("out/calibrate/statistics.npz")


@pytest.fixture
def prepared(command):
    """The command fixture after export and calibset."""
    for stage in ("export", "calibset"):
        done = command(stage)
        assert done.returncode == 0, done.stderr
    return command


def test_bytes_are_the_same_on_any_number_of_threads(prepared, monkeypatch):
    found = []
    for threads in ("1", "2", "1"):
        monkeypatch.setenv("SOCQUANT_THREADS", threads)
        done = prepared("calibrate")
        assert done.returncode == 0, done.stderr
        found.append(STATISTICS.read_bytes())
    assert found[0] == found[1]
    assert found[0] == found[2]
    assert "calibrated 10 tensors on 12 pictures" in done.stdout
    statistics = load_statistics(STATISTICS)["images"]
    assert statistics.histogram.sum() == 12 * 3 * 16 * 16
    pictures = [cv2.resize(cv2.imread(f"calibration/{i:03d}.png"), (16, 16))[:, :, ::-1] for i in range(12)]
    values = (np.array(pictures, dtype=np.float64) - 128) / 64
    np.testing.assert_array_equal(statistics.channel_low, values.min(axis=(0, 1, 2)).astype(np.float32))
    np.testing.assert_allclose(statistics.channel_mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)


def test_a_missing_artifact_names_its_stage(command):
    done = command("calibrate")
    assert done.returncode == 2
    assert done.stderr == "error: out/export/inputs.json is missing: run `dvc repro export` first\n"


def test_a_network_that_was_exported_with_other_settings_is_refused(calibrated):
    calibrated.model.detector.kind = DetectorKind.none
    with pytest.raises(UserError) as caught:
        calibrate(calibrated)
    assert str(caught.value) == "out/export was made with another model.detector.kind: run `dvc repro`"
    calibrated.model.detector = replace(DetectorConfig(), score_threshold=0.9)
    calibrate(calibrated)  # thresholds change no network
