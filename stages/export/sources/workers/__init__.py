"""Programs that another Python runs: they import nothing of the project."""
