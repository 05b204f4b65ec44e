"""The folder for Ingenic's converter `magik-transform-tools`, and running it where it is installed."""
