"""Runs many experiments: a Hydra job a point, a DVC workspace a job, one cache, one MLflow parent run."""
