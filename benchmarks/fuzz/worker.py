"""One target under atheris, in a process of its own: `python -m benchmarks.fuzz.worker NAME SECONDS CORPUS`.

atheris never returns: it ends the process, with code 77 where it found something.
"""

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stages"]):
    from benchmarks.fuzz.targets import TARGETS

from benchmarks.fuzz.mutators import MUTATORS
from benchmarks.fuzz.options import options

MOST_BYTES = 1 << 14


def main(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz.

    Args:
        name: of the target.
        seconds: how long.
        corpus: folder of files that led somewhere new; begins with the target's seeds.
    """
    target, folder = TARGETS[name], Path(tempfile.mkdtemp())
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(target.seeds):
        (corpus / f"seed{index}").write_bytes(seed)
    line = [sys.argv[0], *options(seconds, f"{corpus.parent}/{name}-", MOST_BYTES), str(corpus)]
    atheris.Setup(line, lambda content: target.tried(content, folder), custom_mutator=_mutator(target.suffix))
    atheris.Fuzz()


def _mutator(suffix: str) -> Callable[[bytes, int, int], bytes]:
    """Every second change is one that keeps the file whole, where there is one for such files."""

    def changed(content: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if suffix not in MUTATORS or rng.random() < 0.5:
            return bytes(atheris.Mutate(content, most))
        found = MUTATORS[suffix](content, rng, lambda held: bytes(atheris.Mutate(held, most)))
        return found if len(found) <= most else bytes(atheris.Mutate(content, most))

    return changed


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
