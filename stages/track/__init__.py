"""Everything the other stages wrote -> one MLflow run."""

import os

# Nothing of a user's network leaves the machine. MLflow reads these when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
