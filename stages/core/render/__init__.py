"""Pages and plots: their colours, and SVG that is the same bytes for the same figure."""
