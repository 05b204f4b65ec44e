"""Networks of others in two commands."""
