"""The engine measured on real networks: calibration, quantization, exact simulation."""
