"""Failures of replicas: counts, reasons, and the output of models."""
