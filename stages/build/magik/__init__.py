"""The folder for Ingenic's converter `magik-transform-tools`, and the call of the converter where it is installed."""
