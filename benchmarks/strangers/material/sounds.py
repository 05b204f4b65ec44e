"""Sounds: a conversation that a package carries, noise, and notes that are computed."""

import io
import wave
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.sources import open_source

__all__ = ["RATE", "frames", "log_mels", "mixed", "music", "noise", "overlapped", "spectra", "speech", "tones"]

SPEECH = (
    "package:pyannote.audio==4.0.7/pyannote/audio/sample/sample.wav#sha256="
    "852ea15c4d85bc34773e618267603ffca6a521669a74d33742692cc67fc700d6"
)
"""Half a minute of two people."""
RATE = 16000
"""Samples a second of the speech."""
PEAK = 0.5
SCALE = (0, 2, 4, 5, 7, 9, 11)
"""Semitones of a major scale."""

Sound = NDArray[np.float32]


def speech() -> Sound:
    """A conversation, [480000], about -0.5 to 0.5."""
    (file,) = open_source(SPEECH)
    with wave.open(io.BytesIO(file.read())) as recording:
        assert recording.getframerate() == RATE
        values = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(np.float32)
    return _levelled(values)


def noise(length: int, seed: int) -> Sound:
    """Noise that falls by 6 dB an octave above 200 Hz and swells and fades, of standard deviation 1."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.normal(size=length))
    spectrum /= 1 + np.fft.rfftfreq(length, 1 / RATE) / 200
    values = np.fft.irfft(spectrum, length)
    values *= 1 + 0.5 * np.sin(2 * np.pi * np.arange(length) / RATE * rng.uniform(0.3, 1.0))
    return np.asarray(values / values.std(), np.float32)


def mixed(clean: Sound, decibels: float, seed: int) -> Sound:
    """A sound with noise added, so many decibels below it."""
    level = np.sqrt(np.mean(clean**2)) * 10 ** (-decibels / 20)
    return (clean + np.float32(level) * noise(len(clean), seed)).astype(np.float32)


def frames(sound: Sound, length: int, step: int) -> Sound:
    """Overlapping pieces of a sound, [count, length]."""
    count = (len(sound) - length) // step + 1
    pieces: list[Sound] = [sound[index * step : index * step + length] for index in range(count)]
    return np.stack(pieces)


def overlapped(pieces: NDArray[Any], step: int) -> Sound:
    """The sum of pieces that begin `step` samples apart: [count, length] -> [(count - 1) * step + length]."""
    count, length = pieces.shape
    total = np.zeros((count - 1) * step + length)
    for index, piece in enumerate(pieces):
        total[index * step : index * step + length] += piece
    return total.astype(np.float32)


def spectra(sound: Sound, length: int, step: int) -> NDArray[np.complex64]:
    """Its short-time Fourier transform by the square root of a Hann window, [frames, length / 2 + 1]."""
    window = np.sqrt(np.hanning(length + 1)[:-1])
    return np.fft.rfft(frames(sound, length, step) * window).astype(np.complex64)


def log_mels(sound: Sound, count: int = 80) -> Sound:
    """Kaldi's filter bank features of a sound at 16 kHz: 25 ms each, 10 ms apart, as if its samples were int16.

    Args:
        sound: at most 1.
        count: of the triangles, evenly over the mel scale from 20 to 8000 Hz.

    Returns:
        [frames, count].
    """
    pieces = frames(sound, 400, 160) * np.float32(32768)
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    emphasized = pieces - 0.97 * np.concatenate([pieces[:, :1], pieces[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft(emphasized * np.hamming(400), 512)) ** 2
    mel = 1127 * np.log1p(np.fft.rfftfreq(512, 1 / RATE) / 700)
    ends = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(8000 / 700), count + 2)
    rising = (mel - ends[:-2, np.newaxis]) / (ends[1:-1] - ends[:-2])[:, np.newaxis]
    falling = (ends[2:, np.newaxis] - mel) / (ends[2:] - ends[1:-1])[:, np.newaxis]
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return np.asarray(np.log(np.maximum(power @ triangles.T, 1e-7)), np.float32)


def tones(length: int, rate: int, seed: int) -> Sound:
    """A melody sung by a voice of one pitch at a time, with pauses; [length], at most 1."""
    rng = np.random.default_rng(seed)
    values = np.zeros(length)
    start = 0
    while start < length:
        count = int(rate * rng.uniform(0.15, 0.4))
        pitch = 110 * 2 ** ((12 * rng.integers(0, 3) + rng.choice(SCALE)) / 12)
        if rng.uniform() < 0.8:
            values[start : start + count] += _note(rng, pitch, count, rate)[: length - start]
        start += count
    return _levelled(values)


def music(length: int, rate: int, seed: int) -> Sound:
    """Chords and a melody of plucked strings; [length], at most 1."""
    rng = np.random.default_rng(seed)
    values = np.zeros(length)
    for _ in range(2 + int(6 * length / rate)):
        start, count = int(rng.integers(length)), int(rate * rng.uniform(0.2, 0.8))
        pitch = 110 * 2 ** ((12 * rng.integers(0, 4) + rng.choice(SCALE)) / 12)
        note = _note(rng, pitch, count, rate) * np.exp(-4 * np.arange(count) / count)
        values[start : start + count] += note[: length - start]
    return _levelled(values)


def _note(rng: np.random.Generator, pitch: float, count: int, rate: int) -> NDArray[np.float64]:
    """Harmonics that fall off, with a soft beginning and end."""
    time = np.arange(count) / rate
    fall = rng.uniform(0.4, 0.8)
    harmonics = [h for h in range(1, 13) if h * pitch < rate / 2]
    values = sum(fall**h * np.sin(2 * np.pi * h * pitch * time + rng.uniform(0, 6)) for h in harmonics)
    edge = np.minimum(1, np.minimum(np.arange(count), count - np.arange(count)) / (0.01 * rate))
    return np.asarray(values) * edge * rng.uniform(0.5, 1)


def _levelled(values: NDArray[Any]) -> Sound:
    """A sound whose largest value is `PEAK`, over noise that no one hears."""
    audible = values / max(np.abs(values).max(), 1e-9) + np.random.default_rng(0).normal(0, 1e-3, len(values))
    return np.asarray(PEAK * audible / np.abs(audible).max(), np.float32)
