"""The arithmetic that makes one answer of several."""
