"""A converter for each type of layer: adds the nodes that compute the same."""
