"""Strangers' networks: whether what compare says of them is true."""
