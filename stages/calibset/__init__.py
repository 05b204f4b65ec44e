"""A folder of pictures -> the calibration set: samples as the network's input sees them."""
