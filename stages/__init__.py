"""The pipeline: one sub-package a stage, one module a command, and what they share in `stages.core`."""

import os
import sys
from types import TracebackType

# Nothing of a user's network leaves the machine. ONNX Runtime and MLflow read these when they are imported, DVC when it
# ends: also where a folder has no settings for it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")


def _quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error as Python does, but Ctrl-C in one word: it may come while a command still imports."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # so it is while `python -m stages.<name>` looks for the module; not for who imports this
    sys.excepthook = _quiet
