"""PyTorch: a module that code builds and a file of weights, a TorchScript file, or a program of torch.export."""
