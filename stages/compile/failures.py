"""What TPU-MLIR's tools say when they fail, in one line with what to do."""

import re
import signal
from collections.abc import Sequence

__all__ = ["explained"]

ERROR_LINE = re.compile(r"error|assert info|fatal|failed|exception|no such file|not found", re.IGNORECASE)
NOISE = re.compile(r"Cannot open libusercpu|\[!Error\]: |Traceback")
SIMILARITY = re.compile(r"min_simil[a-z]*ty = \(([^,]+), ([^,]+), ([^)]+)\)")
TARGET = re.compile(r"^Target +(\S+)$")
ASSERT = re.compile(r"ASSERT INFO: ?(.+)")
OPERATION = re.compile(r'^(?:->)? *(?:%\w+(?::\d+)? = )?"(?:top|tpu)\.(\w+)"')

NO_RANGE = ("can't get scale and zeropoint", "To = mlir::quant::CalibratedQuantizedType")
"""What it says where a tensor has no range."""
MISSING_ROW = "the calibration table lacks the row of a layer: run `dvc repro build` again, which checks the table"


def explained(call: Sequence[str], code: int, lines: Sequence[str], missing: Sequence[str]) -> str:
    """Say why a tool failed.

    Args:
        call: the tool and its arguments.
        code: its exit code; negative where a signal killed it.
        lines: what it printed.
        missing: files that it should have written.
    """
    text = [part.strip() for line in lines for part in line.replace("\r", "\n").split("\n") if part.strip()]
    reason = _killed(code) or _comparison(call, text) or _assertion(call, text) or _setup(text)
    if reason is None and code:
        reason = f"it ended with exit code {code}: {_last_error(text)}"
    return f"{call[0]}: {reason or f'it ended without an error, and wrote no {missing[0]}'}"


def _killed(code: int) -> str | None:
    if code >= 0:
        return None
    name = signal.Signals(-code).name
    return f"it was killed by {name}" + (": is there enough memory?" if name == "SIGKILL" else "")


def _comparison(call: Sequence[str], text: Sequence[str]) -> str | None:
    """A comparison of tensors that failed: which one says the file that was compared."""
    if "npz compare FAILED." not in text:
        return None
    targets = [match[1] for match in map(TARGET.match, text) if match]
    measures = [match for match in map(SIMILARITY.match, text) if match]
    if not targets or not measures:
        return None
    cosine, euclidean = (f"{float(value):.3f}" for value in measures[-1].groups()[:2])
    found = f"cosine {cosine}, euclidean similarity {euclidean}"
    if call[0] == "model_transform.py":
        return f"the float network differs from model.onnx ({found}): TPU-MLIR reads a node in another way"
    if targets[-1].endswith("_tpu_outputs.npz"):
        least = _option(call, "--tolerance")
        return (
            f"the quantized network is too unlike the float one ({found}; at least {least}): choose ranges by another "
            "quant.feature_method, or keep layers in float (quant.head=float of a detector, quant.skip_nodes); "
            "`python -m stages.compare` says which layers lose and what helps"
        )
    return f"the compiled network differs from its own simulation before compiling ({found}): a fault of the compiler"


def _assertion(call: Sequence[str], text: Sequence[str]) -> str | None:
    """An operator that the compiler refuses: it names the one that it was at by an arrow."""
    infos = [match[1] for match in map(ASSERT.search, text) if match]
    if not infos:
        return None
    at = [match[1] for line in text if line.startswith("->") and (match := OPERATION.match(line))]
    if any(sign in infos[-1] for sign in NO_RANGE):
        return MISSING_ROW
    where = f" at {at[-1]}" if at else ""
    if "not implemented" in infos[-1].lower():
        what = f"the {_option(call, '--chip')} does not run this as {_option(call, '--quantize')}"
        return f"{what}{where}: soc.float_types lists what its layers in float may be"
    return f"it refuses{where}: {infos[-1].strip()}"


def _option(call: Sequence[str], name: str) -> str:
    """The value of a call's option."""
    return call[call.index(name) + 1]


def _setup(text: Sequence[str]) -> str | None:
    """A toolkit that is not in order: one that the toolchain command has made is mended."""
    mended = "`python -m stages.toolchain install sophgo` makes one that is mended"
    for line in reversed(text):
        if "GLIBC_" in line and "not found" in line:
            return f"its own C library does not fit this system ({line}): {mended}"
        if missing := re.search(r"ModuleNotFoundError: No module named '(\w+)'", line):
            return f"its Python lacks the package {missing[1]}: {mended}"
    return MISSING_ROW if any(sign in line for sign in NO_RANGE for line in text) else None


def _last_error(text: Sequence[str]) -> str:
    errors = [line for line in text if ERROR_LINE.search(line) and not NOISE.search(line)]
    return (errors or text or ["it printed nothing"])[-1][:300]
