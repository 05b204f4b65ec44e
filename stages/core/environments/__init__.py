"""Isolated Python environments for libraries that have no place in the project's own."""
