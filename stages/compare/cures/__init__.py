"""Cures tried as a user would apply them, so that none is printed whose effect was not measured."""
