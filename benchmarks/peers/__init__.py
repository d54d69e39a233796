"""Clipper beside other prediction servers: the same model, the same load, the same machine."""
