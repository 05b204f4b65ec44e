"""Mutation score of the tests: `python -m benchmarks.mutants`.

Plants one small fault at a time in a copy of the tracked files and runs the tests that should notice: first the quick
ones of the module's test file, then, if they pass, the whole suite. Exit code 1 if a fault goes unnoticed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from rich.table import Table

from benchmarks.common import PROJECT
from stages.core.base.artifacts import write_json
from stages.core.base.console import output, track
from stages.core.base.errors import UserError
from stages.core.command import guarded

__all__ = ["MUTANTS", "Mutant", "Outcome"]

TESTS_PASSED, TESTS_FAILED = 0, 1
"""Exit codes of pytest; any other says that it could not run the tests."""


@dataclass(frozen=True)
class Mutant:
    """One small fault.

    Attributes:
        file: where it is planted.
        text: the source text that it replaces; there once.
        replacement: what stands there instead.
        tests: the file of tests that should notice.
    """

    file: str
    text: str
    replacement: str
    tests: str


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; `killed_by` is `quick`, `all`, or None if it survived."""

    mutant: Mutant
    killed_by: str | None


MUTANTS = [
    # the integer arithmetic: a bias that rounds down, multipliers of one bit less, a bound four times too high
    Mutant("stages/core/integer/rules.py", " + mult / 2)", ")", "tests/core/integer/test_rules.py"),
    Mutant("stages/core/integer/rules.py", "FIXED_BITS - np.floor(", "FIXED_BITS - np.ceil(",
           "tests/core/integer/test_rules.py"),
    Mutant("stages/core/integer/operators/weighted.py", "float(divisor.max()) * 4 *", "float(divisor.max()) *",
           "tests/core/integer/test_bounds.py"),
    Mutant("stages/core/integer/writer.py", "2.0**-shift).astype(kind))", "2.0**-shift).astype(np.float32))",
           "tests/core/integer/test_bounds.py"),
    Mutant("stages/core/base/file_names.py", "while name.lower() in", "while name in",
           "tests/core/base/test_file_names.py"),
    # statistics: a value too small for its bin's scale, the variance of errors that have a mean
    Mutant("stages/core/statistics/histogram.py", "(scaled == 0) & (block[i] < 0)", "(scaled == 0) & (block[i] > 0)",
           "tests/core/statistics/test_histogram.py"),
    Mutant("stages/core/statistics/metrics.py", "/ count - (errors.error / count) ** 2", "/ count",
           "tests/core/statistics/test_metrics.py"),
    # pictures and config: the odd column of a border on the other side, a threshold of nothing
    Mutant("stages/core/data/preprocess.py", "(width - scaled[1]) // 2 if", "(width - scaled[1] + 1) // 2 if",
           "tests/core/data/test_preprocess.py"),
    Mutant("stages/core/config/check.py", "_require(0 < threshold < 1,", "_require(0 <= threshold < 1,",
           "tests/core/config/test_check.py"),
    # stages by hand: a network that was exported otherwise, numbers of an evaluation before one that was refused
    Mutant("stages/core/config/settings_record.py", "before.get(key) != settings[key]]", "key not in before]",
           "tests/calibset/test_main.py"),
    Mutant("stages/evaluate/__main__.py", "    discard(EVALUATE)\n", "", "tests/evaluate/test_main.py"),
    # quantize: a percentage in binary, weights of least moment first, a shared weight scaled twice
    Mutant("stages/quantize/parameters/ranges.py", "Fraction(str(percentile))", "Fraction(percentile)",
           "tests/quantize/parameters/test_ranges.py"),
    Mutant("stages/quantize/rounding/gptq.py", "axis=1, kind=\"stable\")\n", "axis=1, kind=\"stable\")[:, ::-1]\n",
           "tests/quantize/rounding/test_gptq.py"),
    Mutant("stages/quantize/equalize/scaled_model.py", "if self._uses[name] > 1:", "if self._uses[name] > 2:",
           "tests/quantize/equalize/test_cross_layer.py"),
    Mutant("stages/quantize/operators/interpolation.py", "max(after - 1, 1)", "max(after, 1)",
           "tests/quantize/operators/test_interpolation.py"),
    # layers in float: those behind another one read codes, a requantized sum taken for a float one
    Mutant("stages/quantize/quantizers/float_values.py", "producer is None or self.runs_in_float(producer) or",
           "producer is None or", "tests/quantize/quantizers/test_float_values.py"),
    Mutant("stages/quantize/operators/builder.py", "if node in self._float_consumers[tensor]:", "if False:",
           "tests/quantize/emit/test_float_layers.py"),
    # export, compare, evaluate: another default of ONNX, a first layer just good enough, the sixth best class
    Mutant("stages/export/canonical.py", "\"epsilon\", 1e-5)", "\"epsilon\", 1e-3)", "tests/export/test_canonical.py"),
    # quantized sources: activations that ranges stand for stay out, zero points are not looked at, biases lose a scale
    Mutant(
        "stages/export/dequantize/rewriter.py", "if low == 0.0 and", "if low == 1.0 and",
        "tests/export/dequantize/test_qdq.py",
    ),
    Mutant(
        "stages/export/dequantize/dynamic.py", "    if not same:", "    if False:",
        "tests/export/dequantize/test_dynamic.py",
    ),
    Mutant(
        "stages/export/dequantize/qlinear.py", "left.reshape(-1) * right.reshape(-1)", "right.reshape(-1)",
        "tests/export/dequantize/test_qlinear.py",
    ),
    # layouts: constants and weights in the wrong order
    Mutant(
        "stages/export/layout/transposes.py", ".reshape(shape).transpose(self._inverse)",
        ".reshape(shape).transpose(self._region.perm)", "tests/export/layout/test_transposes.py",
    ),
    Mutant(
        "stages/export/layout/flattened.py", "weight.take(np.argsort(order), axis)", "weight.take(order, axis)",
        "tests/export/layout/test_transposes.py",
    ),
    Mutant("stages/compare/diagnose/curve_findings.py", "FIRST_LAYER_FINE = 0.99", "FIRST_LAYER_FINE = 0.9",
           "tests/compare/diagnose/test_curve_findings.py"),
    Mutant("stages/evaluate/scores.py", "TOP_CLASSES = 5\n", "TOP_CLASSES = 6\n", "tests/evaluate/test_scores.py"),
    # build: memory that is given away a step too early, a quotient on the board that is not exact
    Mutant("stages/build/runtime/memory.py", "other.last < block.first", "other.last <= block.first",
           "tests/build/runtime/test_memory.py"),
    Mutant("stages/build/runtime/src/operators/requantize.h", "out.bits + 2 * log", "out.bits + log",
           "tests/build/runtime/test_program.py"),
    # commands: a worse point on the front, a cut beside the middle, more errors taken for better
    Mutant("stages/search/candidate_metric.py", "else of_float - worse", "else of_float + worse",
           "tests/search/test_candidate_metric.py"),
    Mutant("stages/sweep/ranking.py", "self._merit(result) < self._merit", "self._merit(result) <= self._merit",
           "tests/sweep/test_ranking.py"),
    Mutant("stages/bisect/quickxplain.py", "abs(2 * sums[cut - 1]", "abs(2 * sums[cut]",
           "tests/bisect/test_quickxplain.py"),
]  # fmt: skip


