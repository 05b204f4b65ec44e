"""One target under atheris, in a process of its own: `python -m benchmarks.fuzz.worker NAME SECONDS CORPUS`.

atheris never returns: it ends the process, with code 77 where it found something.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stages"]):
    from benchmarks.fuzz.targets import TARGETS

MOST_BYTES = 1 << 14
SLOWEST_SECONDS = 10
"""One file that takes longer is a finding, as one that takes more than 2 GB (libFuzzer's own bound)."""


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
    options = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-timeout={SLOWEST_SECONDS}", "-verbosity=0"]
    options += ["-print_final_stats=1", f"-artifact_prefix={corpus.parent}/{name}-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda content: target.tried(content, folder))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
