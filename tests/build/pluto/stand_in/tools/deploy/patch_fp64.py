"""Stands in for the step that marks a program as the camera loader wants it."""
