"""Logs in the form that the vendor's reference describes, written for tests."""

from collections.abc import Sequence

HEADING = (
    "LayerName                 OperatorType    InputShape           OutputShape          FilterShape     Stride  "
    "Pad         Dila   Avg(ms) Max(ms) Min(ms) Last(ms) Avg(%)  GOPs"
)
# word for word from the vendor's sample
EXAMPLE = (
    "475 Convolution {1,224,224,4} {1,112,112,64} {3,3,4,64} {2,2} {0,1,0,1} {1,1} 0.247 0.292 0.236 0.2360 2.68% 0.058"
)
ADD = "residual EltwiseAdd {1,56,56,64} {1,56,56,64} {1,56,56,64} N/A N/A N/A N/A 0.100 0.110 0.090 0.1000 1.09% N/A"
TITLE = "===== Detailed DispatchProfiler Summary: N/A, Exclude 0warm-ups ====="
SUMMARY = "OperatorType    Avg(ms) Max(ms) Min(ms) Avg(%)  GOPs    CalledTimes"


def log_text(
    rows: Sequence[str],
    operators: Sequence[str] = (),
    total: str | None = None,
    heading: str = HEADING,
    summary: str = SUMMARY,
) -> str:
    """A log of one run."""
    lines = ["Timing cycle = 5", TITLE, heading, *rows]
    if operators:
        lines += [summary, *operators]
    if total is not None:
        lines.append(f"Total: {total} ms")
    return "\n".join(lines) + "\n"


def row(
    name: str,
    ms: float,
    inputs: Sequence[int] = (1, 8, 8, 16),
    output: Sequence[int] = (1, 8, 8, 32),
    kernel: Sequence[int] = (),
    operator: str = "Convolution",
    gops: float | None = None,
) -> str:
    """A row of a layer; times with the digits that Python gives."""

    def shape(sizes: Sequence[int]) -> str:
        return "{" + ",".join(map(str, sizes)) + "}" if sizes else "N/A"

    shapes = f"{shape(inputs)} {shape(output)} {shape(kernel)} {{1,1}} {{0,0,0,0}} {{1,1}}"
    return f"{name} {operator} {shapes} {ms!r} {ms!r} {ms!r} {ms!r} 1.00% {'N/A' if gops is None else gops}"
