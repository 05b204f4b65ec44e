"""Runs Sophgo's compiler on the folder that build has written, and measures what it made."""
