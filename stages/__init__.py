"""The pipeline: one sub-package a stage, one module a command, and what they share in `stages.core`."""
