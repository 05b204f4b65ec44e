"""Findings: what is wrong with an experiment, by what evidence, and which setting mends it."""
