"""The folder for TPU-NNTC, Sophgo's older tool."""