def main() -> None:
    description = (__doc__ or "").split("\n\n")[1]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=description)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at the same time (%(default)s)")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: measure(MUTANTS, arguments.jobs, arguments.json), debug=False))


def measure(mutants: Sequence[Mutant], jobs: int, target: Path | None) -> int:
    """Print the table and the score; write the rows as JSON.

    Returns:
        1 if a mutant survives, else 0.

    Raises:
        UserError: if a mutant does not fit the source, or the tests fail without any.
    """
    for mutant in mutants:
        check(mutant)
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for job in range(jobs):
            copies.put(copy_project(Path(folder) / str(job)))

        def outcome(mutant: Mutant) -> Outcome:
            checkout = copies.get()
            try:
                return Outcome(mutant, killer(mutant, checkout))
            finally:
                copies.put(checkout)

        with ThreadPoolExecutor(jobs) as pool:
            outcomes = list(track(pool.map(outcome, mutants), "mutants", len(mutants)))
    output.print(table(outcomes))
    survived = sum(outcome.killed_by is None for outcome in outcomes)
    output.print(f"score: {len(outcomes) - survived} of {len(outcomes)} mutants killed")
    if target:
        write_json(target, [asdict(outcome.mutant) | {"killed_by": outcome.killed_by} for outcome in outcomes])
    return int(survived > 0)


def check(mutant: Mutant) -> None:
    """Refuse a mutant whose source text or test file is not there (any more).

    Raises:
        UserError: saying what to mend in `MUTANTS`.
    """
    for file in (mutant.file, mutant.tests):
        if not (PROJECT / file).is_file():
            raise UserError(f"benchmarks/mutants.py: there is no {file}: name the file that it is now")
    count = (PROJECT / mutant.file).read_text(encoding="utf-8").count(mutant.text)
    if count != 1:
        raise UserError(
            f"benchmarks/mutants.py: {mutant.file} holds {mutant.text!r} {count} times, and once is needed: "
            "choose the text anew"
        )


def copy_project(folder: Path) -> Path:
    """Copy the tracked files as they are in the project's folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    return folder


def killer(mutant: Mutant, checkout: Path) -> str | None:
    """Say which tests notice a mutant: `quick` ones of its file, `all` of the suite, or None.

    Raises:
        UserError: if tests cannot run, or fail without the mutant.
    """
    quick = ["-n", "0", "-m", "not slow", mutant.tests]
    if not passes(checkout, quick):
        raise UserError(f"{mutant.tests} fails as it is: mend that first")
    source = checkout / mutant.file
    original = source.read_text(encoding="utf-8")
    source.write_text(original.replace(mutant.text, mutant.replacement), encoding="utf-8")
    try:
        if not passes(checkout, quick):
            return "quick"
        return None if passes(checkout, []) else "all"
    finally:
        source.write_text(original, encoding="utf-8")


def passes(checkout: Path, arguments: Sequence[str]) -> bool:
    """Run tests in a copy of the project up to the first that fails.

    Raises:
        UserError: if they cannot run.
    """
    line = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *arguments]
    # without cached bytecode: a mutant of the same size, planted within a second, would not be seen
    environment = os.environ | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (TESTS_PASSED, TESTS_FAILED):
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UserError(f"pytest {' '.join(arguments)} ended with exit code {done.returncode}: {''.join(last)}")
    return done.returncode == TESTS_PASSED


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row a mutant."""
    shown = Table(title="mutants")
    for heading in ("file", "text", "replacement", "outcome"):
        shown.add_column(heading)
    for outcome in outcomes:
        mutant = outcome.mutant
        said = f"killed ({outcome.killed_by})" if outcome.killed_by else "survived"
        shown.add_row(mutant.file, mutant.text.strip(), mutant.replacement.strip(), said)
    return shown


if __name__ == "__main__":
    main()
