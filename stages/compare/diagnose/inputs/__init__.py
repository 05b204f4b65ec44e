"""Whether the network is fed as it was trained."""
