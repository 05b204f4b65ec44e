"""Everything the other stages wrote -> one MLflow run."""

import os

# MLflow reads it when it is imported.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
