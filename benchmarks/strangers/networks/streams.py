"""Streams: networks that take one frame at a time and return their states."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.strangers.material.sounds import RATE
from benchmarks.strangers.stranger import Arrays, Material, Samples

__all__ = ["LEARNED", "shapes", "stream_samples", "streamed"]

CALIBRATION_FRAMES, DEBUG_FRAMES = 64, 8
"""Sixteen frames would be half a second."""
LEARNED = slice(0, 16 * RATE)
"""The part of the conversation that calibrates; what is measured comes after its twentieth second."""


def shapes(**inputs: Sequence[int]) -> str:
    """The override that names inputs and their shapes."""
    listed = ", ".join(f"{{name: '{name}', shape: {list(shape)}}}" for name, shape in inputs.items())
    return f"model.inputs=[{listed}]"


def streamed(
    material: Material, steps: Sequence[Arrays], states: Mapping[str, str], zeros: Mapping[str, Sequence[int]]
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


def stream_samples(learned: Sequence[Arrays], evaluated: Sequence[Arrays], truth: object = None) -> Samples:
    """Steps evenly over one stream calibrate; those between them are compared; another stream is measured."""
    chosen = np.linspace(0, len(learned) - 1, 2 * CALIBRATION_FRAMES).astype(int)
    calibration = [learned[index] for index in chosen[::2]]
    debug = [learned[index] for index in chosen[1::2][:: CALIBRATION_FRAMES // DEBUG_FRAMES]]
    return Samples(calibration, debug, list(evaluated), truth, starts=(0,))
