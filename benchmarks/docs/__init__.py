"""The pages of docs/: what is generated, and what is run."""
