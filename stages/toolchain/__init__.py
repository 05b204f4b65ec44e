"""Installs what some sources and vendors need, apart from the project's own packages."""
