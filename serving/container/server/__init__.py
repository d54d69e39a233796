"""Answering web processes with a loaded model."""
