"""Hosts models. It needs Python, NumPy, msgspec, simdjson and the framework only."""
