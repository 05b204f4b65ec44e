"""The experiment: its schema, how conf/ composes to it, and the checks that come before any work."""
