"""The network in parts: layers (nodes that a SOC runs as one), subgraphs, the work of a layer."""
