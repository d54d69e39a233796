"""What runs beside a model: it needs Python, NumPy, msgspec, simdjson and the framework only."""
