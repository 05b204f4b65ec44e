"""The quantized network -> the folder for the board."""
