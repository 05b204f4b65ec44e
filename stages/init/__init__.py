"""Reads a vendor's config back into conf/."""
