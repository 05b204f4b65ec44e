"""Cross-layer equalization: factors that move channel scales from layer to layer."""
