"""A scan as tables, a page and JSON."""
