"""Runs many experiments: a Hydra job a point, a DVC workspace a job, one cache, one MLflow parent run."""

import os

# Nothing of a user's network leaves the machine; workers inherit it. MLflow reads it when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a line a point, on a server
