"""Vendors' configs, and scripts that call a converter, read back into conf/."""
