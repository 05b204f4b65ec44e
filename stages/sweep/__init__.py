"""Runs many experiments: a Hydra job a point, a DVC workspace a job, one cache, one MLflow parent run."""

import os

import stages.track  # noqa: F401  its settings of MLflow, before MLflow is imported; workers inherit them

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a line a point, on a server
