"""The networks that quantize writes: the integer model, the QDQ network, the network prepared for converters."""
