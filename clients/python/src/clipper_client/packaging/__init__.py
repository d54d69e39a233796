"""Artifacts made of a model's code and files, and what they require."""
