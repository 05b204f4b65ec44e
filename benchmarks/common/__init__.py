"""What the benchmarks share: pictures, networks, processes, clocks, tables."""

from pathlib import Path

__all__ = ["PROJECT"]

PROJECT = Path(__file__).resolve().parent.parent.parent
"""The project's folder."""
