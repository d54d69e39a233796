"""Shared by runtimes: arrays, tensors, scores and archives of models."""
