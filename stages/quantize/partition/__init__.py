"""The network in parts: layers (what a SOC runs as one), subgraphs, lookup tables, the work of a layer."""
