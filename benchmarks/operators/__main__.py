"""Writes docs/operators.md: where each ONNX operator runs. `python -m benchmarks.operators`; `--check` compares only.

Runs the onnx package's tests of single operators through export, compares their values, and asks every SOC in
conf/soc which of them it runs in integers. Takes two minutes.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime

from benchmarks.operators.node_tests import Outcome, node_tests, run_test
from stages.core.base.artifacts import write_text
from stages.core.base.console import output, track
from stages.core.base.errors import UserError
from stages.core.command import Parser, guarded
from stages.core.config.composition import compose_socs
from stages.core.config.schema import SocConfig
from stages.export.rewrites.rewrite import REWRITES

__all__ = ["operators_page", "run_all"]

PAGE = Path("docs/operators.md")
CONF = Path("conf")
INTRODUCTION = """\
# Which ONNX operators run

`python -m benchmarks.operators` writes this page. It takes the onnx package's tests of single operators through
`export`, compares the values, and asks each SOC of `conf/soc` whether it runs all of a test in integers.

- **integer**: the SOCs that run at least one form of the operator in integers, `all` for all of them. The notes of
  `quantize` say which layers of your network run in float, and why.
- **exported**: how many of the tests pass `export` with the values that are right. The rest are refused, with the
  reason for most of them in the last column.
- **rewritten**: `export` writes forms of it in other operators ([sources.md](sources.md#operators-spelled-otherwise)).

Every exported operator runs in float where it does not run in integers: on the board's processor.
"""
REASONS = {
    "Could not find an implementation": "ONNX Runtime lacks it for these types",
    "this ONNX Runtime runs .* at most": "newer than ONNX Runtime",
    "No corresponding Numpy type": "NumPy lacks the type",
    "and inputs are float|nothing float follows": "an input is no float",
    "gives other values on each run": "it gives other values on each run",
    "nothing computes them": "its output is a constant",
}
"""What an error says -> how the page has it."""
WIDEST = 70
"""Characters of a reason."""


def main() -> None:
    """Run the command; exits."""
    parser = Parser("benchmarks.operators", __doc__, "")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 2 if the page would change")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: run(arguments.check), arguments.debug))


def run(check_only: bool) -> None:
    """Write the page, or only compare.

    Raises:
        UserError: with `check_only` if the page would change, or is of other versions of the packages.
    """
    before = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if check_only and versions() not in before:
        raise UserError(
            f"{PAGE} is of other versions than {versions()}: write it with `python -m benchmarks.operators`"
        )
    page = operators_page(*run_all())
    if check_only and page != before:
        raise UserError(f"{PAGE} is not what the node tests say: write it with `python -m benchmarks.operators`")
    if not check_only:
        write_text(PAGE, page)
    output.print(f"{PAGE} {'is what the node tests say' if check_only else 'written'}")


def run_all() -> tuple[dict[str, list[Outcome]], list[str]]:
    """Run every test; gives the outcomes by operator, and the names of the SOCs."""
    socs = all_socs()
    tests = list(node_tests())
    outcomes: dict[str, list[Outcome]] = {}
    for test in track(tests, "node tests", len(tests)):
        outcomes.setdefault(test.operator, []).append(run_test(test, socs))
    return dict(sorted(outcomes.items())), [soc.name for soc in socs]


def all_socs() -> list[SocConfig]:
    """The SOCs of conf/soc, sorted by file."""
    return list(compose_socs(sorted(path.stem for path in (CONF / "soc").glob("*.yaml")), CONF).values())


def versions() -> str:
    """The packages that the tests and the kernels come from."""
    return f"onnx {onnx.__version__} and ONNX Runtime {onnxruntime.__version__}"


def operators_page(outcomes: Mapping[str, Sequence[Outcome]], socs: Sequence[str]) -> str:
    """The text of the page."""
    rewritten = {kind for each in REWRITES for kind in each.operators}
    lines = ["| operator | integer | exported | rewritten | most of the rest |", "|---|---|---|---|---|"]
    for operator, results in outcomes.items():
        integer = set[str]().union(*(result.integer_on for result in results))
        where = "all" if integer == {*socs} else ", ".join(name for name in socs if name in integer)
        exported = sum(result.refusal is None for result in results)
        mark = "yes" if operator in rewritten else ""
        lines.append(f"| {operator} | {where} | {exported} of {len(results)} | {mark} | {_most_refused(results)} |")
    return f"{INTRODUCTION}\nMade with {versions()}.\n\n" + "\n".join(lines) + "\n"


def _most_refused(results: Sequence[Outcome]) -> str:
    reasons = [_shortened(result.refusal) for result in results if result.refusal is not None]
    return max(sorted(set(reasons)), key=reasons.count, default="")


def _shortened(reason: str) -> str:
    """A reason without what differs from test to test, in one line of a table."""
    for pattern, plainly in REASONS.items():
        if re.search(pattern, reason):
            return plainly
    plain = re.sub(r"\s+", " ", reason).replace("|", "/")
    return plain if len(plain) <= WIDEST else f"{plain[: WIDEST - 4]} ..."


if __name__ == "__main__":
    main()
