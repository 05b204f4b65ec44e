"""Everything the other stages wrote -> one MLflow run."""
