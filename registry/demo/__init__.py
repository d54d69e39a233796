"""The demo: handwritten digits, five classifiers trained on them, two applications."""
