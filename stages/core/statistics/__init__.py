"""Statistics of tensors over pictures, and the similarity of two tensors."""
