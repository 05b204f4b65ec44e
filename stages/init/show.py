"""What init says on the terminal: what was read, a table of guesses, what was written, and the next command."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from stages.core.base.console import counted, new_table, next_step, output
from stages.core.data.inputs import NetworkInput
from stages.init.guess.guess import Guess, Sure
from stages.init.network.read_network import SourceGraph
from stages.init.network.sizes import SizedNetwork

__all__ = ["show_next", "show_read", "show_table"]

AGAIN = "python -m stages.compose --keep"
OF_PIXELS = ("mean, normal", "color")
STYLES = {Sure.high: "green", Sure.medium: "yellow", Sure.low: "red"}


def show_read(called: str, graph: SourceGraph, sized: SizedNetwork) -> None:
    """Say what the network is: its name, its exporter, and what export says of it."""
    nodes = len(sized.network.model.graph.node)
    output.print(f"{called}: {graph.producer or 'exporter unknown'}, {counted(nodes, 'node')}")
    for line in sized.network.lines:
        output.print(f"  {line}")


def show_table(guesses: Sequence[Guess]) -> None:
    """Print a row a guess, how sure it is in colour."""
    table = new_table("what was found and guessed")
    for heading in ("key", "value"):
        table.add_column(heading, overflow="fold")
    table.add_column("sure", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for guess in guesses:
        sure = Text(guess.sure.value, style=STYLES[guess.sure])
        table.add_row(Text(guess.key), Text(guess.value), sure, Text(guess.evidence))
    output.print(table)


def show_next(
    words: Sequence[str],
    written: Sequence[Path],
    composed: bool,
    guesses: Sequence[Guess],
    takes: Sequence[NetworkInput] | None = None,
    tells: str = "the training code tells",
) -> None:
    """Say which files were written, what to look at, and what to type next.

    Args:
        words: the network, and what the user said of it.
        written: the files.
        composed: whether params.yaml is among them.
        guesses: all.
        takes: the inputs of a network that takes arrays; None of one that takes pictures.
        tells: where to look for mean, normal and colour, a clause.
    """
    listed = ", ".join(map(str, written))
    output.print(f"written: {listed}{', params.yaml' if composed else ''}")
    doubtful = [guess.key for guess in guesses if guess.sure is Sure.low]
    if doubtful:
        fed = [index for index, key in enumerate(doubtful) if key in OF_PIXELS]
        if fed:
            doubtful[fed[-1]] += f" ({tells})"
        output.print(f"look at: {'; '.join(doubtful)}; after a change: {AGAIN}")
    if composed:
        next_step("dvc repro")
    else:
        network, *said = words
        folder = "PICTURES" if takes is None else "SAMPLES"
        line = shlex.join([network.removeprefix("file:"), folder, *said, "--force"])
        if takes is not None:
            output.print(f"samples: {_form(takes)}")
        next_step(f"python -m stages.init {line}")


def _form(inputs: Sequence[NetworkInput]) -> str:
    """What a sample of arrays is, as files in the folder."""
    shapes = {one.name: list(one.sample_shape) for one in inputs}
    if len(shapes) == 1:
        return f"a .npy each, {next(iter(shapes.values()))}"
    return f"an .npz each, with {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
