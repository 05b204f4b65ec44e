"""A converter for each operator: adds the nodes that compute the same."""
