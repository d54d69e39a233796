"""Checks of an experiment: faults that would go unnoticed."""
