"""Starts an experiment from a network and samples, or from a vendor's config."""
